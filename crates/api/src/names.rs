//! Labels, annotations, field managers and container names: every fixed word that another program may look for.

/// API group of every kind.
pub const GROUP: &str = "punching-fist.io";
/// API version of every kind.
pub const VERSION: &str = "v1alpha1";

/// Recommended label that says which application an object belongs to; its value is [`APP`].
pub const LABEL_APP: &str = "app.kubernetes.io/name";
/// Value of [`LABEL_APP`] on everything we make.
pub const APP: &str = "punching-fist";
/// Recommended label that says who made an object; its value is [`APP`].
pub const LABEL_MANAGED_BY: &str = "app.kubernetes.io/managed-by";
/// Recommended label that says what part of the application an object is; its value is [`COMPONENT_AGENT`].
pub const LABEL_COMPONENT: &str = "app.kubernetes.io/component";
/// Value of [`LABEL_COMPONENT`] on agents' Jobs and pods.
pub const COMPONENT_AGENT: &str = "agent";
/// Label on agents' Jobs and pods; its value is [`TASK_TYPE`].
pub const LABEL_TASK_TYPE: &str = "task.type";
/// Value of [`LABEL_TASK_TYPE`].
pub const TASK_TYPE: &str = "openhands";
/// Label on agents' Jobs and pods: UID of the task that the run belongs to.
pub const LABEL_TASK_ID: &str = "task.id";
/// Label on agents' Jobs and pods: kind of the task that the run belongs to.
pub const LABEL_KIND: &str = "punching-fist.io/kind";
/// Label on agents' Jobs and pods: the agent profile that the run counts against.
pub const LABEL_PROFILE: &str = "punching-fist.io/profile";
/// Label on an AlertTask: the incident that it belongs to (40 hex digits).
pub const LABEL_KEY: &str = "punching-fist.io/key";
/// Annotation on agents' Jobs and pods: name of the task (a name can be longer than a label value).
pub const ANNOTATION_TASK: &str = "punching-fist.io/task";
/// Annotation on an agent's pod: the rendered prompt, which the downward API shows as a file.
pub const ANNOTATION_PROMPT: &str = "punching-fist.io/prompt";

/// Namespace of the cluster's own parts, in which no agent mends anything.
pub const SYSTEM_NAMESPACE: &str = "kube-system";

/// Field manager of what the controller writes.
pub const MANAGER_CONTROLLER: &str = "punching-fist-controller";
/// Field manager of `status.result.report` and `status.result.plan`.
pub const MANAGER_REPORT: &str = "punching-fist-report";
/// Field manager of what the webhook writes.
pub const MANAGER_WEBHOOK: &str = "punching-fist-webhook";

/// Field manager of what the model gateway writes: `status.usage`.
pub const MANAGER_GATEWAY: &str = "punching-fist-gateway";
/// Audience of the tokens that agents show to the model gateway, and that nobody else takes.
pub const AUDIENCE_GATEWAY: &str = "punching-fist-gateway";

/// Name of the agent's container.
pub const AGENT_CONTAINER: &str = "openhands-task";
/// Name of the init container that puts the runner in place.
pub const RUNNER_CONTAINER: &str = "place-runner";
/// Profile of a task that names none.
pub const DEFAULT_PROFILE: &str = "openhands";
/// ServiceAccount that an agent runs as if it may only look.
pub const SERVICE_ACCOUNT: &str = "punching-fist-agent";
/// ServiceAccount that an agent runs as if it may mend.
pub const SERVICE_ACCOUNT_REMEDIATE: &str = "punching-fist-agent-remediate";
/// Category of all kinds: `kubectl get punching-fist`.
pub const CATEGORY: &str = "punching-fist";
