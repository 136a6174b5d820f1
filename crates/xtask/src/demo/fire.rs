//! From the alert to its AlertTasks: which are new, and what comes of them, one after the other.

use std::collections::BTreeSet;
use std::error::Error;
use std::path::{Path, PathBuf};
use std::time::Duration;

use kube::api::ListParams;
use kube::{Api, Client, ResourceExt};
use punching_fist_api::AlertTask;
use punching_fist_testkit::{namespaces, wait};

use super::screen::{Row, Screen, Tone};
use super::{ending, follow};

/// How long Alertmanager and the webhook may take together.
const TASK_LIMIT: Duration = Duration::from_secs(60);

/// UIDs of the tasks that are there already.
///
/// # Errors
/// The API server refuses to tell.
pub async fn known(client: &Client) -> Result<BTreeSet<String>, kube::Error> {
    let tasks = tasks(client).list(&ListParams::default()).await?;
    Ok(tasks.items.iter().filter_map(ResourceExt::uid).collect())
}

/// What comes of alerts.
pub struct Fired<'a> {
    /// With the right to read tasks, pods and logs.
    pub client: Client,
    /// Where it is shown.
    pub screen: &'a Screen,
    /// UIDs of the tasks that were there before.
    pub known: BTreeSet<String>,
    /// Whether the agents' model is a scripted one.
    pub scripted: bool,
    /// Where the operator says what it heard.
    pub operator_log: Option<PathBuf>,
}

/// Waits for the tasks that come of alerts, and follows each to its end. Gives them as they are then.
///
/// # Errors
/// None comes, or one can't be followed.
pub async fn follow(fired: Fired<'_>) -> Result<Vec<AlertTask>, Box<dyn Error>> {
    let Fired { client, screen, mut known, scripted, operator_log } = fired;
    let api = tasks(&client);
    let first = wait::until_within(TASK_LIMIT, "an AlertTask", async || new(&api, &known).await).await;
    let mut next = Some(first.map_err(|_| silence(operator_log.as_deref()))?);
    let mut over = Vec::new();
    while let Some(task) = next {
        known.extend(task.uid());
        let text = format!("AlertTask {}/{}", namespaces::AGENTS, task.name_any());
        screen.show_now(&[Row::new(Tone::Strong, 0, text)]);
        let task = follow::follow(&client, screen, task).await?;
        screen.gap();
        screen.show(&ending::rows(&task, screen.elapsed(), scripted));
        over.push(task);
        next = new(&api, &known).await;
        if next.is_some() {
            screen.gap();
        }
    }
    Ok(over)
}

/// The oldest task that is not `known`.
async fn new(api: &Api<AlertTask>, known: &BTreeSet<String>) -> Option<AlertTask> {
    let mut tasks = api.list(&ListParams::default()).await.ok()?.items;
    tasks.retain(|task| task.uid().is_some_and(|uid| !known.contains(&uid)));
    tasks.into_iter().min_by_key(|task| (task.creation_timestamp(), task.name_any()))
}

fn tasks(client: &Client) -> Api<AlertTask> {
    Api::namespaced(client.clone(), namespaces::AGENTS)
}

fn silence(operator_log: Option<&Path>) -> String {
    let log = operator_log.map(|log| format!("; what the webhook heard is in {}", log.display()));
    format!(
        "no AlertTask came of the alert within {} s (the default route leaves out Watchdog, InfoInhibitor, our own \
         PunchingFist* alerts, and severity none or info){}",
        TASK_LIMIT.as_secs(),
        log.unwrap_or_default(),
    )
}
