//! Alertmanager's webhook, version "4", as releases 0.25 to 0.34 send it. Unknown fields pass (0.34 added `routeLabels`
//! and `notification_reason`), missing ones pass where something can be made of the rest.

use std::collections::BTreeMap;
use std::fmt;

use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use punching_fist_api::{Alert, AlertState};
use punching_fist_core::notification::{Notification, distinct, whole_seconds};
use serde::de::{Error as _, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer};
use serde_json::value::RawValue;

use crate::router::field;
use crate::{AlertReceiver, Error, Received, RefusedAlert};

/// The only version of the body that there has been since Alertmanager 0.6.
const VERSION: &str = "4";

/// Most alerts of a body. With 200 bytes each, which is less than Alertmanager writes, they would be too long anyway; but
/// `{}` two million times would take twenty times its length in memory.
const MOST_ALERTS: usize = 20_000;

type Labels = Option<BTreeMap<String, String>>;

/// The receiver at `/webhook/alertmanager`.
#[derive(Clone, Copy, Debug, Default)]
pub struct Alertmanager;

/// A notification as Alertmanager writes it. The alerts are read one by one, so that a bad one spoils no other.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct AlertmanagerBody {
    version: Option<String>,
    group_key: Option<String>,
    truncated_alerts: Option<u64>,
    status: Option<String>,
    receiver: Option<String>,
    group_labels: Labels,
    common_labels: Labels,
    common_annotations: Labels,
    #[serde(rename = "externalURL")]
    external_url: Option<String>,
    alerts: Option<RawAlerts>,
}

/// The alerts as they are written.
#[derive(Debug, Default)]
struct RawAlerts(Vec<Box<RawValue>>);

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct AlertBody {
    status: Option<State>,
    labels: Labels,
    annotations: Labels,
    starts_at: Option<Timestamp>,
    ends_at: Option<Timestamp>,
    #[serde(rename = "generatorURL")]
    generator_url: Option<String>,
    fingerprint: Option<String>,
}

#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(rename_all = "lowercase")]
enum State {
    Firing,
    Resolved,
}

impl AlertReceiver for Alertmanager {
    const NAME: &'static str = "alertmanager";
    type Body = AlertmanagerBody;

    fn validate_alert(&self, body: &AlertmanagerBody) -> Result<(), Error> {
        match body.version.as_deref() {
            Some(VERSION) => {}
            Some(other) => {
                return Err(Error::invalid("version", format!("must be \"{VERSION}\", not {other:?}")));
            }
            None => return Err(Error::invalid("version", format!("is missing; it must be \"{VERSION}\""))),
        }
        match &body.alerts {
            Some(_) => Ok(()),
            None => Err(Error::invalid("alerts", "is missing: this is no notification")),
        }
    }

    fn transform_alert(&self, body: AlertmanagerBody) -> Result<Received, Error> {
        let is_over = body.status.as_deref() == Some("resolved");
        let group_status = if is_over { State::Resolved } else { State::Firing };
        let mut alerts = Vec::new();
        let mut refused = Vec::new();
        for (index, raw) in body.alerts.unwrap_or_default().0.iter().enumerate() {
            match read(raw, group_status) {
                Ok(alert) => alerts.push(alert),
                Err((field, message)) => {
                    refused.push(RefusedAlert { place: format!("alerts[{index}]{field}"), message });
                }
            }
        }
        let group_labels = body.group_labels.unwrap_or_default();
        let group_key = group_key(body.group_key, body.receiver.as_deref(), &group_labels);
        let notification = Notification {
            receiver: body.receiver,
            group_key,
            group_labels,
            common_labels: body.common_labels.unwrap_or_default(),
            common_annotations: body.common_annotations.unwrap_or_default(),
            alerts: distinct(alerts),
            truncated_alerts: body.truncated_alerts.unwrap_or(0),
            external_url: body.external_url,
        };
        Ok(Received { notification, refused })
    }
}

impl<'de> Deserialize<'de> for RawAlerts {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_seq(AlertsVisitor)
    }
}

struct AlertsVisitor;

impl<'de> Visitor<'de> for AlertsVisitor {
    type Value = RawAlerts;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("a sequence of alerts")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut written: A) -> Result<RawAlerts, A::Error> {
        let mut alerts = Vec::new();
        while let Some(alert) = written.next_element()? {
            if alerts.len() == MOST_ALERTS {
                return Err(A::Error::custom(format_args!("more than {MOST_ALERTS} alerts")));
            }
            alerts.push(alert);
        }
        Ok(RawAlerts(alerts))
    }
}

/// One alert, or which field of it is wrong and why.
fn read(raw: &RawValue, group_status: State) -> Result<Alert, (String, String)> {
    let mut json = serde_json::Deserializer::from_str(raw.get());
    let body: AlertBody = serde_path_to_error::deserialize(&mut json).map_err(|error| {
        let field = field(error.path()).map(|field| format!(".{field}"));
        (field.unwrap_or_default(), error.into_inner().to_string())
    })?;
    let labels = body.labels.unwrap_or_default();
    let fingerprint = body.fingerprint.unwrap_or_default();
    if labels.is_empty() && fingerprint.is_empty() {
        return Err((
            ".labels".to_owned(),
            "nothing identifies the alert: send labels or a fingerprint".to_owned(),
        ));
    }
    let whole = |time: Option<Timestamp>| -> Option<Time> { time.and_then(whole_seconds) };
    Ok(Alert {
        status: match body.status.unwrap_or(group_status) {
            State::Firing => AlertState::Firing,
            State::Resolved => AlertState::Resolved,
        },
        labels,
        annotations: body.annotations.unwrap_or_default(),
        fingerprint,
        starts_at: whole(body.starts_at),
        ends_at: whole(body.ends_at),
        generator_url: body.generator_url.filter(|url| !url.is_empty()),
    })
}

/// Alertmanager always sends a key; for who writes bodies by hand, receiver and group labels say as much.
fn group_key(given: Option<String>, receiver: Option<&str>, labels: &BTreeMap<String, String>) -> String {
    let made = || format!("{}:{labels:?}", receiver.unwrap_or_default());
    given.filter(|key| !key.is_empty()).unwrap_or_else(made)
}

#[cfg(test)]
mod tests;
