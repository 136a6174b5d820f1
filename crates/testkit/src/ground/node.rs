//! The node of the ground: always on a cluster of our own, and on an existing one only if that has none.

use std::path::Path;
use std::time::Duration;

use k8s_openapi::api::core::v1;
use kube::Api;
use kube::api::ListParams;
use punching_fist_node::process::Nursery;
use punching_fist_node::{Node, NodeConfig};

use crate::cluster::Cluster;
use crate::pki::Authority;
use crate::{Error, images, wait};

/// What our node is called.
pub(super) const NAME: &str = "local";
/// How long it may take to be Ready.
const READY_LIMIT: Duration = Duration::from_secs(30);

/// Starts the node where it is wanted, and waits until it is Ready.
pub(super) async fn start(
    nursery: &Nursery,
    cluster: &Cluster,
    images: images::Table,
    directory: &Path,
    crash_backoff: Duration,
) -> Result<Option<Node>, Error> {
    let Some(api_server) = cluster.api_server() else {
        return Ok(None);
    };
    let nodes: Api<v1::Node> = Api::all(cluster.client());
    if !cluster.is_own() {
        let found = nodes.list(&ListParams::default()).await.map_err(Error::kube("listing nodes"))?;
        if !found.items.is_empty() {
            return Ok(None);
        }
    }
    // The API server of an existing cluster does not know our authority; it does not check a node's unless it is told to.
    let serving = match cluster {
        Cluster::Own(control_plane) => control_plane.node_certificate(NAME)?,
        Cluster::Existing(_) => Authority::new()?.server(NAME, &["127.0.0.1"])?,
    };
    let config = NodeConfig {
        name: NAME.to_owned(),
        client: cluster.client(),
        api_server,
        images,
        directory: directory.join("node"),
        // The ground keeps keys and kubeconfigs beside the node.
        hidden: vec![directory.to_owned()],
        serving_certificate_pem: serving.certificate,
        serving_key_pem: serving.key,
        client_ca_pem: cluster.ca_certificate(),
        crash_backoff,
    };
    let node = Node::start(config, nursery.clone()).await?;
    wait::until("the node is Ready", READY_LIMIT, async || nodes.get(NAME).await.ok().filter(is_ready))
        .await?;
    Ok(Some(node))
}

/// Whether its kubelet says that it can take pods.
pub fn is_ready(node: &v1::Node) -> bool {
    let conditions = node.status.as_ref().and_then(|status| status.conditions.as_ref());
    conditions.into_iter().flatten().any(|condition| condition.type_ == "Ready" && condition.status == "True")
}
