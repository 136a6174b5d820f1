//! The one client for the API server: where it is, how long a call may take, what is counted.

use std::time::Duration;

use kube::client::ClientBuilder;
use kube::{Client, Config};

use crate::metrics::{Metrics, MetricsLayer};

/// How long the connection may take.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// How long sending a request may take.
const WRITE_TIMEOUT: Duration = Duration::from_secs(15);
/// How long a connection may say nothing. Calls have shorter deadlines of their own; this is for a watch whose answer
/// never begins, which kube would wait for without end. A watch that works is ended by the API server after 290 s, as
/// kube asks for.
const READ_TIMEOUT: Duration = Duration::from_secs(330);

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
    config.read_timeout = Some(READ_TIMEOUT);
    Ok(ClientBuilder::try_from(config)?.with_layer(&MetricsLayer(metrics)).build())
}
