//! What the operator consists of: the webhook on every replica, the controller at the leader.

use std::sync::Arc;

use axum::Router;
use futures::future::BoxFuture;
use kube::Client;
use prometheus::Registry;
use punching_fist_controller as controller;
use punching_fist_core::profile::Settings;
use punching_fist_webhook::{self as webhook, TaskCache, Webhook};
use tokio_util::sync::CancellationToken;

use crate::config::Config;

/// The parts, made and not running yet.
pub struct Parts {
    /// What is served on the webhook's port.
    pub webhook: Router,
    /// Fills the webhook's cache for as long as it is polled.
    pub watch: BoxFuture<'static, ()>,
    /// What only the leader does.
    pub controller: Controller,
}

/// What the controller is made from.
pub struct Controller {
    client: Client,
    settings: Arc<Settings>,
    metrics: controller::Metrics,
    replica: controller::Replica,
}

impl Parts {
    /// From the configuration, with their metrics registered.
    pub fn new(
        client: &Client,
        config: Config,
        replica: controller::Replica,
        registry: &Registry,
    ) -> prometheus::Result<Self> {
        let (cache, watch) = TaskCache::new(client.clone(), config.route.namespace());
        let receivers = Webhook::new(client.clone(), config.route, registry)?.with_cache(cache);
        let webhook = match config.prometheus {
            Some(authentication) => webhook::router(receivers, authentication),
            None => Router::new(),
        };
        let settings = Arc::new(config.settings);
        let metrics = controller::Metrics::register(registry)?;
        let controller = Controller { client: client.clone(), settings, metrics, replica };
        Ok(Self { webhook, watch: Box::pin(watch), controller })
    }
}

impl Controller {
    /// Reconciles until it is told to stop.
    pub async fn run(self, stop: CancellationToken) {
        let stop = stop.cancelled_owned();
        // On the heap: this future is dozens of kilobytes, and it would be part of every caller's.
        Box::pin(controller::run(self.client, self.settings, self.metrics, self.replica, stop)).await;
    }
}
