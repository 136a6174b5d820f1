//! The whole controller, with its watches and its queue, until it is stopped or killed.

use std::sync::Arc;
use std::time::Duration;

use kube::Client;
use prometheus::Registry;
use punching_fist_core::profile::Settings;
use punching_fist_testkit::recording::RecordingApi;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;

use super::cluster::{Cluster, Script};
use super::{clock, objects};
use crate::run::Given;
use crate::{HasKey, Metrics, Replica};

/// No condition is waited for longer, in the tests' own time.
const PATIENCE: Duration = Duration::from_secs(3600);

/// A running controller.
pub(super) struct Live {
    pub(super) registry: Registry,
    stop: Option<oneshot::Sender<()>>,
    task: JoinHandle<()>,
}

/// An API server where a MaintenanceTask runs, and the clock.
pub(super) fn api() -> RecordingApi {
    clock::start();
    let api = RecordingApi::new();
    objects::service_account(&api);
    api
}

/// The Job controller of that API server; it ends with the test.
pub(super) fn play(api: &RecordingApi, script: Script) -> JoinHandle<()> {
    tokio::spawn(Cluster::new(api).play(script))
}

impl Live {
    /// Starts it with the settings of all tests.
    pub(super) fn start(client: Client) -> Self {
        Self::start_with(client, objects::settings())
    }

    /// Starts it with other settings.
    pub(super) fn start_with(client: Client, settings: Settings) -> Self {
        Self::start_keyed(client, settings, objects::keys())
    }

    /// Starts it, with a say about which keys there are.
    pub(super) fn start_keyed(client: Client, settings: Settings, has_key: HasKey) -> Self {
        let registry = Registry::new();
        let metrics = Metrics::register(&registry).expect("new names");
        let (stop, stopped) = oneshot::channel();
        let stopped = async move {
            let _ = stopped.await;
        };
        let replica = Replica { name: "test".to_owned(), namespace: "punching-fist".to_owned() };
        let settings = Arc::new(settings);
        let given = Given { clock: clock::now, client, settings, has_key, metrics, replica };
        Self { registry, stop: Some(stop), task: tokio::spawn(given.run(stopped)) }
    }

    /// Stops it in order, and waits until it has ended.
    pub(super) async fn stop(mut self) {
        self.stop.take().map(|stop| stop.send(()));
        tokio::time::timeout(PATIENCE, self.task)
            .await
            .expect("it ends when it is told to")
            .expect("no panic");
    }

    /// Ends it where it stands.
    pub(super) async fn kill(self) {
        self.task.abort();
        let _ = self.task.await;
        // Passes are tasks of their own, which their abort reaches when they are polled next.
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
}

/// Waits until something holds; says what was waited for if it never does.
pub(super) async fn until(what: &str, mut holds: impl FnMut() -> bool) {
    let patience = tokio::time::Instant::now() + PATIENCE;
    while !holds() {
        assert!(tokio::time::Instant::now() < patience, "waited in vain until {what}");
        tokio::time::sleep(Duration::from_millis(400)).await;
    }
}
