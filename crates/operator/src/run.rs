//! The life of one replica: start, serve, lead if it holds the Lease, stop in order.

use std::cell::Cell;
use std::future::pending;
use std::net::SocketAddr;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use k8s_controller::LeaderElection;
use prometheus::Registry;
use tokio::net::TcpListener;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::task::JoinHandle;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

use crate::cli::RunArguments;
use crate::client::{self, ClientError, Clients};
use crate::config::{self, Config, ConfigError};
use crate::health::Health;
use crate::metrics::Metrics;
use crate::place::{self, NamespaceUnknown, Place};
use crate::probes;
use crate::serve::{AGENTS, SHORT, serve};
use crate::telemetry::{self, BadFilter};
use crate::wiring::{Controller, Parts, PartsError};

/// Name of the Lease, in the operator's own namespace.
const LEASE: &str = "punching-fist";
/// How long webhook and controller may take to stop.
const STOP_TIMEOUT: Duration = Duration::from_secs(20);
/// How long answers of a model may go on when a part of this process has ended by itself. They need neither Lease nor
/// controller, and are paid for; but nobody else may be serving, and no new process takes over before this one is gone.
const LAST_ANSWERS: Duration = Duration::from_secs(120);
/// How long giving the Lease back may take.
const RELEASE_TIMEOUT: Duration = Duration::from_secs(3);

