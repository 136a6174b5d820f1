//! Volumes of the agent's pod and where its container has them: ours. The profile's come after them.

use std::path::{Component, Path};

use k8s_openapi::api::core::v1::{
    ConfigMapVolumeSource, DownwardAPIVolumeFile, DownwardAPIVolumeSource, EmptyDirVolumeSource,
    HostPathVolumeSource, KeyToPath, ObjectFieldSelector, ProjectedVolumeSource, SecretVolumeSource,
    ServiceAccountTokenProjection, Volume, VolumeMount, VolumeProjection,
};
use k8s_openapi::apimachinery::pkg::api::resource::Quantity;
use punching_fist_api::{Skill, TaskSpec, names};
use punching_fist_protocol::pod::paths;

use crate::job::GRACE_SECONDS;
use crate::profile::{AgentProfile, Settings};

/// The file with the prompt.
const PROMPT: &str = "prompt";
/// The file with the token for the gateway.
const TOKEN: &str = "token";
/// The file with another cluster's kubeconfig, and the key of the Secret that it comes from.
const KUBECONFIG: &str = "kubeconfig";

/// How the names of volumes with skills begin.
const SKILL_VOLUME: &str = "skill-";
/// Names of the other volumes.
const VOLUMES: [&str; 9] =
    ["runner", "task", "token", "cluster", "workspace", "home", "tmp", "docker-sock", "openhands-state"];

/// The shortest life that the API server gives a projected token.
const SHORTEST_TOKEN_SECONDS: i64 = 600;
/// What a token lives longer than its attempt may take: the clocks of a cluster differ.
const TOKEN_SLACK_SECONDS: i64 = 300;

/// Readable and executable by everybody: a skill may bring scripts.
const SCRIPT_MODE: i32 = 0o555;
/// Readable by root and by the pod's group.
const CREDENTIAL_MODE: i32 = 0o440;

/// A volume and where the agent's container has it.
pub(super) struct Place {
    pub(super) volume: Volume,
    pub(super) mount: VolumeMount,
}

/// Whether a volume of that name is the operator's: a profile's can't be called so.
pub fn is_reserved_volume(name: &str) -> bool {
    VOLUMES.contains(&name) || name.starts_with(SKILL_VOLUME)
}

/// Whether the operator mounts something at that path, or needs all below it: a profile can't mount there.
pub fn is_reserved_path(path: &str) -> bool {
    let path = Path::new(path);
    let mut parts = path.components();
    let first = parts.find_map(|part| match part {
        Component::Normal(name) => Some(name.to_string_lossy().into_owned()),
        _ => None,
    });
    let ours = [
        paths::WORKSPACE,
        paths::HOME,
        paths::TMP,
        paths::OPENHANDS_STATE,
        paths::DOCKER_SOCKET,
        paths::TERMINATION_LOG,
    ];
    first.is_none_or(|first| first.starts_with(paths::PREFIX))
        || path.components().any(|part| part == Component::ParentDir)
        || ours.into_iter().any(|taken| path == Path::new(taken))
        || path.starts_with(paths::KUBERNETES)
}

/// Everything of ours that this run needs.
pub(super) fn places(task: &TaskSpec, profile: &AgentProfile, settings: &Settings) -> Vec<Place> {
    let mut places = vec![
        read_only("runner", paths::RUNNER_DIRECTORY, empty("64Mi")),
        read_only("task", paths::TASK, prompt()),
    ];
    places.extend(profile.gateway.then(|| read_only("token", paths::TOKEN, token(task, profile, settings))));
    places.extend(
        task.cluster.as_deref().map(|secret| read_only("cluster", paths::CLUSTER, kubeconfig(secret))),
    );
    places.extend(task.agent.skills.iter().enumerate().map(|(number, skill)| files(number, skill)));
    places.extend(if profile.is_privileged() { docker() } else { scratch() });
    places
}

/// The runner's volume for the container that fills it.
pub(super) fn runner_to_write() -> VolumeMount {
    mount("runner", paths::RUNNER_DIRECTORY)
}

/// Where the prompt stands.
pub(super) fn prompt_file() -> String {
    format!("{}/{PROMPT}", paths::TASK)
}

/// Where the token for the gateway stands.
pub(super) fn token_file() -> String {
    format!("{}/{TOKEN}", paths::TOKEN)
}

/// Where the kubeconfig of another cluster stands.
pub(super) fn kubeconfig_file() -> String {
    format!("{}/{KUBECONFIG}", paths::CLUSTER)
}

/// The root filesystem is read-only, so this is all that an agent can write to.
fn scratch() -> Vec<Place> {
    vec![
        writable("workspace", paths::WORKSPACE, empty("8Gi")),
        writable("home", paths::HOME, empty("4Gi")),
        writable("tmp", paths::TMP, empty("4Gi")),
    ]
}

