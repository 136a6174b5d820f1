//! The environment of the agent's container: what the runner and the engine are told, then what profile and task add.

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::{ConfigMapKeySelector, EnvVar, EnvVarSource, SecretKeySelector};
use punching_fist_api::{KeySelector, Mode, TaskSpec};

use super::{HOME, volumes};
use crate::job::GRACE_SECONDS;
use crate::money::Money;
use crate::profile::{AgentProfile, Engine, Protocol, Runtime, Settings};

/// Names that only the operator sets, besides those that begin with [`OURS`].
const RESERVED: [&str; 4] = ["HOME", "LLM_API_KEY", "LLM_BASE_URL", "LLM_MODEL"];
/// How the names of the runner's own variables begin.
const OURS: &str = "PUNCHING_FIST_";

/// What the first OpenHands needs, unless the profile says otherwise.
const DOCKER_DEFAULTS: [(&str, &str); 2] = [
    ("LOG_ALL_EVENTS", "true"),
    ("SANDBOX_RUNTIME_CONTAINER_IMAGE", "docker.all-hands.dev/all-hands-ai/runtime:0.39-nikolaik"),
];

/// Whether that variable is the operator's: profiles and tasks can't set it.
pub fn is_reserved_variable(name: &str) -> bool {
    name.starts_with(OURS) || RESERVED.contains(&name)
}

/// The environment. Ours comes first, so that others can refer to it (`$(HOME)`), and nobody replaces it.
pub(super) fn of(task: &TaskSpec, profile: &AgentProfile, settings: &Settings) -> Vec<EnvVar> {
    let mut environment = of_runner(task, profile);
    environment.extend(of_model(task, profile, settings));
    let given = given(task, profile, &environment);
    let secrets: Vec<&str> = environment.iter().chain(&given).filter_map(secret_name).collect();
    if !secrets.is_empty() {
        let secrets = secrets.join(",");
        environment.push(value("PUNCHING_FIST_SECRETS", &secrets));
    }
    environment.extend(given);
    environment
}

/// What the runner is told.
fn of_runner(task: &TaskSpec, profile: &AgentProfile) -> Vec<EnvVar> {
    let iterations = task.agent.max_iterations.unwrap_or(profile.max_iterations);
    let home = (!profile.is_privileged()).then_some(("HOME", HOME.to_owned()));
    let runtime = (profile.engine == Engine::Main).then(|| ("PUNCHING_FIST_RUNTIME", runtime(profile)));
    let command = (profile.engine == Engine::Command).then(|| ("PUNCHING_FIST_COMMAND", command(profile)));
    let skills =
        (!task.agent.skills.is_empty()).then(|| ("PUNCHING_FIST_SKILLS_DIR", volumes::SKILLS.to_owned()));
    let token = profile.gateway.then(|| ("PUNCHING_FIST_TOKEN_FILE", volumes::token_file()));
    let always = [
        ("PUNCHING_FIST_PROMPT_FILE", volumes::prompt_file()),
        ("PUNCHING_FIST_MODE", mode(task).to_owned()),
        ("PUNCHING_FIST_TIMEOUT_SECONDS", profile.timeout_of(task).to_string()),
        ("PUNCHING_FIST_MAX_ITERATIONS", iterations.to_string()),
        ("PUNCHING_FIST_MAX_COST_USD", profile.budget_of(task).to_string()),
        ("PUNCHING_FIST_GRACE_SECONDS", GRACE_SECONDS.to_string()),
    ];
    let kubeconfig = task.cluster.as_ref().map(|_| ("KUBECONFIG", volumes::kubeconfig_file()));
    let engine = Some(("PUNCHING_FIST_ENGINE", profile.engine.as_str().to_owned()));
    let all = [home, engine, runtime, command].into_iter().flatten().chain(always);
    let all = all.chain([skills, token, kubeconfig].into_iter().flatten());
    all.map(|(name, text)| value(name, &text)).collect()
}

