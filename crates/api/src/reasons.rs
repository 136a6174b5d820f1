//! Condition types and the CamelCase reasons that stand in `status.reason`, in conditions and in Events.

/// Condition: the run is over, well or badly.
pub const FINISHED: &str = "Finished";
/// Condition: the run is over and the agent came to a verdict.
pub const COMPLETE: &str = "Complete";
/// Condition: the run is over without a verdict.
pub const FAILED: &str = "Failed";
/// Condition: we have decided to stop the run; its Job is being deleted.
pub const STOPPING: &str = "Stopping";
/// Condition for kstatus: nothing is left to do and all is well.
pub const READY: &str = "Ready";
/// Condition for kstatus: work is under way or waits for its turn.
pub const RECONCILING: &str = "Reconciling";
/// Condition for kstatus: it won't go on by itself.
pub const STALLED: &str = "Stalled";

/// Waits for a free slot.
pub const QUEUED: &str = "Queued";
/// Waits because `spec.suspend` is true.
pub const SUSPENDED: &str = "Suspended";
/// Admitted; the Job is being made.
pub const ADMITTED: &str = "Admitted";
/// The Job exists; no pod of it runs yet.
pub const STARTING: &str = "Starting";
/// The agent works.
pub const RUNNING: &str = "AgentRunning";
/// An attempt failed, the next one runs or is due.
pub const RETRYING: &str = "Retrying";
/// The agent came to a verdict.
pub const VERDICT_REACHED: &str = "VerdictReached";
/// The Job ended well, but no result could be believed.
pub const NO_RESULT: &str = "NoResult";
/// `spec.cancel` was set.
pub const CANCELLED: &str = "Cancelled";
/// Every alert of the task is resolved.
pub const ALERT_RESOLVED: &str = "AlertResolved";
/// No pod of the Job came up in time.
pub const POD_START_TIMEOUT: &str = "PodStartTimeout";
/// The Job was deleted by somebody else.
pub const JOB_LOST: &str = "JobLost";
/// The API server refuses the Job.
pub const JOB_REFUSED: &str = "JobRefused";
/// A Job of that name belongs to something else.
pub const JOB_NAME_TAKEN: &str = "JobNameTaken";
/// The prompt doesn't render, or is too long.
pub const INVALID_PROMPT: &str = "InvalidPrompt";
/// The ServiceAccount that the agent should run as doesn't exist.
pub const SERVICE_ACCOUNT_MISSING: &str = "ServiceAccountMissing";
/// The task stands in the operator's own namespace, where no agent runs.
pub const NAMESPACE_REFUSED: &str = "NamespaceRefused";
/// The named agent profile isn't in the operator's configuration.
pub const UNKNOWN_PROFILE: &str = "UnknownProfile";
/// The operator has no key for the model of the profile.
pub const MODEL_KEY_MISSING: &str = "ModelKeyMissing";
/// The profile offers the model at no price, so that no budget could be kept.
pub const MODEL_NOT_OFFERED: &str = "ModelNotOffered";
/// The run has spent its budget.
pub const BUDGET_EXCEEDED: &str = "BudgetExceeded";
/// The profile asks for a privileged pod, which the operator's configuration doesn't allow.
pub const PRIVILEGED_REFUSED: &str = "PrivilegedAgentRefused";
/// The image can't be pulled.
pub const IMAGE_PULL_FAILED: &str = "ImagePullFailed";
/// A Secret or ConfigMap that the pod needs is missing.
pub const POD_CONFIG_ERROR: &str = "PodConfigError";
/// The namespace's quota, limits or admission refuse the pod.
pub const POD_REFUSED: &str = "PodRefused";
/// No node takes the pod.
pub const UNSCHEDULABLE: &str = "Unschedulable";
/// All attempts failed.
pub const BACKOFF_LIMIT_EXCEEDED: &str = "BackoffLimitExceeded";
