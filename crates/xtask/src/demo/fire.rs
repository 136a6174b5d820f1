//! From the alert to its AlertTasks: which are new, and what comes of them, one after the other.

use std::collections::BTreeSet;
use std::error::Error;
use std::path::Path;
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

/// Waits for tasks that are not `known`, and follows each to its end. Gives them as they are then.
///
/// # Errors
/// None comes, or one can't be followed.
pub async fn follow(
    client: &Client,
    screen: &Screen,
    mut known: BTreeSet<String>,
    operator_log: Option<&Path>,
) -> Result<Vec<AlertTask>, Box<dyn Error>> {
    let api = tasks(client);
    let first = wait::until("an AlertTask", TASK_LIMIT, async || new(&api, &known).await).await;
    let mut next = Some(first.map_err(|_| silence(operator_log))?);
    let mut over = Vec::new();
    while let Some(task) = next {
        known.extend(task.uid());
        let text = format!("AlertTask {}/{}", namespaces::AGENTS, task.name_any());
        screen.show_now(&[Row::new(Tone::Strong, 0, text)]);
        let task = follow::follow(client, screen, task).await?;
        screen.gap();
        screen.show(&ending::rows(&task, screen.elapsed()));
        over.push(task);
        next = new(&api, &known).await;
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
