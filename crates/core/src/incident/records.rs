//! What a task's status knows of its alerts, and what a notification adds to it.

use std::collections::{BTreeMap, HashMap};

use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use punching_fist_api::{self as api, Alert, AlertRecord, AlertState, AlertTask};
use serde::Serialize;

use crate::notification::{self, MAX_KNOWN_ALERTS, Notification, bytes, cut_joined, fires};

/// Most of them with labels and annotations.
const MAX_IN_FULL: usize = 50;
/// Most bytes of all records, as JSON.
const MAX_BYTES: usize = 64 * 1024;
/// Most bytes of all records after which one may still come in full: the rest is for fingerprints.
const MAX_BYTES_IN_FULL: usize = MAX_BYTES / 2;

/// The webhook's part of an AlertTask's status, and nothing else: what is applied by its field manager.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct WebhookStatus {
    /// `firing` while any alert fires.
    pub alert_state: AlertState,
    /// The alerts of the spec in their order, then those that joined; only ever longer.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub alerts: Vec<AlertRecord>,
    /// How many alerts one notification named, at most, that `alerts` had no room for.
    pub truncated_alerts: i64,
    /// How many notifications named the task.
    pub occurrences: i64,
    /// When the last one came.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub last_received_time: Option<Time>,
    /// When the last alert was resolved.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub resolved_time: Option<Time>,
}

impl WebhookStatus {
    /// What stands in the status; of a task that has none yet, what its spec says.
    pub fn of(task: &AlertTask) -> Self {
        let alerts = records(task);
        let status = task.status.as_ref();
        let from_alerts = || state(alerts.iter().any(|record| record.state == AlertState::Firing));
        Self {
            alert_state: status.and_then(|status| status.alert_state).unwrap_or_else(from_alerts),
            truncated_alerts: status.map_or(0, |status| status.truncated_alerts),
            occurrences: status.map_or(0, |status| status.occurrences),
            last_received_time: status.and_then(|status| status.last_received_time.clone()),
            resolved_time: status.and_then(|status| status.resolved_time.clone()),
            alerts,
        }
    }

    /// With what the notification says; none if it says nothing about these alerts: only that alerts are over which
    /// are not known, or were so before the known ones began.
    pub(super) fn merged(mut self, notification: &Notification, now: Timestamp) -> Option<Self> {
        let mut ledger = Ledger::new(&self.alerts);
        let mut concerned = false;
        for alert in &notification.alerts {
            concerned |= ledger.enter(&mut self.alerts, alert);
        }
        if !concerned {
            return None;
        }
        let received = notification::whole_seconds(now);
        let fires =
            ledger.left_out > 0 || self.alerts.iter().any(|record| record.state == AlertState::Firing);
        self.truncated_alerts = self.truncated_alerts.max(ledger.left_out);
        self.occurrences += 1;
        self.alert_state = state(fires);
        self.resolved_time = if fires { None } else { self.resolved_time.or_else(|| received.clone()) };
        self.last_received_time = received;
        Some(self)
    }
}

/// The records as they grow: where each fingerprint stands, and what they weigh.
struct Ledger {
    places: HashMap<String, usize>,
    bytes: usize,
    in_full: usize,
    /// Firing alerts that there was no room for.
    left_out: i64,
}

impl Ledger {
    fn new(records: &[AlertRecord]) -> Self {
        Self {
            places: records.iter().enumerate().map(|(i, record)| (record.fingerprint.clone(), i)).collect(),
            bytes: records.iter().map(weight).sum(),
            in_full: records.iter().filter(|record| is_in_full(record)).count(),
            left_out: 0,
        }
    }

    /// Notes one alert; says whether it concerned the task.
    fn enter(&mut self, records: &mut Vec<AlertRecord>, alert: &Alert) -> bool {
        match self.places.get(&alert.fingerprint) {
            Some(&place) => update(&mut records[place], alert),
            None if !fires(alert) => false,
            None => {
                self.join(records, alert);
                true
            }
        }
    }

