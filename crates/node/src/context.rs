//! What all pods of the node share.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use kube::Client;

use crate::environment::Variables;
use crate::events::Events;
use crate::fields::Allocatable;
use crate::images::Images;
use crate::logs::Logs;
use crate::sandbox::Sandbox;

/// What all pods of the node share.
pub struct Context {
    pub client: Client,
    pub node: String,
    pub api_server: SocketAddr,
    pub directory: PathBuf,
    pub images: Images,
    pub sandbox: Sandbox,
    pub logs: Arc<Logs>,
    pub events: Events,
    pub allocatable: Allocatable,
    pub crash_backoff: Duration,
}

impl Context {
    /// The variables that every container has: who it is, and where the API server is.
    pub fn variables(&self, hostname: &str) -> Variables {
        let (host, port) = (self.api_server.ip().to_string(), self.api_server.port().to_string());
        [
            ("HOSTNAME", hostname.to_owned()),
            ("KUBERNETES_SERVICE_HOST", host),
            ("KUBERNETES_SERVICE_PORT", port.clone()),
            ("KUBERNETES_SERVICE_PORT_HTTPS", port),
        ]
        .into_iter()
        .map(|(name, value)| (name.to_owned(), value))
        .collect()
    }
}
