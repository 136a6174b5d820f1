//! Which pods the node takes when there is no scheduler, and what keeps it from taking one. The decision is pure.

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::{Binding, Container, Pod, PodCondition};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{ObjectMeta, Time};
use k8s_openapi::jiff::Timestamp;
use kube::api::{Patch, PatchParams, PostParams};
use kube::{Api, Client, ResourceExt as _};
use serde_json::{Value, json};

use crate::calls::{self, CallError};
use crate::fields::Allocatable;
use crate::quantity;

/// What becomes of a pod.
#[derive(Debug, PartialEq, Eq)]
pub enum Decision {
    /// It is this node's.
    Run,
    /// Nobody's yet: this node takes it.
    Bind,
    /// It can't run here; the message is a scheduler's.
    Unschedulable(String),
    /// It is not for this node to say.
    Leave,
}

/// What becomes of `pod` on the node `name` with `labels`.
pub fn decide(pod: &Pod, name: &str, labels: &BTreeMap<String, String>, node: &Allocatable) -> Decision {
    let Some(spec) = &pod.spec else { return Decision::Leave };
    if let Some(bound) = spec.node_name.as_deref().filter(|bound| !bound.is_empty()) {
        return if bound == name { Decision::Run } else { Decision::Leave };
    }
    let gated = spec.scheduling_gates.as_ref().is_some_and(|gates| !gates.is_empty());
    let ours = spec.scheduler_name.as_deref().is_none_or(|name| name == "default-scheduler");
    if gated || !ours || pod.metadata.deletion_timestamp.is_some() {
        return Decision::Leave;
    }
    let selected = spec.node_selector.iter().flatten().all(|(key, value)| labels.get(key) == Some(value));
    let lacking = lacking(&spec.containers, node);
    let trouble =
        if selected { lacking } else { Some("1 node(s) didn't match Pod's node affinity/selector".into()) };
    trouble.map_or(Decision::Bind, |why| Decision::Unschedulable(format!("0/1 nodes are available: {why}.")))
}

/// What the containers ask for in all and the node does not have.
fn lacking(containers: &[Container], node: &Allocatable) -> Option<String> {
    let available = [("cpu", &node.cpu), ("memory", &node.memory)];
    let (resource, _) = available.into_iter().find(|(resource, available)| {
        let requests =
            containers.iter().filter_map(|c| c.resources.as_ref()?.requests.as_ref()?.get(*resource));
        let sum: i128 = requests.filter_map(|request| quantity::thousandths(&request.0)).sum();
        quantity::thousandths(available).is_some_and(|available| sum > available)
    })?;
    Some(format!("1 Insufficient {resource}"))
}

/// Binds a pod to the node.
///
/// # Errors
/// The API server refuses, or does not answer.
pub async fn bind(client: &Client, pod: &Pod, node: &str) -> Result<(), CallError> {
    let name = pod.name_any();
    let metadata =
        ObjectMeta { name: Some(name.clone()), uid: pod.metadata.uid.clone(), ..ObjectMeta::default() };
    let mut binding = Binding { metadata, ..Binding::default() };
    binding.target.kind = Some("Node".to_owned());
    binding.target.name = Some(node.to_owned());
    let api: Api<Pod> = Api::namespaced(client.clone(), &pod.namespace().unwrap_or_default());
    let parameters = PostParams::default();
    let call = api.create_subresource::<_, Value>("binding", &name, &parameters, &binding);
    calls::bounded(call).await.map(drop)
}

/// Whether the pod's status says so already.
pub fn is_marked(pod: &Pod, why: &str) -> bool {
    let conditions = pod.status.as_ref().and_then(|status| status.conditions.as_ref());
    conditions.into_iter().flatten().any(|c| c.type_ == "PodScheduled" && c.message.as_deref() == Some(why))
}

/// Says in the pod's status why it does not run.
///
/// # Errors
/// The API server refuses, or does not answer.
pub async fn mark(client: &Client, pod: &Pod, why: &str) -> Result<(), CallError> {
    let condition = PodCondition {
        type_: "PodScheduled".to_owned(),
        status: "False".to_owned(),
        reason: Some("Unschedulable".to_owned()),
        message: Some(why.to_owned()),
        last_transition_time: Some(Time(Timestamp::now())),
        ..PodCondition::default()
    };
    let patch = json!({"metadata": {"uid": pod.metadata.uid}, "status": {"conditions": [condition]}});
    let api: Api<Pod> = Api::namespaced(client.clone(), &pod.namespace().unwrap_or_default());
    let parameters = PatchParams::default();
    calls::bounded(api.patch_status(&pod.name_any(), &parameters, &Patch::Strategic(patch))).await.map(drop)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_can_run_here_is_taken() {
        let labels = BTreeMap::from([("kubernetes.io/os".to_owned(), "linux".to_owned())]);
        let node = Allocatable { cpu: "4".to_owned(), memory: "8Gi".to_owned() };
        let unschedulable = |why: &str| Decision::Unschedulable(format!("0/1 nodes are available: {why}."));
        let requesting = |amount: &str| {
            let container = json!({"name": "c", "resources": {"requests": {"cpu": amount}}});
            json!({"containers": [container, container]})
        };
        for (spec, want) in [
            (json!({"containers": []}), Decision::Bind),
            (json!({"containers": [], "nodeName": "dev"}), Decision::Run),
            (json!({"containers": [], "nodeName": "other"}), Decision::Leave),
            (json!({"containers": [], "schedulingGates": [{"name": "x"}]}), Decision::Leave),
            (json!({"containers": [], "schedulerName": "mine"}), Decision::Leave),
            (json!({"containers": [], "nodeSelector": {"kubernetes.io/os": "linux"}}), Decision::Bind),
            (
                json!({"containers": [], "nodeSelector": {"disk": "ssd"}}),
                unschedulable("1 node(s) didn't match Pod's node affinity/selector"),
            ),
            (requesting("2"), Decision::Bind),
            (requesting("2500m"), unschedulable("1 Insufficient cpu")),
        ] {
            let pod: Pod = serde_json::from_value(json!({"spec": spec})).unwrap();
            assert_eq!(decide(&pod, "dev", &labels, &node), want, "{spec}");
        }
    }
}
