//! What is to be done about a task now: the one decision of a pass, from what was observed.

mod progress;
mod stop;

use std::borrow::Cow;

use jiff::{SignedDuration, Timestamp};
use k8s_openapi::api::batch::v1::Job;
use punching_fist_api::{AlertState, Attempt, Phase, Task, reasons};

use crate::attempts::{self, Believed};
use crate::conditions;
use crate::phase::{self, JobEnd, JobState};
use crate::pods::{Obstacle, PodRecord};
use crate::profile::Settings;
use crate::status::ShortFinding;

/// How long the end of a Job waits for what its pods said: their watch may run behind the Job's.
const RESULT_WAIT: SignedDuration = SignedDuration::from_secs(60);
/// How long a refused Job stays refused before it is tried again. An edit of the spec ends that at once.
const REFUSAL_STANDS: SignedDuration = SignedDuration::from_secs(60);

/// What a pass looks at.
#[derive(Clone, Copy, Debug)]
pub struct Observed<'a, K> {
    /// The task, as a cache holds it.
    pub task: &'a K,
    /// Its Job, if a cache holds it.
    pub job: Option<&'a Job>,
    /// Its pods: those that are, and those that were.
    pub pods: &'a [PodRecord],
    /// Why the Job has no pod, or its pod doesn't start, if that was looked up.
    pub explanation: Option<&'a Obstacle>,
    /// The operator's configuration.
    pub settings: &'a Settings,
    /// Now.
    pub now: Timestamp,
}

/// What is to be done.
#[derive(Clone, Debug, PartialEq)]
pub enum Decision {
    /// Nothing: the object is being deleted, and the garbage collector takes what it owns.
    Leave,
    /// It is over; what follows an end is seen to.
    Settled,
    /// It ends without a Job.
    Close(Outcome),
    /// Write down that the run is to stop.
    Stop(Say),
    /// Delete its Job; if there is none (ask the API server), it ends like this.
    Delete(Outcome),
    /// It isn't to start.
    Hold(Say),
    /// Its Job was refused a moment ago, and nothing has changed since: look again after so long.
    Rest(SignedDuration),
    /// It asks for a slot.
    Ask,
    /// It was admitted: make its Job.
    Make,
    /// Its Job was seen before and isn't in the cache: ask the API server; if it is gone, this is the end.
    Seek(Outcome),
    /// Its Job goes on.
    Follow(Progress),
    /// Its Job is over: see to the end.
    Finish(Outcome),
}

/// A reason and a message.
#[derive(Clone, Debug, PartialEq)]
pub struct Say {
    reason: Cow<'static, str>,
    /// For people.
    pub message: String,
}

impl Say {
    /// Says `message` under `reason`, one of [`reasons`] or the Job controller's.
    pub fn new(reason: impl Into<Cow<'static, str>>, message: impl Into<String>) -> Self {
        Self { reason: reason.into(), message: message.into() }
    }

    /// One CamelCase word.
    pub fn reason(&self) -> &str {
        &self.reason
    }
}

/// What a status mirrors of the Job and its pods.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Mirror {
    /// When the Job started.
    pub start_time: Option<Timestamp>,
    /// How many attempts were made again.
    pub retries: i32,
    /// UID of the Job.
    pub job_uid: Option<String>,
    /// The attempts that have ended.
    pub attempts: Vec<Attempt>,
    /// What the newest of them that failed died of.
    pub last_error: Option<String>,
}

/// How far a run is.
#[derive(Clone, Debug, PartialEq)]
pub struct Progress {
    /// The phase.
    pub phase: Phase,
    /// Why, and more.
    pub say: Say,
    /// What is mirrored.
    pub run: Mirror,
    /// The Job has no pod, or its pod doesn't say what it waits for: if that lasts, Events may say why.
    pub unexplained: bool,
    /// The Job is over, and what its pods said is still on its way.
    pub collecting: bool,
}

/// How a run ended.
#[derive(Clone, Debug, PartialEq)]
pub struct Outcome {
    /// `Succeeded` or `Failed`.
    pub phase: Phase,
    /// Why, and more.
    pub say: Say,
    /// What is mirrored.
    pub run: Mirror,
    /// When it was over; none: now.
    pub over_since: Option<Timestamp>,
    /// What the agent found.
    pub result: Option<ShortFinding>,
    /// Where the report is to be had.
    pub report: Option<ReportSource>,
}

