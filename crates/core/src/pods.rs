//! What one agent's pod says of itself: a small record is kept, not the pod.

use jiff::Timestamp;
use k8s_openapi::api::core::v1::{ContainerStatus, Pod, PodStatus};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::OwnerReference;
use punching_fist_api::{names, reasons};

use crate::text;

/// What a message from a kubelet may take of ours.
const MESSAGE_LIMIT: usize = 1024;

/// What is known of one pod, and so of one attempt.
#[derive(Clone, Debug, PartialEq)]
pub struct PodRecord {
    /// UID of the pod.
    pub uid: String,
    /// Name of the pod.
    pub name: String,
    /// When it was made.
    pub created: Option<Timestamp>,
    /// UID of the Job that made it; a name alone could be anybody's.
    pub job_uid: Option<String>,
    /// Profile that it counts against.
    pub profile: String,
    /// How far it is.
    pub state: PodState,
}

/// How far a pod is.
#[derive(Clone, Debug, PartialEq)]
pub enum PodState {
    /// The agent's container hasn't started; what it waits for, if that is worth telling.
    Waiting(Option<Obstacle>),
    /// The agent's container runs.
    Running,
    /// The agent's container has ended, or never will start.
    Ended(PodEnd),
}

/// What keeps a pod from starting, and what to do about it.
#[derive(Clone, Debug, PartialEq)]
pub struct Obstacle {
    /// One of [`reasons`].
    pub reason: &'static str,
    /// What the kubelet or scheduler says, and the way out.
    pub message: String,
}

/// How a pod ended.
#[derive(Clone, Debug, PartialEq)]
pub struct PodEnd {
    /// Exit code of the agent's container; none if it never ran.
    pub exit_code: Option<i32>,
    /// The container's reason (`OOMKilled`, `Error`), or the pod's (`Evicted`, `DeadlineExceeded`).
    pub reason: String,
    /// Its termination message, or the pod's message.
    pub message: String,
    /// When it ended.
    pub finished_at: Option<Timestamp>,
}

impl PodRecord {
    /// Reads a pod; none if it lacks what every pod has.
    pub fn of(pod: &Pod) -> Option<Self> {
        let metadata = &pod.metadata;
        let profile = metadata.labels.as_ref().and_then(|labels| labels.get(names::LABEL_PROFILE));
        Some(Self {
            uid: metadata.uid.clone()?,
            name: metadata.name.clone()?,
            created: metadata.creation_timestamp.as_ref().map(|time| time.0),
            job_uid: owning_job(pod).map(|job| job.uid.clone()),
            profile: profile.cloned().unwrap_or_default(),
            state: pod.status.as_ref().map_or(PodState::Waiting(None), state),
        })
    }

    /// The same pod after its object was deleted: whatever it was, it is over.
    #[must_use]
    pub fn deleted(mut self) -> Self {
        if !matches!(self.state, PodState::Ended(_)) {
            let message = "the pod was deleted before its container's end was seen".to_owned();
            let end = PodEnd { exit_code: None, reason: "PodDeleted".to_owned(), message, finished_at: None };
            self.state = PodState::Ended(end);
        }
        self
    }

    /// How it ended, if it did.
    pub fn end(&self) -> Option<&PodEnd> {
        match &self.state {
            PodState::Ended(end) => Some(end),
            PodState::Waiting(_) | PodState::Running => None,
        }
    }
}

/// The pod that is there and has not ended; the newest, should there be two.
pub fn live(pods: &[PodRecord]) -> Option<&PodRecord> {
    pods.iter().filter(|pod| pod.end().is_none()).max_by_key(|pod| pod.created)
}

/// The Job that made the pod: a label alone would let any pod of the namespace speak for the agent.
pub fn owning_job(pod: &Pod) -> Option<&OwnerReference> {
    let mut owners = pod.metadata.owner_references.iter().flatten();
    owners.find(|owner| owner.controller == Some(true) && owner.kind == "Job")
}

fn state(status: &PodStatus) -> PodState {
    let agent = container(status, names::AGENT_CONTAINER);
    if let Some(end) = agent.and_then(container_end) {
        return PodState::Ended(end);
    }
    if matches!(status.phase.as_deref(), Some("Failed" | "Succeeded")) {
        return PodState::Ended(pod_end(status));
    }
    let running = agent.and_then(|agent| agent.state.as_ref()).is_some_and(|state| state.running.is_some());
    if running { PodState::Running } else { PodState::Waiting(obstacle(status)) }
}

fn container<'a>(status: &'a PodStatus, name: &str) -> Option<&'a ContainerStatus> {
    status.container_statuses.as_ref()?.iter().find(|container| container.name == name)
}

fn container_end(container: &ContainerStatus) -> Option<PodEnd> {
    let ended = container.state.as_ref()?.terminated.as_ref()?;
    Some(PodEnd {
        exit_code: Some(ended.exit_code),
        reason: ended.reason.clone().unwrap_or_else(|| "Error".to_owned()),
        message: ended.message.clone().unwrap_or_default(),
        finished_at: ended.finished_at.as_ref().map(|time| time.0),
    })
}

/// A pod that is over although the agent's container never ran: evicted, past its deadline, or its init container failed.
fn pod_end(status: &PodStatus) -> PodEnd {
    let init = status.init_container_statuses.iter().flatten().find_map(container_end);
    let mut end = init.unwrap_or_else(|| PodEnd {
        exit_code: None,
        reason: "PodFailed".to_owned(),
        message: String::new(),
        finished_at: None,
    });
    end.exit_code = None;
    if let Some(reason) = &status.reason {
        end.reason.clone_from(reason);
    }
    if let Some(message) = &status.message {
        end.message.clone_from(message);
    }
    end
}

