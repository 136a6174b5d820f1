//! Single passes: the caches hold what stands on the API server at that moment, and nothing moves between two passes but
//! what the test moves.

use std::sync::Arc;

use futures::channel::mpsc;
use k8s_controller::events::{EventRecorder, Reporter};
use k8s_openapi::api::batch::v1::Job;
use k8s_openapi::api::core::v1::Pod;
use kube::ResourceExt;
use kube::runtime::controller::Action;
use kube::runtime::reflector;
use kube::runtime::reflector::store::Writer;
use kube::runtime::watcher::Event;
use prometheus::Registry;
use prometheus::proto::MetricFamily;
use punching_fist_api::{AlertTask, MaintenanceTask, TaskKind, names};
use punching_fist_core::profile::Settings;
use punching_fist_testkit::recording::RecordingApi;

use super::clock;
use super::cluster::Cluster;
use super::objects::{self, NS, Object};
use crate::backoff::Backoff;
use crate::context::Context;
use crate::fleet::Fleet;
use crate::gate::Gate;
use crate::ledger::Ledger;
use crate::queue::{Queue, Wake};
use crate::{Error, Metrics, run};

/// An API server, a cluster around it, and a controller that makes a pass when it is told to.
pub(super) struct Ground {
    pub(super) api: RecordingApi,
    pub(super) cluster: Cluster,
    pub(super) registry: Registry,
    fleet: Fleet,
    queue: Queue,
    metrics: Metrics,
    of_alerts: Arc<Context>,
    of_maintenance: Arc<Context>,
    alerts: Writer<AlertTask>,
    maintenance: Writer<MaintenanceTask>,
    alert_jobs: Writer<Job>,
    maintenance_jobs: Writer<Job>,
}

impl Ground {
    /// Everything is ready for agents; no task is there.
    pub(super) fn new() -> Self {
        clock::start();
        let api = RecordingApi::new();
        objects::service_account(&api);
        let registry = Registry::new();
        let metrics = Metrics::register(&registry).expect("new names");
        let (alerts, maintenance) = (Writer::default(), Writer::default());
        let (alert_jobs, maintenance_jobs) = (Writer::default(), Writer::default());
        let fleet = Fleet {
            alerts: reader(&alerts),
            maintenance: reader(&maintenance),
            alert_jobs: reader(&alert_jobs),
            maintenance_jobs: reader(&maintenance_jobs),
            alert_pods: Ledger::default(),
            maintenance_pods: Ledger::default(),
        };
        let queue = Queue::default();
        let context = |kind| Arc::new(context(kind, &api, &fleet, &queue, &metrics));
        Self {
            cluster: Cluster::new(&api),
            of_alerts: context(TaskKind::AlertTask),
            of_maintenance: context(TaskKind::MaintenanceTask),
            api: api.clone(),
            registry,
            fleet: fleet.clone(),
            queue: queue.clone(),
            metrics: metrics.clone(),
            alerts,
            maintenance,
            alert_jobs,
            maintenance_jobs,
        }
    }

    /// The operator's own namespace is the one that all objects are in.
    pub(super) fn move_in(&mut self) {
        let context = Arc::get_mut(&mut self.of_maintenance).expect("no pass is under way");
        context.namespace = objects::NS.to_owned();
    }

    /// The operator's configuration is another.
    pub(super) fn configure(&mut self, change: impl FnOnce(&mut Settings)) {
        let context = Arc::get_mut(&mut self.of_maintenance).expect("no pass is under way");
        change(Arc::make_mut(&mut context.settings));
        let settings = context.settings.clone();
        Arc::get_mut(&mut self.of_alerts).expect("no pass is under way").settings = settings;
    }

    /// The caches see what stands on the API server now.
    pub(super) fn observe(&mut self) {
        refill(&mut self.alerts, self.api.all());
        refill(&mut self.maintenance, self.api.all());
        let of = |kind: TaskKind| {
            move |labels: Option<&String>| labels.is_some_and(|label| label == kind.as_str())
        };
        let jobs = self.api.all::<Job>();
        for (kind, writer) in [
            (TaskKind::AlertTask, &mut self.alert_jobs),
            (TaskKind::MaintenanceTask, &mut self.maintenance_jobs),
        ] {
            let ours = jobs.iter().filter(|job| of(kind)(job.labels().get(names::LABEL_KIND))).cloned();
            refill(writer, ours.collect());
        }
        let pods = self.api.all::<Pod>();
        for (kind, ledger) in [
            (TaskKind::AlertTask, &self.fleet.alert_pods),
            (TaskKind::MaintenanceTask, &self.fleet.maintenance_pods),
        ] {
            let ours = pods.iter().filter(|pod| of(kind)(pod.labels().get(names::LABEL_KIND))).cloned();
            for event in listed(ours.collect()) {
                ledger.note(&event);
            }
        }
    }

    /// The queue looks at what the caches hold.
    pub(super) fn admit(&mut self) {
        self.observe();
        let (alerts, _) = mpsc::unbounded();
        let (maintenance, _) = mpsc::unbounded();
        let wake = Wake { alerts, maintenance };
        self.queue.admit(self.fleet.snapshot(), &self.of_alerts.settings, &self.metrics, &wake);
    }

