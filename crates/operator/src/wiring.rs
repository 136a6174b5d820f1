//! What the operator consists of: the webhook on every replica, the controller at the leader.

use std::sync::Arc;

use axum::Router;
use kube::Client;
use prometheus::Registry;
use tokio_util::sync::CancellationToken;

use crate::config::Config;

/// Everything that the parts are made from.
#[derive(Clone)]
pub struct Parts {
    /// The cluster.
    pub client: Client,
    /// The configuration.
    pub config: Arc<Config>,
    /// Where metrics go.
    pub registry: Registry,
}

impl Parts {
    /// What is served on the webhook's port.
    pub fn webhook(&self) -> Router {
        Router::new()
    }

    /// What only the leader does, until it is told to stop.
    pub async fn controller(self, stop: CancellationToken) {
        stop.cancelled().await;
    }
}
