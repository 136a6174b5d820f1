//! A notification as an object can hold it: cut where it is too long, with a marker at every cut.

use std::collections::BTreeMap;

use punching_fist_api::{self as api, Alert, AlertState, FurtherAlert};
use serde::Serialize;

use super::{Notification, fires};
use crate::text::{MARKER, cut};

/// Most alerts that a spec holds.
pub const MAX_SPEC_ALERTS: usize = 50;
/// Most alerts that a spec knows of: the others only by what identifies them.
pub const MAX_KNOWN_ALERTS: usize = 500;
/// Most bytes that the notification takes in a spec, as JSON. etcd takes 1.5 MiB for the whole object, status included.
pub const MAX_BYTES: usize = 224 * 1024;

const MAX_RECEIVER: usize = 1024;
const MAX_GROUP_KEY: usize = 8192;
const MAX_EXTERNAL_URL: usize = 2048;
const MAX_SUMMARY: usize = 256;

/// How much of an alert is kept.
#[derive(Clone, Copy)]
struct Limits {
    /// Entries of a map.
    entries: usize,
    /// Bytes of a label's or annotation's name.
    name: usize,
    /// Bytes of a label's value.
    label: usize,
    /// Bytes of an annotation's value.
    annotation: usize,
    /// Bytes of a generator URL.
    url: usize,
}

/// From generous to what always fits; the first under which all of it fits is taken.
const LADDER: [Limits; 5] = [
    Limits { entries: 128, name: 256, label: 1024, annotation: 8192, url: 4096 },
    Limits { entries: 128, name: 256, label: 1024, annotation: 2048, url: 1024 },
    Limits { entries: 64, name: 128, label: 384, annotation: 512, url: 512 },
    Limits { entries: 32, name: 64, label: 128, annotation: 128, url: 128 },
    Limits { entries: 16, name: 48, label: 48, annotation: 48, url: 48 },
];

/// What a record of an alert that joined later may take.
const JOINED: Limits = Limits { entries: 32, name: 128, label: 256, annotation: 1024, url: 0 };

/// The notification for a spec. Alerts that are new come first, then the others that fire, then those that are over: so
/// what is cut is never what the task is made for.
pub(crate) fn facts(notification: &Notification, is_new: impl Fn(&Alert) -> bool) -> api::Notification {
    let mut alerts: Vec<&Alert> = notification.alerts.iter().collect();
    alerts.sort_by_cached_key(|alert| (!fires(alert), !is_new(alert)));
    alerts.truncate(MAX_KNOWN_ALERTS);
    let mut held = alerts.len().min(MAX_SPEC_ALERTS);
    for limits in LADDER {
        let facts = facts_within(notification, &alerts, held, limits);
        if bytes(&facts) <= MAX_BYTES {
            return facts;
        }
    }
    // Only text that JSON has to escape throughout comes here.
    loop {
        held = (held / 2).max(1);
        let facts = facts_within(notification, &alerts, held, LADDER[LADDER.len() - 1]);
        if held == 1 || bytes(&facts) <= MAX_BYTES {
            return facts;
        }
    }
}

/// Labels and annotations of an alert that joined a task.
pub(crate) fn cut_joined(alert: &Alert) -> (BTreeMap<String, String>, BTreeMap<String, String>) {
    let labels = cut_map(&alert.labels, JOINED, JOINED.label);
    (labels, cut_map(&alert.annotations, JOINED, JOINED.annotation))
}

/// What a column shows: the common label, else that of the first alert that fires, else of the first.
pub(crate) fn summary(notification: &Notification, label: &str) -> Option<String> {
    let first = notification.firing().next().or(notification.alerts.first());
    let value = notification.common_labels.get(label).or_else(|| first?.labels.get(label));
    value.filter(|value| !value.is_empty()).map(|value| cut(value, MAX_SUMMARY))
}

fn facts_within(
    notification: &Notification,
    alerts: &[&Alert],
    held: usize,
    limits: Limits,
) -> api::Notification {
    let (held, further) = alerts.split_at(held);
    let left_out = notification.alerts.len() - held.len();
    let truncated = notification.truncated_alerts.saturating_add(left_out as u64);
    api::Notification {
        receiver: notification.receiver.as_deref().map(|receiver| cut(receiver, MAX_RECEIVER)),
        status: if notification.fires() { AlertState::Firing } else { AlertState::Resolved },
        group_key: Some(cut(&notification.group_key, MAX_GROUP_KEY)),
        group_labels: cut_map(&notification.group_labels, limits, limits.label),
        common_labels: cut_map(&notification.common_labels, limits, limits.label),
        common_annotations: cut_map(&notification.common_annotations, limits, limits.annotation),
        alerts: held.iter().map(|alert| cut_alert(alert, limits)).collect(),
        further_alerts: further.iter().map(|alert| bare(alert)).collect(),
        truncated_alerts: i64::try_from(truncated).unwrap_or(i64::MAX),
        external_url: notification.external_url.as_deref().map(|url| cut(url, MAX_EXTERNAL_URL)),
    }
}

fn cut_alert(alert: &Alert, limits: Limits) -> Alert {
    Alert {
        status: alert.status,
        labels: cut_map(&alert.labels, limits, limits.label),
        annotations: cut_map(&alert.annotations, limits, limits.annotation),
        fingerprint: alert.fingerprint.clone(),
        starts_at: alert.starts_at.clone(),
        ends_at: alert.ends_at.clone(),
        generator_url: alert.generator_url.as_deref().map(|url| cut(url, limits.url)),
    }
}

fn bare(alert: &Alert) -> FurtherAlert {
    let Alert { fingerprint, status, starts_at, .. } = alert;
    FurtherAlert { fingerprint: fingerprint.clone(), status: *status, starts_at: starts_at.clone() }
}

fn cut_map(map: &BTreeMap<String, String>, limits: Limits, value: usize) -> BTreeMap<String, String> {
    let short = |(name, text): (&String, &String)| (cut(name, limits.name), cut(text, value));
    if map.len() <= limits.entries {
        return map.iter().map(short).collect();
    }
    let kept = limits.entries - 1;
    let mut shorter: BTreeMap<_, _> = map.iter().take(kept).map(short).collect();
    shorter.insert(MARKER.to_owned(), format!("{} more", map.len() - kept));
    shorter
}

/// Size as JSON.
pub(crate) fn bytes(value: &impl Serialize) -> usize {
    // These are maps of strings: they always serialize.
    serde_json::to_vec(value).map_or(usize::MAX, |json| json.len())
}
