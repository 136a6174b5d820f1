//! Events about pods, published one after the other beside the work: none of them holds up or fails a pod.

use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::time::Duration;

use k8s_openapi::api::core::v1::{ObjectReference, Pod};
use kube::runtime::events::{Event, EventType, Recorder, Reporter};
use kube::{Client, Resource};
use tokio::sync::mpsc;

/// How many events may wait for the API server. What comes on top is dropped.
const WAITING: usize = 1024;

/// One that takes longer is given up.
const DEADLINE: Duration = Duration::from_secs(5);

/// The API server refuses longer notes.
const LONGEST_NOTE: usize = 1024;

/// Where events go in.
#[derive(Clone, Debug)]
pub struct Events(mpsc::Sender<(ObjectReference, Event)>);

impl Events {
    /// Starts to publish, for as long as there is somebody to send. `node` signs the events.
    pub fn start(client: Client, node: &str) -> Self {
        let (sender, mut inbox) = mpsc::channel::<(ObjectReference, Event)>(WAITING);
        let reporter = Reporter { controller: "kubelet".to_owned(), instance: Some(node.to_owned()) };
        let recorder = Recorder::new(client, reporter);
        tokio::spawn(async move {
            while let Some((about, event)) = inbox.recv().await {
                match tokio::time::timeout(DEADLINE, recorder.publish(&event, &about)).await {
                    Ok(Ok(())) => {}
                    Ok(Err(error)) => tracing::debug!(%error, reason = event.reason, "event refused"),
                    Err(_) => tracing::debug!(reason = event.reason, "event timed out"),
                }
            }
        });
        Self(sender)
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
        let mut hasher = DefaultHasher::new();
        note.hash(&mut hasher);
        let (reason, action) = (reason.to_owned(), format!("Run{:x}", hasher.finish()));
        let event = Event { type_, reason, note: Some(note), action, secondary: None };
        if self.0.try_send((about.clone(), event)).is_err() {
            tracing::debug!("too many events wait: one is dropped");
        }
    }
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
