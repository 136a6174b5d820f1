//! What a notification adds to a status, and how much a status can hold.

use super::super::tests::{apply, at, first, noted, notification, time, with_status};
use super::*;

#[test]
fn merging_keeps_one_entry_a_fingerprint() {
    for (known, text, records) in [
        ("f@1", "f@1", "f@1"),
        ("f@1", "f@3", "f@3"),
        ("f@3", "f@1", "f@3"),
        ("f@1", "f@1-", "f@1-"),
        ("f@1", "f@2-", "f@2-"),
        ("f@3", "f@1- g@1", "f@3 g@1"),
        // A late repeat costs a look; an alert taken for resolved would cost the incident.
        ("f@3-", "f@3", "f@3"),
        ("f@3-", "f@1", "f@3"),
        ("f@1", "g@2 f@1- h@3-", "f@1- g@2"),
    ] {
        let task = with_status(first("f@0"), None, "", None, known);
        let merged = WebhookStatus::of(&task).merged(&notification(text), at(70)).unwrap();
        assert_eq!(noted(&merged.alerts), records, "{known:?} and then {text:?}");
        assert_eq!(merged.occurrences, 2);
        assert_eq!(merged.last_received_time, time(70));
        let fires = merged.alerts.iter().any(|record| record.state == AlertState::Firing);
        assert_eq!(merged.alert_state == AlertState::Firing, fires);
        assert_eq!(merged.resolved_time, if fires { None } else { time(70) });
    }
}

#[test]
fn the_time_of_resolving_stays_until_something_fires() {
    let mut task = first("f@1");
    for (second, text, resolved) in
        [(10, "f@1-", time(10)), (20, "f@1-", time(10)), (30, "f@2", None), (40, "f@2-", time(40))]
    {
        let merged = WebhookStatus::of(&task).merged(&notification(text), at(second)).unwrap();
        assert_eq!(merged.resolved_time, resolved, "at {second}");
        apply(&mut task, merged);
    }
}

#[test]
fn a_status_stays_within_its_limits() {
    let big = |i: usize| Alert {
        labels: [("alertname".to_owned(), "x".repeat(300))].into(),
        annotations: [("text".to_owned(), "🔥\n\"".repeat(2000))].into(),
        fingerprint: format!("{i:0>128}"),
        ..Alert::default()
    };
    let mut task = first("f@1");
    for batch in 0..10 {
        let alerts = (batch * 100..batch * 100 + 100).map(big).collect();
        let merged = WebhookStatus::of(&task).merged(&notification("").with_alerts(alerts), at(0)).unwrap();
        apply(&mut task, merged);
    }
    let status = task.status.unwrap();
    let size = serde_json::to_vec(&status.alerts).unwrap().len();
    let in_full = status.alerts.iter().filter(|record| !record.labels.is_empty()).count();
    assert!(size <= 64 * 1024 + 2, "{size}");
    assert!((1..=50).contains(&in_full), "{in_full} in full");
    assert!(status.alerts.len() > 200 && status.alerts.len() <= 500, "{}", status.alerts.len());
    assert_eq!(status.truncated_alerts, 100, "the most that one notification had too many");
    assert!(
        status
            .alerts
            .iter()
            .find_map(|record| record.annotations.get("text"))
            .unwrap()
            .ends_with(crate::text::MARKER)
    );
}
