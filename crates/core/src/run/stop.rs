//! Why a run is to stop before its Job is over.

use jiff::{SignedDuration, Timestamp};
use k8s_openapi::api::batch::v1::Job;
use punching_fist_api::{OnResolved, Task, reasons};

use super::{Mirror, Observed, Say, is_resolved};
use crate::attempts;
use crate::meter;
use crate::money::Money;
use crate::phase::JobState;
use crate::pods::{self, Obstacle, PodState};

/// Why we want the run to stop, if we do. One that is over already is left to its own end. `run`: what is mirrored of it.
pub(super) fn will<K: Task>(
    seen: &Observed<'_, K>,
    job: Option<(&Job, &JobState)>,
    run: &Mirror,
) -> Option<Say> {
    if job.is_some_and(|(_, state)| state.is_over()) {
        return None;
    }
    if seen.task.is_cancelled() {
        return Some(Say::new(reasons::CANCELLED, "cancelled while it ran"));
    }
    let cancels = seen.task.as_alert().is_some_and(|alert| alert.spec.on_resolved == OnResolved::Cancel);
    if cancels && is_resolved(seen.task) {
        return Some(Say::new(
            reasons::ALERT_RESOLVED,
            "every alert was resolved while it ran, and onResolved is Cancel",
        ));
    }
    let (job, state) = job?;
    budget(seen, state, run).or_else(|| start_timeout(seen, job, state))
}

/// A run whose attempts have spent its money gets no further one. An attempt that works is left to the gateway, which
/// refuses its next call, so that a verdict that was paid for is heard; without the gateway nobody else would end it.
fn budget<K: Task>(seen: &Observed<'_, K>, state: &JobState, run: &Mirror) -> Option<Say> {
    let profile = seen.settings.profile(&seen.task.task_spec().agent.profile)?;
    let is_working = pods::live(seen.pods).is_some_and(|pod| pod.state == PodState::Running);
    let ends_by_itself = matches!(state, JobState::Ending(_)) || attempts::is_decided(seen.pods);
    if run.attempts.is_empty() || ends_by_itself || (profile.gateway && is_working) {
        return None;
    }
    let spent = if profile.gateway { metered(seen) } else { summed(run) }?;
    let budget = profile.budget_of(seen.task.task_spec());
    (spent >= budget).then(|| {
        let message = format!(
            "the run has spent {spent} of {budget} US dollars; to go on, make a new task with a higher \
             spec.agent.maxCostUSD"
        );
        Say::new(reasons::BUDGET_EXCEEDED, message)
    })
}

fn metered<K: Task>(seen: &Observed<'_, K>) -> Option<Money> {
    meter::spent(seen.task.task_status()?.usage.as_ref()?, seen.now)
}

fn summed(run: &Mirror) -> Option<Money> {
    Money::parse(attempts::sum(&run.attempts)?.cost_usd.as_deref()?)
}

/// A pod that doesn't start in time stops the run, for the pod's own reason.
fn start_timeout<K: Task>(seen: &Observed<'_, K>, job: &Job, state: &JobState) -> Option<Say> {
    let limit = seen.settings.pod_start_timeout_seconds;
    let late = |since: Option<Timestamp>| {
        since.is_some_and(|since| seen.now >= since + SignedDuration::from_secs(limit))
    };
    let live = pods::live(seen.pods);
    let (since, obstacle) = match (live.map(|pod| &pod.state), state) {
        // Whoever suspended it says when its pod may start.
        (_, JobState::Suspended) => return None,
        (Some(PodState::Waiting(obstacle)), _) => (live.and_then(|pod| pod.created), obstacle.clone()),
        // A pod that was evicted is replaced in its own time; the Job's deadline is the backstop of that.
        (None, JobState::Idle) if !had_pod(seen) => (started(job), None),
        _ => return None,
    };
    let refused =
        || Obstacle { reason: reasons::POD_START_TIMEOUT, message: "no pod of the Job came up".to_owned() };
    late(since).then(|| {
        let obstacle = obstacle.or_else(|| seen.explanation.cloned()).unwrap_or_else(refused);
        Say::new(obstacle.reason, format!("no pod started in {limit} s: {}", obstacle.message))
    })
}

fn had_pod<K: Task>(seen: &Observed<'_, K>) -> bool {
    let mirrored = seen.task.task_status().is_some_and(|status| !status.attempts.is_empty());
    mirrored || !seen.pods.is_empty()
}

/// Since when it may have a pod: `startTime` is set anew when a suspended Job is resumed.
fn started(job: &Job) -> Option<Timestamp> {
    let started = job.status.as_ref().and_then(|status| status.start_time.as_ref());
    started.or(job.metadata.creation_timestamp.as_ref()).map(|time| time.0)
}
