//! From a notification to its AlertTasks and their runs: four replicas of the operator on one ground, one of which
//! leads. They differ in what their route says; a task takes a copy of that along.

mod chain;
mod incident;
mod malformed;
mod resolved;
mod senders;
mod ugly;

use punching_fist_api::AlertTask;
use punching_fist_e2e::{Failure, Plan, Replica, SHELL_AGENT, Space, Stage};
use punching_fist_testkit::operator::Settings;
use serde_json::{Value, json};

static STAGE: Stage = Stage::new(plan);

/// The first two are alike, as replicas are: what the agent does stands in the alert.
const ONE: usize = 0;
const OTHER: usize = 1;
/// Runs one agent at a time, and ends it when its alert is resolved.
const CANCELS: usize = 2;
/// Has the prompt that we ship.
const SHIPPED: usize = 3;

fn plan() -> Plan {
    let scripted = json!({ "prompt": "{{ group.commonAnnotations.script }}" });
    let cancels = json!({ "prompt": scripted["prompt"], "agent": { "profile": "narrow" } });
    let replicas = [
        ("one", json!({ "template": scripted })),
        ("other", json!({ "template": scripted })),
        ("cancels", json!({ "template": cancels, "onResolved": "Cancel" })),
        ("shipped", json!({})),
    ];
    Plan {
        shell_agent: env!("CARGO_BIN_EXE_shell-agent"),
        openhands: true,
        models: Vec::new(),
        replicas: replicas.map(|(name, route)| replica(name, &route)).into(),
    }
}

fn replica(name: &str, route: &Value) -> Settings {
    let config = json!({
        "agents": {
            "openhands": { "image": SHELL_AGENT, "gateway": false, "maxConcurrent": 50 },
            "narrow": { "image": SHELL_AGENT, "gateway": false, "model": "openai/scripted", "maxConcurrent": 1 },
        },
        "limits": { "maxConcurrent": 50 },
        "defaultRoute": route,
    });
    Settings { config, ..Settings::new(name) }
}

/// A replica of the plan.
fn at(space: &Space, replica: usize) -> &'static Replica {
    &space.world().replicas()[replica]
}

/// Posts until it is taken in, as Alertmanager does; gives the answer.
async fn deliver(replica: &Replica, body: &Value) -> Result<Value, Failure> {
    Ok(deliver_counted(replica, body).await?.0)
}

/// The same, with how often it was posted: a 503 may come after the task was told.
async fn deliver_counted(replica: &Replica, body: &Value) -> Result<(Value, i64), Failure> {
    for posts in 1..=10 {
        let answer = replica.post(body).await?;
        match answer.status {
            200 => return Ok((answer.body, posts)),
            503 => assert!(answer.headers.contains_key("retry-after"), "{answer:?}"),
            _ => return Err(format!("{answer:?}").into()),
        }
    }
    Err("it was not taken in ten times".into())
}

/// The tasks of the group of this alert name, the first one first.
async fn chain(space: &Space, alertname: &str) -> Result<Vec<AlertTask>, Failure> {
    let mut tasks = space.api::<AlertTask>().list(&kube::api::ListParams::default()).await?.items;
    tasks.retain(|task| {
        task.spec.notification.group_labels.get("alertname").is_some_and(|name| name == alertname)
    });
    tasks.sort_by_key(|task| task.spec.identity.as_ref().map(|identity| identity.run));
    Ok(tasks)
}

/// The one task of the group, by name.
async fn only(space: &Space, alertname: &str) -> Result<String, Failure> {
    let tasks = chain(space, alertname).await?;
    assert_eq!(tasks.len(), 1, "{alertname}");
    Ok(tasks[0].metadata.name.clone().unwrap_or_default())
}

/// The name of the task that a delivery was about.
fn task_of(answer: &Value) -> Result<String, Failure> {
    Ok(answer["tasks"][0]["name"].as_str().ok_or_else(|| format!("no task in {answer}"))?.to_owned())
}
