//! What came in: the one form that every receiver brings its sender's body into, whole and uncut.

mod cut;

use std::collections::BTreeMap;

use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use punching_fist_api::{Alert, AlertState};

use crate::identity::digest;

pub use cut::{MAX_BYTES, MAX_KNOWN_ALERTS, MAX_SPEC_ALERTS};
pub(crate) use cut::{bytes, cut_joined, facts, summary};

/// Longest fingerprint that an object holds. A longer one is replaced by its hash: cut, two could become one.
const MAX_FINGERPRINT: usize = 128;

/// Hex digits of a fingerprint of our own: as many as Alertmanager's have.
const FINGERPRINT_DIGITS: usize = 16;

/// A notification as its sender wrote it. Whole: cut only where an object is made of it.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Notification {
    /// The sender's receiver that notified us.
    pub receiver: Option<String>,
    /// The sender's own name of the group; never empty.
    pub group_key: String,
    /// Labels that the alerts were grouped by.
    pub group_labels: BTreeMap<String, String>,
    /// Labels that all alerts have in common.
    pub common_labels: BTreeMap<String, String>,
    /// Annotations that all alerts have in common.
    pub common_annotations: BTreeMap<String, String>,
    /// The alerts: one a fingerprint, none without, times in whole seconds. See [`distinct`].
    pub alerts: Vec<Alert>,
    /// How many alerts the sender left out.
    pub truncated_alerts: u64,
    /// Where the sender's page is.
    pub external_url: Option<String>,
}

impl Notification {
    /// Whether any alert fires.
    pub fn fires(&self) -> bool {
        self.alerts.iter().any(fires)
    }

    /// The alerts that fire.
    pub fn firing(&self) -> impl Iterator<Item = &Alert> {
        self.alerts.iter().filter(|alert| fires(alert))
    }

    /// The same notification with these alerts instead.
    #[must_use]
    pub fn with_alerts(&self, alerts: Vec<Alert>) -> Self {
        Self { alerts, ..self.without_alerts() }
    }

    /// What its tasks are called: constant for a group, whatever joins and leaves it.
    pub fn title(&self) -> String {
        match self.group_labels.get("alertname") {
            Some(name) => name.clone(),
            None => self.group_labels.values().map(String::as_str).collect::<Vec<_>>().join("-"),
        }
    }

    fn without_alerts(&self) -> Self {
        Self {
            receiver: self.receiver.clone(),
            group_key: self.group_key.clone(),
            group_labels: self.group_labels.clone(),
            common_labels: self.common_labels.clone(),
            common_annotations: self.common_annotations.clone(),
            alerts: Vec::new(),
            truncated_alerts: self.truncated_alerts,
            external_url: self.external_url.clone(),
        }
    }
}

pub(crate) fn fires(alert: &Alert) -> bool {
    alert.status == AlertState::Firing
}

/// A time as the API keeps it: whole seconds. Alertmanager writes year 1 where there is none.
pub fn whole_seconds(time: Timestamp) -> Option<Time> {
    let year_two = -62_104_060_800;
    let second = time.as_second();
    if second < year_two { None } else { Timestamp::from_second(second).ok().map(Time) }
}

/// The alerts with what identity needs: a fingerprint each, whole seconds, and one entry a fingerprint (a sender that
/// names one twice means the later episode, and at the same start the one that fires).
pub fn distinct(alerts: impl IntoIterator<Item = Alert>) -> Vec<Alert> {
    let mut kept: Vec<Alert> = Vec::new();
    let mut places: BTreeMap<String, usize> = BTreeMap::new();
    for mut alert in alerts {
        alert.fingerprint = fingerprint(&alert);
        alert.starts_at = alert.starts_at.and_then(|time| whole_seconds(time.0));
        alert.ends_at = alert.ends_at.and_then(|time| whole_seconds(time.0));
        match places.get(&alert.fingerprint) {
            None => {
                places.insert(alert.fingerprint.clone(), kept.len());
                kept.push(alert);
            }
            Some(&place) if supersedes(&alert, &kept[place]) => kept[place] = alert,
            Some(_) => {}
        }
    }
    kept
}

fn supersedes(new: &Alert, old: &Alert) -> bool {
    let rank = |alert: &Alert| (alert.starts_at.clone().map(|time| time.0), fires(alert));
    rank(new) > rank(old)
}

/// The sender's fingerprint; one of our own from the labels if it sent none, or one that no object can hold.
pub(crate) fn fingerprint(alert: &Alert) -> String {
    match alert.fingerprint.as_str() {
        "" => {
            let labels = alert.labels.iter().flat_map(|(name, value)| [name.as_str(), value]);
            digest(labels, FINGERPRINT_DIGITS)
        }
        long if long.len() > MAX_FINGERPRINT => digest([long], FINGERPRINT_DIGITS),
        given => given.to_owned(),
    }
}

#[cfg(test)]
mod tests;
