//! Wiring: watches, stores, the queue and one controller a kind, until told to stop.

use std::sync::Arc;
use std::time::Duration;

use futures::channel::mpsc::{self, UnboundedReceiver, UnboundedSender};
use futures::future::Either;
use futures::{StreamExt, TryStreamExt, future};
use jiff::Timestamp;
use k8s_controller::events::{EventRecorder, Reporter};
use k8s_openapi::api::batch::v1::Job;
use kube::runtime::controller::{Action, Config, Error as ControllerError};
use kube::runtime::reflector::ObjectRef;
use kube::runtime::{Controller, watcher};
use kube::{Client, ResourceExt};
use punching_fist_api::{AlertTask, MaintenanceTask, Task, TaskKind};
use punching_fist_core::profile::Settings;
use punching_fist_protocol::causes;

use crate::backoff::Backoff;
use crate::context::Context;
use crate::fleet::Fleet;
use crate::gate::Gate;
use crate::ledger::Ledger;
use crate::pass::Pass;
use crate::queue::{Queue, Wake};
use crate::{Error, Metrics, watch};

/// How many objects of a kind are looked at at once.
const CONCURRENCY: u16 = 16;
/// A burst of events about one object makes one pass.
const DEBOUNCE: Duration = Duration::from_millis(50);
/// How long a pass may take. kube's client retries by itself for much longer.
const PASS_LIMIT: Duration = Duration::from_secs(30);

/// Whether the operator can read the key of the agent profile of that name.
pub type HasKey = Arc<dyn Fn(&str) -> bool + Send + Sync>;

/// Who reconciles.
#[derive(Clone, Debug)]
pub struct Replica {
    /// Its name among the operator's replicas: it stands in Events.
    pub name: String,
    /// The operator's own namespace, in which no agent runs.
    pub namespace: String,
}

/// Reconciles both kinds until `stop` is done; then ends the passes under way and returns.
pub async fn run(
    client: Client,
    settings: Arc<Settings>,
    has_key: HasKey,
    metrics: Metrics,
    replica: Replica,
    stop: impl Future<Output = ()> + Send + 'static,
) {
    Given { clock: Timestamp::now, client, settings, has_key, metrics, replica }.run(stop).await;
}

/// Everything that comes from outside.
pub(crate) struct Given {
    pub(crate) clock: fn() -> Timestamp,
    pub(crate) client: Client,
    pub(crate) settings: Arc<Settings>,
    pub(crate) has_key: HasKey,
    pub(crate) metrics: Metrics,
    pub(crate) replica: Replica,
}

impl Given {
    /// Reconciles until `stop` is done.
    pub(crate) async fn run(self, stop: impl Future<Output = ()> + Send + 'static) {
        let stop = future::FutureExt::shared(stop);
        let (queue, filled) = (Queue::default(), Gate::closed());
        let alerts = Watched::<AlertTask>::new(&self.client);
        let maintenance = Watched::<MaintenanceTask>::new(&self.client);
        let fleet = fleet(&alerts, &maintenance);
        let wake = Wake { alerts: alerts.wake.clone(), maintenance: maintenance.wake.clone() };
        let of_alerts = self.context(&alerts, &fleet, &queue, &filled);
        let of_maintenance = self.context(&maintenance, &fleet, &queue, &filled);
        let alerts = alerts.control(of_alerts, stop.clone());
        let maintenance = maintenance.control(of_maintenance, stop.clone());
        let filling = fill(fleet.clone(), filled.clone());
        let too_soon = stopped_too_soon(filled.clone(), stop);
        let admission = queue.run(fleet, filled, self.settings, self.metrics, wake);
        tokio::select! {
            () = async { future::join(alerts, maintenance).await; } => {}
            () = admission => {}
            () = too_soon => {}
            () = filling => {}
        }
    }

    /// What the passes of one kind are given.
    fn context<K: Task>(
        &self,
        kind: &Watched<K>,
        fleet: &Fleet,
        queue: &Queue,
        filled: &Gate,
    ) -> Arc<Context> {
        Arc::new(Context {
            client: self.client.clone(),
            namespace: self.replica.namespace.clone(),
            settings: self.settings.clone(),
            has_key: self.has_key.clone(),
            filled: filled.clone(),
            jobs: kind.jobs.0.clone(),
            pods: kind.pods.clone(),
            alerts: fleet.alerts.clone(),
            queue: queue.clone(),
            recorder: recorder(&self.client, K::KIND, &self.replica.name),
            metrics: self.metrics.clone(),
            backoff: Backoff::default(),
            clock: self.clock,
            started: (self.clock)(),
        })
    }
}

