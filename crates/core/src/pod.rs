//! The agent's pod: what the restricted Pod Security profile admits, the runner as its first process. (The one exception
//! is `runtime: docker`, a privileged pod that only an operator's configuration can ask for.)

mod environment;
mod resources;
mod security;
mod volumes;

use k8s_openapi::api::core::v1::{Container, LocalObjectReference, PodSpec};
use punching_fist_api::{TaskSpec, names};
use punching_fist_protocol::pod::{self, paths};

use crate::job::GRACE_SECONDS;
use crate::profile::{AgentProfile, PullPolicy, Settings};

pub use environment::{PRICE_VARIABLES, is_reserved_variable};
pub use volumes::{is_reserved_path, is_reserved_volume};

/// The pod of one attempt.
pub fn spec(task: &TaskSpec, profile: &AgentProfile, settings: &Settings) -> PodSpec {
    let places = volumes::places(task, profile, settings);
    let mounts = places.iter().map(|place| place.mount.clone()).chain(profile.volume_mounts.iter().cloned());
    let agent = Container { volume_mounts: Some(mounts.collect()), ..agent(task, profile, settings) };
    let volumes = places.into_iter().map(|place| place.volume).chain(profile.volumes.iter().cloned());
    PodSpec {
        init_containers: Some(vec![place_runner(settings)]),
        containers: vec![agent],
        volumes: Some(volumes.collect()),
        image_pull_secrets: listed(&profile.image_pull_secrets, |name| LocalObjectReference {
            name: name.clone(),
        }),
        // `OnFailure` would hide each attempt's pod, and the API server refuses it beside a podFailurePolicy.
        restart_policy: Some("Never".to_owned()),
        service_account_name: Some(profile.service_account_of(task).to_owned()),
        automount_service_account_token: gets_no_token(task, profile).then_some(false),
        termination_grace_period_seconds: Some(GRACE_SECONDS),
        enable_service_links: Some(false),
        security_context: security::of_pod(profile),
        runtime_class_name: profile.runtime_class_name.clone(),
        priority_class_name: profile.priority_class_name.clone(),
        node_selector: (!profile.node_selector.is_empty()).then(|| profile.node_selector.clone()),
        tolerations: listed(&profile.tolerations, Clone::clone),
        ..PodSpec::default()
    }
}

/// An agent that works on another cluster has nothing to do with the rights that it would have on this one.
fn gets_no_token(task: &TaskSpec, profile: &AgentProfile) -> bool {
    !profile.cluster_access || task.cluster.is_some()
}

/// The agent's image knows nothing of us, so the runner comes from ours.
fn place_runner(settings: &Settings) -> Container {
    Container {
        name: names::RUNNER_CONTAINER.to_owned(),
        image: Some(settings.runner_image.clone()),
        command: Some(words(&[pod::RUNNER, pod::PLACE, paths::RUNNER])),
        volume_mounts: Some(vec![volumes::runner_to_write()]),
        resources: Some(resources::of_placing()),
        security_context: Some(security::restricted()),
        ..Container::default()
    }
}

fn agent(task: &TaskSpec, profile: &AgentProfile, settings: &Settings) -> Container {
    let privileged = profile.is_privileged();
    Container {
        name: names::AGENT_CONTAINER.to_owned(),
        image: Some(task.agent.image.as_ref().unwrap_or(&profile.image).clone()),
        image_pull_policy: profile.image_pull_policy.map(PullPolicy::as_str).map(str::to_owned),
        command: Some(words(&[paths::RUNNER, pod::RUN])),
        // The first OpenHands works in the directory of its own image.
        working_dir: (!privileged).then(|| paths::WORKSPACE.to_owned()),
        env: Some(environment::of(task, profile, settings)),
        resources: Some(resources::of_agent(task, profile)),
        security_context: Some(if privileged { security::privileged() } else { security::restricted() }),
        ..Container::default()
    }
}

fn words(words: &[&str]) -> Vec<String> {
    words.iter().map(|word| (*word).to_owned()).collect()
}

/// An empty list is left out, as the API server leaves it out.
fn listed<A, B>(from: &[A], to: impl Fn(&A) -> B) -> Option<Vec<B>> {
    (!from.is_empty()).then(|| from.iter().map(to).collect())
}