    /// Whether the task holds a slot that it hasn't used yet.
    pub(super) fn has_slot<K: Object>(&self, task: &K) -> bool {
        self.queue.is_granted(&task.uid().expect("a UID"))
    }

    /// Runs that hold a slot, as the queue counts them.
    pub(super) fn taken(&mut self) -> usize {
        self.observe();
        self.fleet.snapshot().taken.len()
    }

    /// One pass over the task, from what the caches see now.
    pub(super) async fn pass<K: Object>(&mut self, name: &str) -> Result<Action, Error> {
        self.observe();
        self.stale_pass(objects::named::<K>(&self.api, name)).await
    }

    /// One pass over the task as it is given, from what the caches saw last.
    pub(super) async fn stale_pass<K: Object>(&self, mut task: K) -> Result<Action, Error> {
        if let Some(result) = task.task_status_mut().and_then(|status| status.result.as_mut()) {
            (result.report, result.plan) = (None, None); // No cache holds them.
        }
        let context = match K::KIND {
            TaskKind::AlertTask => &self.of_alerts,
            TaskKind::MaintenanceTask => &self.of_maintenance,
        };
        let task = Arc::new(task);
        let outcome = Box::pin(run::reconcile(task.clone(), context.clone())).await;
        if let Err(error) = &outcome {
            run::after_error(task, error, context.clone());
        }
        outcome
    }

    /// Passes and admissions until a pass changes nothing any more; gives the task as it stands then.
    pub(super) async fn drive<K: Object>(&mut self, name: &str) -> K {
        for _ in 0..20 {
            let before = self.api.writes().len();
            self.admit();
            self.pass::<K>(name).await.expect("nothing was told to fail");
            if self.api.writes().len() == before {
                return objects::named(&self.api, name);
            }
        }
        panic!("{name} doesn't come to rest: {:?}", objects::state::<K>(&self.api, name));
    }

    /// A task whose agent works; gives the names of its Job and its pod.
    pub(super) async fn running<K: Object>(&mut self, name: &str) -> (String, String) {
        let task = self.drive::<K>(name).await;
        let job = objects::job_name(&task);
        let pod = self.cluster.make_pod(&job);
        self.cluster.container(&pod, &serde_json::json!({"running": {}}));
        self.drive::<K>(name).await;
        (job, pod)
    }

    /// How many requests made a Job.
    pub(super) fn jobs_made(&self) -> usize {
        self.api.calls_of("create", "jobs").iter().filter(|call| call.code == Some(201)).count()
    }

    /// What a counter counts in all.
    pub(super) fn counted(&self, metric: &str) -> usize {
        counted(&self.registry, metric)
    }
}

/// What a counter counts in all: whole numbers, in a float.
pub(super) fn counted(registry: &Registry, metric: &str) -> usize {
    let families = registry.gather();
    let metrics = families.iter().filter(|family| family.name() == metric).flat_map(MetricFamily::get_metric);
    let sum: f64 = metrics.map(|metric| metric.get_counter().get_value()).sum();
    (0..1000_u32).take_while(|count| f64::from(*count) < sum).count()
}

fn context(kind: TaskKind, api: &RecordingApi, fleet: &Fleet, queue: &Queue, metrics: &Metrics) -> Context {
    let (jobs, pods) = match kind {
        TaskKind::AlertTask => (&fleet.alert_jobs, &fleet.alert_pods),
        TaskKind::MaintenanceTask => (&fleet.maintenance_jobs, &fleet.maintenance_pods),
    };
    let reporter = Reporter { controller: "punching-fist".to_owned(), instance: None };
    Context {
        client: api.client(),
        namespace: "punching-fist".to_owned(),
        settings: Arc::new(objects::settings()),
        has_key: objects::keys(),
        filled: open(),
        jobs: jobs.clone(),
        pods: pods.clone(),
        alerts: fleet.alerts.clone(),
        queue: queue.clone(),
        recorder: EventRecorder::new(api.client(), reporter),
        metrics: metrics.clone(),
        backoff: Backoff::default(),
        clock: clock::now,
        started: clock::now(),
    }
}

fn open() -> Gate {
    let gate = Gate::closed();
    gate.open();
    gate
}

fn reader<K>(writer: &Writer<K>) -> reflector::Store<K>
where
    K: kube::Resource<DynamicType = ()> + Clone + 'static,
{
    writer.as_reader()
}

fn refill<K>(writer: &mut Writer<K>, objects: Vec<K>)
where
    K: kube::Resource<DynamicType = ()> + Clone + 'static,
{
    for event in listed(objects) {
        writer.apply_watcher_event(&event);
    }
}

fn listed<K>(objects: Vec<K>) -> impl Iterator<Item = Event<K>> {
    let shown = objects.into_iter().map(Event::InitApply);
    std::iter::once(Event::Init).chain(shown).chain(std::iter::once(Event::InitDone))
}

/// The names of those that stand in the test's namespace.
pub(super) fn names_of<K: Object>(api: &RecordingApi) -> Vec<String> {
    api.all::<K>()
        .iter()
        .filter(|task| task.namespace().as_deref() == Some(NS))
        .map(ResourceExt::name_any)
        .collect()
}