/// The caches of both kinds, for the queue.
fn fleet(alerts: &Watched<AlertTask>, maintenance: &Watched<MaintenanceTask>) -> Fleet {
    Fleet {
        alerts: alerts.tasks.0.clone(),
        maintenance: maintenance.tasks.0.clone(),
        alert_jobs: alerts.jobs.0.clone(),
        maintenance_jobs: maintenance.jobs.0.clone(),
        alert_pods: alerts.pods.clone(),
        maintenance_pods: maintenance.pods.clone(),
    }
}

/// Opens the gate when the caches are full. Nobody else but kube's controllers, in this same task, waits on the stores.
async fn fill(fleet: Fleet, filled: Gate) {
    if fleet.wait_until_ready().await.is_ok() {
        filled.open();
    }
    // Without the watches the controllers end, and this with them.
    future::pending::<()>().await;
}

/// Done when it is told to stop before the caches are full: no pass has begun, and kube's Controller would then wait for
/// its store for ever.
async fn stopped_too_soon(filled: Gate, stop: impl Future<Output = ()>) {
    let (stop, full) = (std::pin::pin!(stop), std::pin::pin!(filled.pass()));
    if let Either::Right(_) = future::select(stop, full).await {
        future::pending::<()>().await;
    }
}

fn recorder(client: &Client, kind: TaskKind, identity: &str) -> EventRecorder {
    let controller = format!("punching-fist-{}", kind.as_str().to_lowercase());
    EventRecorder::new(client.clone(), Reporter { controller, instance: Some(identity.to_owned()) })
}

/// The tasks of one kind, what they own, and whom the queue wakes.
struct Watched<K: Task> {
    tasks: watch::Watched<K>,
    jobs: watch::Watched<Job>,
    pods: Ledger,
    wake: UnboundedSender<ObjectRef<K>>,
    woken: UnboundedReceiver<ObjectRef<K>>,
}

impl<K: Task> Watched<K> {
    fn new(client: &Client) -> Self {
        let (wake, woken) = mpsc::unbounded();
        let (tasks, jobs) = (watch::tasks::<K>(client), watch::jobs::<K>(client));
        Self { tasks, jobs, pods: Ledger::default(), wake, woken }
    }

    /// The controller of this kind.
    async fn control(self, context: Arc<Context>, stop: impl Future<Output = ()> + Send + Sync + 'static) {
        let pods = watch::pods::<K>(&context.client, self.pods);
        let ((tasks, changed), (_, job_changed)) = (self.tasks, self.jobs);
        let nudge = |queue: &Queue| {
            let queue = queue.clone();
            move || queue.changed()
        };
        let (by_task, by_job, by_pod) = (nudge(&context.queue), nudge(&context.queue), nudge(&context.queue));
        Controller::for_stream(changed.inspect_ok(move |_| by_task()), tasks)
            .owns_stream(job_changed.inspect_ok(move |_| by_job()))
            .reconcile_on(pods.inspect(move |_| by_pod()))
            .reconcile_on(self.woken)
            .with_config(Config::default().concurrency(CONCURRENCY).debounce(DEBOUNCE))
            .graceful_shutdown_on(stop)
            .run(reconcile, after_error, context)
            .for_each(|outcome| {
                log(outcome);
                future::ready(())
            })
            .await;
    }
}

pub(crate) async fn reconcile<K: Task>(task: Arc<K>, context: Arc<Context>) -> Result<Action, Error> {
    let _measured = context.metrics.pass(K::KIND);
    context.filled.pass().await;
    let pass = Pass::new(&*task, &context)?;
    let action = match tokio::time::timeout(PASS_LIMIT, pass.run()).await {
        Ok(action) => action?,
        Err(_) => return Err(Error::TimedOut(PASS_LIMIT.as_secs())),
    };
    context.backoff.forget(&task.uid().unwrap_or_default());
    Ok(action)
}

#[expect(clippy::needless_pass_by_value, reason = "kube's Controller hands both over")]
pub(crate) fn after_error<K: Task>(task: Arc<K>, error: &Error, context: Arc<Context>) -> Action {
    let again = context.backoff.failed(&task.uid().unwrap_or_default());
    if matches!(error, Error::Conflict) {
        tracing::debug!(task = task.name_any(), "changed meanwhile; looking again");
    } else {
        context.metrics.failure(K::KIND, error);
        let (namespace, name) = (task.namespace().unwrap_or_default(), task.name_any());
        tracing::warn!(
            kind = K::KIND.as_str(),
            namespace,
            name,
            error = causes(error),
            ?again,
            "pass failed"
        );
    }
    Action::requeue(again)
}

fn log<K: Task>(outcome: Result<(ObjectRef<K>, Action), ControllerError<Error, watcher::Error>>) {
    match outcome {
        // An owned Job can outlive its task for a moment, and a pass has told about its own error.
        Ok(_) | Err(ControllerError::ObjectNotFound(_) | ControllerError::ReconcilerFailed(..)) => {}
        Err(error) => tracing::warn!(error = causes(&error), "watching"),
    }
}
