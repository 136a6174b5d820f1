//! The environment of the agent's container: what the runner and the engine are told, then what profile and task add.

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::{ConfigMapKeySelector, EnvVar, EnvVarSource, SecretKeySelector};
use punching_fist_api::{self as api, KeySelector, TaskSpec};
use punching_fist_protocol::pod::{Mode, paths, variables};

use super::volumes;
use crate::job::GRACE_SECONDS;
use crate::money::Money;
use crate::profile::{AgentProfile, Engine, Protocol, Settings};

/// Names that only the operator sets, besides those that begin with [`variables::PREFIX`].
const RESERVED: [&str; 4] =
    [variables::HOME, variables::LLM_API_KEY, variables::LLM_BASE_URL, variables::LLM_MODEL];
/// What agents are told of a model's prices, so that their own sums are right.
pub const PRICE_VARIABLES: [&str; 2] =
    [variables::LLM_INPUT_COST_PER_TOKEN, variables::LLM_OUTPUT_COST_PER_TOKEN];

/// What the first OpenHands needs, unless the profile says otherwise.
const DOCKER_DEFAULTS: [(&str, &str); 2] = [
    ("LOG_ALL_EVENTS", "true"),
    ("SANDBOX_RUNTIME_CONTAINER_IMAGE", "docker.all-hands.dev/all-hands-ai/runtime:0.39-nikolaik"),
];

/// Whether that variable is the operator's: profiles and tasks can't set it.
pub fn is_reserved_variable(name: &str) -> bool {
    name.starts_with(variables::PREFIX) || RESERVED.contains(&name)
}

/// The environment. Ours comes first, so that others can refer to it (`$(HOME)`), and nobody replaces it.
pub(super) fn of(task: &TaskSpec, profile: &AgentProfile, settings: &Settings) -> Vec<EnvVar> {
    let mut environment = of_runner(task, profile);
    environment.extend(of_model(task, profile, settings));
    let given = given(task, profile, &environment);
    let secrets: Vec<&str> = environment.iter().chain(&given).filter_map(secret_name).collect();
    if !secrets.is_empty() {
        let secrets = secrets.join(",");
        environment.push(value(variables::SECRETS, &secrets));
    }
    environment.extend(given);
    environment
}

/// What the runner is told.
fn of_runner(task: &TaskSpec, profile: &AgentProfile) -> Vec<EnvVar> {
    let iterations = task.agent.max_iterations.unwrap_or(profile.max_iterations);
    let home = (!profile.is_privileged()).then_some((variables::HOME, paths::HOME.to_owned()));
    let runtime =
        (profile.engine == Engine::Main).then(|| (variables::RUNTIME, profile.runtime.as_str().to_owned()));
    let command = (profile.engine == Engine::Command).then(|| (variables::COMMAND, command(profile)));
    let skills = (!task.agent.skills.is_empty()).then(|| (variables::SKILLS_DIR, paths::SKILLS.to_owned()));
    let token = profile.gateway.then(|| (variables::TOKEN_FILE, volumes::token_file()));
    let always = [
        (variables::PROMPT_FILE, volumes::prompt_file()),
        (variables::MODE, mode(task).as_str().to_owned()),
        (variables::TIMEOUT_SECONDS, profile.timeout_of(task).to_string()),
        (variables::MAX_ITERATIONS, iterations.to_string()),
        (variables::MAX_COST_USD, profile.budget_of(task).to_string()),
        (variables::GRACE_SECONDS, GRACE_SECONDS.to_string()),
    ];
    let kubeconfig = task.cluster.as_ref().map(|_| (variables::KUBECONFIG, volumes::kubeconfig_file()));
    let engine = Some((variables::ENGINE, profile.engine.as_str().to_owned()));
    let all = [home, engine, runtime, command].into_iter().flatten().chain(always);
    let all = all.chain([skills, token, kubeconfig].into_iter().flatten());
    all.map(|(name, text)| value(name, &text)).collect()
}

/// What the engine is told about its model.
fn of_model(task: &TaskSpec, profile: &AgentProfile, settings: &Settings) -> Vec<EnvVar> {
    let model = profile.model_of(task);
    let key = EnvVarSource { secret_key_ref: Some(secret_key(&profile.api_key)), ..EnvVarSource::default() };
    let key = EnvVar { name: variables::LLM_API_KEY.to_owned(), value_from: Some(key), value: None };
    let base = if profile.gateway { Some(gateway(model, settings)) } else { profile.base_url.clone() };
    let mut environment = vec![value(variables::LLM_MODEL, model)];
    environment.extend((!profile.gateway).then_some(key));
    environment.extend(base.map(|base| value(variables::LLM_BASE_URL, &base)));
    let prices = profile.prices_of(model).map(|prices| [&prices.input, &prices.output]);
    for (name, price) in PRICE_VARIABLES.into_iter().zip(prices.into_iter().flatten()) {
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

fn mode(task: &TaskSpec) -> Mode {
    match task.mode {
        api::Mode::Investigate => Mode::Investigate,
        api::Mode::Remediate => Mode::Remediate,
    }
}

fn command(profile: &AgentProfile) -> String {
    serde_json::Value::from(profile.command.clone()).to_string()
}

fn user_variable(variable: &api::EnvVar) -> EnvVar {
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
