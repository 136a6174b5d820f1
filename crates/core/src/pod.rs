//! The agent's pod: what the restricted Pod Security profile admits, the runner as its first process.

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::{
    Capabilities, ConfigMapKeySelector, Container, DownwardAPIVolumeFile, DownwardAPIVolumeSource,
    EmptyDirVolumeSource, EnvVar, EnvVarSource, ObjectFieldSelector, PodSecurityContext, PodSpec,
    ResourceRequirements, SeccompProfile, SecretKeySelector, SecurityContext, Volume, VolumeMount,
};
use k8s_openapi::apimachinery::pkg::api::resource::Quantity;
use punching_fist_api::{KeySelector, Resources, TaskSpec, names};

use crate::job::GRACE_SECONDS;
use crate::profile::{AgentProfile, Settings};

/// Where the init container puts the runner.
const RUNNER_DIRECTORY: &str = "/punching-fist";
/// Where the prompt stands as a file.
const TASK_DIRECTORY: &str = "/punching-fist-task";
/// Where the agent works.
const WORKSPACE: &str = "/workspace";
/// Where the agent's tools keep their state.
const HOME: &str = "/home/agent";

/// The pod of one attempt.
pub fn spec(task: &TaskSpec, profile: &AgentProfile, settings: &Settings) -> PodSpec {
    let service_account = profile.service_account_of(task);
    PodSpec {
        init_containers: Some(vec![place_runner(settings)]),
        containers: vec![agent(task, profile)],
        volumes: Some(volumes()),
        // `OnFailure` would hide each attempt's pod, and the API server refuses it beside a podFailurePolicy.
        restart_policy: Some("Never".to_owned()),
        service_account_name: Some(service_account.to_owned()),
        termination_grace_period_seconds: Some(GRACE_SECONDS),
        enable_service_links: Some(false),
        security_context: Some(PodSecurityContext {
            run_as_non_root: Some(true),
            run_as_user: Some(profile.run_as_user),
            run_as_group: Some(profile.run_as_user),
            fs_group: Some(profile.run_as_user),
            seccomp_profile: Some(SeccompProfile {
                type_: "RuntimeDefault".to_owned(),
                localhost_profile: None,
            }),
            ..PodSecurityContext::default()
        }),
        ..PodSpec::default()
    }
}

/// The agent's image knows nothing of us, so the runner comes from ours.
fn place_runner(settings: &Settings) -> Container {
    Container {
        name: names::RUNNER_CONTAINER.to_owned(),
        image: Some(settings.runner_image.clone()),
        command: Some(words(&["punching-fist-runner", "place", "/punching-fist/runner"])),
        volume_mounts: Some(vec![mount("runner", RUNNER_DIRECTORY)]),
        resources: Some(requirements(&small())),
        security_context: Some(restricted()),
        ..Container::default()
    }
}

fn agent(task: &TaskSpec, profile: &AgentProfile) -> Container {
    let runner = VolumeMount { read_only: Some(true), ..mount("runner", RUNNER_DIRECTORY) };
    let prompt = VolumeMount { read_only: Some(true), ..mount("task", TASK_DIRECTORY) };
    Container {
        name: names::AGENT_CONTAINER.to_owned(),
        image: Some(task.agent.image.as_ref().unwrap_or(&profile.image).clone()),
        command: Some(words(&["/punching-fist/runner", "run"])),
        working_dir: Some(WORKSPACE.to_owned()),
        env: Some(environment(task, profile)),
        resources: Some(requirements(task.resources.as_ref().unwrap_or(&profile.resources))),
        volume_mounts: Some(vec![
            runner,
            prompt,
            mount("workspace", WORKSPACE),
            mount("home", HOME),
            mount("tmp", "/tmp"),
        ]),
        security_context: Some(restricted()),
        ..Container::default()
    }
}

fn volumes() -> Vec<Volume> {
    let empty = |name: &str| Volume {
        name: name.to_owned(),
        empty_dir: Some(EmptyDirVolumeSource::default()),
        ..Volume::default()
    };
    let prompt = DownwardAPIVolumeFile {
        path: "prompt".to_owned(),
        field_ref: Some(ObjectFieldSelector {
            api_version: None,
            field_path: format!("metadata.annotations['{}']", names::ANNOTATION_PROMPT),
        }),
        ..DownwardAPIVolumeFile::default()
    };
    let task = Volume {
        name: "task".to_owned(),
        downward_api: Some(DownwardAPIVolumeSource { items: Some(vec![prompt]), default_mode: None }),
        ..Volume::default()
    };
    vec![empty("runner"), task, empty("workspace"), empty("home"), empty("tmp")]
}

