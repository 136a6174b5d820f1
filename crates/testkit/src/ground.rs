//! The ground: a cluster with our kinds, our rights, namespaces prepared for agents and a node, on which operators and
//! an Alertmanager are started one by one. The demo, `cargo xtask cluster` and the end-to-end tests stand on it.

mod builder;
mod node;

use std::io;
use std::path::{Path, PathBuf};

use kube::Client;
use punching_fist_api::crds;
use punching_fist_node::Node;
use punching_fist_node::process::Nursery;
use serde_json::Value;
use tempfile::TempDir;

use crate::alertmanager::{self, Alertmanager};
use crate::cluster::Cluster;
use crate::operator::{self, Operator, Place};
use crate::repository::Programs;
use crate::{Cache, Error, images, manifests, namespaces, repository, toolchain};
pub use builder::Builder;
pub use node::is_ready;

/// Kinds of `deploy/` that only make sense where the operator is a pod.
const OF_PODS: [&str; 2] = ["Deployment", "Service"];

/// The ground.
pub struct Ground {
    node: Option<Node>,
    cluster: Cluster,
    nursery: Nursery,
    cache: Cache,
    programs: Programs,
    model_key: Option<String>,
    kubeconfig: PathBuf,
    directory: PathBuf,
    // The last field, and so removed when nothing writes into it any more.
    _temporary: Option<TempDir>,
}

impl Ground {
    /// A ground with a node and without the agent's image.
    pub fn builder() -> Builder {
        Builder::default()
    }

    /// A client with all rights.
    pub fn client(&self) -> Client {
        self.cluster.client()
    }

    /// The cluster that it stands on.
    pub fn cluster(&self) -> &Cluster {
        &self.cluster
    }

    /// A file with a kubeconfig that has all rights.
    pub fn kubeconfig(&self) -> &Path {
        &self.kubeconfig
    }

    /// kubectl, of the same version as the API server.
    pub fn kubectl(&self) -> PathBuf {
        self.cluster.kubectl()
    }

    /// The operator's program, unless this ground was started without operators.
    pub fn operator_program(&self) -> Option<&Path> {
        self.programs.operator.as_deref()
    }

    /// The name of our node, if there is one: a cluster that was there already may have nodes of its own.
    pub fn node_name(&self) -> Option<&str> {
        self.node.as_ref().map(|_| node::NAME)
    }

    /// Where data, logs and configurations are.
    pub fn directory(&self) -> &Path {
        &self.directory
    }

    /// Makes a namespace that agents can work in.
    ///
    /// # Errors
    /// The API server refuses something.
    pub async fn prepare_namespace(&self, name: &str) -> Result<(), Error> {
        namespaces::prepare(&self.client(), name, self.model_key.as_deref()).await
    }

    /// Starts a replica of the operator and waits until it is ready.
    ///
    /// # Errors
    /// It can't be started, or is not ready in time.
    pub async fn operator(&self, settings: operator::Settings) -> Result<Operator, Error> {
        Operator::start(&self.operator_place(&settings).await?, settings).await
    }

    async fn operator_place(&self, settings: &operator::Settings) -> Result<Place<'_>, Error> {
        let program = self.programs.operator.clone().ok_or_else(|| Error::Spawn {
            name: settings.name.clone(),
            source: io::Error::other("this ground was started without operators"),
        })?;
        let kubeconfig = self.cluster.kubeconfig_for_token(&operator::token(&self.client()).await?)?;
        let dir = self.directory.join("operators").join(&settings.name);
        Ok(Place { nursery: &self.nursery, program, kubeconfig, dir })
    }

    /// Starts an Alertmanager, building it if need be.
    ///
    /// # Errors
    /// It can't be built or started.
    pub async fn alertmanager(&self, settings: &alertmanager::Settings) -> Result<Alertmanager, Error> {
        let binary = toolchain::alertmanager(&self.nursery, &self.cache).await?;
        Alertmanager::start(&self.nursery, &binary, &self.directory.join(&settings.name), settings).await
    }

    /// Puts the MCP server of `examples/skills` into the agent's image, as its Dockerfile does, installing it if need be.
    /// False: it would have to be installed, and npm isn't there.
    ///
    /// # Errors
    /// It can't be installed, or there is no such image.
    pub async fn add_kubernetes_mcp(&self) -> Result<bool, Error> {
        let Some(program) = toolchain::kubernetes_mcp(&self.nursery, &self.cache).await? else {
            return Ok(false);
        };
        images::add(&self.directory.join("images/punching-fist-agent"), &program, "kubernetes-mcp-server")?;
        Ok(true)
    }

    /// Ends the node and its pods, then the cluster if it is ours.
    ///
    /// # Errors
    /// The system can't tell how a process ended.
    pub async fn stop(self) -> Result<(), Error> {
        if let Some(node) = self.node {
            node.stop().await;
        }
        self.cluster.stop().await
    }

    /// Kinds, who may write what into them, namespaces and rights.
    async fn furnish(&self) -> Result<(), Error> {
        let client = self.client();
        manifests::apply_kinds(&client, &crds()).await?;
        manifests::apply(&client, &policies()?).await?;
        manifests::apply(&client, &deployed()?).await?;
        for name in namespaces::PREPARED {
            self.prepare_namespace(name).await?;
        }
        Ok(())
    }
}

/// The admission policies that go with the kinds.
fn policies() -> Result<Vec<Value>, Error> {
    manifests::read(&repository::root().join("crds/policies.yaml"))
}

/// What `deploy/` holds, less what runs the operator as a pod: here it is a process.
fn deployed() -> Result<Vec<Value>, Error> {
    let mut documents = manifests::read_directory(&repository::root().join("deploy"))?;
    documents.retain(|document| !OF_PODS.iter().any(|kind| document["kind"] == *kind));
    Ok(documents)
}
