//! What the operator consists of: the webhook on every replica, the controller at the leader.

use std::sync::Arc;

use axum::Router;
use kube::Client;
use prometheus::Registry;
use punching_fist_controller as controller;
use tokio_util::sync::CancellationToken;

use crate::config::Config;

/// What the parts are made from.
pub struct Parts {
    client: Client,
    config: Config,
    replica: String,
    controller: controller::Metrics,
}

impl Parts {
    /// Registers the parts' metrics; nothing runs yet. `replica` is who is named in Events.
    pub fn new(
        client: Client,
        config: Config,
        replica: String,
        registry: &Registry,
    ) -> prometheus::Result<Self> {
        let controller = controller::Metrics::register(registry)?;
        Ok(Self { client, config, replica, controller })
    }

    /// What is served on the webhook's port.
    pub fn webhook(&self) -> Router {
        Router::new()
    }

    /// What only the leader does, until it is told to stop.
    pub async fn controller(self, stop: CancellationToken) {
        let settings = Arc::new(self.config.settings);
        let stop = stop.cancelled_owned();
        // On the heap: this future is dozens of kilobytes, and it would be part of every caller's.
        Box::pin(controller::run(self.client, settings, self.controller, self.replica, stop)).await;
    }
}
