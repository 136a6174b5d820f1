//! The one loop that admits: it grants slots, and wakes the passes that may use them.
//!
//! A grant is an assumption, as kube-scheduler makes it: the slot counts as taken until the caches show the task as
//! admitted. Passes only ask; what they are told is forgotten with the process, and decided anew by the next leader.

use std::collections::{HashMap, HashSet};
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

/// A task whose status the API server refuses gets no slot for so long.
const SET_ASIDE: Duration = Duration::from_secs(60);

/// What passes see of the queue.
#[derive(Clone, Debug, Default)]
pub(crate) struct Queue {
    slots: Arc<Mutex<Slots>>,
    changed: Arc<Notify>,
}

/// By UID of their tasks.
#[derive(Debug, Default)]
struct Slots {
    granted: HashSet<String>,
    /// Until when they get none.
    aside: HashMap<String, Instant>,
}

/// How the loop wakes passes.
pub(crate) struct Wake {
    pub(crate) alerts: UnboundedSender<ObjectRef<AlertTask>>,
    pub(crate) maintenance: UnboundedSender<ObjectRef<MaintenanceTask>>,
}

impl Queue {
    /// Whether the task has a slot.
    pub(crate) fn is_granted(&self, uid: &str) -> bool {
        self.slots().granted.contains(uid)
    }

    /// The task can't use its slot.
    pub(crate) fn give_back(&self, uid: &str) {
        let was_granted = self.slots().granted.remove(uid);
        if was_granted {
            self.changed();
        }
    }

    /// The task can't use its slot, and no status will ever show why: without a pause it would be given the next one at
    /// once, and so on.
    pub(crate) fn set_aside(&self, uid: &str) {
        self.slots().aside.insert(uid.to_owned(), Instant::now() + SET_ASIDE);
        self.give_back(uid);
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
        let waiting = snapshot.waiting.len();
        self.slots().account(&mut snapshot);
        let running = snapshot.taken.len();
        let admitted = admission::admit(snapshot.waiting, &snapshot.taken, settings);
        metrics.queue(running + admitted.len(), waiting.saturating_sub(admitted.len()));
        for candidate in admitted {
            self.slots().granted.insert(candidate.uid.clone());
            if let Some(task) = snapshot.refs.remove(&candidate.uid) {
                wake.wake(task);
            }
        }
    }

    fn slots(&self) -> std::sync::MutexGuard<'_, Slots> {
        self.slots.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Slots {
    /// Counts what is granted as taken, and leaves out who is set aside.
    fn account(&mut self, snapshot: &mut Snapshot) {
        self.granted.retain(|uid| snapshot.refs.contains_key(uid));
        self.aside.retain(|_, until| Instant::now() < *until);
        for candidate in snapshot.waiting.iter().filter(|candidate| self.granted.contains(&candidate.uid)) {
            snapshot.taken.insert(candidate.uid.clone(), candidate.profile.clone());
        }
        snapshot.waiting.retain(|candidate| !self.aside.contains_key(&candidate.uid));
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
