//! Agent profiles and limits: what of the operator's configuration decides how a Job looks and when it may start.

use std::collections::BTreeMap;
use std::path::PathBuf;

use k8s_openapi::api::core::v1::{Toleration, Volume, VolumeMount};
use punching_fist_api::{EnvVar, KeySelector, Mode, Quantity, Resources, TaskSpec, names};
use serde::Deserialize;

use crate::money::Money;

/// What every decision about runs may look at. Part of the operator's configuration.
#[derive(Clone, Debug, PartialEq)]
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
    #[serde(default)]
    pub gateway: bool,
    /// Where the model is: the provider's own address if nothing is said. With the gateway it is the gateway that goes there.
    #[serde(default, rename = "baseURL")]
    pub base_url: Option<String>,
    /// Where the operator finds the model's key, with the gateway.
    #[serde(default)]
    pub key: ModelKey,
    /// Secret in the task's namespace that holds the model's key, without the gateway.
    #[serde(default = "default_api_key")]
    pub api_key: KeySelector,
    /// What the model charges. Must be said with the gateway: without it no budget can be kept.
    #[serde(default)]
    pub prices: Option<Prices>,
    /// Further models that a task may ask for by `agent.model`, with what they charge.
    #[serde(default)]
    pub other_models: BTreeMap<String, Prices>,
    /// Whether the gateway takes secrets out of what goes to the model.
    #[serde(default = "yes")]
    pub redact: bool,
    /// More environment for the container.
    #[serde(default)]
    pub env: Vec<EnvVar>,
    /// How many steps one attempt may take.
    #[serde(default = "default_max_iterations")]
    pub max_iterations: i32,
    /// How much one run may cost over all its attempts, in US dollars.
    #[serde(default = "default_max_cost", rename = "maxCostUSD")]
    pub max_cost_usd: String,
    /// How long one attempt may work, in seconds.
    #[serde(default = "default_timeout_seconds")]
    pub timeout_seconds: i64,
    /// ServiceAccount of an agent that may only look.
    #[serde(default = "default_service_account")]
    pub service_account_name: String,
    /// ServiceAccount of an agent that may mend.
    #[serde(default = "default_remediate_service_account")]
    pub remediate_service_account_name: String,
    /// Whether the agent gets its ServiceAccount's token.
    #[serde(default = "yes")]
    pub cluster_access: bool,
    /// Resources of the container.
    #[serde(default = "default_resources")]
    pub resources: Resources,
    /// How many runs of this profile may go on at once.
    #[serde(default = "default_max_concurrent")]
    pub max_concurrent: usize,
    /// User that the container runs as.
    #[serde(default = "default_user")]
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
    #[serde(default = "default_pod_labels")]
    pub pod_labels: BTreeMap<String, String>,
    /// More annotations for the pod. What is written here replaces the defaults.
    #[serde(default = "default_pod_annotations")]
    pub pod_annotations: BTreeMap<String, String>,
}

/// Which program works in the container.
#[derive(Clone, Copy, Debug, Default, Deserialize, PartialEq, Eq)]
#[serde(rename_all = "lowercase")]
pub enum Engine {
    /// `punching-fist-agent`: our own program around the OpenHands SDK.
    #[default]
    Sdk,
    /// `openhands --headless`: the OpenHands CLI.
    Cli,
    /// `python -m openhands.core.main`: OpenHands 0.39 to 1.6.
    Main,
    /// Any program that writes a result file.
    Command,
}

impl Engine {
    /// Its name, as in the configuration and for the runner.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Sdk => "sdk",
            Self::Cli => "cli",
            Self::Main => "main",
            Self::Command => "command",
        }
    }
}

/// How the engine `main` runs tools.
#[derive(Clone, Copy, Debug, Default, Deserialize, PartialEq, Eq)]
#[serde(rename_all = "lowercase")]
pub enum Runtime {
    /// As processes of the pod (`RUNTIME=cli`): OpenHands 0.40 and later.
    #[default]
    Cli,
    /// In a container of the node's Docker daemon: a privileged pod with Docker's socket. OpenHands 0.39 knows no other.
    Docker,
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
#[serde(rename_all = "camelCase")]
pub enum ModelKey {
    /// A variable of the operator's environment.
    Env(String),
    /// A file, which is read again when it changes.
    File(PathBuf),
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
    /// For what is written to the provider's cache; as `input` if nothing is said.
    #[serde(default)]
    pub cache_write: Option<String>,
    /// The most tokens that an answer has if a request doesn't say.
    #[serde(default = "default_max_output_tokens")]
    pub max_output_tokens: u64,
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

fn yes() -> bool {
    true
}

fn default_max_cost() -> String {
    "2.50".to_owned()
}

fn default_timeout_seconds() -> i64 {
    1800
}

fn default_max_output_tokens() -> u64 {
    32_000
}

fn default_remediate_service_account() -> String {
    names::SERVICE_ACCOUNT_REMEDIATE.to_owned()
}

/// No mesh puts a proxy beside the agent: the pod would not end when the agent does.
fn default_pod_labels() -> BTreeMap<String, String> {
    [("sidecar.istio.io/inject", "false")].map(owned).into()
}

/// Neither a mesh's proxy nor an autoscaler that moves the pod for tidiness: each start costs money.
fn default_pod_annotations() -> BTreeMap<String, String> {
    let annotations = [
        ("cluster-autoscaler.kubernetes.io/safe-to-evict", "false"),
        ("karpenter.sh/do-not-disrupt", "true"),
        ("linkerd.io/inject", "disabled"),
        ("sidecar.istio.io/inject", "false"),
    ];
    annotations.map(owned).into()
}

fn owned((name, value): (&str, &str)) -> (String, String) {
    (name.to_owned(), value.to_owned())
}

fn default_api_key() -> KeySelector {
    KeySelector { name: "openhands-secrets".to_owned(), key: "api-key".to_owned(), optional: None }
}

fn default_max_iterations() -> i32 {
    100
}

fn default_service_account() -> String {
    names::SERVICE_ACCOUNT.to_owned()
}

/// 500m and 1Gi with a limit of 2Gi: a small run of the agent was measured at 275 to 371 MiB and 9 to 12 CPU seconds for
/// its start alone, so 512Mi leaves nothing for the tools that it runs.
fn default_resources() -> Resources {
    let amounts = |pairs: &[(&str, &str)]| {
        pairs.iter().map(|(name, amount)| ((*name).to_owned(), Quantity((*amount).to_owned()))).collect()
    };
    Resources {
        requests: amounts(&[("cpu", "500m"), ("memory", "1Gi")]),
        limits: amounts(&[("memory", "2Gi")]),
    }
}

fn default_max_concurrent() -> usize {
    5
}

fn default_user() -> i64 {
    1000
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
