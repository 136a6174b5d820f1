//! What the operator consists of: webhook and gateway on every replica, the controller at the leader.

use std::sync::Arc;

use axum::Router;
use futures::future::BoxFuture;
use kube::Client;
use prometheus::Registry;
use punching_fist_controller as controller;
use punching_fist_core::profile::Settings;
use punching_fist_gateway::{self as gateway, Keys};
use punching_fist_webhook::{self as webhook, TaskCache, Webhook};
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;
use tracing::warn;

use crate::config::Config;
use crate::serve::{Bounds, serve};

/// A part can't be made.
#[derive(Debug, thiserror::Error)]
pub enum PartsError {
    /// Two metrics have one name.
    #[error("a metric can't be registered: {0}")]
    Metrics(#[from] prometheus::Error),
    /// The way to the models can't be set up.
    #[error("the gateway can't make TLS connections: {0}; look at the image's certificates")]
    Gateway(#[from] rustls::Error),
}

/// The parts, made and not running yet.
pub struct Parts {
    /// What is served on the webhook's port.
    pub webhook: Router,
    /// Fills the webhook's cache for as long as it is polled.
    pub watch: BoxFuture<'static, ()>,
    /// The agents' door to the model.
    pub gateway: Gateway,
    /// What only the leader does.
    pub controller: Controller,
}

/// What is served on the gateway's port.
pub struct Gateway(gateway::Gateway);

/// What the controller is made from.
pub struct Controller {
    client: Client,
    settings: Arc<Settings>,
    has_key: controller::HasKey,
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
    ) -> Result<Self, PartsError> {
        let (cache, watch) = TaskCache::new(client.clone(), config.route.namespace());
        let receivers = Webhook::new(client.clone(), config.route, registry)?.with_cache(cache);
        let webhook = match config.prometheus {
            Some(authentication) => webhook::router(receivers, authentication),
            None => Router::new(),
        };
        let settings = Arc::new(config.settings);
        let keys = Keys::new(&settings);
        warn_of_missing(&keys, &settings);
        let metrics = gateway::Metrics::register(registry)?;
        let gateway = gateway::Gateway::new(client.clone(), settings.clone(), keys.clone(), metrics)?;
        let has_key: controller::HasKey = Arc::new(move |profile| keys.read(profile).is_some());
        let metrics = controller::Metrics::register(registry)?;
        let controller = Controller { client: client.clone(), settings, has_key, metrics, replica };
        Ok(Self { webhook, watch: Box::pin(watch), gateway: Gateway(gateway), controller })
    }
}

/// Their tasks say so too, but nobody has made one yet.
fn warn_of_missing(keys: &Keys, settings: &Settings) {
    let metered = settings.profiles.iter().filter(|(_, profile)| profile.gateway);
    for (name, profile) in metered.filter(|(name, _)| keys.read(name).is_none()) {
        warn!(profile = name, key = ?profile.key, "the model's key is missing: the profile's tasks wait for it");
    }
}

impl Gateway {
    /// Serves until `stop`; then lets every answer end and writes down what it cost.
    pub async fn serve(self, listener: TcpListener, bounds: Bounds, stop: CancellationToken) {
        serve(listener, self.0.router(), bounds, stop).await;
        self.0.drained().await;
    }
}

impl Controller {
    /// Reconciles until it is told to stop.
    pub async fn run(self, stop: CancellationToken) {
        let stop = stop.cancelled_owned();
        // On the heap: this future is dozens of kilobytes, and it would be part of every caller's.
        let Self { client, settings, has_key, metrics, replica } = self;
        Box::pin(controller::run(client, settings, has_key, metrics, replica, stop)).await;
    }
}
