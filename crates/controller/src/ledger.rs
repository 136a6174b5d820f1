//! What is known of agents' pods: a small record each, kept after the pod itself is gone.
//!
//! A pod's end is often seen last in the event of its deletion, so the records are made from the watch's raw events.

use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use k8s_openapi::api::core::v1::Pod;
use kube::ResourceExt;
use kube::runtime::watcher::Event;
use punching_fist_api::names;
use punching_fist_core::job;
use punching_fist_core::pods::{PodRecord, owning_job};
use tokio::sync::watch;

/// Records of pods, by UID of their task and their own UID.
#[derive(Clone, Debug, Default)]
pub(crate) struct Ledger {
    inner: Arc<Mutex<Inner>>,
    /// Whether every pod has been seen once.
    synced: Arc<watch::Sender<bool>>,
}

#[derive(Debug, Default)]
struct Inner {
    records: HashMap<String, HashMap<String, PodRecord>>,
    /// While the pods are listed anew: those that the list has shown so far.
    listed: Option<HashSet<String>>,
    /// Tasks without a pod that lives, which weren't there when it was last swept.
    missed: HashSet<String>,
}

impl Ledger {
    /// Takes down what an event says.
    pub(crate) fn note(&self, event: &Event<Pod>) {
        let mut inner = self.lock();
        match event {
            Event::Init => inner.listed = Some(HashSet::new()),
            Event::InitApply(pod) | Event::Apply(pod) => inner.put(pod, |record| record),
            Event::Delete(pod) => inner.put(pod, PodRecord::deleted),
            Event::InitDone => {
                inner.finish_list();
                self.synced.send_replace(true);
            }
        }
    }

    /// The pods of a task, in no order.
    pub(crate) fn pods_of(&self, task_uid: &str) -> Vec<PodRecord> {
        self.lock().records.get(task_uid).map(|pods| pods.values().cloned().collect()).unwrap_or_default()
    }

    /// The tasks that a pod still runs for, or is about to; and the profile that it counts against.
    pub(crate) fn live(&self) -> Vec<(String, String)> {
        let inner = self.lock();
        let live = |pods: &HashMap<String, PodRecord>| {
            pods.values().find(|pod| pod.end().is_none()).map(|pod| pod.profile.clone())
        };
        inner.records.iter().filter_map(|(task, pods)| Some((task.clone(), live(pods)?))).collect()
    }

    /// Drops the ended pods of a task whose end stands in its status.
    pub(crate) fn forget(&self, task_uid: &str) {
        let mut inner = self.lock();
        if let Some(pods) = inner.records.get_mut(task_uid) {
            pods.retain(|_, pod| pod.end().is_none());
        }
        inner.records.retain(|_, pods| !pods.is_empty());
    }

    /// Drops the ended pods of tasks that are not among `known`, and weren't the last time either: one that a slow watch
    /// shows late must not lose its result.
    pub(crate) fn sweep(&self, known: &HashSet<String>) {
        let mut inner = self.lock();
        let ended = |pods: &HashMap<String, PodRecord>| pods.values().all(|pod| pod.end().is_some());
        let unknown = inner.records.iter().filter(|(task, pods)| !known.contains(*task) && ended(pods));
        let unknown: HashSet<String> = unknown.map(|(task, _)| task.clone()).collect();
        let missed = std::mem::replace(&mut inner.missed, unknown.clone());
        inner.records.retain(|task, _| !(missed.contains(task) && unknown.contains(task)));
    }

