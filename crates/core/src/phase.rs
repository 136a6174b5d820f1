//! Where a Job stands, read from its status alone: every row was seen on a real Job controller (Kubernetes 1.37).

use jiff::{SignedDuration, Timestamp};
use k8s_openapi::api::batch::v1::{Job, JobCondition};

/// How long after the pods' grace period a Job may sit in `FailureTarget` before it counts as failed: its node doesn't
/// answer, and the Job controller would wait for it for ever.
const UNRESPONSIVE_AFTER: SignedDuration = SignedDuration::from_secs(60);

/// Where a Job stands.
#[derive(Clone, Debug, PartialEq)]
pub enum JobState {
    /// No pod is counted: fresh, refused, or evicted and not replaced yet.
    Idle,
    /// Somebody (Kueue) has suspended it: it has no pod until they resume it.
    Suspended,
    /// A pod exists, and none has failed.
    Active,
    /// A pod has failed; the next one exists or is due after the Job's back-off.
    Retrying,
    /// It will fail for this reason, as soon as its pods are gone.
    Ending(JobEnd),
    /// Over, well.
    Complete,
    /// Over, badly.
    Failed(JobEnd),
}

/// Why a Job failed, in the Job controller's own words.
#[derive(Clone, Debug, PartialEq)]
pub struct JobEnd {
    /// `BackoffLimitExceeded`, `DeadlineExceeded`, `PodFailurePolicy`.
    pub reason: String,
    /// For people.
    pub message: String,
}

impl JobState {
    /// Whether the Job is over.
    pub fn is_over(&self) -> bool {
        matches!(self, Self::Complete | Self::Failed(_))
    }
}

/// Reads the state from the Job's conditions and counters, in this order: `Complete`, `Failed`, `FailureTarget`,
/// suspended, `failed`, `active`.
pub fn job_state(job: &Job, now: Timestamp) -> JobState {
    if condition(job, "Complete").is_some() {
        return JobState::Complete;
    }
    if let Some(failed) = condition(job, "Failed") {
        return JobState::Failed(end(failed));
    }
    if let Some(target) = condition(job, "FailureTarget") {
        let given_up = now >= transition(target).unwrap_or(now) + grace(job) + UNRESPONSIVE_AFTER;
        return if given_up { JobState::Failed(end(target)) } else { JobState::Ending(end(target)) };
    }
    let status = job.status.as_ref();
    if is_suspended(job) {
        JobState::Suspended
    } else if status.and_then(|status| status.failed).unwrap_or(0) > 0 {
        JobState::Retrying
    } else if status.and_then(|status| status.active).unwrap_or(0) > 0 {
        JobState::Active
    } else {
        JobState::Idle
    }
}

/// The condition stays for a moment after the Job is resumed, as long as its `startTime` is missing.
fn is_suspended(job: &Job) -> bool {
    let wanted = job.spec.as_ref().and_then(|spec| spec.suspend).unwrap_or(false);
    wanted || condition(job, "Suspended").is_some()
}

/// Whether the Job is over, in the Job controller's own eyes.
pub fn is_over(job: &Job) -> bool {
    condition(job, "Complete").or_else(|| condition(job, "Failed")).is_some()
}

/// How many attempts were made again: all that failed, less the last one when the Job has failed with it. A pod that
/// still terminates isn't counted as failed yet.
pub fn retries(job: &Job, state: &JobState) -> i32 {
    let status = job.status.as_ref();
    let failed = status.and_then(|status| status.failed).unwrap_or(0);
    let unanswered = status.and_then(|status| status.terminating).unwrap_or(0);
    match state {
        JobState::Failed(_) => (failed + unanswered - 1).max(0),
        _ => failed,
    }
}

/// When the Job was over: `completionTime`, which only a complete one has, else when it failed.
pub fn over_since(job: &Job) -> Option<Timestamp> {
    let completed = job.status.as_ref().and_then(|status| status.completion_time.as_ref()).map(|time| time.0);
    let failed = || condition(job, "Failed").or_else(|| condition(job, "FailureTarget")).and_then(transition);
    completed.or_else(failed)
}

/// The condition of that type, if it is true.
fn condition<'a>(job: &'a Job, type_: &str) -> Option<&'a JobCondition> {
    let conditions = job.status.as_ref()?.conditions.as_deref()?;
    conditions.iter().find(|condition| condition.type_ == type_ && condition.status == "True")
}

fn end(condition: &JobCondition) -> JobEnd {
    JobEnd {
        reason: condition.reason.clone().unwrap_or_else(|| "JobFailed".to_owned()),
        message: condition.message.clone().unwrap_or_default(),
    }
}

fn transition(condition: &JobCondition) -> Option<Timestamp> {
    condition.last_transition_time.as_ref().map(|time| time.0)
}

fn grace(job: &Job) -> SignedDuration {
    let pod = job.spec.as_ref().and_then(|spec| spec.template.spec.as_ref());
    SignedDuration::from_secs(pod.and_then(|pod| pod.termination_grace_period_seconds).unwrap_or(30))
}

#[cfg(test)]
mod tests {
    use serde::Deserialize;

    use super::*;

    #[derive(Deserialize)]
    struct Row {
        case: String,
        #[serde(default)]
        spec: serde_json::Value,
        status: serde_json::Value,
        now: Timestamp,
        state: String,
        #[serde(default)]
        retries: i32,
    }

    fn name(state: &JobState) -> String {
        match state {
            JobState::Ending(end) => format!("Ending {}", end.reason),
            JobState::Failed(end) => format!("Failed {}", end.reason),
            other => format!("{other:?}"),
        }
    }

    #[test]
    fn every_state_that_a_real_job_showed() {
        let rows: Vec<Row> = serde_yaml::from_str(include_str!("../tests/job-states.yaml")).unwrap();
        for row in rows {
            let mut spec = serde_json::json!({"template": {"spec": {"containers": []}}});
            if let (Some(all), Some(more)) = (spec.as_object_mut(), row.spec.as_object()) {
                all.extend(more.clone());
            }
            let job: Job =
                serde_json::from_value(serde_json::json!({"spec": spec, "status": row.status})).unwrap();
            let state = job_state(&job, row.now);
            assert_eq!(name(&state), row.state, "{}", row.case);
            assert_eq!(retries(&job, &state), row.retries, "{}", row.case);
        }
    }
}
