//! Notifications as Alertmanager sends them, version "4".

use serde_json::{Value, json};

/// A firing alert that differs from others of its group by `pod`, with its beginning in RFC 3339.
pub fn firing(alertname: &str, pod: &str, starts_at: &str) -> Value {
    json!({
        "status": "firing",
        "labels": { "alertname": alertname, "severity": "critical", "namespace": "shop", "pod": pod },
        "annotations": { "summary": format!("{pod} is broken") },
        "startsAt": starts_at,
        "endsAt": "0001-01-01T00:00:00Z",
        "generatorURL": "http://prometheus.example/graph",
        "fingerprint": fingerprint(alertname, pod),
    })
}

/// The same alert, resolved.
#[must_use]
pub fn resolved(mut alert: Value) -> Value {
    alert["status"] = json!("resolved");
    alert["endsAt"] = json!("2030-01-01T00:00:00Z");
    alert
}

/// A notification of these alerts, grouped by `alertname`, with the shell agent's script as an annotation.
pub fn notification(alertname: &str, script: &str, alerts: &[Value]) -> Value {
    let fires = alerts.iter().any(|alert| alert["status"] == "firing");
    json!({
        "version": "4",
        "groupKey": format!("{{}}:{{alertname={alertname:?}}}"),
        "truncatedAlerts": 0,
        "status": if fires { "firing" } else { "resolved" },
        "receiver": "punching-fist",
        "groupLabels": { "alertname": alertname },
        "commonLabels": { "alertname": alertname, "severity": "critical", "namespace": "shop" },
        "commonAnnotations": { "script": script },
        "externalURL": "http://alertmanager.example",
        "alerts": alerts,
    })
}

/// 16 hex digits, as Alertmanager has them: FNV-1a.
fn fingerprint(alertname: &str, pod: &str) -> String {
    let bytes = alertname.bytes().chain([0xff]).chain(pod.bytes());
    let hash = bytes.fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
    });
    format!("{hash:016x}")
}
