//! What the pod's containers may take of their node: CPU, memory, and the node's own disk.

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::ResourceRequirements;
use k8s_openapi::apimachinery::pkg::api::resource::Quantity;
use punching_fist_api::{Resources, TaskSpec};

use crate::profile::{AgentProfile, DISK, DISK_LIMIT, DISK_REQUEST, amounts};

/// What the agent's container gets: the task's wish, or the profile's. One that says nothing of the node's disk gets the
/// default of that too: what fills a disk takes every pod of the node with it.
pub(super) fn of_agent(task: &TaskSpec, profile: &AgentProfile) -> ResourceRequirements {
    let mut resources = task.resources.as_ref().unwrap_or(&profile.resources).clone();
    if !resources.limits.contains_key(DISK) && !resources.requests.contains_key(DISK) {
        resources.limits.extend(amounts(&[(DISK, DISK_LIMIT)]));
        resources.requests.extend(amounts(&[(DISK, DISK_REQUEST)]));
    }
    requirements(&resources)
}

/// What copying one file takes; a quota may ask for figures on every container.
pub(super) fn of_placing() -> ResourceRequirements {
    requirements(&Resources {
        requests: amounts(&[("cpu", "10m"), ("memory", "16Mi"), (DISK, "64Mi")]),
        limits: amounts(&[("cpu", "100m"), ("memory", "64Mi"), (DISK, "128Mi")]),
    })
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
