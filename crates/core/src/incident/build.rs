//! The AlertTask that is made: facts, identity, and a copy of what its route asks for, so that a later edit of the route
//! changes nothing that is under way.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use punching_fist_api::{
    self as api, Alert, AlertState, AlertTask, AlertTaskSpec, Identity, OnResolved, RouteRef, TaskSpec, names,
};

use super::past::Past;
use super::{Chain, Incident, alerts_in_full};
use crate::identity::{self, Newest};
use crate::notification::{Notification, facts, summary};

/// Where a task comes from.
struct Origin<'a> {
    namespace: Option<&'a str>,
    route: Option<RouteRef>,
    template: &'a TaskSpec,
    on_resolved: OnResolved,
    key: &'a str,
    /// What the task's name follows.
    tail: Option<&'a AlertTask>,
    /// What the task itself follows.
    previous: Option<&'a AlertTask>,
}

impl<'a> Origin<'a> {
    fn of(incident: &'a Incident<'_>, chain: &Chain<'a>) -> Self {
        Self {
            namespace: Some(incident.route.namespace()),
            route: Some(incident.route.reference()),
            template: &incident.route.spec().template,
            on_resolved: incident.route.spec().on_resolved,
            key: &incident.key,
            tail: chain.tail,
            previous: chain.newest,
        }
    }
}

/// The first task of an incident, or the first since all others are being deleted.
pub(super) fn first(incident: &Incident<'_>, chain: &Chain<'_>) -> AlertTask {
    task(&Origin::of(incident, chain), incident.notification, |_| true)
}

/// The task that follows `newest`. If the sender left alerts out, those that are known to fire come along: their end
/// will be told to the newest task alone.
pub(super) fn next(incident: &Incident<'_>, chain: &Chain<'_>, newest: &AlertTask, past: &Past) -> AlertTask {
    let origin = Origin::of(incident, chain);
    let is_new = |alert: &Alert| past.is_new(alert);
    if incident.notification.truncated_alerts == 0 {
        return task(&origin, incident.notification, is_new);
    }
    let mut alerts = incident.notification.alerts.clone();
    let is_named =
        |fingerprint: &str| incident.notification.alerts.iter().any(|alert| alert.fingerprint == fingerprint);
    let known = alerts_in_full(newest).into_iter();
    alerts.extend(known.filter(|alert| alert.status == AlertState::Firing && !is_named(&alert.fingerprint)));
    task(&origin, &incident.notification.with_alerts(alerts), is_new)
}

/// The task that follows `finished` for what still fires in it; none if it has no identity.
pub(super) fn after(finished: &AlertTask, past: &Past) -> Option<AlertTask> {
    let identity = finished.spec.identity.as_ref()?;
    let origin = Origin {
        namespace: finished.metadata.namespace.as_deref(),
        route: finished.spec.route.clone(),
        template: &finished.spec.task,
        on_resolved: finished.spec.on_resolved,
        key: &identity.key,
        tail: Some(finished),
        previous: Some(finished),
    };
    Some(task(&origin, &still_firing(finished), |alert| past.joined_late(alert)))
}

fn still_firing(task: &AlertTask) -> Notification {
    let api::Notification {
        receiver,
        status: _,
        group_key,
        group_labels,
        common_labels,
        common_annotations,
        alerts: _,
        further_alerts: _,
        truncated_alerts: _,
        external_url,
    } = task.spec.notification.clone();
    let left_out = task.status.as_ref().map_or(0, |status| status.truncated_alerts);
    let alerts =
        alerts_in_full(task).into_iter().filter(|alert| alert.status == AlertState::Firing).collect();
    Notification {
        receiver,
        group_key: group_key.unwrap_or_default(),
        group_labels,
        common_labels,
        common_annotations,
        alerts,
        truncated_alerts: u64::try_from(left_out).unwrap_or(0),
        external_url,
    }
}

fn task(origin: &Origin<'_>, notification: &Notification, is_new: impl Fn(&Alert) -> bool) -> AlertTask {
    let previous = origin.previous.map(|task| &task.spec);
    let shown = |label, known: fn(&AlertTaskSpec) -> &Option<String>| {
        summary(notification, label).or_else(|| previous.and_then(|spec| known(spec).clone()))
    };
    let mut task = AlertTask::new(
        &name(origin, notification),
        AlertTaskSpec {
            task: origin.template.clone(),
            suspend: false,
            cancel: false,
            alert_name: shown("alertname", |spec| &spec.alert_name),
            severity: shown("severity", |spec| &spec.severity),
            notification: facts(notification, is_new),
            identity: Some(identity(origin)),
            route: origin.route.clone(),
            on_resolved: origin.on_resolved,
        },
    );
    task.metadata.namespace = origin.namespace.map(str::to_owned);
    task.metadata.labels = Some(labels(origin.key).into());
    task
}

fn name(origin: &Origin<'_>, notification: &Notification) -> String {
    let newest = origin.tail.map(|task| &task.metadata).and_then(newest);
    identity::task_name(&notification.title(), origin.key, newest)
}

fn newest(metadata: &ObjectMeta) -> Option<Newest<'_>> {
    Some(Newest { name: metadata.name.as_deref()?, uid: metadata.uid.as_deref()? })
}

fn identity(origin: &Origin<'_>) -> Identity {
    let run = |task: &AlertTask| task.spec.identity.as_ref().map_or(1, |identity| identity.run);
    Identity {
        key: origin.key.to_owned(),
        run: origin.tail.map_or(0, run) + 1,
        previous: origin.previous.and_then(|task| task.metadata.name.clone()),
    }
}

fn labels(key: &str) -> [(String, String); 3] {
    [(names::LABEL_APP, names::APP), (names::LABEL_MANAGED_BY, names::APP), (names::LABEL_KEY, key)]
        .map(|(name, value)| (name.to_owned(), value.to_owned()))
}
