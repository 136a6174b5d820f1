//! The states of a container, in the words of its status.

use k8s_openapi::api::core::v1::{
    Container, ContainerState, ContainerStateRunning, ContainerStateTerminated, ContainerStateWaiting,
    ContainerStatus,
};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use k8s_openapi::jiff::Timestamp;

/// Nothing of the container runs.
pub fn waiting(reason: &str, message: impl Into<Option<String>>) -> ContainerState {
    ContainerState {
        waiting: Some(ContainerStateWaiting { reason: Some(reason.to_owned()), message: message.into() }),
        ..ContainerState::default()
    }
}

/// Its process runs.
pub fn running(since: Timestamp) -> ContainerState {
    ContainerState {
        running: Some(ContainerStateRunning { started_at: Some(Time(since)) }),
        ..ContainerState::default()
    }
}

/// Its process ended.
pub fn terminated(end: ContainerStateTerminated) -> ContainerState {
    ContainerState { terminated: Some(end), ..ContainerState::default() }
}

/// How a container ended that nobody saw end.
pub fn unknown_end() -> ContainerStateTerminated {
    ContainerStateTerminated {
        exit_code: 137,
        reason: Some("ContainerStatusUnknown".to_owned()),
        message: Some("The container could not be located when the pod was terminated".to_owned()),
        ..ContainerStateTerminated::default()
    }
}

/// The status of a container before anything was tried.
pub fn fresh(container: &Container, reason: &str) -> ContainerStatus {
    ContainerStatus {
        name: container.name.clone(),
        image: container.image.clone().unwrap_or_default(),
        state: Some(waiting(reason, None)),
        started: Some(false),
        ..ContainerStatus::default()
    }
}

/// How the container ended, if it did.
pub fn end(status: &ContainerStatus) -> Option<&ContainerStateTerminated> {
    status.state.as_ref()?.terminated.as_ref()
}

/// Whether it runs.
pub fn is_running(status: &ContainerStatus) -> bool {
    status.state.as_ref().is_some_and(|state| state.running.is_some())
}

/// Whether it ended with exit code 0.
pub fn succeeded(status: &ContainerStatus) -> bool {
    end(status).is_some_and(|end| end.exit_code == 0)
}

/// Whether it ever ran, as far as its status tells.
pub fn has_ended_once(status: &ContainerStatus) -> bool {
    status.last_state.as_ref().is_some_and(|state| state.terminated.is_some())
}
