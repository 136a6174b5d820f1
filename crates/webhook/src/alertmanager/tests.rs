//! Bodies as Alertmanager writes them, and as they are when something went wrong.

use serde_json::{Value, json};

use super::*;

/// What the types of Alertmanager 0.25 encode for one alert that fires and one that is over.
const V0_25: &str = include_str!("../../testdata/alertmanager-0.25.json");
/// The same by 0.34, with the fields that came since.
const V0_34: &str = include_str!("../../testdata/alertmanager-0.34.json");

fn transformed(body: &Value) -> Result<Received, Error> {
    let body: AlertmanagerBody = serde_json::from_value(body.clone()).unwrap();
    Alertmanager.validate_alert(&body)?;
    Alertmanager.transform_alert(body)
}

fn of(text: &str) -> Received {
    transformed(&serde_json::from_str(text).unwrap()).unwrap()
}

#[test]
fn every_release_says_the_same() {
    let old = of(V0_25);
    assert_eq!(old, of(V0_34), "what is new is left out, nothing else differs");
    assert!(old.refused.is_empty());
    let notification = old.notification;
    assert_eq!(
        notification.group_key,
        "{}/{severity=~\"critical|warning\"}:{alertname=\"KubePodCrashLooping\"}"
    );
    assert_eq!(notification.receiver.as_deref(), Some("punching-fist"));
    assert_eq!(notification.group_labels["alertname"], "KubePodCrashLooping");
    assert_eq!(notification.common_labels["namespace"], "shop");
    assert_eq!(notification.external_url.as_deref(), Some("http://alertmanager.example:9093"));
    assert_eq!(notification.truncated_alerts, 3);
    let [firing, resolved] = notification.alerts.as_slice() else { panic!("two alerts") };
    assert_eq!((firing.status, resolved.status), (AlertState::Firing, AlertState::Resolved));
    assert_eq!(firing.fingerprint, "6b3c0f0d1f2a4e55");
    assert_eq!(firing.labels["pod"], "checkout-6f7d9c5b8d-abcde");
    assert!(firing.annotations["description"].contains("{{ not a template }}"));
    assert!(
        firing.generator_url.as_deref().unwrap().starts_with("http://prometheus.example:9090/graph?g0.expr=")
    );
    let time = |time: &Option<Time>| time.as_ref().map(|time| time.0.to_string());
    assert_eq!(time(&firing.starts_at).as_deref(), Some("2026-11-02T09:52:26Z"), "whole seconds");
    assert_eq!(time(&firing.ends_at), None, "year one is none");
    assert_eq!(time(&resolved.starts_at).as_deref(), Some("2026-11-02T07:50:01Z"), "in UTC");
    assert_eq!(time(&resolved.ends_at).as_deref(), Some("2026-11-02T09:55:00Z"));
}

#[test]
fn what_is_missing_passes_where_something_can_be_made_of_the_rest() {
    let least = json!({ "version": "4", "alerts": [{ "labels": { "alertname": "A" } }] });
    let received = transformed(&least).unwrap();
    let [alert] = received.notification.alerts.as_slice() else { panic!("one alert") };
    assert_eq!(alert.status, AlertState::Firing);
    assert!(!alert.fingerprint.is_empty() && !received.notification.group_key.is_empty());
    assert_eq!(
        received.notification,
        transformed(&least).unwrap().notification,
        "the same body, the same incident"
    );

    let nulls = json!({
        "version": "4", "groupKey": null, "truncatedAlerts": null, "status": null, "receiver": "r", "groupLabels": null,
        "commonLabels": null, "commonAnnotations": null, "externalURL": null,
        "alerts": [{ "status": null, "labels": { "a": "b" }, "annotations": null, "startsAt": null, "endsAt": null,
                     "generatorURL": null, "fingerprint": null }],
    });
    assert_eq!(transformed(&nulls).unwrap().notification.alerts.len(), 1);

    let over = json!({ "version": "4", "status": "resolved", "alerts": [{ "fingerprint": "f" }] });
    assert_eq!(transformed(&over).unwrap().notification.alerts[0].status, AlertState::Resolved);
    let none = json!({ "version": "4", "alerts": [] });
    assert!(transformed(&none).unwrap().notification.alerts.is_empty());
}

#[test]
fn groups_are_kept_apart_without_a_key() {
    let key = |receiver: &str, labels: Value| {
        let body = json!({ "version": "4", "receiver": receiver, "groupLabels": labels, "groupKey": "", "alerts": [] });
        transformed(&body).unwrap().notification.group_key
    };
    let keys = [
        key("r", json!({ "a": "b" })),
        key("r", json!({ "a": "c" })),
        key("s", json!({ "a": "b" })),
        key("r", json!({})),
    ];
    for (i, key) in keys.iter().enumerate() {
        assert!(!keys[..i].contains(key), "{key}");
    }
}

#[test]
fn one_bad_alert_spoils_no_other() {
    let good = json!({ "status": "firing", "labels": { "alertname": "Good" } });
    for (bad, place, message) in [
        (
            json!({ "status": "burning", "labels": { "a": "b" } }),
            "alerts[1].status",
            "unknown variant `burning`",
        ),
        (json!({ "labels": { "a": 1 } }), "alerts[1].labels.a", "invalid type: integer `1`"),
        (json!({ "labels": { "a": "b" }, "startsAt": "yesterday" }), "alerts[1].startsAt", "year"),
        (json!({ "labels": { "a": "b" }, "endsAt": 5 }), "alerts[1].endsAt", "invalid type"),
        (json!({ "labels": {} }), "alerts[1].labels", "nothing identifies"),
        (json!("text"), "alerts[1]", "invalid type"),
        (json!(null), "alerts[1]", "invalid type"),
    ] {
        let body = json!({ "version": "4", "groupKey": "k", "alerts": [good, bad, good] });
        let received = transformed(&body).unwrap();
        assert_eq!(received.notification.alerts.len(), 1, "the good one, once");
        let [refused] = received.refused.as_slice() else { panic!("{bad} should be refused") };
        assert_eq!(refused.place, place);
        assert!(refused.message.contains(message), "{place}: {}", refused.message);
    }
}
