//! The configuration file as it is written: one type per section, every default. What types can't say is in `check`.

use std::collections::BTreeMap;
use std::path::PathBuf;

use punching_fist_api::{AlertRouteSpec, OnResolved, TaskSpec, names};
use punching_fist_core::profile::AgentProfile;
use punching_fist_core::route::DEFAULT_MATCHERS;
use serde::Deserialize;

/// Model of the default profile, as LiteLLM names it.
pub const DEFAULT_MODEL: &str = "anthropic/claude-sonnet-5-5";

/// Port of the gateway, here and in the operator's Service.
pub const GATEWAY_PORT: u16 = 8082;

/// The whole file.
#[derive(Clone, Debug, Default, Deserialize, PartialEq)]
#[serde(rename_all = "camelCase", default, deny_unknown_fields)]
pub struct File {
    /// Addresses that the operator listens on.
    pub listen: Listen,
    /// The agents' door to the model.
    pub gateway: Gateway,
    /// What sends alerts.
    pub receivers: Receivers,
    /// Which alerts become tasks, where, and how they run.
    pub default_route: DefaultRoute,
    /// Agent profiles by name.
    pub agents: Agents,
    /// Whether a profile may ask for privileged pods.
    pub allow_privileged_agents: bool,
    /// How much at once, and how long.
    pub limits: Limits,
    /// The program around the agent.
    pub runner: Runner,
    /// What agents are told.
    pub prompts: Prompts,
}

/// Addresses that the operator listens on.
#[derive(Clone, Debug, Deserialize, PartialEq)]
#[serde(rename_all = "camelCase", default, deny_unknown_fields)]
pub struct Listen {
    /// Where alerts come in.
    pub webhook: String,
    /// `/livez`, `/readyz`, `/startupz` and `/metrics`.
    pub probes: String,
    /// Where agents reach the model.
    pub gateway: String,
}

impl Default for Listen {
    fn default() -> Self {
        let any = |port: u16| format!("0.0.0.0:{port}");
        Self { webhook: any(8080), probes: any(8081), gateway: any(GATEWAY_PORT) }
    }
}

/// The agents' door to the model.
#[derive(Clone, Debug, Default, Deserialize, PartialEq)]
#[serde(rename_all = "camelCase", default, deny_unknown_fields)]
pub struct Gateway {
    /// Where agents find it; the operator's Service in its own namespace if nothing is said.
    pub url: Option<String>,
}

/// What sends alerts.
#[derive(Clone, Debug, Default, Deserialize, PartialEq)]
#[serde(rename_all = "camelCase", default, deny_unknown_fields)]
pub struct Receivers {
    /// Alertmanager, at `POST /webhook/alertmanager`.
    pub prometheus: Prometheus,
}

/// The receiver of Alertmanager's notifications.
#[derive(Clone, Debug, Deserialize, PartialEq)]
#[serde(default, deny_unknown_fields)]
pub struct Prometheus {
    /// Whether it is served.
    pub enabled: bool,
    /// How Alertmanager has to authenticate.
    pub http_config: HttpConfig,
    /// Whether anybody who reaches the port may make tasks.
    pub allow_unauthenticated: bool,
}

impl Default for Prometheus {
    fn default() -> Self {
        Self { enabled: true, http_config: HttpConfig::default(), allow_unauthenticated: false }
    }
}

/// Credentials that a sender has to show: one of the two. The names are Prometheus' own.
#[derive(Clone, Default, Deserialize, PartialEq)]
#[serde(default, deny_unknown_fields)]
pub struct HttpConfig {
    /// The bearer token itself.
    pub bearer_token: Option<String>,
    /// A file that holds the bearer token: a Secret's, mounted.
    pub bearer_token_file: Option<PathBuf>,
}

impl std::fmt::Debug for HttpConfig {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter
            .debug_struct("HttpConfig")
            .field("bearer_token", &self.bearer_token.as_ref().map(|_| "<hidden>"))
            .field("bearer_token_file", &self.bearer_token_file)
            .finish()
    }
}

/// The route of every alert, and where its tasks are made. The fields of an `AlertRouteSpec`, written out because only so
/// an unknown key can be told from a known one.
#[derive(Clone, Debug, Deserialize, PartialEq)]
#[serde(rename_all = "camelCase", default)]
pub struct DefaultRoute {
    /// Namespace of the tasks, and so of the agents.
    pub namespace: String,
    /// See `AlertRouteSpec::matchers`; by default what asks for nothing is left out.
    #[serde(rename = "match")]
    pub matchers: Vec<String>,
    /// See `AlertRouteSpec::on_resolved`.
    pub on_resolved: OnResolved,
    /// See `AlertRouteSpec::template`.
    pub template: TaskSpec,
}

impl Default for DefaultRoute {
    fn default() -> Self {
        Self {
            namespace: "punching-fist-agents".to_owned(),
            matchers: DEFAULT_MATCHERS.map(str::to_owned).to_vec(),
            on_resolved: OnResolved::default(),
            template: TaskSpec::default(),
        }
    }
}

impl DefaultRoute {
    /// The route without its place. A field that `AlertRouteSpec` gains doesn't compile here until the file knows it.
    pub fn into_spec(self) -> AlertRouteSpec {
        let Self { namespace: _, matchers, on_resolved, template } = self;
        AlertRouteSpec { matchers, on_resolved, template }
    }
}

/// Agent profiles by name.
#[derive(Clone, Debug, Deserialize, PartialEq)]
#[serde(transparent)]
pub struct Agents(pub BTreeMap<String, AgentProfile>);

impl Default for Agents {
    fn default() -> Self {
        let written = serde_json::json!({
            "image": default_image("punching-fist-agent"),
            "model": DEFAULT_MODEL,
            "gateway": true,
            "prices": { "input": "2", "output": "10", "cacheRead": "0.20", "cacheWrite": "2.50" },
        });
        let profile = serde_json::from_value(written)
            .expect("image, model and prices are all that a profile must have");
        Self(BTreeMap::from([(names::DEFAULT_PROFILE.to_owned(), profile)]))
    }
}

/// How much at once, and how long.
#[derive(Clone, Debug, Deserialize, PartialEq)]
#[serde(rename_all = "camelCase", default, deny_unknown_fields)]
pub struct Limits {
    /// How many agents may run at once, over all namespaces and profiles.
    pub max_concurrent: usize,
    /// How long an agent's pod may take to start.
    pub pod_start_timeout_seconds: i64,
}

impl Default for Limits {
    fn default() -> Self {
        Self { max_concurrent: 10, pod_start_timeout_seconds: 600 }
    }
}

/// The program around the agent.
#[derive(Clone, Debug, Deserialize, PartialEq)]
#[serde(rename_all = "camelCase", default, deny_unknown_fields)]
pub struct Runner {
    /// Image that holds it: the operator's own.
    pub image: String,
}

impl Default for Runner {
    fn default() -> Self {
        Self { image: default_image("punching-fist") }
    }
}

/// What agents are told: at most one of the two.
#[derive(Clone, Debug, Default, Deserialize, PartialEq)]
#[serde(rename_all = "camelCase", default, deny_unknown_fields)]
pub struct Prompts {
    /// Template of the prompt of an AlertTask that brings none.
    pub alert: Option<String>,
    /// The same in a file of its own; a relative path starts at the configuration's folder.
    pub alert_file: Option<PathBuf>,
}

fn default_image(name: &str) -> String {
    format!("ghcr.io/punching-fist/{name}:{}", env!("CARGO_PKG_VERSION"))
}
