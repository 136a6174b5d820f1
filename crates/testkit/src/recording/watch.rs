//! A watch: the changes since a resourceVersion as they come, one JSON line each.

use std::convert::Infallible;

use futures::{Stream, StreamExt, stream};
use serde_json::{Value, json};

use super::RecordingApi;
use super::call::Call;
use super::failure::Failure;
use super::selector::Selector;
use super::store::Event;

/// The lines of a watch, without end.
pub(super) fn lines(
    api: RecordingApi,
    call: &Call,
) -> Result<impl Stream<Item = Result<Vec<u8>, Infallible>> + Send + use<>, Failure> {
    let selector = Selector::parse(call.query.get("labelSelector"), call.query.get("fieldSelector"))?;
    let since = call.query.get("resourceVersion").and_then(|version| version.parse().ok()).unwrap_or(0);
    let changed = api.lock().store.changed.subscribe();
    let (target, namespace) = (call.target.clone(), call.namespace.clone());
    let in_scope = move |event: &Event| {
        event.key.resource == target && (namespace.is_none() || event.key.namespace == namespace)
    };
    let events = stream::unfold((since, changed), move |(since, mut changed)| {
        let api = api.clone();
        async move {
            loop {
                changed.borrow_and_update();
                let next = api.lock().store.log.iter().find(|event| event.version > since).cloned();
                if let Some(event) = next {
                    return Some((event.clone(), (event.version, changed)));
                }
                changed.changed().await.ok()?;
            }
        }
    });
    Ok(events.filter_map(move |event| {
        let line = if in_scope(&event) { line(&event, &selector) } else { None };
        futures::future::ready(line.map(Ok))
    }))
}

/// As the selector sees it: what stops matching is deleted.
fn line(event: &Event, selector: &Selector) -> Option<Vec<u8>> {
    let seen = |object: &&Value| selector.matches(object);
    let before = event.before.as_ref().filter(seen);
    let after = event.after.as_ref().filter(seen);
    let (kind, object) = match (before, after) {
        (None, None) => return None,
        (None, Some(object)) => ("ADDED", object.clone()),
        (Some(_), Some(object)) => ("MODIFIED", object.clone()),
        (Some(object), None) => ("DELETED", deleted(object, event)),
    };
    Some(format!("{}\n", json!({ "type": kind, "object": object })).into_bytes())
}

/// The last state, with the resourceVersion of the deletion.
fn deleted(object: &Value, event: &Event) -> Value {
    let mut object = object.clone();
    object["metadata"]["resourceVersion"] = event.version.to_string().into();
    object
}