/// The log that ends with a report and a plan.
#[derive(Clone, Debug, PartialEq)]
pub struct ReportSource {
    /// Name of the pod.
    pub pod: String,
    /// Hash that tells the runner's report from one that the agent made up.
    pub sha256: String,
    /// What has to be said above the report.
    pub note: Option<String>,
}

/// Decides. The order matters: what is final stays; then our own will to stop; then the Job.
pub fn decide<K: Task>(seen: &Observed<'_, K>) -> Decision {
    let status = seen.task.task_status();
    if seen.task.meta().deletion_timestamp.is_some() {
        return Decision::Leave;
    }
    if status.and_then(|status| status.phase).is_some_and(Phase::is_final) {
        return Decision::Settled;
    }
    let conditions = status.map(|status| status.conditions.as_slice()).unwrap_or_default();
    if let Some(stopping) = conditions::holds(conditions, reasons::STOPPING) {
        let say = Say::new(stopping.reason.clone(), stopping.message.clone());
        return Decision::Delete(stopped(seen, say));
    }
    let Some(job) = status.and_then(|status| status.job.as_ref()) else { return before_admission(seen) };
    match (seen.job, &job.uid) {
        (None, None) => stop::will(seen, None, &Mirror::default()).map_or(Decision::Make, Decision::Stop),
        (None, Some(_)) => {
            let say = Say::new(
                reasons::JOB_LOST,
                "its Job was deleted by somebody else; make a new task to run it again",
            );
            Decision::Seek(failed(seen, say))
        }
        (Some(job), _) => with_job(seen, job),
    }
}

fn before_admission<K: Task>(seen: &Observed<'_, K>) -> Decision {
    if seen.task.is_cancelled() {
        let say = Say::new(reasons::CANCELLED, "cancelled before it started");
        Decision::Close(Outcome::new(Phase::Failed, say, Mirror::default()))
    } else if is_resolved(seen.task) {
        let say = Say::new(reasons::ALERT_RESOLVED, "every alert was resolved before it started");
        Decision::Close(Outcome::new(Phase::Succeeded, say, Mirror::default()))
    } else if seen.task.is_suspended() {
        Decision::Hold(Say::new(reasons::SUSPENDED, "spec.suspend is true; it starts when that is false"))
    } else {
        refused_lately(seen).map_or(Decision::Ask, Decision::Rest)
    }
}

/// The status says that the Job was refused, and that write alone wakes the next pass: without a pause each refusal
/// would be the reason of the next try.
fn refused_lately<K: Task>(seen: &Observed<'_, K>) -> Option<SignedDuration> {
    let stalled = conditions::holds(&seen.task.task_status()?.conditions, reasons::STALLED)?;
    let refused = [reasons::JOB_REFUSED, reasons::JOB_NAME_TAKEN].contains(&stalled.reason.as_str());
    let unchanged = stalled.observed_generation == seen.task.meta().generation;
    let left = seen.now.duration_until(stalled.last_transition_time.0 + REFUSAL_STANDS);
    (refused && unchanged && left.is_positive()).then_some(left)
}

fn with_job<K: Task>(seen: &Observed<'_, K>, job: &Job) -> Decision {
    let state = phase::job_state(job, seen.now);
    let run = mirror(seen, job, &state);
    if let Some(say) = stop::will(seen, Some((job, &state)), &run) {
        return Decision::Stop(say);
    }
    let believed = attempts::newest_verdict(seen.pods, seen.task.task_spec().mode);
    match state {
        JobState::Complete if believed.is_none() && waits_for_result(seen, job) => {
            Decision::Follow(collecting(seen, run))
        }
        JobState::Complete => Decision::Finish(complete(believed, run, job)),
        JobState::Failed(_) if ended(seen.pods) < failed_pods(job) && waits_for_result(seen, job) => {
            Decision::Follow(collecting(seen, run))
        }
        JobState::Failed(end) => Decision::Finish(job_failed(seen, end, run, job)),
        JobState::Idle
        | JobState::Suspended
        | JobState::Active
        | JobState::Retrying
        | JobState::Ending(_) => Decision::Follow(progress::under_way(seen, &state, run)),
    }
}

