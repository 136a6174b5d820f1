//! The one client for the API server: where it is, how long a call may take, what is counted.

use std::time::Duration;

use kube::client::ClientBuilder;
use kube::{Client, Config};

use crate::metrics::{Metrics, MetricsLayer};

/// How long the connection may take.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// How long sending a request may take. Reading has no limit here, as watches and logs last: every pass keeps a deadline
/// of its own.
const WRITE_TIMEOUT: Duration = Duration::from_secs(15);

/// There is no way to the API server.
#[derive(Debug, thiserror::Error)]
pub enum ClientError {
    /// Neither a kubeconfig nor a pod's ServiceAccount.
    #[error("no way to the Kubernetes API: {0}; set KUBECONFIG, or run in a pod with a ServiceAccount token")]
    NoConfig(#[from] kube::config::InferConfigError),
    /// The configuration is there and doesn't work.
    #[error(
        "the Kubernetes client can't be made: {0}; look at the kubeconfig's certificates and credentials"
    )]
    Unusable(#[from] kube::Error),
}

/// From the kubeconfig if there is one, else from the pod's ServiceAccount.
pub async fn connect(metrics: Metrics) -> Result<Client, ClientError> {
    let mut config = Config::infer().await?;
    config.connect_timeout = Some(CONNECT_TIMEOUT);
    config.write_timeout = Some(WRITE_TIMEOUT);
    Ok(ClientBuilder::try_from(config)?.with_layer(&MetricsLayer(metrics)).build())
}