fn obstacle(status: &PodStatus) -> Option<Obstacle> {
    let init = status.init_container_statuses.iter().flatten();
    let mut containers = init.chain(status.container_statuses.iter().flatten());
    containers.find_map(container_obstacle).or_else(|| unschedulable(status))
}

/// The waiting reasons of a kubelet that don't go away by themselves.
fn container_obstacle(container: &ContainerStatus) -> Option<Obstacle> {
    let waiting = container.state.as_ref()?.waiting.as_ref()?;
    let said = waiting.message.as_deref().unwrap_or_default();
    let (reason, message) = match waiting.reason.as_deref()? {
        "ErrImagePull" | "ImagePullBackOff" | "InvalidImageName" | "ErrImageNeverPull" => {
            let advice =
                "correct the image in the agent profile or in spec.agent.image, or let the node pull it";
            (
                reasons::IMAGE_PULL_FAILED,
                format!("image {:?} can't be pulled: {said}; {advice}", container.image),
            )
        }
        "CreateContainerConfigError" => {
            let advice = "create what is missing in the task's namespace; the pod then starts by itself";
            (reasons::POD_CONFIG_ERROR, format!("{said}; {advice}"))
        }
        "CreateContainerError" | "RunContainerError" => (reasons::POD_CONFIG_ERROR, said.to_owned()),
        "CrashLoopBackOff" => {
            (reasons::POD_CONFIG_ERROR, format!("container {} doesn't start: {said}", container.name))
        }
        _ => return None,
    };
    Some(Obstacle { reason, message: text::cut(&message, MESSAGE_LIMIT) })
}

fn unschedulable(status: &PodStatus) -> Option<Obstacle> {
    let scheduled = status.conditions.iter().flatten().find(|condition| condition.type_ == "PodScheduled")?;
    let refused = scheduled.status == "False" && scheduled.reason.as_deref() == Some("Unschedulable");
    let said = scheduled.message.as_deref().unwrap_or("no node takes the pod");
    refused.then(|| Obstacle { reason: reasons::UNSCHEDULABLE, message: text::cut(said, MESSAGE_LIMIT) })
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn record(status: &Value) -> PodRecord {
        let pod = json!({"metadata": {"uid": "u", "name": "p", "labels": {"punching-fist.io/profile": "openhands"}}, "status": status});
        PodRecord::of(&serde_json::from_value(pod).unwrap()).unwrap()
    }

    fn agent(state: &Value) -> Value {
        json!({"name": "openhands-task", "image": "i", "imageID": "", "ready": false, "restartCount": 0, "state": state})
    }

    #[test]
    fn obstacles_name_the_way_out() {
        let rows = [
            (
                json!({"waiting": {"reason": "ImagePullBackOff", "message": "not found"}}),
                Some((reasons::IMAGE_PULL_FAILED, "spec.agent.image")),
            ),
            (
                json!({"waiting": {"reason": "CreateContainerConfigError", "message": "secret \"openhands-secrets\" not found"}}),
                Some((reasons::POD_CONFIG_ERROR, "openhands-secrets")),
            ),
            (json!({"waiting": {"reason": "ContainerCreating"}}), None),
            (json!({"waiting": {"reason": "PodInitializing"}}), None),
        ];
        for (state, expected) in rows {
            let record = record(&json!({"phase": "Pending", "containerStatuses": [agent(&state)]}));
            let PodState::Waiting(obstacle) = record.state else { panic!("{state} is waiting") };
            match (obstacle, expected) {
                (Some(obstacle), Some((reason, part))) => {
                    assert_eq!(obstacle.reason, reason);
                    assert!(obstacle.message.contains(part), "{}", obstacle.message);
                }
                (None, None) => {}
                other => panic!("{state}: {other:?}"),
            }
        }
    }

    #[test]
    fn unschedulable_pods_say_so() {
        let status = json!({"phase": "Pending", "conditions": [{"type": "PodScheduled", "status": "False", "reason": "Unschedulable", "message": "0/3 nodes are available"}]});
        let PodState::Waiting(Some(obstacle)) = record(&status).state else { panic!("waits") };
        assert_eq!(
            (obstacle.reason, obstacle.message.as_str()),
            (reasons::UNSCHEDULABLE, "0/3 nodes are available")
        );
    }

    #[test]
    fn ends() {
        let ended = record(
            &json!({"phase": "Running", "containerStatuses": [agent(&json!({"terminated": {"exitCode": 12, "reason": "Error", "message": "{}", "finishedAt": "2026-01-01T00:00:00Z"}}))]}),
        );
        assert_eq!(ended.end().unwrap().exit_code, Some(12));
        let evicted = record(&json!({"phase": "Failed", "reason": "Evicted", "message": "low on memory"}));
        assert_eq!(
            (evicted.end().unwrap().exit_code, evicted.end().unwrap().reason.as_str()),
            (None, "Evicted")
        );
        let running =
            record(&json!({"phase": "Running", "containerStatuses": [agent(&json!({"running": {}}))]}));
        assert_eq!(running.state, PodState::Running);
        assert_eq!(running.deleted().end().unwrap().reason, "PodDeleted");
        let mut failed_init =
            agent(&json!({"terminated": {"exitCode": 1, "reason": "Error", "message": "no space"}}));
        failed_init["name"] = "place-runner".into();
        let init = record(&json!({"phase": "Failed", "initContainerStatuses": [failed_init]}));
        assert_eq!((init.end().unwrap().exit_code, init.end().unwrap().message.as_str()), (None, "no space"));
    }
}
