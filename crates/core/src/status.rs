//! What the controller writes about a task: a value of its own type, made from what was read and what was decided.

use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, Time};
use punching_fist_api::{Attempt, Confidence, JobRef, Phase, Task, TaskStatus, Usage, Verdict, reasons};
use serde::Serialize;

use crate::attempts;
use crate::conditions::{self, Because};
use crate::run::{Outcome, Progress, Say};
use crate::text;

/// What `status.message` and `status.lastError` may hold, in characters; bytes are never fewer.
const MESSAGE_LIMIT: usize = 4096;

/// The fields of a status that belong to the controller, and no others: an apply takes over every field that it holds,
/// and deletes every field that it held before and leaves out.
#[derive(Clone, Debug, Serialize, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct ControllerStatus {
    observed_generation: i64,
    #[serde(skip_serializing_if = "Option::is_none")]
    phase: Option<Phase>,
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    message: Option<String>,
    conditions: Vec<Condition>,
    #[serde(skip_serializing_if = "Option::is_none")]
    start_time: Option<Time>,
    #[serde(skip_serializing_if = "Option::is_none")]
    completion_time: Option<Time>,
    #[serde(skip_serializing_if = "Option::is_none")]
    last_error: Option<String>,
    retry_count: i32,
    #[serde(skip_serializing_if = "Option::is_none")]
    job: Option<JobRef>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    attempts: Vec<Attempt>,
    #[serde(skip_serializing_if = "Option::is_none")]
    usage: Option<OwnUsage>,
    /// Whether the gateway counts what the run uses.
    #[serde(skip)]
    metered: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    result: Option<ShortFinding>,
    #[serde(skip_serializing_if = "Option::is_none")]
    prompted_alerts: Option<i64>,
}

/// The part of a finding that is the controller's: report and plan have a field manager of their own.
#[derive(Clone, Debug, Serialize, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct ShortFinding {
    /// What became of the problem.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub verdict: Option<Verdict>,
    /// One paragraph.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub summary: Option<String>,
    /// How sure the agent is.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub confidence: Option<Confidence>,
}

/// What of `status.usage` is the controller's: all of it, or the agent's steps alone where the gateway counts the rest.
/// Always made from the attempts and never from the usage that was read, which may be the gateway's.
#[derive(Clone, Debug, Serialize, PartialEq)]
#[serde(untagged)]
enum OwnUsage {
    Whole(Usage),
    Steps { iterations: i64 },
}

impl OwnUsage {
    fn of(attempts: &[Attempt], metered: bool) -> Option<Self> {
        let sum = attempts::sum(attempts)?;
        Some(if metered { Self::Steps { iterations: sum.iterations } } else { Self::Whole(sum) })
    }
}

/// A time as the API keeps it.
pub fn whole_seconds(time: Timestamp) -> Timestamp {
    Timestamp::from_second(time.as_second()).unwrap_or(time)
}

impl ControllerStatus {
    /// What of the task's status is the controller's, as it was read. `metered`: the gateway counts what the run uses.
    pub fn read<K: Task>(task: &K, metered: bool) -> Self {
        let TaskStatus {
            observed_generation,
            phase,
            reason,
            message,
            mut conditions,
            start_time,
            completion_time,
            last_error,
            retry_count,
            job,
            attempts,
            usage: _,
            result,
        } = task.task_status().cloned().unwrap_or_default();
        conditions.retain(|condition| conditions::OURS.contains(&condition.type_.as_str()));
        Self {
            observed_generation,
            phase,
            reason,
            message,
            conditions,
            start_time,
            completion_time,
            last_error,
            retry_count,
            job,
            usage: OwnUsage::of(&attempts, metered),
            metered,
            attempts,
            result: result.and_then(ShortFinding::of),
            prompted_alerts: task.as_alert().and_then(|alert| alert.status.as_ref()?.prompted_alerts),
        }
    }

    /// Its phase.
    pub fn phase(&self) -> Option<Phase> {
        self.phase
    }

    /// Its reason.
    pub fn reason(&self) -> &str {
        self.reason.as_deref().unwrap_or_default()
    }

    /// Its message.
    pub fn message(&self) -> &str {
        self.message.as_deref().unwrap_or_default()
    }

    /// Its conditions.
    pub fn conditions(&self) -> &[Condition] {
        &self.conditions
    }

    /// What the agent found.
    pub fn result(&self) -> Option<&ShortFinding> {
        self.result.as_ref()
    }

    /// How long the run took, in seconds; none before its end, or if it never started.
    pub fn duration_seconds(&self) -> Option<i64> {
        Some(self.completion_time.as_ref()?.0.as_second() - self.start_time.as_ref()?.0.as_second())
    }

