//! The node's own objects: the Node, which says that it is ready, and the Lease, which says that it is alive.

use std::collections::BTreeMap;
use std::time::Duration;

use k8s_openapi::api::coordination::v1::{Lease, LeaseSpec};
use k8s_openapi::api::core::v1::{
    DaemonEndpoint, Node, NodeAddress, NodeCondition, NodeDaemonEndpoints, NodeStatus, NodeSystemInfo,
};
use k8s_openapi::apimachinery::pkg::api::resource::Quantity;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{MicroTime, ObjectMeta, OwnerReference, Time};
use k8s_openapi::jiff::Timestamp;
use kube::api::{DeleteParams, Patch, PatchParams, PostParams};
use kube::{Api, Client};
use serde_json::json;

use crate::calls::{self, CallError};
use crate::fields::{ADDRESS, Allocatable};

/// How often the Lease is renewed, and for how long it is good: a kubelet's numbers.
const RENEWAL: Duration = Duration::from_secs(10);
const LEASE_SECONDS: i32 = 40;

/// How many renewals lie between two reports of the node's status.
const RENEWALS_PER_STATUS: u32 = 30;

/// Where the Leases of nodes are.
const LEASES: &str = "kube-node-lease";

/// How many pods a node may have: no limit that a test meets.
const PODS: &str = "1000";

/// Keeps the node's objects.
pub struct Registration {
    client: Client,
    name: String,
    port: u16,
    allocatable: Allocatable,
    uid: Option<String>,
}

impl Registration {
    /// For the node `name`, whose kubelet API is on `port`.
    pub fn new(client: Client, name: String, port: u16, allocatable: Allocatable) -> Self {
        Self { client, name, port, allocatable, uid: None }
    }

    /// Makes the Node, or takes over one of this name.
    ///
    /// # Errors
    /// The API server refuses, or does not answer.
    pub async fn register(&mut self) -> Result<(), CallError> {
        let api: Api<Node> = Api::all(self.client.clone());
        let metadata = ObjectMeta {
            name: Some(self.name.clone()),
            labels: Some(labels(&self.name)),
            ..ObjectMeta::default()
        };
        let node = Node { metadata, status: Some(self.status()), ..Node::default() };
        let made = match calls::bounded(api.create(&PostParams::default(), &node)).await {
            Err(CallError::Kube(kube::Error::Api(status))) if status.is_already_exists() => {
                self.report().await?
            }
            made => made?,
        };
        self.uid = made.metadata.uid;
        Ok(())
    }

    /// Says again that the node is ready.
    async fn report(&self) -> Result<Node, CallError> {
        let api: Api<Node> = Api::all(self.client.clone());
        let patch = json!({"status": self.status()});
        let parameters = PatchParams::default();
        calls::bounded(api.patch_status(&self.name, &parameters, &Patch::Strategic(patch))).await
    }

    /// Renews the Lease, and registers anew should somebody have deleted the Node. Never ends.
    pub async fn keep(mut self) {
        let mut ticks = tokio::time::interval(RENEWAL);
        ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        for count in 1_u32.. {
            ticks.tick().await;
            if let Err(error) = self.renew().await {
                tracing::warn!(%error, "can't renew the node's lease");
            }
            if count % RENEWALS_PER_STATUS == 0 {
                self.report_or_register().await;
            }
        }
    }

    async fn report_or_register(&mut self) {
        let result = match self.report().await {
            Err(error) if error.is_gone() => self.register().await,
            result => result.map(drop),
        };
        if let Err(error) = result {
            tracing::warn!(%error, "can't report the node's status");
        }
    }

    async fn renew(&self) -> Result<(), CallError> {
        let api: Api<Lease> = Api::namespaced(self.client.clone(), LEASES);
        let lease = self.lease();
        let patch = Patch::Merge(&lease);
        match calls::bounded(api.patch(&self.name, &PatchParams::default(), &patch)).await {
            Err(error) if error.is_gone() => {
                calls::bounded(api.create(&PostParams::default(), &lease)).await.map(drop)
            }
            result => result.map(drop),
        }
    }

    fn lease(&self) -> Lease {
        let owner = self.uid.clone().map(|uid| OwnerReference {
            api_version: "v1".to_owned(),
            kind: "Node".to_owned(),
            name: self.name.clone(),
            uid,
            ..OwnerReference::default()
        });
        Lease {
            metadata: ObjectMeta {
                name: Some(self.name.clone()),
                namespace: Some(LEASES.to_owned()),
                owner_references: owner.map(|owner| vec![owner]),
                ..ObjectMeta::default()
            },
            spec: Some(LeaseSpec {
                holder_identity: Some(self.name.clone()),
                lease_duration_seconds: Some(LEASE_SECONDS),
                renew_time: Some(MicroTime(Timestamp::now())),
                ..LeaseSpec::default()
            }),
        }
    }

