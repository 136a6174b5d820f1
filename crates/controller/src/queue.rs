//! The one loop that admits: it grants slots, and wakes the passes that may use them.
//!
//! A grant is an assumption, as kube-scheduler makes it: the slot counts as taken until the caches show the task as
//! admitted. Passes only ask; what they are told is forgotten with the process, and decided anew by the next leader.

use std::collections::HashSet;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use futures::channel::mpsc::UnboundedSender;
use kube::runtime::reflector::ObjectRef;
use punching_fist_api::{AlertTask, MaintenanceTask};
use punching_fist_core::admission;
use punching_fist_core::profile::Settings;
use tokio::sync::Notify;
use tokio::time::Instant;

use crate::Metrics;
use crate::fleet::{Fleet, Snapshot, TaskRef};
use crate::gate::Gate;

/// Changes come in bursts; so long the loop lets them gather.
const GATHER: Duration = Duration::from_millis(25);
/// The caches are looked at so often even if nothing seems to change.
const AT_LEAST: Duration = Duration::from_secs(30);

/// What is kept of deleted tasks' pods is looked for so often.
const SWEEP: Duration = Duration::from_secs(300);

/// What passes see of the queue.
#[derive(Clone, Debug, Default)]
pub(crate) struct Queue {
    granted: Arc<Mutex<HashSet<String>>>,
    changed: Arc<Notify>,
}

/// How the loop wakes passes.
pub(crate) struct Wake {
    pub(crate) alerts: UnboundedSender<ObjectRef<AlertTask>>,
    pub(crate) maintenance: UnboundedSender<ObjectRef<MaintenanceTask>>,
}

impl Queue {
    /// Whether the task has a slot.
    pub(crate) fn is_granted(&self, uid: &str) -> bool {
        self.granted().contains(uid)
    }

    /// The task can't use its slot.
    pub(crate) fn give_back(&self, uid: &str) {
        if self.granted().remove(uid) {
            self.changed();
        }
    }

    /// Something changed that the loop may care about.
    pub(crate) fn changed(&self) {
        self.changed.notify_one();
    }

    /// The loop. It ends only with the future.
    pub(crate) async fn run(
        self,
        fleet: Fleet,
        filled: Gate,
        settings: Arc<Settings>,
        metrics: Metrics,
        wake: Wake,
    ) {
        filled.pass().await;
        let mut swept = Instant::now();
        loop {
            if swept.elapsed() >= SWEEP {
                fleet.sweep();
                swept = Instant::now();
            }
            self.admit(fleet.snapshot(), &settings, &metrics, &wake);
            let _ = tokio::time::timeout(AT_LEAST, self.changed.notified()).await;
            tokio::time::sleep(GATHER).await;
        }
    }

    pub(crate) fn admit(&self, mut snapshot: Snapshot, settings: &Settings, metrics: &Metrics, wake: &Wake) {
        self.granted().retain(|uid| snapshot.refs.contains_key(uid));
        for candidate in &snapshot.waiting {
            if self.is_granted(&candidate.uid) {
                snapshot.taken.insert(candidate.uid.clone(), candidate.profile.clone());
            }
        }
        let (running, waiting) = (snapshot.taken.len(), snapshot.waiting.len());
        let admitted = admission::admit(snapshot.waiting, &snapshot.taken, settings);
        metrics.queue(running + admitted.len(), waiting.saturating_sub(admitted.len()));
        for candidate in admitted {
            self.granted().insert(candidate.uid.clone());
            if let Some(task) = snapshot.refs.remove(&candidate.uid) {
                wake.wake(task);
            }
        }
    }

    fn granted(&self) -> std::sync::MutexGuard<'_, HashSet<String>> {
        self.granted.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Wake {
    /// A controller that is gone needs no waking.
    fn wake(&self, task: TaskRef) {
        let _gone = match task {
            TaskRef::Alert(task) => self.alerts.unbounded_send(task).is_err(),
            TaskRef::Maintenance(task) => self.maintenance.unbounded_send(task).is_err(),
        };
    }
}
