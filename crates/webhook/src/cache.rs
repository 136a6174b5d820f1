//! A cache of the incidents' tasks: what is under way is found without asking. It is believed only where a collision
//! would show that it is late: a merge carries the resourceVersion that was read. Whatever else it shows is asked again.

use futures::{StreamExt, future};
use kube::core::DeserializeGuard;
use kube::runtime::WatchStreamExt;
use kube::runtime::reflector::{self, Store};
use kube::runtime::watcher::{self, Event, watcher};
use kube::{Api, Client, ResourceExt};
use punching_fist_api::{AlertTask, AlertTaskSpec, names};
use punching_fist_core::incident::{self, Chain};

use crate::tasks::readable;

/// AlertTasks of one namespace that belong to incidents, without what no decision reads.
#[derive(Clone)]
pub struct TaskCache {
    store: Store<AlertTask>,
}

impl TaskCache {
    /// The cache, and the watch that fills it: it has to be polled for as long as the cache is to follow.
    pub fn new(client: Client, namespace: &str) -> (Self, impl Future<Output = ()> + Send + 'static) {
        let (store, writer) = reflector::store();
        let tasks = Api::<DeserializeGuard<AlertTask>>::namespaced(client, namespace);
        let config = watcher::Config::default().labels(names::LABEL_KEY);
        let events = watcher(tasks, config).default_backoff();
        let events = events.filter_map(|event| future::ready(event.map(understood).transpose()));
        let watch = events.modify(strip).reflect(writer).for_each(|event| {
            if let Err(error) = event {
                tracing::warn!(%error, "the watch over AlertTasks was interrupted; merges ask the API server meanwhile");
            }
            future::ready(())
        });
        (Self { store }, watch)
    }

    /// The newest task of the key, if it is under way as far as is known here.
    pub(crate) fn open_task(&self, key: &str) -> Option<AlertTask> {
        let tasks = self.store.state();
        let chain: Vec<&AlertTask> = tasks
            .iter()
            .map(AsRef::as_ref)
            .filter(|task| task.labels().get(names::LABEL_KEY).is_some_and(|label| label == key))
            .collect();
        let newest = Chain::of(chain.iter().copied()).newest()?;
        incident::is_open(newest).then(|| newest.clone())
    }
}

/// The event with its task. A task that can't be read any more leaves the cache; one alone must not end the watch.
fn understood(event: Event<DeserializeGuard<AlertTask>>) -> Option<Event<AlertTask>> {
    match event {
        Event::Init => Some(Event::Init),
        Event::InitDone => Some(Event::InitDone),
        Event::InitApply(task) => readable(task).map(Event::InitApply),
        Event::Apply(task) => {
            let gone = nothing_but_its_name(&task);
            Some(readable(task).map_or(Event::Delete(gone), Event::Apply))
        }
        Event::Delete(task) => {
            let gone = nothing_but_its_name(&task);
            Some(Event::Delete(readable(task).unwrap_or(gone)))
        }
    }
}

/// All that a deletion from the cache needs.
fn nothing_but_its_name(task: &DeserializeGuard<AlertTask>) -> AlertTask {
    let mut gone = AlertTask::new(&task.name_any(), AlertTaskSpec::default());
    gone.metadata.namespace = task.namespace();
    gone
}

/// Most of a task's size is text that only its agent and its readers need.
fn strip(task: &mut AlertTask) {
    task.metadata.managed_fields = None;
    task.spec.task.prompt = None;
    task.spec.notification.common_annotations.clear();
    for alert in &mut task.spec.notification.alerts {
        alert.annotations.clear();
        alert.generator_url = None;
    }
    if let Some(result) = task.status.as_mut().and_then(|status| status.task.result.as_mut()) {
        result.report = None;
        result.plan = None;
    }
}