    /// The generation was seen, and nothing else is new: a wait that looks at `observedGeneration` goes on.
    #[must_use]
    pub fn seen(mut self, generation: i64) -> Self {
        self.observed_generation = generation;
        for condition in &mut self.conditions {
            condition.observed_generation = Some(generation);
        }
        self
    }

    /// It waits for its turn, or (`stalled`) for somebody to mend what is wrong.
    #[must_use]
    pub fn waiting(mut self, say: &Say, stalled: bool, generation: i64, now: Timestamp) -> Self {
        self.phase = Some(Phase::Pending);
        self.job = None;
        self.prompted_alerts = None;
        self.kstatus(say, false, stalled, generation, now);
        self
    }

    /// It is admitted: the Job of this name is its own from now on, and its prompt knows so many alerts.
    #[must_use]
    pub fn admitted(mut self, job: String, prompted: Option<i64>, generation: i64, now: Timestamp) -> Self {
        self.phase = Some(Phase::Pending);
        self.job = Some(JobRef { name: job, uid: None, generation });
        self.prompted_alerts = prompted;
        let say = Say::new(reasons::ADMITTED, "a slot is free; the Job is being made");
        self.kstatus(&say, false, false, generation, now);
        self
    }

    /// Its Job goes on.
    #[must_use]
    pub fn progress(mut self, progress: &Progress, generation: i64, now: Timestamp) -> Self {
        self.phase = Some(progress.phase);
        self.mirror(&progress.run);
        self.kstatus(&progress.say, false, false, generation, now);
        self
    }

    /// It is to stop, for this reason; its Job is deleted next.
    #[must_use]
    pub fn stopping(mut self, say: &Say, generation: i64, now: Timestamp) -> Self {
        let because = Because { reason: say.reason(), message: &say.message, generation, now };
        conditions::set(&mut self.conditions, reasons::STOPPING, true, because);
        self.kstatus(say, false, false, generation, now);
        self
    }

    /// It is over.
    #[must_use]
    pub fn finished(mut self, outcome: &Outcome, generation: i64, now: Timestamp) -> Self {
        let succeeded = outcome.phase == Phase::Succeeded;
        self.phase = Some(outcome.phase);
        self.mirror(&outcome.run);
        self.completion_time = Some(Time(whole_seconds(outcome.over_since.unwrap_or(now))));
        self.result.clone_from(&outcome.result);
        self.kstatus(&outcome.say, succeeded, !succeeded, generation, now);
        let because =
            Because { reason: outcome.say.reason(), message: &outcome.say.message, generation, now };
        conditions::set(&mut self.conditions, reasons::FINISHED, true, because);
        let which = if succeeded { reasons::COMPLETE } else { reasons::FAILED };
        conditions::set(&mut self.conditions, which, true, because);
        self
    }

    fn mirror(&mut self, run: &crate::run::Mirror) {
        self.start_time = run.start_time.map(|time| Time(whole_seconds(time))).or(self.start_time.take());
        self.retry_count = self.retry_count.max(run.retries);
        if let (Some(job), Some(uid)) = (&mut self.job, &run.job_uid) {
            job.uid = Some(uid.clone());
        }
        self.attempts.clone_from(&run.attempts);
        self.usage = OwnUsage::of(&run.attempts, self.metered);
        self.last_error = run.last_error.as_deref().map(|error| text::cut(error, MESSAGE_LIMIT));
    }

    /// Reason, message and the three conditions that kstatus reads: https://github.com/kubernetes-sigs/cli-utils,
    /// `pkg/kstatus`. An object that will not go on by itself must say `Stalled`, or a GitOps tool waits for ever.
    fn kstatus(&mut self, say: &Say, ready: bool, stalled: bool, generation: i64, now: Timestamp) {
        self.observed_generation = generation;
        self.reason = Some(say.reason().to_owned());
        self.message = Some(text::cut(&say.message, MESSAGE_LIMIT)).filter(|message| !message.is_empty());
        let because = Because { reason: say.reason(), message: &say.message, generation, now };
        conditions::set(&mut self.conditions, reasons::READY, ready, because);
        conditions::set(&mut self.conditions, reasons::RECONCILING, !ready && !stalled, because);
        conditions::set(&mut self.conditions, reasons::STALLED, stalled, because);
    }
}

impl ShortFinding {
    fn of(finding: punching_fist_api::Finding) -> Option<Self> {
        let punching_fist_api::Finding { verdict, summary, confidence, report: _, plan: _ } = finding;
        let short = Self { verdict, summary, confidence };
        (short.verdict.is_some() || short.summary.is_some()).then_some(short)
    }
}
