//! The status that both kinds share: phase, conditions, the Job, attempts, usage and what the agent found.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, Time};
use kube::KubeSchema;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Where a task stands. Written by the controller, but for `usage`, which is the gateway's, and
/// `result.report` and `result.plan`, which have a field manager of their own.
#[derive(KubeSchema, Clone, Debug, Deserialize, Serialize, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct TaskStatus {
    /// Generation of the object that this status was decided on; -1 before the first pass.
    #[serde(default = "not_observed")]
    pub observed_generation: i64,

    /// `Pending`, `Running`, `Retrying`, `Succeeded` or `Failed`. The last two are final.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub phase: Option<Phase>,

    /// Why the phase is what it is: one CamelCase word.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 128))]
    pub reason: Option<String>,

    /// The same for people: what happened, and what to do about it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 4096))]
    pub message: Option<String>,

    /// `Finished`, and `Complete` or `Failed` with it; `Ready`, `Reconciling` and `Stalled` for kstatus; `Stopping`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 16))]
    #[x_kube(merge_strategy = ListMerge::Map(vec!["type".into()]))]
    pub conditions: Vec<Condition>,

    /// When the Job started.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub start_time: Option<Time>,

    /// When the run was over, well or badly.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub completion_time: Option<Time>,

    /// What went wrong in the newest attempt that failed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 4096))]
    pub last_error: Option<String>,

    /// How many attempts were made again.
    #[serde(default)]
    pub retry_count: i32,

    /// The Job of the run. Its name is written before the Job is made.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub job: Option<JobRef>,

    /// The attempts that have ended, oldest first: one pod each.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 32))]
    #[x_kube(merge_strategy = ListMerge::Map(vec!["podUID".into()]))]
    pub attempts: Vec<Attempt>,

    /// What the run has used, over all its attempts, and what of its budget is reserved.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub usage: Option<RunUsage>,

    /// What the agent found.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub result: Option<Finding>,
}

fn not_observed() -> i64 {
    -1
}

impl Default for TaskStatus {
    fn default() -> Self {
        Self {
            observed_generation: not_observed(),
            phase: None,
            reason: None,
            message: None,
            conditions: Vec::new(),
            start_time: None,
            completion_time: None,
            last_error: None,
            retry_count: 0,
            job: None,
            attempts: Vec::new(),
            usage: None,
            result: None,
        }
    }
}

/// How far a run is: Pending, Running, Retrying, Succeeded or Failed. The last two are final.
#[derive(Clone, Copy, Debug, Deserialize, Serialize, JsonSchema, PartialEq, Eq, Hash)]
pub enum Phase {
    /// Waits: for its turn, or for its pod to start.
    Pending,
    /// The agent works.
    Running,
    /// An attempt failed; the next one is due or runs.
    Retrying,
    /// Over; the agent came to a verdict, or nothing was left to do.
    Succeeded,
    /// Over without a verdict.
    Failed,
}

impl Phase {
    /// Whether it stays so for good.
    pub fn is_final(self) -> bool {
        matches!(self, Self::Succeeded | Self::Failed)
    }
}

/// The Job of a run.
#[derive(KubeSchema, Clone, Debug, Default, Deserialize, Serialize, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
pub struct JobRef {
    /// Its name, in the task's namespace.
    #[schemars(length(max = 253))]
    pub name: String,
    /// Its UID, once it exists.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 64))]
    pub uid: Option<String>,
    /// Generation of the task that the Job was made from.
    pub generation: i64,
}

/// One attempt that has ended.
#[derive(KubeSchema, Clone, Debug, Default, Deserialize, Serialize, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct Attempt {
    /// UID of its pod.
    #[serde(rename = "podUID")]
    #[schemars(length(max = 64))]
    pub pod_uid: String,
    /// Name of its pod.
    #[schemars(length(max = 253))]
    pub pod: String,
    /// Exit code of the runner: 0 verdict; 10 fault, 13 signal (tried again); 11 refused, 12 limit (not tried again).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub exit_code: Option<i32>,
    /// Why it ended: one CamelCase word.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 128))]
    pub reason: Option<String>,
    /// When it ended.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub finished_at: Option<Time>,
    /// What it used.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub usage: Option<Usage>,
}

/// Tokens, steps and money.
#[derive(KubeSchema, Clone, Debug, Default, Deserialize, Serialize, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
pub struct Usage {
    /// Tokens that went to the model.
    #[serde(default)]
    pub input_tokens: i64,
    /// Tokens that came from the model.
    #[serde(default)]
    pub output_tokens: i64,
    /// Of the input, tokens that were read from the provider's cache.
    #[serde(default)]
    pub cache_read_tokens: i64,
    /// Of the input, tokens that were written to the provider's cache.
    #[serde(default)]
    pub cache_write_tokens: i64,
    /// Calls of the model.
    #[serde(default)]
    pub calls: i64,
    /// Steps of the agent.
    #[serde(default)]
    pub iterations: i64,
    /// Cost in US dollars, as a decimal: "0.0123".
    #[serde(rename = "costUSD", default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 32))]
    pub cost_usd: Option<String>,
}

/// What a run has used, and what is reserved for calls of the model that are under way.
#[derive(KubeSchema, Clone, Debug, Default, Deserialize, Serialize, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
pub struct RunUsage {
    /// What has been used.
    #[serde(flatten)]
    pub total: Usage,
    /// Calls of the model that are under way, each with the most that it may cost. One whose end nobody saw stays here, or
    /// is counted as spent in full.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 64))]
    #[x_kube(merge_strategy = ListMerge::Map(vec!["id".into()]))]
    pub in_flight: Vec<Reservation>,
}

/// The budget of one call of the model.
#[derive(KubeSchema, Clone, Debug, Deserialize, Serialize, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
pub struct Reservation {
    /// Tells the call from others.
    #[schemars(length(min = 1, max = 64))]
    pub id: String,
    /// The most that it may cost, in US dollars, as a decimal.
    #[serde(rename = "chargeUSD")]
    #[schemars(length(min = 1, max = 32))]
    pub charge_usd: String,
    /// When it began; while it goes on, when its replica of the operator last said so.
    pub time: Time,
}

/// What the agent found.
#[derive(KubeSchema, Clone, Debug, Default, Deserialize, Serialize, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
pub struct Finding {
    /// What became of the problem.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub verdict: Option<Verdict>,
    /// One paragraph.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 4096))]
    pub summary: Option<String>,
    /// How sure the agent is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub confidence: Option<Confidence>,
    /// Markdown: root cause, evidence, what was done and what it did, what is left.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 65536))]
    pub report: Option<String>,
    /// What to change, as commands or a patch, where a fix is known and was not made.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 65536))]
    pub plan: Option<String>,
}

/// What became of the problem that the agent was sent to.
#[derive(Clone, Copy, Debug, Deserialize, Serialize, JsonSchema, PartialEq, Eq, Hash)]
pub enum Verdict {
    /// The cause is removed.
    Fixed,
    /// The effect is gone or smaller; the cause is still there.
    Mitigated,
    /// The cause is known; nothing was changed.
    Diagnosed,
    /// Nothing of the problem could be seen.
    NotReproduced,
    /// A person has to decide or to do something.
    NeedsHuman,
    /// The cause could not be found.
    Inconclusive,
}

/// How sure the agent is of its verdict.
#[derive(Clone, Copy, Debug, Deserialize, Serialize, JsonSchema, PartialEq, Eq, Hash)]
pub enum Confidence {
    /// A guess that fits.
    Low,
    /// Likely; something was not checked.
    Medium,
    /// Seen in the evidence.
    High,
}
