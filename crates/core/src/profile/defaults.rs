//! What a profile says that says nothing.

use std::collections::BTreeMap;

use punching_fist_api::{KeySelector, Quantity, Resources, names};

/// The node's own disk, as a resource: emptyDirs, logs, and what is written into the container.
pub(crate) const DISK: &str = "ephemeral-storage";
/// Memory, as a resource.
pub(crate) const MEMORY: &str = "memory";

pub(super) fn yes() -> bool {
    true
}

pub(super) fn max_cost() -> String {
    "2.50".to_owned()
}

pub(super) fn timeout_seconds() -> i64 {
    1800
}

pub(super) fn max_output_tokens() -> u64 {
    32_000
}

/// The longest that is common today. More than a model takes only makes calls wait for each other.
pub(super) fn max_input_tokens() -> u64 {
    1_000_000
}

pub(super) fn remediate_service_account() -> String {
    names::SERVICE_ACCOUNT_REMEDIATE.to_owned()
}

/// No mesh puts a proxy beside the agent: the pod would not end when the agent does.
pub(super) fn pod_labels() -> BTreeMap<String, String> {
    [("kuma.io/sidecar-injection", "disabled"), ("sidecar.istio.io/inject", "false")].map(owned).into()
}

/// Neither a mesh's proxy nor an autoscaler that moves the pod for tidiness: each start costs money.
pub(super) fn pod_annotations() -> BTreeMap<String, String> {
    let annotations = [
        ("cluster-autoscaler.kubernetes.io/safe-to-evict", "false"),
        ("consul.hashicorp.com/connect-inject", "false"),
        ("karpenter.sh/do-not-disrupt", "true"),
        ("linkerd.io/inject", "disabled"),
        ("sidecar.istio.io/inject", "false"),
    ];
    annotations.map(owned).into()
}

fn owned((name, value): (&str, &str)) -> (String, String) {
    (name.to_owned(), value.to_owned())
}

pub(super) fn api_key() -> KeySelector {
    KeySelector { name: "openhands-secrets".to_owned(), key: "api-key".to_owned(), optional: None }
}

pub(super) fn max_iterations() -> i32 {
    100
}

pub(super) fn service_account() -> String {
    names::SERVICE_ACCOUNT.to_owned()
}

/// 500m and 1Gi with a limit of 2Gi: a small run of the agent was measured at 275 to 371 MiB and 9 to 12 CPU seconds for
/// its start alone, so 512Mi leaves nothing for the tools that it runs. An agent that takes more of the disk is evicted;
/// without a request of it the scheduler would set aside as much as the limit.
pub(crate) fn resources() -> Resources {
    Resources {
        requests: amounts(&[("cpu", "500m"), (MEMORY, "1Gi"), (DISK, "256Mi")]),
        limits: amounts(&[(MEMORY, "2Gi"), (DISK, "10Gi")]),
    }
}

/// Quantities by the names of their resources.
pub(crate) fn amounts(pairs: &[(&str, &str)]) -> BTreeMap<String, Quantity> {
    pairs.iter().map(|(name, amount)| ((*name).to_owned(), Quantity((*amount).to_owned()))).collect()
}

pub(super) fn max_concurrent() -> usize {
    5
}

pub(super) fn user() -> i64 {
    1000
}
