//! The log of an attempt's pod, line by line as it is written, to its end.

use std::time::Duration;

use futures::{AsyncBufReadExt as _, TryStreamExt as _};
use k8s_openapi::api::core::v1::{ContainerState, Pod};
use kube::Api;
use kube::api::LogParams;
use punching_fist_api::names;
use tokio::sync::mpsc::Sender;

/// How long to wait before a log that broke off is asked for again.
const AGAIN: Duration = Duration::from_millis(500);
/// How often a log that can't be had is asked for: a pod that is being removed has none any more.
const ATTEMPTS: u32 = 20;

/// What a reader of a log hears.
pub enum Heard {
    /// A line.
    Line(String),
    /// No more lines come.
    End,
    /// No more lines come, though there may have been some.
    Lost(String),
}

/// Reads the log of the agent's container in `pod` until the container has ended. A connection that breaks off is made
/// again, and lines that were heard are not told twice.
pub async fn read(api: Api<Pod>, pod: String, heard: Sender<Heard>) {
    let (mut lines, mut failures) = (0, 0);
    let end = loop {
        let ended = has_ended(&api, &pod).await;
        let before = lines;
        let broke = once(&api, &pod, &mut lines, &heard).await.err();
        match (ended, broke) {
            // It had ended before it was read: what was read is all.
            (Ok(true), None) => break Heard::End,
            (Err(why), Some(_)) | (Ok(_), Some(why)) if failures >= ATTEMPTS => break Heard::Lost(why),
            (_, Some(_)) => failures += 1,
            (_, None) => {}
        }
        if lines > before {
            failures = 0;
        }
        tokio::time::sleep(AGAIN).await;
    };
    // Nobody may listen any more: then nobody misses it.
    let _ = heard.send(end).await;
}

/// Reads the log once, as far as it goes, and tells the lines after the first `lines` ones.
async fn once(api: &Api<Pod>, pod: &str, lines: &mut usize, heard: &Sender<Heard>) -> Result<(), String> {
    let container = Some(names::AGENT_CONTAINER.to_owned());
    let params = LogParams { container, follow: true, ..LogParams::default() };
    let log = api.log_stream(pod, &params).await.map_err(|error| said(&error))?;
    let mut log = log.lines();
    let mut number = 0;
    while let Some(line) = log.try_next().await.map_err(|error| error.to_string())? {
        number += 1;
        if number > *lines {
            *lines = number;
            let _ = heard.send(Heard::Line(line)).await;
        }
    }
    Ok(())
}

/// What the API server says, without the status around it.
fn said(error: &kube::Error) -> String {
    match error {
        kube::Error::Api(status) => status.message.clone(),
        error => error.to_string(),
    }
}

async fn has_ended(api: &Api<Pod>, pod: &str) -> Result<bool, String> {
    let found = api.get_opt(pod).await.map_err(|error| said(&error))?;
    let pod = found.ok_or_else(|| format!("pod {pod} is gone"))?;
    Ok(agent(&pod).is_some_and(|state| state.terminated.is_some()))
}

/// The state of the agent's container.
pub fn agent(pod: &Pod) -> Option<&ContainerState> {
    let containers = pod.status.as_ref()?.container_statuses.as_ref()?;
    containers.iter().find(|container| container.name == names::AGENT_CONTAINER)?.state.as_ref()
}

/// Whether the agent's container has begun, so that there is a log.
pub fn has_begun(pod: &Pod) -> bool {
    agent(pod).is_some_and(|state| state.running.is_some() || state.terminated.is_some())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn there_is_a_log_once_the_agent_has_begun() {
        for (name, state, expected) in [
            ("openhands-task", json!({ "waiting": { "reason": "PodInitializing" } }), false),
            ("openhands-task", json!({ "running": {} }), true),
            ("openhands-task", json!({ "terminated": { "exitCode": 10 } }), true),
            ("another", json!({ "running": {} }), false),
        ] {
            let container = json!({ "name": name, "ready": false, "restartCount": 0, "image": "", "imageID": "", "state": state });
            let pod =
                serde_json::from_value(json!({ "status": { "containerStatuses": [container] } })).unwrap();
            assert_eq!(has_begun(&pod), expected, "{name} {state}");
        }
        assert!(!has_begun(&Pod::default()));
    }
}