    fn status(&self) -> NodeStatus {
        let size = BTreeMap::from([
            ("cpu".to_owned(), Quantity(self.allocatable.cpu.clone())),
            ("memory".to_owned(), Quantity(self.allocatable.memory.clone())),
            ("pods".to_owned(), Quantity(PODS.to_owned())),
        ]);
        let address =
            |type_: &str, address: &str| NodeAddress { type_: type_.to_owned(), address: address.to_owned() };
        NodeStatus {
            addresses: Some(vec![address("InternalIP", ADDRESS), address("Hostname", &self.name)]),
            allocatable: Some(size.clone()),
            capacity: Some(size),
            conditions: Some(conditions(Timestamp::now())),
            daemon_endpoints: Some(NodeDaemonEndpoints {
                kubelet_endpoint: Some(DaemonEndpoint { port: self.port.into() }),
            }),
            node_info: Some(system_info()),
            ..NodeStatus::default()
        }
    }
}

/// Takes the node's objects away.
pub async fn unregister(client: Client, name: &str) {
    let nodes: Api<Node> = Api::all(client.clone());
    let leases: Api<Lease> = Api::namespaced(client, LEASES);
    for result in [
        calls::bounded(nodes.delete(name, &DeleteParams::default())).await.map(drop),
        calls::bounded(leases.delete(name, &DeleteParams::default())).await.map(drop),
    ] {
        if let Err(error) = result {
            tracing::debug!(%error, "can't take the node's objects away");
        }
    }
}

/// The labels that every kubelet gives its node.
pub fn labels(name: &str) -> BTreeMap<String, String> {
    let architecture = architecture();
    [
        ("kubernetes.io/hostname", name),
        ("kubernetes.io/os", "linux"),
        ("kubernetes.io/arch", architecture),
        ("beta.kubernetes.io/os", "linux"),
        ("beta.kubernetes.io/arch", architecture),
    ]
    .map(|(key, value)| (key.to_owned(), value.to_owned()))
    .into()
}

/// Go's name of the processor.
fn architecture() -> &'static str {
    match std::env::consts::ARCH {
        "x86_64" => "amd64",
        "aarch64" => "arm64",
        other => other,
    }
}

/// What this host has.
pub fn allocatable() -> Allocatable {
    let cpu = std::thread::available_parallelism().map_or(1, usize::from).to_string();
    let information = std::fs::read_to_string("/proc/meminfo").unwrap_or_default();
    let line = information.lines().find_map(|line| line.strip_prefix("MemTotal:"));
    let kibibytes = line.and_then(|rest| rest.split_whitespace().next()).unwrap_or("1048576");
    Allocatable { cpu, memory: format!("{kibibytes}Ki") }
}

fn conditions(now: Timestamp) -> Vec<NodeCondition> {
    [
        ("MemoryPressure", "False", "KubeletHasSufficientMemory"),
        ("DiskPressure", "False", "KubeletHasNoDiskPressure"),
        ("PIDPressure", "False", "KubeletHasSufficientPID"),
        ("Ready", "True", "KubeletReady"),
    ]
    .map(|(type_, status, reason)| NodeCondition {
        type_: type_.to_owned(),
        status: status.to_owned(),
        reason: Some(reason.to_owned()),
        last_heartbeat_time: Some(Time(now)),
        last_transition_time: Some(Time(now)),
        ..NodeCondition::default()
    })
    .into()
}

fn system_info() -> NodeSystemInfo {
    let read = |path: &str| std::fs::read_to_string(path).unwrap_or_default().trim().to_owned();
    NodeSystemInfo {
        architecture: architecture().to_owned(),
        boot_id: read("/proc/sys/kernel/random/boot_id"),
        container_runtime_version: format!("process://{}", env!("CARGO_PKG_VERSION")),
        kernel_version: read("/proc/sys/kernel/osrelease"),
        kubelet_version: format!("v{}+punching-fist", env!("CARGO_PKG_VERSION")),
        machine_id: read("/etc/machine-id"),
        operating_system: "linux".to_owned(),
        os_image: "this host".to_owned(),
        ..NodeSystemInfo::default()
    }
}
