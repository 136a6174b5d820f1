//! What the pod's containers may take of their node: CPU, memory, and the node's own disk.

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::ResourceRequirements;
use k8s_openapi::apimachinery::pkg::api::resource::Quantity;
use punching_fist_api::{Resources, TaskSpec};

use crate::profile::{self, AgentProfile, DISK, MEMORY, amounts};

type Amounts = BTreeMap<String, punching_fist_api::Quantity>;

/// What has a limit even if nobody speaks of it: who fills these takes the node's other pods with it.
const BOUNDED: [&str; 2] = [MEMORY, DISK];

/// What the agent's container gets: the task's wish, or the profile's. Of what is bounded and not spoken of it gets the
/// profile's share, or the default.
pub(super) fn of_agent(task: &TaskSpec, profile: &AgentProfile) -> ResourceRequirements {
    let mut resources = task.resources.as_ref().unwrap_or(&profile.resources).clone();
    let default = profile::default_resources();
    for name in BOUNDED {
        if !speaks_of(&resources, name) {
            let source = if speaks_of(&profile.resources, name) { &profile.resources } else { &default };
            take(&source.limits, &mut resources.limits, name);
            take(&source.requests, &mut resources.requests, name);
        }
    }
    requirements(&resources)
}

fn speaks_of(resources: &Resources, name: &str) -> bool {
    resources.limits.contains_key(name) || resources.requests.contains_key(name)
}

fn take(source: &Amounts, to: &mut Amounts, name: &str) {
    to.extend(source.get_key_value(name).map(|(name, amount)| (name.clone(), amount.clone())));
}

/// What copying one file takes; a quota may ask for figures on every container.
pub(super) fn of_placing() -> ResourceRequirements {
    requirements(&Resources {
        requests: amounts(&[("cpu", "10m"), (MEMORY, "16Mi"), (DISK, "64Mi")]),
        limits: amounts(&[("cpu", "100m"), (MEMORY, "64Mi"), (DISK, "128Mi")]),
    })
}

fn requirements(resources: &Resources) -> ResourceRequirements {
    let amounts = |map: &Amounts| {
        (!map.is_empty())
            .then(|| map.iter().map(|(name, amount)| (name.clone(), Quantity(amount.0.clone()))).collect())
    };
    ResourceRequirements {
        limits: amounts(&resources.limits),
        requests: amounts(&resources.requests),
        ..ResourceRequirements::default()
    }
}