/// What the first OpenHands had.
fn docker() -> Vec<Place> {
    let socket = HostPathVolumeSource { path: paths::DOCKER_SOCKET.to_owned(), type_: None };
    let socket = Volume { host_path: Some(socket), ..Volume::default() };
    vec![
        writable("docker-sock", paths::DOCKER_SOCKET, socket),
        writable("openhands-state", paths::OPENHANDS_STATE, empty("4Gi")),
    ]
}

fn empty(limit: &str) -> Volume {
    let empty = EmptyDirVolumeSource { size_limit: Some(Quantity(limit.to_owned())), medium: None };
    Volume { empty_dir: Some(empty), ..Volume::default() }
}

fn prompt() -> Volume {
    let prompt = DownwardAPIVolumeFile {
        path: PROMPT.to_owned(),
        field_ref: Some(ObjectFieldSelector {
            api_version: None,
            field_path: format!("metadata.annotations['{}']", names::ANNOTATION_PROMPT),
        }),
        ..DownwardAPIVolumeFile::default()
    };
    let files = DownwardAPIVolumeSource { items: Some(vec![prompt]), default_mode: None };
    Volume { downward_api: Some(files), ..Volume::default() }
}

/// A token that is worth something at the gateway alone, for as long as the attempt may take.
fn token(task: &TaskSpec, profile: &AgentProfile, settings: &Settings) -> Volume {
    let attempt = settings.pod_start_timeout_seconds + profile.timeout_of(task) + GRACE_SECONDS;
    let token = ServiceAccountTokenProjection {
        audience: Some(names::AUDIENCE_GATEWAY.to_owned()),
        expiration_seconds: Some((attempt + TOKEN_SLACK_SECONDS).max(SHORTEST_TOKEN_SECONDS)),
        path: TOKEN.to_owned(),
    };
    let source = VolumeProjection { service_account_token: Some(token), ..VolumeProjection::default() };
    let sources = ProjectedVolumeSource { sources: Some(vec![source]), default_mode: None };
    Volume { projected: Some(sources), ..Volume::default() }
}

fn kubeconfig(secret: &str) -> Volume {
    let key = KeyToPath { key: KUBECONFIG.to_owned(), path: KUBECONFIG.to_owned(), mode: None };
    let secret = SecretVolumeSource {
        secret_name: Some(secret.to_owned()),
        items: Some(vec![key]),
        default_mode: Some(CREDENTIAL_MODE),
        optional: None,
    };
    Volume { secret: Some(secret), ..Volume::default() }
}

/// The name of a ConfigMap can be longer than a volume's, so these are numbered.
fn files(number: usize, skill: &Skill) -> Place {
    let source = ConfigMapVolumeSource {
        name: skill.config_map.clone(),
        default_mode: Some(SCRIPT_MODE),
        ..ConfigMapVolumeSource::default()
    };
    let volume = Volume { config_map: Some(source), ..Volume::default() };
    read_only(&format!("{SKILL_VOLUME}{number}"), &format!("{}/{}", paths::SKILLS, skill.config_map), volume)
}

fn writable(name: &str, path: &str, volume: Volume) -> Place {
    Place { volume: Volume { name: name.to_owned(), ..volume }, mount: mount(name, path) }
}

fn read_only(name: &str, path: &str, volume: Volume) -> Place {
    let place = writable(name, path, volume);
    Place { mount: VolumeMount { read_only: Some(true), ..place.mount }, ..place }
}

fn mount(name: &str, path: &str) -> VolumeMount {
    VolumeMount { name: name.to_owned(), mount_path: path.to_owned(), ..VolumeMount::default() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_ours_cannot_be_taken() {
        let rows = [
            ("/", true),
            ("/punching-fist", true),
            ("/punching-fist/", true),
            ("/punching-fist-skills/more", true),
            ("/punching-fist-new", true),
            ("/cache/../punching-fist", true),
            ("/tmp/", true),
            ("//tmp", true),
            ("/home/agent", true),
            ("/workspace", true),
            ("/var/run/docker.sock", true),
            ("/var/run/secrets/kubernetes.io/serviceaccount", true),
            ("/workspace/cache", false),
            ("/var/run/secrets/mine", false),
            ("/etc/ssl/ours", false),
        ];
        for (path, expected) in rows {
            assert_eq!(is_reserved_path(path), expected, "{path}");
        }
        for (name, expected) in [("tmp", true), ("token", true), ("skill-3", true), ("cache", false)] {
            assert_eq!(is_reserved_volume(name), expected, "{name}");
        }
    }
}
