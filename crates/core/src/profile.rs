//! Agent profiles and limits: what of the operator's configuration decides how a Job looks and when it may start.

mod defaults;
mod protocol;

use std::collections::BTreeMap;
use std::path::PathBuf;

use k8s_openapi::api::core::v1::{Toleration, Volume, VolumeMount};
use punching_fist_api::{EnvVar, KeySelector, Mode, Resources, TaskSpec};
use serde::Deserialize;

use crate::money::Money;

pub use protocol::Protocol;
pub use punching_fist_protocol::pod::{Engine, Runtime};

pub(crate) use defaults::{DISK, MEMORY, amounts, resources as default_resources};

/// What every decision about runs may look at. Part of the operator's configuration, which has the defaults: the default
/// here is nothing, for who looks at a part of it.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Settings {
    /// Agent profiles by name.
    pub profiles: BTreeMap<String, AgentProfile>,
    /// Image that holds the runner: the operator's own.
    pub runner_image: String,
    /// How many runs may go on at once, over all namespaces and profiles.
    pub max_concurrent: usize,
    /// How long a pod may take to start, in seconds.
    pub pod_start_timeout_seconds: i64,
    /// Prompt of an AlertTask that brings none.
    pub alert_prompt: String,
    /// Where agents reach the model gateway: `http://SERVICE.NAMESPACE.svc:8082`, without a path.
    pub gateway_url: String,
    /// Whether a profile may ask for privileged pods (`runtime: docker`).
    pub allow_privileged_agents: bool,
}

/// One way to run an agent.
#[derive(Clone, Debug, Deserialize, PartialEq)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct AgentProfile {
    /// Program that works in the container.
    #[serde(default)]
    pub engine: Engine,
    /// How the engine `main` runs tools: without a sandbox of its own (`cli`), or as the first OpenHands did (`docker`).
    #[serde(default)]
    pub runtime: Runtime,
    /// Program and arguments of the engine `command`.
    #[serde(default)]
    pub command: Vec<String>,
    /// Image of the container.
    pub image: String,
    /// When the image is pulled; none: as Kubernetes has it (`Always` for the tag `latest`, else `IfNotPresent`).
    #[serde(default)]
    pub image_pull_policy: Option<PullPolicy>,
    /// Secrets in the task's namespace that the image is pulled with.
    #[serde(default)]
    pub image_pull_secrets: Vec<String>,
    /// Model, as LiteLLM names it.
    pub model: String,
    /// Whether the agent reaches the model through the operator's gateway, which keeps the key and the budget. Else the key
    /// is handed to the agent.
    #[serde(default = "defaults::yes")]
    pub gateway: bool,
    /// Where the model is: the provider's own address if nothing is said. With the gateway it is the gateway that goes there.
    #[serde(default, rename = "baseURL")]
    pub base_url: Option<String>,
    /// Where the operator finds the model's key, with the gateway.
    #[serde(default)]
    pub key: ModelKey,
    /// Secret in the task's namespace that holds the model's key, without the gateway.
    #[serde(default = "defaults::api_key")]
    pub api_key: KeySelector,
    /// What the model charges. Must be said with the gateway: without it no budget can be kept.
    #[serde(default)]
    pub prices: Option<Prices>,
    /// Further models that a task may ask for by `agent.model`, with what they charge.
    #[serde(default)]
    pub other_models: BTreeMap<String, Prices>,
    /// Whether the gateway takes secrets out of what goes to the model.
    #[serde(default = "defaults::yes")]
    pub redact: bool,
    /// Members of requests that the gateway passes on, beside those that it knows.
    #[serde(default)]
    pub passed_fields: Vec<String>,
    /// More environment for the container.
    #[serde(default)]
    pub env: Vec<EnvVar>,
    /// How many steps one attempt may take.
    #[serde(default = "defaults::max_iterations")]
    pub max_iterations: i32,
    /// How much one run may cost over all its attempts, in US dollars.
    #[serde(default = "defaults::max_cost", rename = "maxCostUSD")]
    pub max_cost_usd: String,
    /// How long one attempt may work, in seconds.
    #[serde(default = "defaults::timeout_seconds")]
    pub timeout_seconds: i64,
    /// ServiceAccount of an agent that may only look.
    #[serde(default = "defaults::service_account")]
    pub service_account_name: String,
    /// ServiceAccount of an agent that may mend.
    #[serde(default = "defaults::remediate_service_account")]
    pub remediate_service_account_name: String,
    /// Whether the agent gets its ServiceAccount's token.
    #[serde(default = "defaults::yes")]
    pub cluster_access: bool,
    /// Resources of the container.
    #[serde(default = "defaults::resources")]
    pub resources: Resources,
    /// How many runs of this profile may go on at once.
    #[serde(default = "defaults::max_concurrent")]
    pub max_concurrent: usize,
    /// User that the container runs as. The official images of OpenHands 0.x can only be read by 42420.
    #[serde(default = "defaults::user")]
    pub run_as_user: i64,
    /// RuntimeClass of the pod: gVisor or Kata, where they are installed.
    #[serde(default)]
    pub runtime_class_name: Option<String>,
    /// PriorityClass of the pod.
    #[serde(default)]
    pub priority_class_name: Option<String>,
    /// Labels of the nodes that take the pod.
    #[serde(default)]
    pub node_selector: BTreeMap<String, String>,
    /// Taints that the pod tolerates.
    #[serde(default)]
    pub tolerations: Vec<Toleration>,
    /// More volumes for the pod.
    #[serde(default)]
    pub volumes: Vec<Volume>,
    /// Where the container has them.
    #[serde(default)]
    pub volume_mounts: Vec<VolumeMount>,
    /// More labels for the pod. What is written here replaces the defaults.
    #[serde(default = "defaults::pod_labels")]
    pub pod_labels: BTreeMap<String, String>,
    /// More annotations for the pod. What is written here replaces the defaults.
    #[serde(default = "defaults::pod_annotations")]
    pub pod_annotations: BTreeMap<String, String>,
}

