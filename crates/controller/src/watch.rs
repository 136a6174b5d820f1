//! The watches. One watch feeds a store and its trigger, in that order, so that a pass finds what triggered it; a second
//! watch of the same kind would run ahead of the store, and the pass would see the old object with nothing to wake it.

use std::collections::HashMap;
use std::fmt::Debug;
use std::sync::Arc;

use futures::{Stream, StreamExt, future, stream};
use k8s_openapi::api::batch::v1::Job;
use k8s_openapi::api::core::v1::Pod;
use kube::core::DeserializeGuard;
use kube::runtime::WatchStreamExt;
use kube::runtime::reflector::{self, ObjectRef, Store};
use kube::runtime::watcher::{self, Event, watcher};
use kube::{Api, Client, Resource, ResourceExt};
use punching_fist_api::{Task, names};
use serde::de::DeserializeOwned;

use crate::ledger::Ledger;

/// A store, and the stream that fills it and says what it touched.
pub(crate) type Watched<K> = (Store<K>, stream::BoxStream<'static, watcher::Result<K>>);

/// All tasks of a kind, without what no pass reads: reports and plans are most of a finished task's size.
pub(crate) fn tasks<K: Task>(client: &Client) -> Watched<K> {
    watched(client, watcher::Config::default(), |task: &mut K| {
        task.meta_mut().managed_fields = None;
        if let Some(result) = task.task_status_mut().and_then(|status| status.result.as_mut()) {
            result.report = None;
            result.plan = None;
        }
    })
}

/// The Jobs of a kind's tasks: ours by label, so that a cluster's other Jobs cost nothing.
pub(crate) fn jobs<K: Task>(client: &Client) -> Watched<Job> {
    watched(client, ours::<K>(), |job: &mut Job| {
        job.metadata.managed_fields = None;
        if let Some(template) = job.spec.as_mut().and_then(|spec| spec.template.metadata.as_mut()) {
            template.annotations = None; // The prompt: up to 64 KiB, and no pass reads it.
        }
    })
}

/// The pods of a kind's tasks: noted in the ledger, then told as the task that they belong to.
pub(crate) fn pods<K: Task>(
    client: &Client,
    ledger: Ledger,
) -> impl Stream<Item = ObjectRef<K>> + Send + 'static {
    watcher(Api::<Pod>::all(client.clone()), ours::<K>()).default_backoff().filter_map(move |event| {
        let touched =
            event.inspect_err(|error| tracing::warn!(%error, "watching pods")).ok().and_then(|event| {
                ledger.note(&event);
                task_of(&event)
            });
        future::ready(touched)
    })
}

fn ours<K: Task>() -> watcher::Config {
    let labels = [(names::LABEL_MANAGED_BY, names::APP), (names::LABEL_KIND, K::KIND.as_str())];
    watcher::Config::default().labels(&labels.map(|(name, value)| format!("{name}={value}")).join(","))
}

/// A pod is owned by a Job, not by the task: an annotation names the task.
fn task_of<K: Task>(event: &Event<Pod>) -> Option<ObjectRef<K>> {
    let (Event::Apply(pod) | Event::InitApply(pod) | Event::Delete(pod)) = event else { return None };
    let name = pod.annotations().get(names::ANNOTATION_TASK)?;
    Some(ObjectRef::new(name).within(&pod.namespace()?))
}

/// All objects of a kind. One that can't be read doesn't spoil the list that it is in.
fn watched<K>(client: &Client, config: watcher::Config, strip: fn(&mut K)) -> Watched<K>
where
    K: Resource<DynamicType = ()> + Clone + Debug + DeserializeOwned + Send + Sync + 'static,
{
    let (store, writer) = reflector::store();
    let known = store.clone();
    let events = watcher(Api::<DeserializeGuard<K>>::all(client.clone()), config)
        .default_backoff()
        .filter_map(move |event| future::ready(event.map(|event| readable(event, &known)).transpose()))
        .modify(strip)
        .reflect(writer);
    (store.clone(), touched(store, events).boxed())
}

