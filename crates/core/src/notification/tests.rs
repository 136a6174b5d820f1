//! What arrives, in all its ugliness, fits an object: cut visibly, and never so that two alerts become one.

use super::*;
use crate::text::MARKER;

fn map(pairs: impl IntoIterator<Item = (String, String)>) -> BTreeMap<String, String> {
    pairs.into_iter().collect()
}

fn alert(i: usize, labels: BTreeMap<String, String>, annotations: BTreeMap<String, String>) -> Alert {
    Alert { labels, annotations, fingerprint: format!("{i:016x}"), ..Alert::default() }
}

fn of(alerts: Vec<Alert>) -> Notification {
    Notification { group_key: "key".into(), alerts, ..Notification::default() }
}

#[test]
fn whatever_arrives_fits_the_spec() {
    let long = |text: &str, count: usize| text.repeat(count);
    let text_map = |entries: usize, text: &str| map((0..entries).map(|i| (format!("n{i}"), text.to_owned())));
    for (name, alerts, held) in [
        ("a 1 MiB annotation", vec![alert(1, map([]), text_map(1, &long("x", 1 << 20)))], 1),
        ("200 alerts", (0..200).map(|i| alert(i, text_map(5, "value"), text_map(2, "text"))).collect(), 50),
        ("2000 alerts", (0..2000).map(|i| alert(i, text_map(1, "v"), map([]))).collect(), 50),
        (
            "200 verbose alerts",
            (0..200)
                .map(|i| alert(i, text_map(30, &long("🔥", 100)), text_map(5, &long("long ", 1000))))
                .collect(),
            50,
        ),
        ("too many labels", vec![alert(1, text_map(5000, "v"), map([]))], 1),
        ("a label's name", vec![alert(1, map([(long("n", 100_000), "v".into())]), map([]))], 1),
        (
            "only escapes",
            (0..60)
                .map(|i| alert(i, text_map(20, &long("\u{1}", 400)), text_map(20, &long("\u{1}", 9000))))
                .collect(),
            1,
        ),
        (
            "a long URL",
            vec![Alert { generator_url: Some(long("u", 100_000)), ..alert(1, map([]), map([])) }],
            1,
        ),
    ] {
        let total = alerts.len();
        let facts = facts(&of(alerts), |_| true);
        assert!(bytes(&facts) <= MAX_BYTES, "{name}: {} bytes", bytes(&facts));
        assert!(
            facts.alerts.len() >= held && facts.alerts.len() <= 50,
            "{name}: {} alerts",
            facts.alerts.len()
        );
        assert_eq!(facts.further_alerts.len(), total.min(500) - facts.alerts.len(), "{name}");
        assert_eq!(facts.truncated_alerts, i64::try_from(total - facts.alerts.len()).unwrap(), "{name}");
        for alert in &facts.alerts {
            for (label, value) in alert.labels.iter().chain(&alert.annotations) {
                assert!(label.len() <= 256 && value.chars().count() <= 8192, "{name}");
            }
            assert!(alert.labels.len() <= 128 && alert.annotations.len() <= 128, "{name}");
        }
    }
}

#[test]
fn a_cut_is_visible_and_only_where_it_must_be() {
    let labels = map([("pod".into(), "p".repeat(300)), ("note".into(), "a\nb {{ c }} \"q\" 🔥".into())]);
    let annotations = map([("runbook".into(), "é".repeat(600_000)), ("summary".into(), "short".into())]);
    let facts = facts(&of(vec![alert(1, labels.clone(), annotations)]), |_| true);
    let kept = &facts.alerts[0];
    assert_eq!(kept.labels, labels, "300 characters are no reason to cut");
    assert!(kept.annotations["runbook"].ends_with(MARKER) && kept.annotations["runbook"].len() > 8000);
    assert_eq!(kept.annotations["summary"], "short");

    let many = map((0..1000).map(|i| (format!("n{i:04}"), "v".into())));
    let facts = super::facts(&of(vec![alert(1, many, map([]))]), |_| true);
    assert_eq!(facts.alerts[0].labels.len(), 128);
    assert_eq!(facts.alerts[0].labels[MARKER], "873 more");
}