    fn join(&mut self, records: &mut Vec<AlertRecord>, alert: &Alert) {
        let bare = record(alert, BTreeMap::new(), BTreeMap::new());
        let (labels, annotations) = cut_joined(alert);
        let full = record(alert, labels, annotations);
        let full_fits = self.in_full < MAX_IN_FULL && self.bytes + weight(&full) <= MAX_BYTES_IN_FULL;
        let entry = if full_fits { full } else { bare };
        if records.len() == MAX_KNOWN_ALERTS || self.bytes + weight(&entry) > MAX_BYTES {
            self.left_out += 1;
            return;
        }
        self.bytes += weight(&entry);
        self.in_full += usize::from(is_in_full(&entry));
        self.places.insert(entry.fingerprint.clone(), records.len());
        records.push(entry);
    }
}

/// A record and the comma after it.
fn weight(record: &AlertRecord) -> usize {
    bytes(record) + 1
}

/// The latest start counts; what was over before that start says nothing. One that fires always counts as firing: a
/// late repeat costs a look, an alert taken for resolved would cost the incident.
fn update(record: &mut AlertRecord, alert: &Alert) -> bool {
    let is_older = match (&alert.starts_at, &record.starts_at) {
        (Some(new), Some(known)) => new.0 < known.0,
        (None, Some(_)) => true,
        _ => false,
    };
    if is_older && !fires(alert) && alert.starts_at.is_some() {
        return false;
    }
    if !is_older {
        record.starts_at.clone_from(&alert.starts_at);
    }
    record.state = alert.status;
    true
}

fn record(
    alert: &Alert,
    labels: BTreeMap<String, String>,
    annotations: BTreeMap<String, String>,
) -> AlertRecord {
    let fingerprint = notification::fingerprint(alert);
    AlertRecord { fingerprint, state: alert.status, starts_at: alert.starts_at.clone(), labels, annotations }
}

fn is_in_full(record: &AlertRecord) -> bool {
    !record.labels.is_empty() || !record.annotations.is_empty()
}

fn state(fires: bool) -> AlertState {
    if fires { AlertState::Firing } else { AlertState::Resolved }
}

/// What is known of each alert of the task. A status without alerts is one that the webhook had no time to write: what
/// the spec holds counts.
pub fn records(task: &AlertTask) -> Vec<AlertRecord> {
    match &task.status {
        Some(status) if !status.alerts.is_empty() => status.alerts.clone(),
        _ => told(&task.spec.notification),
    }
}

fn told(notification: &api::Notification) -> Vec<AlertRecord> {
    let further = notification.further_alerts.iter().map(|alert| Alert {
        fingerprint: alert.fingerprint.clone(),
        status: alert.status,
        starts_at: alert.starts_at.clone(),
        ..Alert::default()
    });
    let distinct = notification::distinct(notification.alerts.iter().cloned().chain(further));
    distinct.iter().map(|alert| record(alert, BTreeMap::new(), BTreeMap::new())).collect()
}

/// Each alert of the task as it stands now, with all that is held of it in spec and status.
pub fn alerts_in_full(task: &AlertTask) -> Vec<Alert> {
    let distinct = notification::distinct(task.spec.notification.alerts.iter().cloned());
    let in_spec: HashMap<&str, &Alert> =
        distinct.iter().map(|alert| (alert.fingerprint.as_str(), alert)).collect();
    let in_full = |record: AlertRecord| match in_spec.get(record.fingerprint.as_str()) {
        Some(&alert) => Alert { status: record.state, starts_at: record.starts_at, ..alert.clone() },
        None => Alert {
            status: record.state,
            labels: record.labels,
            annotations: record.annotations,
            fingerprint: record.fingerprint,
            starts_at: record.starts_at,
            ..Alert::default()
        },
    };
    records(task).into_iter().map(in_full).collect()
}

#[cfg(test)]
mod tests;
