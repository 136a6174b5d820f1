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

/// As many labels or annotations, each with this text.
fn texts(entries: usize, text: &str) -> BTreeMap<String, String> {
    map((0..entries).map(|i| (format!("n{i}"), text.to_owned())))
}

fn many(count: usize, make: impl Fn(usize) -> Alert) -> Vec<Alert> {
    (0..count).map(make).collect()
}

/// These alerts fit an object, which holds `held` of them at least.
fn assert_fits(name: &str, alerts: Vec<Alert>, held: usize) {
    let total = alerts.len();
    let facts = facts(&of(alerts), |_| true);
    assert!(bytes(&facts) <= MAX_BYTES, "{name}: {} bytes", bytes(&facts));
    let whole = facts.alerts.len();
    assert!((held..=50).contains(&whole), "{name}: {whole} alerts");
    assert_eq!(facts.further_alerts.len(), total.min(500) - whole, "{name}");
    assert_eq!(facts.truncated_alerts, i64::try_from(total - whole).unwrap(), "{name}");
    for alert in &facts.alerts {
        for (label, value) in alert.labels.iter().chain(&alert.annotations) {
            assert!(label.len() <= 256 && value.chars().count() <= 8192, "{name}");
        }
        assert!(alert.labels.len() <= 128 && alert.annotations.len() <= 128, "{name}");
    }
}

#[test]
fn however_many_arrive_they_fit_the_spec() {
    let (fire, word) = ("🔥".repeat(100), "long ".repeat(1000));
    let (few, all) = ("\u{1}".repeat(400), "\u{1}".repeat(9000));
    for (name, alerts, held) in [
        ("200 alerts", many(200, |i| alert(i, texts(5, "value"), texts(2, "text"))), 50),
        ("2000 alerts", many(2000, |i| alert(i, texts(1, "v"), map([]))), 50),
        ("200 verbose alerts", many(200, |i| alert(i, texts(30, &fire), texts(5, &word))), 50),
        ("only escapes", many(60, |i| alert(i, texts(20, &few), texts(20, &all))), 1),
    ] {
        assert_fits(name, alerts, held);
    }
}

#[test]
fn however_long_its_parts_an_alert_fits_the_spec() {
    let url = Some("u".repeat(100_000));
    for (name, alert) in [
        ("a 1 MiB annotation", alert(1, map([]), texts(1, &"x".repeat(1 << 20)))),
        ("too many labels", alert(1, texts(5000, "v"), map([]))),
        ("a label's name", alert(1, map([("n".repeat(100_000), "v".into())]), map([]))),
        ("a long URL", Alert { generator_url: url, ..alert(1, map([]), map([])) }),
    ] {
        assert_fits(name, vec![alert], 1);
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
