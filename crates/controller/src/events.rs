//! Kubernetes Events: what `kubectl describe` shows of a run's way, and the audit trail in the log.

use k8s_controller::events::{Event, EventRecorder, EventType};
use punching_fist_api::{Phase, Task, reasons};
use punching_fist_core::conditions;
use punching_fist_core::status::ControllerStatus;

/// Publishes what changed from `old` to `new`. An Event that can't be published changes nothing about the run.
pub(crate) async fn tell<K: Task>(
    recorder: &EventRecorder,
    task: &K,
    old: &ControllerStatus,
    new: &ControllerStatus,
) {
    if old.phase() == new.phase() && old.reason() == new.reason() {
        return;
    }
    audit(task, new);
    let note = match new.result().and_then(|result| result.verdict) {
        Some(verdict) => format!("{verdict:?}: {}", new.message()),
        None => new.message().to_owned(),
    };
    publish(recorder, task, kind(new), new.reason(), action(new), note).await;
}

/// Publishes that the Job was made.
pub(crate) async fn job_created<K: Task>(recorder: &EventRecorder, task: &K, job: &str) {
    tracing::info!(target: "audit", kind = K::KIND.as_str(), task = %name(task), job, "Job created");
    publish(recorder, task, EventType::Normal, "JobCreated", "CreateJob", format!("created Job {job}")).await;
}

async fn publish<K: Task>(
    recorder: &EventRecorder,
    task: &K,
    type_: EventType,
    reason: &str,
    action: &str,
    note: String,
) {
    let event = Event {
        type_,
        reason: reason.to_owned(),
        action: action.to_owned(),
        note: Some(note),
        related: None,
    };
    if let Err(error) = recorder.publish(task, &event).await {
        tracing::warn!(task = %name(task), %error, "publishing an Event");
    }
}

fn audit<K: Task>(task: &K, new: &ControllerStatus) {
    let phase = new.phase().map(|phase| format!("{phase:?}")).unwrap_or_default();
    let verdict = new.result().and_then(|result| result.verdict).map(|verdict| format!("{verdict:?}"));
    tracing::info!(
        target: "audit", kind = K::KIND.as_str(), task = %name(task),
        phase, verdict, reason = new.reason(), message = new.message(), "phase changed"
    );
}

fn name<K: Task>(task: &K) -> String {
    let metadata = task.meta();
    format!(
        "{}/{}",
        metadata.namespace.as_deref().unwrap_or_default(),
        metadata.name.as_deref().unwrap_or_default()
    )
}

fn kind(status: &ControllerStatus) -> EventType {
    let stalled = conditions::holds(status.conditions(), reasons::STALLED).is_some();
    let obstacle = [
        reasons::IMAGE_PULL_FAILED,
        reasons::POD_CONFIG_ERROR,
        reasons::POD_REFUSED,
        reasons::UNSCHEDULABLE,
        reasons::RETRYING,
    ];
    if stalled || obstacle.contains(&status.reason()) { EventType::Warning } else { EventType::Normal }
}

fn action(status: &ControllerStatus) -> &'static str {
    match status.phase() {
        Some(Phase::Running | Phase::Retrying) => "Run",
        Some(Phase::Succeeded | Phase::Failed) => "Finish",
        Some(Phase::Pending) | None => "Start",
    }
}