/// What of an event can be read. An object that can't is told in the log and left alone; if it could be read before, it
/// stays known as it was, and its deletion is that one's.
fn readable<K>(event: Event<DeserializeGuard<K>>, known: &Store<K>) -> Option<Event<K>>
where
    K: Resource<DynamicType = ()> + Clone + 'static,
{
    let read = |guard: DeserializeGuard<K>| {
        let refused = |error| tracing::error!(kind = %K::kind(&()), %error, "an object can't be read and is left alone");
        guard.0.map_err(refused).ok()
    };
    match event {
        Event::Init => Some(Event::Init),
        Event::InitDone => Some(Event::InitDone),
        Event::InitApply(guard) => read(guard).map(Event::InitApply),
        Event::Apply(guard) => read(guard).map(Event::Apply),
        Event::Delete(guard) => {
            let name = ObjectRef::<K>::new(&guard.name_any()).within(&guard.namespace().unwrap_or_default());
            read(guard).or_else(|| known.get(&name).map(Arc::unwrap_or_clone)).map(Event::Delete)
        }
    }
}

/// What events touched. A list that is made anew (after an expired watch) fills the store only when it is whole, so
/// that is when everything is told: what it holds now, and what it held before and may have lost.
fn touched<K>(
    store: Store<K>,
    events: impl Stream<Item = watcher::Result<Event<K>>> + Send,
) -> impl Stream<Item = watcher::Result<K>> + Send
where
    K: Resource<DynamicType = ()> + Clone + Send + Sync + 'static,
{
    let before = Vec::new();
    events
        .scan((store, before), |(store, before), event| {
            let touched = match event {
                Ok(Event::Apply(object) | Event::Delete(object)) => vec![Ok(object)],
                Ok(Event::Init) => {
                    *before = store.state();
                    Vec::new()
                }
                Ok(Event::InitApply(_)) => Vec::new(),
                Ok(Event::InitDone) => both(std::mem::take(before), store.state()),
                Err(error) => vec![Err(error)],
            };
            future::ready(Some(stream::iter(touched)))
        })
        .flatten()
}

fn both<K>(before: Vec<Arc<K>>, now: Vec<Arc<K>>) -> Vec<watcher::Result<K>>
where
    K: Resource<DynamicType = ()> + Clone,
{
    let objects: HashMap<_, _> = before.into_iter().chain(now).map(|object| (object.uid(), object)).collect();
    objects.into_values().map(|object| Ok(Arc::unwrap_or_clone(object))).collect()
}

#[cfg(test)]
mod tests {
    use k8s_openapi::api::core::v1::ConfigMap;
    use serde_json::json;

    use super::*;

    fn named(name: &str) -> ConfigMap {
        serde_json::from_value(json!({"metadata": {"name": name, "namespace": "n", "uid": name}})).unwrap()
    }

    /// What is told of these events, in any order.
    async fn told(events: Vec<Event<ConfigMap>>) -> Vec<String> {
        let (store, writer) = reflector::store();
        let events = stream::iter(events.into_iter().map(Ok)).reflect(writer);
        let touched = touched(store, events).map(|object| object.unwrap().name_any());
        let mut touched: Vec<_> = touched.collect().await;
        touched.sort();
        touched
    }

    #[tokio::test]
    async fn a_new_list_tells_what_it_holds_and_what_it_lost() {
        let (lost, kept, new) = (named("lost"), named("kept"), named("new"));
        let first = [Event::Init, Event::InitApply(lost), Event::InitApply(kept.clone()), Event::InitDone];
        assert_eq!(told(first.to_vec()).await, ["kept", "lost"]);
        let second = [Event::Init, Event::InitApply(kept), Event::InitApply(new.clone()), Event::InitDone];
        let both = [first.to_vec(), second.to_vec()].concat();
        assert_eq!(told(both).await, ["kept", "kept", "lost", "lost", "new"]);
        assert_eq!(told(vec![Event::Apply(new.clone()), Event::Delete(new)]).await, ["new", "new"]);
    }
}
