//! One incident, one task; nothing is dropped: whether a notification makes a task, joins one or follows one.
//!
//! The tasks of one key are a chain; its newest member tells what is known. Nothing here is remembered elsewhere: who
//! sees the same chain decides the same, and the name of a new task is the lock on being its next member.

mod build;
mod past;
mod records;

use jiff::Timestamp;
use punching_fist_api::{AlertState, AlertTask, Phase};

use past::Past;
pub use records::{WebhookStatus, alerts_in_full, records};

use crate::identity;
use crate::notification::Notification;
use crate::route::Route;

/// A notification, and the incident that it is about.
#[derive(Clone, Debug)]
pub struct Incident<'a> {
    key: String,
    route: &'a Route,
    notification: &'a Notification,
}

impl<'a> Incident<'a> {
    /// The incident of this route and the notification's group.
    pub fn new(route: &'a Route, notification: &'a Notification) -> Self {
        let key = identity::key(route.namespace(), route.name(), &notification.group_key);
        Self { key, route, notification }
    }

    /// What its tasks carry as label `punching-fist.io/key`.
    pub fn key(&self) -> &str {
        &self.key
    }

    /// The namespace that its tasks are in.
    pub fn namespace(&self) -> &str {
        self.route.namespace()
    }
}

/// What is to be done about a notification.
#[derive(Clone, Debug, PartialEq)]
pub enum Decision {
    /// No task of the key is there: make this one.
    Create(Box<AlertTask>),
    /// The newest task is over and there is new work: make this one, which follows it.
    Successor(Box<AlertTask>),
    /// The newest task knows of it, or takes it in: this is its new status, the webhook's part.
    Merge(Box<WebhookStatus>),
    /// It is over, or older than what is known.
    Nothing,
}

/// The tasks of one key.
#[derive(Clone, Copy, Debug, Default)]
pub struct Chain<'a> {
    /// The newest that stays.
    newest: Option<&'a AlertTask>,
    /// The newest of all: one that is being deleted decides nothing any more, but its successor's name must differ.
    tail: Option<&'a AlertTask>,
}

impl<'a> Chain<'a> {
    /// The chain of these tasks, in whatever order they come.
    pub fn of(tasks: impl IntoIterator<Item = &'a AlertTask> + Clone) -> Self {
        let stays = |task: &&AlertTask| task.metadata.deletion_timestamp.is_none();
        Self {
            newest: tasks.clone().into_iter().filter(stays).max_by_key(|task| position(task)),
            tail: tasks.into_iter().max_by_key(|task| position(task)),
        }
    }

    /// The newest task that isn't being deleted.
    pub fn newest(&self) -> Option<&'a AlertTask> {
        self.newest
    }
}

fn position(task: &AlertTask) -> (i64, Option<Timestamp>, Option<&str>) {
    let run = task.spec.identity.as_ref().map_or(0, |identity| identity.run);
    let created = task.metadata.creation_timestamp.as_ref().map(|time| time.0);
    (run, created, task.metadata.name.as_deref())
}

/// Decides about a notification from the chain of its incident as it was seen.
///
/// A task that is under way takes everything in. One that is over is followed if a firing alert is new work, else it
/// counts the repeat. What is resolved never makes a task.
pub fn decide(incident: &Incident<'_>, chain: &Chain<'_>, now: Timestamp) -> Decision {
    let Some(newest) = chain.newest else {
        if !incident.notification.fires() {
            return Decision::Nothing;
        }
        return Decision::Create(Box::new(build::first(incident, chain)));
    };
    if !is_open(newest) {
        let past = Past::of(newest);
        if incident.notification.firing().any(|alert| past.is_new(alert)) {
            return Decision::Successor(Box::new(build::next(incident, chain, newest, &past)));
        }
    }
    match WebhookStatus::of(newest).merged(incident.notification, now) {
        Some(status) => Decision::Merge(Box::new(status)),
        None => Decision::Nothing,
    }
}

/// The task that takes over from one whose run is over, for the alerts that joined too late for its prompt and still
/// fire. None if there are none, if the task is being deleted, or if it was written by hand.
///
/// A run that failed is not followed here: nothing would slow that down. The sender's next repeat does it.
pub fn follow_up(finished: &AlertTask) -> Option<AlertTask> {
    if is_open(finished) || finished.metadata.deletion_timestamp.is_some() {
        return None;
    }
    let past = Past::of(finished);
    if past.left_open() { build::after(finished, &past) } else { None }
}

/// Whether the run of a task is still to come or under way.
pub fn is_open(task: &AlertTask) -> bool {
    !phase(task).is_some_and(Phase::is_final)
}

/// Whether any alert of the task fires, as far as was heard.
pub fn is_firing(task: &AlertTask) -> bool {
    WebhookStatus::of(task).alert_state == AlertState::Firing
}

fn phase(task: &AlertTask) -> Option<Phase> {
    task.status.as_ref()?.task.phase
}

#[cfg(test)]
mod properties;
#[cfg(test)]
mod tests;