#[test]
fn what_fires_and_what_is_new_comes_first() {
    let state = |i: usize, status| Alert { status, ..alert(i, map([]), map([])) };
    let group: Vec<Alert> =
        (0..60).map(|i| state(i, if i < 58 { AlertState::Resolved } else { AlertState::Firing })).collect();
    let facts = facts(&of(group), |alert| alert.fingerprint.ends_with("3b"));
    let first: Vec<_> =
        facts.alerts.iter().take(3).map(|alert| alert.fingerprint.trim_start_matches('0')).collect();
    assert_eq!(first, ["3b", "3a", ""]);
    assert_eq!(facts.status, AlertState::Firing);
}

#[test]
fn times_are_whole_seconds_and_year_one_is_none() {
    for (written, kept) in [
        ("2018-08-03T09:52:26.739266876+02:00", Some("2018-08-03T07:52:26Z")),
        ("2026-01-01T00:00:00Z", Some("2026-01-01T00:00:00Z")),
        ("0001-01-01T00:00:00Z", None),
    ] {
        let time = whole_seconds(written.parse().unwrap()).map(|time| time.0.to_string());
        assert_eq!(time.as_deref(), kept, "{written}");
    }
}

#[test]
fn every_alert_has_one_entry_and_a_fingerprint() {
    let at = |second: i64| Timestamp::new(second, 500_000_000).ok().map(Time);
    let labelled = |name: &str| Alert { labels: map([("a".into(), name.into())]), ..Alert::default() };
    let alerts = distinct([
        Alert { fingerprint: "f".into(), starts_at: at(10), ..Alert::default() },
        labelled("x"),
        Alert { fingerprint: "f".into(), starts_at: at(20), ends_at: at(30), ..Alert::default() },
        Alert { fingerprint: "f".into(), starts_at: at(10), ..Alert::default() },
        labelled("x"),
        labelled("y"),
        Alert { fingerprint: "l".repeat(200), ..Alert::default() },
        Alert { fingerprint: "l".repeat(201), ..Alert::default() },
    ]);
    assert_eq!(alerts.len(), 5);
    assert_eq!(alerts[0].starts_at, whole_seconds(at(20).unwrap().0), "the later episode");
    assert!(alerts.iter().all(|alert| !alert.fingerprint.is_empty() && alert.fingerprint.len() <= 128));
    assert_ne!(alerts[1].fingerprint, alerts[2].fingerprint);
    assert_ne!(alerts[3].fingerprint, alerts[4].fingerprint, "too long to keep, and still two");
    let one = [("ab", "c")].map(|(name, value)| (name.to_owned(), value.to_owned()));
    let two = [("a", "bc")].map(|(name, value)| (name.to_owned(), value.to_owned()));
    let of = |labels| fingerprint(&Alert { labels: map(labels), ..Alert::default() });
    assert_ne!(of(one), of(two));
}

#[test]
fn columns_show_what_the_alerts_have_in_common() {
    let named = |name: &str, status| Alert {
        status,
        labels: map([("alertname".into(), name.into())]),
        ..Alert::default()
    };
    let mut group = of(vec![named("Over", AlertState::Resolved), named("Fires", AlertState::Firing)]);
    assert_eq!(summary(&group, "alertname").as_deref(), Some("Fires"));
    group.common_labels = map([("alertname".into(), "n".repeat(1000)), ("severity".into(), String::new())]);
    let name = summary(&group, "alertname").unwrap();
    assert!(name.len() <= 256 && name.ends_with(MARKER));
    assert_eq!(summary(&group, "severity"), None);
}

#[test]
fn a_title_is_the_groups_whatever_is_in_it() {
    let labels = |pairs: &[(&str, &str)]| {
        map(pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())))
    };
    for (group, title) in [
        (labels(&[("alertname", "KubePod"), ("namespace", "shop")]), "KubePod"),
        (labels(&[("namespace", "shop"), ("severity", "critical")]), "shop-critical"),
        (labels(&[]), ""),
    ] {
        assert_eq!(Notification { group_labels: group, ..of(vec![]) }.title(), title);
    }
}
