//! What both kinds of task share: how the agent is to run. Flattened into their specs, and the template of a route.

use std::collections::BTreeMap;
use std::fmt::Debug;

use kube::core::NamespaceResourceScope;
use kube::{KubeSchema, Resource};
use schemars::JsonSchema;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use crate::{Quantity, TaskStatus, names};

/// Longest prompt, in characters.
pub const MAX_PROMPT: usize = 32_768;
/// Longest attempt, in seconds: a day.
pub const MAX_TIMEOUT_SECONDS: i64 = 86_400;
/// Most steps of an attempt.
pub const MAX_ITERATIONS: i64 = 1000;

/// The name of an object, as the API server takes it.
pub const OBJECT_NAME: &str = r"^[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*$";

/// How an agent run is made: prompt, agent, identity, limits.
#[derive(KubeSchema, Clone, Debug, Deserialize, Serialize, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct TaskSpec {
    /// What the agent is asked to do: a minijinja template, rendered when the Job is made. A MaintenanceTask must have
    /// one. In an AlertTask `alert`, `alerts`, `group` and `labels` are in scope, and without a prompt the operator's
    /// default prompt for alerts is used. At most 32768 characters, and 64 KiB once rendered.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = MAX_PROMPT))]
    pub prompt: Option<String>,

    /// Which agent works on the task, and what of its profile is overridden.
    #[serde(default)]
    pub agent: AgentSpec,

    /// ServiceAccount in the task's namespace that the agent runs as: what it may do in the cluster. Default: the agent
    /// profile's for the mode (`punching-fist-agent`, read-only, or `punching-fist-agent-remediate`). It must exist before
    /// the task starts.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 253), regex(pattern = OBJECT_NAME))]
    pub service_account_name: Option<String>,

    /// How many further attempts a run gets after one that failed by a passing fault: the Job's `backoffLimit`.
    #[serde(default = "default_max_retries")]
    #[schemars(range(min = 0, max = 10))]
    pub max_retries: i32,

    /// How long one attempt may work, in seconds. The Job's `activeDeadlineSeconds` follows from it as a backstop.
    /// Default: the agent profile's (1800).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = MAX_TIMEOUT_SECONDS))]
    pub timeout_seconds: Option<i64>,

    /// Whether the agent may change anything: `Investigate` (the default) or `Remediate`. It selects the ServiceAccount of
    /// the profile and the default prompt, and an `Investigate` run that claims to have fixed something isn't believed.
    #[serde(default)]
    pub mode: Mode,

    /// Another cluster to work on: name of a Secret in the task's namespace whose key `kubeconfig` holds a kubeconfig with
    /// its credentials inline (no `exec`, no `auth-provider`, no files). Default: the cluster that the agent runs in.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 253), regex(pattern = OBJECT_NAME))]
    pub cluster: Option<String>,

    /// CPU, memory and other resources of the agent's container. Default: the agent profile's (requests 500m and 1Gi,
    /// limit 2Gi of memory). What says nothing of `memory` or `ephemeral-storage` (limit 10Gi) gets the profile's of these.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub resources: Option<Resources>,

    /// How long the finished Job and its pods are kept, in seconds. Put on the Job only when its result stands in the
    /// task's status, so that nothing is lost while the operator is away.
    #[serde(default = "default_ttl_seconds")]
    #[schemars(range(min = 0, max = 31_536_000))]
    pub ttl_seconds_after_finished: i32,
}

fn default_max_retries() -> i32 {
    3
}

fn default_ttl_seconds() -> i32 {
    3600
}

impl Default for TaskSpec {
    fn default() -> Self {
        Self {
            prompt: None,
            agent: AgentSpec::default(),
            service_account_name: None,
            max_retries: default_max_retries(),
            timeout_seconds: None,
            mode: Mode::default(),
            cluster: None,
            resources: None,
            ttl_seconds_after_finished: default_ttl_seconds(),
        }
    }
}

/// Which agent works on a task.
#[derive(KubeSchema, Clone, Debug, Deserialize, Serialize, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct AgentSpec {
    /// Agent profile of the operator's configuration: engine, image, model, limits.
    #[serde(default = "default_profile")]
    #[schemars(length(min = 1, max = 63))]
    pub profile: String,

    /// Model to use instead of the profile's, as LiteLLM names it (`anthropic/…`, `openai/…`).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 256))]
    pub model: Option<String>,

    /// Image of the agent's container instead of the profile's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 1024))]
    pub image: Option<String>,

    /// Environment variables of the agent's container, added to the profile's; the same name replaces.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 50))]
    #[x_kube(merge_strategy = ListMerge::Map(vec!["name".into()]))]
    pub env: Vec<EnvVar>,

    /// How many steps one attempt may take instead of the profile's limit. An attempt that takes them all has failed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = MAX_ITERATIONS))]
    pub max_iterations: Option<i32>,

    /// How much the run may cost over all its attempts, in US dollars, as a decimal ("2.50"), instead of the profile's
    /// limit. A run that has spent it ends with reason `BudgetExceeded`.
    #[serde(rename = "maxCostUSD", default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 16), regex(pattern = r"^[0-9]{1,9}(\.[0-9]{1,6})?$"))]
    pub max_cost_usd: Option<String>,

    /// ConfigMaps of the task's namespace with instructions and tools for the agent.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 10))]
    #[x_kube(merge_strategy = ListMerge::Map(vec!["configMap".into()]))]
    pub skills: Vec<Skill>,
}

