//! All tasks of both kinds as the caches hold them: who waits, and who holds a slot.

use std::collections::{HashMap, HashSet};

use k8s_openapi::api::batch::v1::Job;
use kube::ResourceExt;
use kube::runtime::reflector::store::WriterDropped;
use kube::runtime::reflector::{ObjectRef, Store};
use punching_fist_api::{AlertState, AlertTask, MaintenanceTask, Phase, Task, names, reasons};
use punching_fist_core::admission::{Candidate, Taken};
use punching_fist_core::{conditions, phase};

use crate::jobs;
use crate::ledger::Ledger;

/// The caches.
#[derive(Clone)]
pub(crate) struct Fleet {
    pub(crate) alerts: Store<AlertTask>,
    pub(crate) maintenance: Store<MaintenanceTask>,
    pub(crate) alert_jobs: Store<Job>,
    pub(crate) maintenance_jobs: Store<Job>,
    pub(crate) alert_pods: Ledger,
    pub(crate) maintenance_pods: Ledger,
}

/// A task of either kind, by name.
#[derive(Clone, Debug)]
pub(crate) enum TaskRef {
    Alert(ObjectRef<AlertTask>),
    Maintenance(ObjectRef<MaintenanceTask>),
}

/// What the queue decides on.
#[derive(Debug, Default)]
pub(crate) struct Snapshot {
    /// Who waits for a slot.
    pub(crate) waiting: Vec<Candidate>,
    /// Where to find them, by UID.
    pub(crate) refs: HashMap<String, TaskRef>,
    /// Who holds one.
    pub(crate) taken: Taken,
}

impl Fleet {
    /// Returns when every cache has been filled once: until then nobody knows which slots are taken. An error is the end
    /// of a watch, and so of this controller.
    pub(crate) async fn wait_until_ready(&self) -> Result<(), WriterDropped> {
        self.alerts.wait_until_ready().await?;
        self.maintenance.wait_until_ready().await?;
        self.alert_jobs.wait_until_ready().await?;
        self.maintenance_jobs.wait_until_ready().await?;
        self.alert_pods.wait_until_ready().await;
        self.maintenance_pods.wait_until_ready().await;
        Ok(())
    }

    /// Forgets what is kept of pods whose tasks are gone.
    pub(crate) fn sweep(&self) {
        fn uids<K: Task>(tasks: &Store<K>) -> HashSet<String> {
            tasks.state().iter().filter_map(|task| task.uid()).collect()
        }
        self.alert_pods.sweep(&uids(&self.alerts));
        self.maintenance_pods.sweep(&uids(&self.maintenance));
    }

    /// Counts anew, from what lives: a counter would leak with every crash between its change and the run's.
    pub(crate) fn snapshot(&self) -> Snapshot {
        let mut snapshot = Snapshot::default();
        let mut with_job = HashSet::new();
        for job in self.alert_jobs.state().into_iter().chain(self.maintenance_jobs.state()) {
            snapshot.add_job(&job, &mut with_job);
        }
        snapshot.taken.extend(self.alert_pods.live());
        snapshot.taken.extend(self.maintenance_pods.live());
        for task in self.alerts.state() {
            snapshot.add_task(&*task, &with_job, |task| TaskRef::Alert(ObjectRef::from_obj(task)));
        }
        for task in self.maintenance.state() {
            snapshot.add_task(&*task, &with_job, |task| TaskRef::Maintenance(ObjectRef::from_obj(task)));
        }
        snapshot
    }
}

impl Snapshot {
    fn add_job(&mut self, job: &Job, with_job: &mut HashSet<String>) {
        let Some(task) = job.labels().get(names::LABEL_TASK_ID) else { return };
        if !jobs::is_of(job, task) {
            return; // Labels can be given to anything.
        }
        with_job.insert(task.clone());
        if !phase::is_over(job) {
            let profile = job.labels().get(names::LABEL_PROFILE).cloned().unwrap_or_default();
            self.taken.insert(task.clone(), profile);
        }
    }

    fn add_task<K: Task>(&mut self, task: &K, with_job: &HashSet<String>, to_ref: fn(&K) -> TaskRef) {
        let Some(uid) = task.uid() else { return };
        let profile = task.task_spec().agent.profile.clone();
        let status = task.task_status();
        let is_final = status.and_then(|status| status.phase).is_some_and(Phase::is_final);
        let is_admitted = status.is_some_and(|status| status.job.is_some());
        if is_admitted && !is_final && !with_job.contains(&uid) {
            self.taken.insert(uid, profile);
        } else if !is_admitted && !is_final && may_start(task) {
            let created = task.creation_timestamp().map_or_else(Default::default, |time| time.0);
            self.refs.insert(uid.clone(), to_ref(task));
            self.waiting.push(Candidate { kind: K::KIND, created, uid, profile });
        }
    }
}

/// Whether nothing but a slot keeps it from starting. One that waits for its model's key says itself when it has it.
fn may_start<K: Task>(task: &K) -> bool {
    let status = task.task_status();
    let conditions = status.map(|status| status.conditions.as_slice()).unwrap_or_default();
    let keyless = status.and_then(|status| status.reason.as_deref()) == Some(reasons::MODEL_KEY_MISSING);
    let stalled = keyless || conditions::holds(conditions, reasons::STALLED).is_some();
    let alert = task.as_alert().and_then(|alert| alert.status.as_ref()?.alert_state);
    let held = task.is_suspended() || task.is_cancelled() || task.meta().deletion_timestamp.is_some();
    !held && !stalled && alert != Some(AlertState::Resolved)
}
