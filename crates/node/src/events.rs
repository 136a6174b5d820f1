//! Events about pods, published one after the other beside the work: none of them holds up or fails a pod.

use std::hash::{DefaultHasher, Hash, Hasher as _};
use std::time::Duration;

use k8s_openapi::api::core::v1::{ObjectReference, Pod};
use kube::runtime::events::{Event, EventType, Recorder, Reporter};
use kube::{Client, Resource};
use tokio::sync::mpsc;

/// How many publish side by side. The events of one pod stay in order.
const PUBLISHERS: u64 = 4;

/// How many events may wait for each of them. What comes on top is dropped.
const WAITING: usize = 1024;

/// One that takes longer is given up.
const DEADLINE: Duration = Duration::from_secs(5);

/// The API server refuses longer notes.
const LONGEST_NOTE: usize = 1024;

/// Where events go in.
#[derive(Clone, Debug)]
pub struct Events(Vec<mpsc::Sender<(ObjectReference, Event)>>);

impl Events {
    /// Starts to publish, for as long as there is somebody to send. `node` signs the events.
    pub fn start(client: &Client, node: &str) -> Self {
        let reporter = Reporter { controller: "kubelet".to_owned(), instance: Some(node.to_owned()) };
        let recorder = Recorder::new(client.clone(), reporter);
        let start = |_| {
            let (sender, inbox) = mpsc::channel(WAITING);
            tokio::spawn(publish(recorder.clone(), inbox));
            sender
        };
        Self((0..PUBLISHERS).map(start).collect())
    }

    /// Something went as it should.
    pub fn normal(&self, about: &ObjectReference, reason: &str, note: impl Into<String>) {
        self.send(about, EventType::Normal, reason, note.into());
    }

    /// Something that a user should look at.
    pub fn warning(&self, about: &ObjectReference, reason: &str, note: impl Into<String>) {
        self.send(about, EventType::Warning, reason, note.into());
    }

    fn send(&self, about: &ObjectReference, type_: EventType, reason: &str, mut note: String) {
        let end = (0..=LONGEST_NOTE.min(note.len())).rfind(|&at| note.is_char_boundary(at));
        note.truncate(end.unwrap_or(0));
        // The recorder takes events for repeats that differ in their note alone, and would show only the first.
        let (reason, action) = (reason.to_owned(), format!("Run{:x}", hash(&note)));
        let event = Event { type_, reason, note: Some(note), action, secondary: None };
        let publisher = usize::try_from(hash(&about.uid) % PUBLISHERS).unwrap_or(0);
        if self.0[publisher].try_send((about.clone(), event)).is_err() {
            tracing::debug!("too many events wait: one is dropped");
        }
    }
}

async fn publish(recorder: Recorder, mut inbox: mpsc::Receiver<(ObjectReference, Event)>) {
    while let Some((about, event)) = inbox.recv().await {
        match tokio::time::timeout(DEADLINE, recorder.publish(&event, &about)).await {
            Ok(Ok(())) => {}
            Ok(Err(error)) => tracing::debug!(%error, reason = event.reason, "event refused"),
            Err(_) => tracing::debug!(reason = event.reason, "event timed out"),
        }
    }
}

fn hash(value: impl Hash) -> u64 {
    let mut hasher = DefaultHasher::new();
    value.hash(&mut hasher);
    hasher.finish()
}

/// What an event about a pod refers to.
pub fn about_pod(pod: &Pod) -> ObjectReference {
    pod.object_ref(&())
}

/// What an event about one container refers to, as a kubelet says it.
pub fn about_container(pod: &Pod, name: &str, init: bool) -> ObjectReference {
    let list = if init { "initContainers" } else { "containers" };
    ObjectReference { field_path: Some(format!("spec.{list}{{{name}}}")), ..about_pod(pod) }
}