/// When an image is pulled.
#[derive(Clone, Copy, Debug, Deserialize, PartialEq, Eq)]
pub enum PullPolicy {
    /// At every start.
    Always,
    /// If the node doesn't have it.
    IfNotPresent,
    /// Never: the node has it.
    Never,
}

impl PullPolicy {
    /// As a pod says it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Always => "Always",
            Self::IfNotPresent => "IfNotPresent",
            Self::Never => "Never",
        }
    }
}

/// Where the operator finds a model's key: one of the two.
#[derive(Clone, Debug, Deserialize, PartialEq, Eq)]
#[serde(try_from = "WrittenKey")]
pub enum ModelKey {
    /// A variable of the operator's environment.
    Env(String),
    /// A file, which is read again when it changes.
    File(PathBuf),
}

/// A model's key as it is written: YAML would want a tag for an enum.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct WrittenKey {
    env: Option<String>,
    file: Option<PathBuf>,
}

impl TryFrom<WrittenKey> for ModelKey {
    type Error = &'static str;

    fn try_from(written: WrittenKey) -> Result<Self, Self::Error> {
        match (written.env, written.file) {
            (Some(name), None) => Ok(Self::Env(name)),
            (None, Some(path)) => Ok(Self::File(path)),
            _ => Err("key: set env or file, and not both"),
        }
    }
}

impl Default for ModelKey {
    fn default() -> Self {
        Self::Env("OPENHANDS_API_KEY".to_owned())
    }
}

/// What a model charges, in US dollars for a million tokens.
#[derive(Clone, Debug, Deserialize, PartialEq, Eq)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Prices {
    /// For what goes in.
    pub input: String,
    /// For what comes out.
    pub output: String,
    /// For what is read from the provider's cache; as `input` if nothing is said.
    #[serde(default)]
    pub cache_read: Option<String>,
    /// For what is written to the provider's cache; a quarter more than `input` if nothing is said.
    #[serde(default)]
    pub cache_write: Option<String>,
    /// The most tokens that an answer has if a request doesn't say.
    #[serde(default = "defaults::max_output_tokens")]
    pub max_output_tokens: u64,
    /// The most tokens that the model takes in: how long images and documents are can't be told from their bytes.
    #[serde(default = "defaults::max_input_tokens")]
    pub max_input_tokens: u64,
}

impl AgentProfile {
    /// The model that a task gets: its own wish, or the profile's.
    pub fn model_of<'a>(&'a self, task: &'a TaskSpec) -> &'a str {
        task.agent.model.as_deref().unwrap_or(&self.model)
    }

    /// What that model charges; none if it isn't offered at a price.
    pub fn prices_of(&self, model: &str) -> Option<&Prices> {
        let own = self.prices.as_ref().filter(|_| model == self.model);
        own.or_else(|| self.other_models.get(model))
    }

    /// How much a run of that task may cost.
    pub fn budget_of(&self, task: &TaskSpec) -> Money {
        let said = task.agent.max_cost_usd.as_deref().unwrap_or(&self.max_cost_usd);
        Money::parse(said).unwrap_or_default()
    }

    /// How long an attempt of that task may work, in seconds.
    pub fn timeout_of(&self, task: &TaskSpec) -> i64 {
        task.timeout_seconds.unwrap_or(self.timeout_seconds)
    }

    /// The ServiceAccount that runs that task.
    pub fn service_account_of<'a>(&'a self, task: &'a TaskSpec) -> &'a str {
        task.service_account_name.as_deref().unwrap_or(match task.mode {
            Mode::Investigate => &self.service_account_name,
            Mode::Remediate => &self.remediate_service_account_name,
        })
    }

    /// Whether its pods are privileged.
    pub fn is_privileged(&self) -> bool {
        self.engine == Engine::Main && self.runtime == Runtime::Docker
    }
}

impl Settings {
    /// The profile of that name.
    pub fn profile(&self, name: &str) -> Option<&AgentProfile> {
        self.profiles.get(name)
    }

    /// Names of the profiles, for messages.
    pub fn profile_names(&self) -> String {
        self.profiles.keys().map(String::as_str).collect::<Vec<_>>().join(", ")
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    /// One profile `openhands`, with the defaults that the configuration gives.
    pub(crate) fn settings() -> Settings {
        let profile = serde_json::json!({
            "image": "punching-fist-agent:1",
            "model": "anthropic/some-model",
            "gateway": false,
        });
        Settings {
            profiles: BTreeMap::from([("openhands".to_owned(), serde_json::from_value(profile).unwrap())]),
            runner_image: "punching-fist:1".to_owned(),
            max_concurrent: 10,
            pod_start_timeout_seconds: 600,
            alert_prompt: "{{ alert.labels.alertname }}".to_owned(),
            gateway_url: "http://punching-fist.punching-fist.svc:8082".to_owned(),
            allow_privileged_agents: false,
        }
    }
}