    /// Returns when every pod has been seen once: until then a run that has ended looks like one that left no result.
    pub(crate) async fn wait_until_ready(&self) {
        // The sender lives as long as `self`.
        let _ = self.synced.subscribe().wait_for(|synced| *synced).await;
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Inner {
    fn put(&mut self, pod: &Pod, change: impl Fn(PodRecord) -> PodRecord) {
        let Some((task, record)) = pod.labels().get(names::LABEL_TASK_ID).zip(PodRecord::of(pod)) else {
            return;
        };
        let is_owned = owning_job(pod).is_some_and(|owner| owner.name == job::name(task));
        if !is_owned || !job::has_made(task, &record.name) {
            return;
        }
        if let Some(listed) = &mut self.listed {
            listed.insert(record.uid.clone());
        }
        self.records.entry(task.clone()).or_default().insert(record.uid.clone(), change(record));
    }

    /// What the list didn't show was deleted while the watch was away.
    fn finish_list(&mut self) {
        let Some(listed) = self.listed.take() else { return };
        for pods in self.records.values_mut() {
            for (uid, record) in pods.iter_mut().filter(|(uid, _)| !listed.contains(*uid)) {
                tracing::debug!(pod = uid, "deleted unseen");
                *record = record.clone().deleted();
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use futures::FutureExt;
    use serde_json::json;

    use super::*;

    fn pod(uid: &str, running: bool) -> Pod {
        let state = if running {
            json!({"running": {}})
        } else {
            json!({"terminated": {"exitCode": 0, "message": "m"}})
        };
        let owner = json!({"apiVersion": "batch/v1", "kind": "Job", "name": "openhands-task-task", "uid": "j", "controller": true});
        serde_json::from_value(json!({
            "metadata": {"name": format!("openhands-task-task-{uid}"), "uid": uid, "labels": {"task.id": "task", "punching-fist.io/profile": "p"}, "ownerReferences": [owner]},
            "status": {"containerStatuses": [{"name": "openhands-task", "image": "", "imageID": "", "ready": running, "restartCount": 0, "state": state}]},
        }))
        .unwrap()
    }

    #[test]
    fn an_end_is_kept_past_the_pod() {
        let ledger = Ledger::default();
        ledger.note(&Event::Apply(pod("a", true)));
        assert_eq!(ledger.live(), [("task".to_owned(), "p".to_owned())]);
        ledger.note(&Event::Delete(pod("a", false)));
        assert!(ledger.live().is_empty());
        assert_eq!(ledger.pods_of("task")[0].end().unwrap().exit_code, Some(0));
        ledger.forget("task");
        assert!(ledger.pods_of("task").is_empty());
    }

    #[test]
    fn what_a_deleted_task_leaves_behind_is_swept_when_it_has_ended() {
        let ledger = Ledger::default();
        let (nobody, task) = (HashSet::new(), HashSet::from(["task".to_owned()]));
        let sweep_twice = |known: &HashSet<String>| (0..2).for_each(|_| ledger.sweep(known));
        ledger.note(&Event::Apply(pod("a", true)));
        sweep_twice(&nobody);
        assert_eq!(ledger.live().len(), 1, "it still runs");
        ledger.note(&Event::Delete(pod("a", false)));
        sweep_twice(&task);
        ledger.sweep(&nobody);
        ledger.sweep(&task);
        ledger.sweep(&nobody);
        assert_eq!(ledger.pods_of("task").len(), 1, "missed once, then seen again");
        ledger.sweep(&nobody);
        assert!(ledger.pods_of("task").is_empty());
    }

    #[test]
    fn a_pod_that_the_job_did_not_make_says_nothing() {
        let ledger = Ledger::default();
        let mut orphan = pod("a", false);
        orphan.metadata.owner_references = None;
        ledger.note(&Event::Apply(orphan));
        // The Job controller adopts pods that have its label.
        let mut adopted = pod("a", false);
        adopted.metadata.name = Some("anything".to_owned());
        ledger.note(&Event::Apply(adopted));
        assert!(ledger.pods_of("task").is_empty());
    }

    #[tokio::test]
    async fn what_a_new_list_lacks_is_gone() {
        let ledger = Ledger::default();
        assert!(ledger.wait_until_ready().now_or_never().is_none());
        for event in
            [Event::Init, Event::InitApply(pod("a", true)), Event::InitDone, Event::Apply(pod("b", true))]
        {
            ledger.note(&event);
        }
        assert!(ledger.wait_until_ready().now_or_never().is_some());
        for event in [Event::Init, Event::InitApply(pod("b", true)), Event::InitDone] {
            ledger.note(&event);
        }
        let reasons: Vec<_> =
            ledger.pods_of("task").iter().map(|pod| (pod.uid.clone(), pod.end().is_some())).collect();
        assert!(reasons.contains(&("a".to_owned(), true)) && reasons.contains(&("b".to_owned(), false)));
    }
}
