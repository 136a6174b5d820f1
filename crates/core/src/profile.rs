//! Agent profiles and limits: what of the operator's configuration decides how a Job looks and when it may start.

use std::collections::BTreeMap;

use punching_fist_api::{EnvVar, KeySelector, Quantity, Resources};
use serde::Deserialize;

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
}

/// One way to run an agent.
#[derive(Clone, Debug, Deserialize, PartialEq)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct AgentProfile {
    /// Program that works in the container.
    #[serde(default)]
    pub engine: Engine,
    /// Image of the container.
    pub image: String,
    /// Model, as LiteLLM names it.
    pub model: String,
    /// Where the model is, if not at its provider's own address.
    #[serde(default, rename = "baseURL")]
    pub base_url: Option<String>,
    /// Secret in the task's namespace that holds the model's key.
    #[serde(default = "default_api_key")]
    pub api_key: KeySelector,
    /// More environment for the container.
    #[serde(default)]
    pub env: Vec<EnvVar>,
    /// How many steps one attempt may take.
    #[serde(default = "default_max_iterations")]
    pub max_iterations: i32,
    /// ServiceAccount that the agent runs as.
    #[serde(default = "default_service_account")]
    pub service_account_name: String,
    /// Resources of the container.
    #[serde(default = "default_resources")]
    pub resources: Resources,
    /// How many runs of this profile may go on at once.
    #[serde(default = "default_max_concurrent")]
    pub max_concurrent: usize,
    /// User that the container runs as.
    #[serde(default = "default_user")]
    pub run_as_user: i64,
}

/// Which program works in the container.
#[derive(Clone, Copy, Debug, Default, Deserialize, PartialEq, Eq)]
#[serde(rename_all = "lowercase")]
pub enum Engine {
    /// `punching-fist-agent`: our own program around the OpenHands SDK.
    #[default]
    Sdk,
}

impl Engine {
    /// Its name, as in the configuration and on the runner's command line.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Sdk => "sdk",
        }
    }
}

fn default_api_key() -> KeySelector {
    KeySelector { name: "openhands-secrets".to_owned(), key: "api-key".to_owned(), optional: None }
}

fn default_max_iterations() -> i32 {
    100
}

fn default_service_account() -> String {
    "punching-fist-agent".to_owned()
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
        let profile = serde_json::json!({"image": "punching-fist-agent:1", "model": "anthropic/some-model"});
        Settings {
            profiles: BTreeMap::from([("openhands".to_owned(), serde_json::from_value(profile).unwrap())]),
            runner_image: "punching-fist:1".to_owned(),
            max_concurrent: 10,
            pod_start_timeout_seconds: 600,
            alert_prompt: "{{ alert.labels.alertname }}".to_owned(),
        }
    }
}