fn is_resolved<K: Task>(task: &K) -> bool {
    let status = task.as_alert().and_then(|alert| alert.status.as_ref());
    status.and_then(|status| status.alert_state) == Some(AlertState::Resolved)
}

fn ended(pods: &[PodRecord]) -> usize {
    pods.iter().filter(|pod| pod.end().is_some()).count()
}

fn failed_pods(job: &Job) -> usize {
    let failed = job.status.as_ref().and_then(|status| status.failed).unwrap_or(0);
    usize::try_from(failed).unwrap_or(0)
}

fn waits_for_result<K: Task>(seen: &Observed<'_, K>, job: &Job) -> bool {
    phase::over_since(job).is_some_and(|over| seen.now < over + RESULT_WAIT)
}

fn mirror<K: Task>(seen: &Observed<'_, K>, job: &Job, state: &JobState) -> Mirror {
    let known = seen.task.task_status().map(|status| status.attempts.as_slice()).unwrap_or_default();
    let attempts = attempts::merge(known, seen.pods);
    Mirror {
        start_time: job.status.as_ref().and_then(|status| status.start_time.as_ref()).map(|time| time.0),
        retries: phase::retries(job, state),
        job_uid: job.metadata.uid.clone(),
        last_error: attempts::last_error(seen.pods).or_else(|| seen.task.task_status()?.last_error.clone()),
        attempts,
    }
}

/// What is mirrored of a run whose Job isn't there any more: what its pods said, and what was known.
fn remains<K: Task>(seen: &Observed<'_, K>) -> Mirror {
    let gone = Job::default();
    let retries = seen.task.task_status().map_or(0, |status| status.retry_count);
    Mirror { retries, ..mirror(seen, seen.job.unwrap_or(&gone), &JobState::Idle) }
}

fn stopped<K: Task>(seen: &Observed<'_, K>, say: Say) -> Outcome {
    let well = say.reason() == reasons::ALERT_RESOLVED;
    let mut run = remains(seen);
    if say.reason() == reasons::BUDGET_EXCEEDED {
        let last = run.last_error.map(|error| format!("; the last attempt: {error}")).unwrap_or_default();
        run.last_error = Some(format!("{}: {}{last}", say.reason(), say.message));
    }
    Outcome::new(if well { Phase::Succeeded } else { Phase::Failed }, say, run)
}

fn failed<K: Task>(seen: &Observed<'_, K>, say: Say) -> Outcome {
    Outcome::new(Phase::Failed, say, remains(seen))
}

fn collecting<K: Task>(seen: &Observed<'_, K>, run: Mirror) -> Progress {
    let phase = current_phase(seen);
    let say = Say::new(reasons::RUNNING, "the agent has ended; its result is being read");
    Progress { phase, say, run, unexplained: false, collecting: true }
}

fn current_phase<K: Task>(seen: &Observed<'_, K>) -> Phase {
    seen.task.task_status().and_then(|status| status.phase).unwrap_or(Phase::Pending)
}

fn complete(believed: Option<Believed>, run: Mirror, job: &Job) -> Outcome {
    let over_since = phase::over_since(job);
    let Some(believed) = believed else {
        let message =
            "the agent's container ended well, but no result of the runner was found; see the pod's log";
        let say = Say::new(reasons::NO_RESULT, message);
        return Outcome { over_since, ..Outcome::new(Phase::Failed, say, run) };
    };
    let say = Say::new(reasons::VERDICT_REACHED, believed.finding.summary.clone().unwrap_or_default());
    Outcome {
        over_since,
        result: Some(believed.finding),
        report: believed.report,
        ..Outcome::new(Phase::Succeeded, say, run)
    }
}

fn job_failed<K: Task>(seen: &Observed<'_, K>, end: JobEnd, run: Mirror, job: &Job) -> Outcome {
    let last = run.last_error.as_deref().map_or_else(|| end.message.clone(), str::to_owned);
    let own = attempts::last_reason(seen.pods).filter(|_| end.reason == "PodFailurePolicy");
    let reason = own.unwrap_or(end.reason);
    Outcome { over_since: phase::over_since(job), ..Outcome::new(Phase::Failed, Say::new(reason, last), run) }
}

impl Outcome {
    /// An end without a verdict.
    pub fn new(phase: Phase, say: Say, run: Mirror) -> Self {
        Self { phase, say, run, over_since: None, result: None, report: None }
    }
}

#[cfg(test)]
mod tests;
