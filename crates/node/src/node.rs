//! The node as a whole: its configuration, its start and its end.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::net::SocketAddr;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use kube::Client;
use tokio::task::JoinHandle;
use tokio::time::Instant;

use crate::calls::CallError;
use crate::context::Context;
use crate::events::Events;
use crate::images::Images;
use crate::logs::Logs;
use crate::pods::Pods;
use crate::process::Nursery;
use crate::registration::{self, Registration};
use crate::sandbox::{Sandbox, StartError};
use crate::server::{self, Identity, TlsError};
use crate::stop::Stopper;

/// How long pods may take to end with the node.
const STOP_LIMIT: Duration = Duration::from_secs(8);

/// What a node is made of.
#[derive(Clone)]
pub struct NodeConfig {
    /// The Node's name.
    pub name: String,
    /// With the rights of an administrator.
    pub client: Client,
    /// What containers get as `KUBERNETES_SERVICE_HOST` and `_PORT`.
    pub api_server: SocketAddr,
    /// From an image, exactly as pods name it, to a directory that is put first on `PATH`.
    ///
    /// Of the host's hidden directories a container sees what the programs in it need: where their symbolic links and
    /// `#!` lines lead, and the Python installation or virtual environment around an interpreter.
    pub images: BTreeMap<String, PathBuf>,
    /// Where volumes and logs are kept. Nobody else may use it.
    pub directory: PathBuf,
    /// What else of the host no container sees: where keys and kubeconfigs lie. Home directories are hidden anyway.
    pub hidden: Vec<PathBuf>,
    /// What the API server is shown when it asks for logs.
    pub serving_certificate_pem: String,
    /// The certificate's key.
    pub serving_key_pem: String,
    /// Whose clients may ask for logs.
    pub client_ca_pem: String,
    /// The first wait before a container that crashed again, or an image that is missing, is tried again. It doubles up
    /// to five minutes. A kubelet's is 10 s.
    pub crash_backoff: Duration,
}

/// Why a node can't start.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Its directory.
    #[error("can't use {} for the node's data: {source}", path.display())]
    Directory {
        /// Which one.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// This host does not let it make namespaces and mounts.
    #[error(
        "can't run containers on this host: {0} (needed: root or unprivileged user namespaces, overlayfs, and util-linux \
         2.38 or newer)"
    )]
    Sandbox(#[from] StartError),
    /// The kubelet API.
    #[error("can't serve logs: {0}")]
    Serve(#[from] TlsError),
    /// The API server.
    #[error("can't register node {name}: {source}")]
    Register {
        /// The node's name.
        name: String,
        /// Why.
        source: CallError,
    },
}

/// A node that runs.
pub struct Node {
    name: String,
    client: Client,
    stopper: Stopper,
    pods: JoinHandle<()>,
    others: Vec<JoinHandle<()>>,
}

impl Node {
    /// Starts a node whose containers come from `nursery`, and waits until it is registered.
    ///
    /// # Errors
    /// See [`Error`].
    pub async fn start(config: NodeConfig, nursery: Nursery) -> Result<Self, Error> {
        let directory = prepare(&config.directory)
            .map_err(|source| Error::Directory { path: config.directory.clone(), source })?;
        let sandbox = Sandbox::new(nursery, &directory, &config.hidden)
            .map_err(|source| Error::Directory { path: directory.clone(), source })?;
        sandbox.probe().await?;
        let logs = Arc::new(Logs::default());
        let identity = Identity {
            certificate: config.serving_certificate_pem,
            key: config.serving_key_pem,
            client_authority: config.client_ca_pem,
        };
        let (address, serving) = server::start(&identity, Arc::clone(&logs)).await?;
        let allocatable = registration::allocatable();
        let (client, name) = (config.client.clone(), config.name.clone());
        let mut registration =
            Registration::new(client.clone(), name.clone(), address.port(), allocatable.clone());
        registration.register().await.map_err(|source| Error::Register { name: name.clone(), source })?;
        let context = Arc::new(Context {
            events: Events::start(&client, &name),
            client: client.clone(),
            node: name.clone(),
            api_server: config.api_server,
            directory,
            images: Images::new(config.images),
            sandbox,
            logs,
            allocatable,
            crash_backoff: config.crash_backoff,
        });
        let stopper = Stopper::new();
        let pods = tokio::spawn(Pods::new(context, registration::labels(&name)).run(stopper.order()));
        Ok(Self { name, client, stopper, pods, others: vec![serving, tokio::spawn(registration.keep())] })
    }

    /// Ends all pods, and takes the Node away.
    pub async fn stop(mut self) {
        self.stopper.stop(Instant::now() + STOP_LIMIT);
        if let Err(error) = (&mut self.pods).await {
            tracing::warn!(%error, "the node's pods ended in disorder");
        }
        self.others.iter().for_each(JoinHandle::abort);
        registration::unregister(self.client.clone(), &self.name).await;
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        self.pods.abort();
        self.others.iter().for_each(JoinHandle::abort);
    }
}

/// The node's directory, which holds other people's secrets.
fn prepare(directory: &Path) -> io::Result<PathBuf> {
    fs::create_dir_all(directory.join("pods"))?;
    fs::set_permissions(directory, fs::Permissions::from_mode(0o700))?;
    directory.canonicalize()
}
