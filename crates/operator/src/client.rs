//! The clients for the API server: where it is, how long a call may take, what is counted.

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
/// The same for calls about the Lease, where whoever waits for it sets no deadline: one call that an overloaded API server
/// doesn't answer would leave the Lease to nobody for minutes. As client-go has it, half of the time within which a leader
/// has to renew.
const LEASE_READ_TIMEOUT: Duration = Duration::from_secs(5);

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

/// The ways to the API server.
pub struct Clients {
    /// For all but the election of a leader.
    pub work: Client,
    /// For that.
    pub lease: Client,
}

/// From the kubeconfig if there is one, else from the pod's ServiceAccount.
pub async fn connect(metrics: &Metrics) -> Result<Clients, ClientError> {
    let config = Config::infer().await?;
    Ok(Clients {
        work: client(config.clone(), READ_TIMEOUT, metrics.clone())?,
        lease: client(config, LEASE_READ_TIMEOUT, metrics.clone())?,
    })
}

fn client(mut config: Config, read_timeout: Duration, metrics: Metrics) -> Result<Client, ClientError> {
    config.connect_timeout = Some(CONNECT_TIMEOUT);
    config.write_timeout = Some(WRITE_TIMEOUT);
    config.read_timeout = Some(read_timeout);
    Ok(ClientBuilder::try_from(config)?.with_layer(&MetricsLayer(metrics)).build())
}

#[cfg(test)]
mod tests {
    use k8s_openapi::api::coordination::v1::Lease;
    use kube::Api;
    use prometheus::Registry;
    use tokio::net::TcpListener;
    use tokio::time::timeout;

    use super::*;

    /// Within which a leader has to renew, as `k8s-controller` has it.
    const RENEW_DEADLINE: Duration = Duration::from_secs(10);

    #[tokio::test]
    async fn a_call_about_the_lease_that_nobody_answers_leaves_time_for_another_one() {
        let silent = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let config = Config::new(format!("http://{}", silent.local_addr().unwrap()).parse().unwrap());
        let metrics = Metrics::new(&Registry::new()).unwrap();
        let client = client(config, LEASE_READ_TIMEOUT, metrics).unwrap();
        let leases: Api<Lease> = Api::namespaced(client, "punching-fist");
        let answer = timeout(RENEW_DEADLINE * 9 / 10, leases.get_opt("punching-fist")).await;
        assert!(answer.expect("it doesn't end").is_err());
    }
}
