//! How far a run is whose Job goes on, in one phase and in words.

use punching_fist_api::{Phase, Task, reasons};

use super::{Mirror, Observed, Progress, Say, current_phase, ended};
use crate::phase::JobState;
use crate::pods::{self, PodState};

/// Kueue tells more in its Workload.
const SUSPENDED: &str = "its Job is suspended; it goes on when whoever suspended it (Kueue) resumes it";

pub(super) fn under_way<K: Task>(seen: &Observed<'_, K>, state: &JobState, run: Mirror) -> Progress {
    let silent = match pods::live(seen.pods).map(|pod| &pod.state) {
        Some(pod) => *pod == PodState::Waiting(None),
        None => *state == JobState::Idle,
    };
    let unexplained = silent && *state != JobState::Suspended && seen.explanation.is_none();
    let (phase, say) = match state {
        JobState::Retrying => (Phase::Retrying, retrying(seen, &run)),
        JobState::Suspended => (Phase::Pending, Say::new(reasons::SUSPENDED, SUSPENDED)),
        JobState::Ending(end) => (current_phase(seen), Say::new(end.reason.clone(), end.message.clone())),
        _ => starting(seen),
    };
    Progress { phase, say, run, unexplained, collecting: false }
}

/// `Running` is said only of an agent that runs: a Job counts a pod as active that still waits for its image.
fn starting<K: Task>(seen: &Observed<'_, K>) -> (Phase, Say) {
    match pods::live(seen.pods).map(|pod| &pod.state) {
        Some(PodState::Running) => (Phase::Running, Say::new(reasons::RUNNING, "the agent works")),
        Some(PodState::Waiting(Some(obstacle))) => {
            (Phase::Pending, Say::new(obstacle.reason, obstacle.message.clone()))
        }
        Some(PodState::Waiting(None)) => {
            (Phase::Pending, explained(seen).unwrap_or_else(|| Say::new(reasons::STARTING, "the pod starts")))
        }
        Some(PodState::Ended(_)) | None => match explained(seen) {
            Some(say) => (Phase::Pending, say),
            None if current_phase(seen) == Phase::Running => {
                (Phase::Running, Say::new(reasons::RUNNING, "the agent's container has ended"))
            }
            None => (Phase::Pending, Say::new(reasons::STARTING, "the Job makes its pod")),
        },
    }
}

fn explained<K: Task>(seen: &Observed<'_, K>) -> Option<Say> {
    seen.explanation.map(|obstacle| Say::new(obstacle.reason, obstacle.message.clone()))
}

fn retrying<K: Task>(seen: &Observed<'_, K>, run: &Mirror) -> Say {
    let attempt = format!("attempt {} of {}", run.retries + 1, seen.task.task_spec().max_retries + 1);
    let last = run.last_error.as_deref().map(|error| format!("; the last one: {error}")).unwrap_or_default();
    let live = pods::live(seen.pods).map(|pod| &pod.state);
    if let Some(PodState::Waiting(obstacle)) = live
        && let Some(obstacle) = obstacle.as_ref().or(seen.explanation)
    {
        return Say::new(obstacle.reason, format!("{attempt}: {}", obstacle.message));
    }
    match live {
        Some(PodState::Running) => Say::new(reasons::RETRYING, format!("{attempt} works{last}")),
        Some(_) => Say::new(reasons::RETRYING, format!("{attempt} starts{last}")),
        // The Job hasn't counted it yet.
        None if ended(seen.pods) > usize::try_from(run.retries).unwrap_or(0) => {
            Say::new(reasons::RETRYING, format!("{attempt} has ended"))
        }
        None => Say::new(reasons::RETRYING, format!("{attempt} follows after the back-off{last}")),
    }
}
