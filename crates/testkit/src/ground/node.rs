//! The node of the ground: always on a cluster of our own, and on an existing one only if that has none.

use std::path::Path;
use std::time::Duration;

use k8s_openapi::api::core::v1;
use kube::Api;
use kube::api::ListParams;
use punching_fist_node::process::Nursery;
use punching_fist_node::{Node, NodeConfig};

use crate::cluster::Cluster;
use crate::pki::{Authority, Pair};
use crate::{Error, images, wait};

/// What our node is called.
pub(super) const NAME: &str = "local";
/// How long a container waits that crashed twice, before it is started again: a kubelet's 10 s nobody wants to wait here.
const CRASH_BACKOFF: Duration = Duration::from_secs(2);

/// Starts the node where it is wanted, and waits until it is Ready.
pub(super) async fn start(
    nursery: &Nursery,
    cluster: &Cluster,
    images: images::Table,
    directory: &Path,
) -> Result<Option<Node>, Error> {
    let Some(api_server) = cluster.api_server() else {
        return Ok(None);
    };
    let nodes: Api<v1::Node> = Api::all(cluster.client());
    if !cluster.is_own() && has_any(&nodes).await? {
        return Ok(None);
    }
    let serving = certificate(cluster)?;
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
        crash_backoff: CRASH_BACKOFF,
    };
    let node = Node::start(config, nursery.clone()).await?;
    wait::until("the node is Ready", async || nodes.get(NAME).await.ok().filter(is_ready)).await?;
    Ok(Some(node))
}

async fn has_any(nodes: &Api<v1::Node>) -> Result<bool, Error> {
    let found = nodes.list(&ListParams::default()).await.map_err(Error::kube("listing nodes"))?;
    Ok(!found.items.is_empty())
}

/// What the node serves with. The API server of an existing cluster does not know our authority; it does not check a
/// node's unless it is told to.
fn certificate(cluster: &Cluster) -> Result<Pair, Error> {
    match cluster {
        Cluster::Own(control_plane) => control_plane.node_certificate(NAME),
        Cluster::Existing(_) => Authority::new()?.server(NAME, &["127.0.0.1"]),
    }
}

/// Whether its kubelet says that it can take pods.
pub fn is_ready(node: &v1::Node) -> bool {
    let conditions = node.status.as_ref().and_then(|status| status.conditions.as_ref());
    conditions.into_iter().flatten().any(|condition| condition.type_ == "Ready" && condition.status == "True")
}