/// What the engine is told about its model.
fn of_model(task: &TaskSpec, profile: &AgentProfile, settings: &Settings) -> Vec<EnvVar> {
    let model = profile.model_of(task);
    let key = EnvVarSource { secret_key_ref: Some(secret_key(&profile.api_key)), ..EnvVarSource::default() };
    let key = EnvVar { name: "LLM_API_KEY".to_owned(), value_from: Some(key), value: None };
    let base = if profile.gateway { Some(gateway(model, settings)) } else { profile.base_url.clone() };
    let mut environment = vec![value("LLM_MODEL", model)];
    environment.extend((!profile.gateway).then_some(key));
    environment.extend(base.map(|base| value("LLM_BASE_URL", &base)));
    for (name, price) in profile.prices_of(model).into_iter().flat_map(|prices| {
        [("LLM_INPUT_COST_PER_TOKEN", &prices.input), ("LLM_OUTPUT_COST_PER_TOKEN", &prices.output)]
    }) {
        environment.extend(Money::parse(price).map(|price| value(name, &price.for_tokens(1).to_string())));
    }
    environment
}

/// OpenAI's clients put `/chat/completions` behind what they are given, Anthropic's `/v1/messages`.
fn gateway(model: &str, settings: &Settings) -> String {
    let url = settings.gateway_url.trim_end_matches('/');
    match Protocol::of(model) {
        Some((Protocol::Anthropic, _)) => url.to_owned(),
        Some((Protocol::OpenAi, _)) | None => format!("{url}/v1"),
    }
}

/// What profile and task add, the task's over the profile's; nothing of it takes the place of what is `taken`.
fn given(task: &TaskSpec, profile: &AgentProfile, taken: &[EnvVar]) -> Vec<EnvVar> {
    let defaults: &[(&str, &str)] = if profile.is_privileged() { &DOCKER_DEFAULTS } else { &[] };
    let mut given: BTreeMap<&str, EnvVar> =
        defaults.iter().map(|(name, text)| (*name, value(name, text))).collect();
    for variable in profile.env.iter().chain(&task.agent.env) {
        given.insert(&variable.name, user_variable(variable));
    }
    let is_free = |variable: &EnvVar| {
        !is_reserved_variable(&variable.name) && taken.iter().all(|taken| taken.name != variable.name)
    };
    given.into_values().filter(is_free).collect()
}

fn mode(task: &TaskSpec) -> &'static str {
    match task.mode {
        Mode::Investigate => "Investigate",
        Mode::Remediate => "Remediate",
    }
}

fn runtime(profile: &AgentProfile) -> String {
    match profile.runtime {
        Runtime::Cli => "cli",
        Runtime::Docker => "docker",
    }
    .to_owned()
}

fn command(profile: &AgentProfile) -> String {
    serde_json::Value::from(profile.command.clone()).to_string()
}

fn user_variable(variable: &punching_fist_api::EnvVar) -> EnvVar {
    let source = variable.value_from.as_ref().map(|source| EnvVarSource {
        secret_key_ref: source.secret_key_ref.as_ref().map(secret_key),
        config_map_key_ref: source.config_map_key_ref.as_ref().map(|key| ConfigMapKeySelector {
            name: key.name.clone(),
            key: key.key.clone(),
            optional: key.optional,
        }),
        ..EnvVarSource::default()
    });
    EnvVar { name: variable.name.clone(), value: variable.value.clone(), value_from: source }
}

/// The name of a variable whose value comes from a Secret.
fn secret_name(variable: &EnvVar) -> Option<&str> {
    variable.value_from.as_ref()?.secret_key_ref.as_ref().map(|_| variable.name.as_str())
}

fn secret_key(key: &KeySelector) -> SecretKeySelector {
    SecretKeySelector { name: key.name.clone(), key: key.key.clone(), optional: key.optional }
}

fn value(name: &str, value: &str) -> EnvVar {
    EnvVar { name: name.to_owned(), value: Some(value.to_owned()), value_from: None }
}