/// Whether an agent may change anything.
#[derive(Clone, Copy, Debug, Default, Deserialize, Serialize, JsonSchema, PartialEq, Eq, Hash)]
pub enum Mode {
    /// It looks and concludes.
    #[default]
    Investigate,
    /// It may mend what it finds.
    Remediate,
}

/// Instructions and tools for an agent: a ConfigMap with any of `AGENTS.md` (always read), further `NAME.md` (skills, read
/// when they fit), `mcp.json` (MCP servers, as `{"mcpServers": {…}}`), and scripts. Its files stand in
/// `/punching-fist-skills/CONFIGMAP/`.
#[derive(KubeSchema, Clone, Debug, Default, Deserialize, Serialize, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
pub struct Skill {
    /// Name of the ConfigMap.
    #[schemars(length(min = 1, max = 253), regex(pattern = OBJECT_NAME))]
    pub config_map: String,
}

fn default_profile() -> String {
    names::DEFAULT_PROFILE.to_owned()
}

impl Default for AgentSpec {
    fn default() -> Self {
        Self {
            profile: default_profile(),
            model: None,
            image: None,
            env: Vec::new(),
            max_iterations: None,
            max_cost_usd: None,
            skills: Vec::new(),
        }
    }
}

/// One environment variable: a value, or where to take it from.
#[derive(KubeSchema, Clone, Debug, Default, Deserialize, Serialize, PartialEq)]
#[serde(rename_all = "camelCase")]
#[x_kube(validation = Rule::new("!(has(self.value) && has(self.valueFrom))").message("value and valueFrom exclude each other"))]
#[x_kube(validation = Rule::new("!self.name.startsWith('PUNCHING_FIST_') && !(self.name in ['HOME', 'LLM_API_KEY', 'LLM_BASE_URL', 'LLM_MODEL'])").message("this name is set by the operator; for another model use agent.model").field_path(".name"))]
pub struct EnvVar {
    /// Name of the variable.
    #[schemars(length(min = 1, max = 256), regex(pattern = r"^[-._a-zA-Z][-._a-zA-Z0-9]*$"))]
    pub name: String,

    /// Its value, taken as it stands but for Kubernetes' own `$(VARIABLE)`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 32768))]
    pub value: Option<String>,

    /// A Secret or ConfigMap of the task's namespace to take the value from.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub value_from: Option<EnvVarSource>,
}

/// Where the value of an environment variable comes from: exactly one of the two.
#[derive(KubeSchema, Clone, Debug, Default, Deserialize, Serialize, PartialEq)]
#[serde(rename_all = "camelCase")]
#[x_kube(validation = Rule::new("has(self.secretKeyRef) != has(self.configMapKeyRef)").message("set secretKeyRef or configMapKeyRef, and not both"))]
pub struct EnvVarSource {
    /// A key of a Secret.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub secret_key_ref: Option<KeySelector>,
    /// A key of a ConfigMap.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub config_map_key_ref: Option<KeySelector>,
}

/// A key of a Secret or ConfigMap in the task's namespace.
#[derive(KubeSchema, Clone, Debug, Default, Deserialize, Serialize, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct KeySelector {
    /// Name of the object.
    #[schemars(length(min = 1, max = 253), regex(pattern = OBJECT_NAME))]
    pub name: String,
    /// The key in it.
    #[schemars(length(min = 1, max = 253))]
    pub key: String,
    /// Whether the pod may start without it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub optional: Option<bool>,
}

/// Resources of the agent's container, as in a pod.
#[derive(KubeSchema, Clone, Debug, Default, Deserialize, Serialize, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
pub struct Resources {
    /// The most it may use.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    #[schemars(extend("maxProperties" = 16))]
    pub limits: BTreeMap<String, Quantity>,
    /// What the scheduler sets aside for it.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    #[schemars(extend("maxProperties" = 16))]
    pub requests: BTreeMap<String, Quantity>,
}

/// The kinds whose objects are one agent run each.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum TaskKind {
    /// Made from an alert.
    AlertTask,
    /// Applied by a user.
    MaintenanceTask,
}

impl TaskKind {
    /// The kind's name, as in a manifest.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::AlertTask => "AlertTask",
            Self::MaintenanceTask => "MaintenanceTask",
        }
    }
}

/// What the two kinds have in common, so that one pipeline serves both.
pub trait Task:
    Resource<DynamicType = (), Scope = NamespaceResourceScope>
    + Clone
    + Debug
    + DeserializeOwned
    + Send
    + Sync
    + 'static
{
    /// Which of the two it is.
    const KIND: TaskKind;
    /// How the agent is to run.
    fn task_spec(&self) -> &TaskSpec;
    /// Whether the start is held back.
    fn is_suspended(&self) -> bool;
    /// Whether the run is to stop for good.
    fn is_cancelled(&self) -> bool;
    /// What the controller has written; none on a new object.
    fn task_status(&self) -> Option<&TaskStatus>;
    /// The same, to drop from a cache what no pass reads.
    fn task_status_mut(&mut self) -> Option<&mut TaskStatus>;
    /// The object as an AlertTask, if it is one: only alerts join, resolve and follow each other.
    fn as_alert(&self) -> Option<&crate::AlertTask>;
}