/// What the runner needs comes first, so that others can refer to it (`$(HOME)`), and nobody replaces it; then the
/// profile's variables with the task's over them.
fn environment(task: &TaskSpec, profile: &AgentProfile) -> Vec<EnvVar> {
    let mut environment = runner_environment(task, profile);
    let taken: Vec<String> = environment.iter().map(|variable| variable.name.clone()).collect();
    let given: BTreeMap<&str, &punching_fist_api::EnvVar> = profile
        .env
        .iter()
        .chain(&task.agent.env)
        .map(|variable| (variable.name.as_str(), variable))
        .collect();
    let free = given.into_values().filter(|variable| !taken.contains(&variable.name));
    environment.extend(free.map(user_variable));
    environment
}

fn runner_environment(task: &TaskSpec, profile: &AgentProfile) -> Vec<EnvVar> {
    let iterations = task.agent.max_iterations.unwrap_or(profile.max_iterations);
    let mut environment = vec![
        value("HOME", HOME),
        value("PUNCHING_FIST_ENGINE", profile.engine.as_str()),
        value("PUNCHING_FIST_PROMPT_FILE", &format!("{TASK_DIRECTORY}/prompt")),
        value("PUNCHING_FIST_TIMEOUT_SECONDS", &profile.timeout_of(task).to_string()),
        value("PUNCHING_FIST_MAX_ITERATIONS", &iterations.to_string()),
        value("PUNCHING_FIST_GRACE_SECONDS", &GRACE_SECONDS.to_string()),
        value("LLM_MODEL", profile.model_of(task)),
        EnvVar {
            name: "LLM_API_KEY".to_owned(),
            value_from: Some(EnvVarSource {
                secret_key_ref: Some(secret_key(&profile.api_key)),
                ..EnvVarSource::default()
            }),
            ..EnvVar::default()
        },
    ];
    environment.extend(profile.base_url.iter().map(|url| value("LLM_BASE_URL", url)));
    environment
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

fn secret_key(key: &KeySelector) -> SecretKeySelector {
    SecretKeySelector { name: key.name.clone(), key: key.key.clone(), optional: key.optional }
}

fn value(name: &str, value: &str) -> EnvVar {
    EnvVar { name: name.to_owned(), value: Some(value.to_owned()), value_from: None }
}

fn words(words: &[&str]) -> Vec<String> {
    words.iter().map(|word| (*word).to_owned()).collect()
}

fn mount(name: &str, path: &str) -> VolumeMount {
    VolumeMount { name: name.to_owned(), mount_path: path.to_owned(), ..VolumeMount::default() }
}

/// What copying one file takes; a quota may ask for figures on every container.
fn small() -> Resources {
    let amounts = |cpu: &str, memory: &str| {
        let quantity = |text: &str| punching_fist_api::Quantity(text.to_owned());
        BTreeMap::from([("cpu".to_owned(), quantity(cpu)), ("memory".to_owned(), quantity(memory))])
    };
    Resources { requests: amounts("10m", "16Mi"), limits: amounts("100m", "64Mi") }
}

fn requirements(resources: &Resources) -> ResourceRequirements {
    let amounts = |map: &BTreeMap<String, punching_fist_api::Quantity>| {
        (!map.is_empty())
            .then(|| map.iter().map(|(name, amount)| (name.clone(), Quantity(amount.0.clone()))).collect())
    };
    ResourceRequirements {
        limits: amounts(&resources.limits),
        requests: amounts(&resources.requests),
        ..ResourceRequirements::default()
    }
}

/// What the restricted Pod Security profile asks of a container, and a root filesystem that nobody writes to.
fn restricted() -> SecurityContext {
    SecurityContext {
        allow_privilege_escalation: Some(false),
        capabilities: Some(Capabilities { drop: Some(vec!["ALL".to_owned()]), add: None }),
        read_only_root_filesystem: Some(true),
        ..SecurityContext::default()
    }
}