/// Why the operator doesn't run, or has ended.
#[derive(Debug, thiserror::Error)]
pub enum RunError {
    /// `RUST_LOG` is wrong.
    #[error(transparent)]
    Filter(#[from] BadFilter),
    /// The configuration is wrong.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// The namespace is unknown.
    #[error(transparent)]
    Namespace(#[from] NamespaceUnknown),
    /// Agents would run beside the operator.
    #[error(
        "defaultRoute.namespace is the operator's own namespace {0}: whoever may create pods there can mount the operator's \
         Secrets; choose another one"
    )]
    SharedNamespace(String),
    /// There is no way to the API server.
    #[error(transparent)]
    Client(#[from] ClientError),
    /// A port can't be had.
    #[error("{key}: cannot listen on {address}: {source}; free port {} or set another one", address.port())]
    Listen {
        /// The configuration's key.
        key: &'static str,
        /// The address.
        address: SocketAddr,
        /// Why.
        source: std::io::Error,
    },
    /// The system refuses something that every program needs.
    #[error("the system refuses a thread, a signal handler or a connection: {0}")]
    System(#[from] std::io::Error),
    /// Two metrics have one name.
    #[error("a metric can't be registered: {0}")]
    Metrics(#[from] prometheus::Error),
    /// A part can't be made.
    #[error(transparent)]
    Parts(#[from] PartsError),
    /// Another replica holds the Lease now, or nobody can tell.
    #[error(
        "the Lease {LEASE} was lost; this replica ends so that nothing of it works on beside the new leader"
    )]
    LeaseLost,
    /// A part that should run for ever has ended.
    #[error("the {0} has ended by itself")]
    Ended(&'static str),
}

/// Runs the operator until it is told to stop.
pub fn run(arguments: &RunArguments) -> Result<(), RunError> {
    telemetry::start(arguments.log_format)?;
    let config = config::load(&arguments.config)?;
    let place = place::find(arguments)?;
    if config.route.namespace() == place.namespace {
        return Err(RunError::SharedNamespace(place.namespace));
    }
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    let ended = runtime.block_on(start(config.in_namespace(&place.namespace), place));
    runtime.shutdown_timeout(Duration::from_secs(1));
    ended
}

async fn start(config: Config, place: Place) -> Result<(), RunError> {
    let signals = Signals::new()?;
    let webhook = bind("listen.webhook", config.webhook).await?;
    let probes = bind("listen.probes", config.probes).await?;
    let gateway = bind("listen.gateway", config.gateway).await?;
    let registry = Registry::new();
    let metrics = Metrics::new(&registry)?;
    let Clients { work: client, lease } = client::connect(&metrics).await?;
    let version = env!("CARGO_PKG_VERSION");
    let [alerts, models] = [&webhook, &gateway].map(TcpListener::local_addr);
    info!(
        version, namespace = place.namespace, replica = place.replica,
        webhook = %alerts?, gateway = %models?, probes = %probes.local_addr()?, "starting"
    );

    let health = Arc::new(Health::new(&["cluster", "process"]));
    let parts = Parts::new(&client, config, place.replica(), &registry)?;
    let replica = Replica {
        election: LeaderElection::new(lease, &place.namespace, LEASE, &place.replica),
        metrics,
        health: health.clone(),
        stop: CancellationToken::new(),
    };
    tokio::spawn(serve(probes, probes::router(health.clone(), registry), SHORT, CancellationToken::new()));
    tokio::spawn(async move { health.watch_cluster(client).await });
    tokio::spawn(parts.watch);
    let servers = Servers {
        webhook: tokio::spawn(serve(webhook, parts.webhook, SHORT, replica.stop.clone())),
        gateway: tokio::spawn(parts.gateway.serve(gateway, AGENTS, replica.stop.clone())),
    };
    replica.health.set("process", Ok(()));
    replica.live(signals, servers, parts.controller).await
}

async fn bind(key: &'static str, address: SocketAddr) -> Result<TcpListener, RunError> {
    TcpListener::bind(address).await.map_err(|source| RunError::Listen { key, address, source })
}

/// What Kubernetes or a person asks a process to stop with.
struct Signals {
    terminate: Signal,
    interrupt: Signal,
}

impl Signals {
    fn new() -> std::io::Result<Self> {
        Ok(Self { terminate: signal(SignalKind::terminate())?, interrupt: signal(SignalKind::interrupt())? })
    }

    /// Ends with the next one.
    async fn next(&mut self) {
        tokio::select! {
            _ = self.terminate.recv() => {}
            _ = self.interrupt.recv() => {}
        }
    }
}

/// What is served, until it is told to stop.
struct Servers {
    webhook: JoinHandle<()>,
    gateway: JoinHandle<()>,
}

/// One of the operator's processes.
struct Replica {
    election: LeaderElection,
    metrics: Metrics,
    health: Arc<Health>,
    stop: CancellationToken,
}

impl Replica {
    /// Lives until a signal, or until something that must not end has ended.
    async fn live(
        self,
        mut signals: Signals,
        servers: Servers,
        controller: Controller,
    ) -> Result<(), RunError> {
        let Servers { mut webhook, mut gateway } = servers;
        let mut leading = pin!(self.lead(controller));
        let ended = tokio::select! {
            () = signals.next() => Ok(()),
            ended = &mut leading => ended.and(Err(RunError::Ended("controller"))),
            _ = &mut webhook => return Err(RunError::Ended("webhook")),
            _ = &mut gateway => return Err(RunError::Ended("gateway")),
        };
        self.health.stop();
        self.stop.cancel();
        if ended.is_ok() {
            self.step_down(async { drop(tokio::join!(webhook, leading)) }).await;
            drain(gateway, signals).await;
        } else {
            // The controller is gone with its Lease, and so are its passes: kube aborts them.
            let _ = timeout(LAST_ANSWERS, drain(gateway, signals)).await;
        }
        info!("stopped");
        ended
    }

    /// Ends webhook and controller, then gives the Lease back: the next leader shall not wait for a model's answers.
    async fn step_down(&self, stopping: impl Future<Output = ()>) {
        info!("stopping: answering what is under way, then giving the Lease back");
        if timeout(STOP_TIMEOUT, stopping).await.is_err() {
            warn!("not everything has stopped within {} s", STOP_TIMEOUT.as_secs());
        }
        // Does nothing if somebody else holds it, or if it is given back already.
        let _ = timeout(RELEASE_TIMEOUT, self.election.release()).await;
    }

    /// Waits until the cluster's definitions are ours, then for the Lease, and works while holding it. Ends when told to
    /// stop, or when the Lease is lost.
    async fn lead(&self, controller: Controller) -> Result<(), RunError> {
        tokio::select! {
            () = self.stop.cancelled() => return Ok(()),
            () = self.health.until("cluster") => {}
        }
        let holds = Cell::new(false);
        let work = async {
            holds.set(true);
            self.metrics.leader.set(1);
            controller.run(self.stop.clone()).await;
        };
        let mut held = pin!(self.election.with_lease(work));
        // Whoever only waits for the Lease just goes; whoever holds it finishes what is under way.
        let gives_up = async {
            self.stop.cancelled().await;
            if holds.get() {
                pending::<()>().await;
            }
        };
        let ended = tokio::select! {
            ended = &mut held => ended,
            () = gives_up => return Ok(()),
        };
        self.metrics.leader.set(0);
        ended.ok_or(RunError::LeaseLost)
    }
}

/// Lets answers end that agents are reading: they are paid for. Kubernetes ends it with the pod's grace, a person with a
/// second signal.
async fn drain(mut gateway: JoinHandle<()>, mut signals: Signals) {
    if timeout(Duration::from_secs(1), &mut gateway).await.is_ok() {
        return;
    }
    info!("agents are still reading answers of a model: waiting for them to end, or for a second signal");
    tokio::select! {
        _ = &mut gateway => {}
        () = signals.next() => warn!("told again to stop: answers under way are broken off"),
    }
}
