//! Each rule of `decide`, of the merge and of the follow-up, as a row.

use punching_fist_api::{Alert, AlertRecord, AlertRouteSpec, AlertTaskStatus, OnResolved, TaskSpec, reasons};

use super::*;

pub(super) fn at(second: i64) -> Timestamp {
    Timestamp::from_second(1_800_000_000 + second).unwrap()
}

pub(super) fn time(second: i64) -> Option<k8s_openapi::apimachinery::pkg::apis::meta::v1::Time> {
    crate::notification::whole_seconds(at(second))
}

/// `f@3` fires since second 3, `g@5-` is over: several with blanks between them.
pub(super) fn alerts(text: &str) -> Vec<Alert> {
    let alert = |word: &str| {
        let (fingerprint, start) = word.trim_end_matches('-').split_once('@').unwrap();
        Alert {
            status: if word.ends_with('-') { AlertState::Resolved } else { AlertState::Firing },
            labels: [("alertname".to_owned(), fingerprint.to_owned())].into(),
            fingerprint: fingerprint.to_owned(),
            starts_at: time(start.parse().unwrap()),
            ..Alert::default()
        }
    };
    text.split_whitespace().map(alert).collect()
}

/// So many that fire since second 1.
fn numbered(count: usize) -> String {
    (0..count).map(|i| format!("n{i}@1")).collect::<Vec<_>>().join(" ")
}

/// Records in the same notation.
pub(super) fn noted(records: &[AlertRecord]) -> String {
    let word = |record: &AlertRecord| {
        let start = record.starts_at.as_ref().unwrap().0.as_second() - at(0).as_second();
        let end = if record.state == AlertState::Resolved { "-" } else { "" };
        format!("{}@{start}{end}", record.fingerprint)
    };
    records.iter().map(word).collect::<Vec<_>>().join(" ")
}

pub(super) fn notification(text: &str) -> Notification {
    Notification { group_key: "{}:{a=\"b\"}".into(), alerts: alerts(text), ..Notification::default() }
}

pub(super) fn route() -> Route {
    let template = TaskSpec { prompt: Some("look".into()), max_retries: 2, ..TaskSpec::default() };
    let spec = AlertRouteSpec { template, on_resolved: OnResolved::Cancel, ..AlertRouteSpec::default() };
    Route::new("agents", "default", spec).unwrap()
}

fn decided(chain: &[AlertTask], text: &str) -> Decision {
    let (route, notification) = (route(), notification(text));
    decide(&Incident::new(&route, &notification), &Chain::of(chain), at(100))
}

/// The first task of the incident, made for these alerts.
pub(super) fn first(text: &str) -> AlertTask {
    match decided(&[], text) {
        Decision::Create(task) => stored(*task, "uid-1"),
        other => panic!("expected a first task, got {other:?}"),
    }
}

fn stored(mut task: AlertTask, uid: &str) -> AlertTask {
    task.metadata.uid = Some(uid.to_owned());
    task
}

/// The same with phase, reason, how many alerts the prompt knew, and the records.
pub(super) fn with_status(
    mut task: AlertTask,
    phase: Option<Phase>,
    reason: &str,
    prompted: Option<i64>,
    known: &str,
) -> AlertTask {
    let mut status = AlertTaskStatus { prompted_alerts: prompted, ..AlertTaskStatus::default() };
    status.task.phase = phase;
    status.task.reason = Some(reason.to_owned()).filter(|reason| !reason.is_empty());
    task.status = Some(status);
    if !known.is_empty() {
        let merged = WebhookStatus::of(&task).merged(&notification(known), at(50)).unwrap();
        apply(&mut task, merged);
    }
    task
}

pub(super) fn apply(task: &mut AlertTask, merged: WebhookStatus) {
    let status = task.status.get_or_insert_default();
    status.alert_state = Some(merged.alert_state);
    status.alerts = merged.alerts;
    status.truncated_alerts = merged.truncated_alerts;
    status.occurrences = merged.occurrences;
    status.last_received_time = merged.last_received_time;
    status.resolved_time = merged.resolved_time;
}

fn word(decision: &Decision) -> &'static str {
    match decision {
        Decision::Create(_) => "create",
        Decision::Successor(_) => "successor",
        Decision::Merge(_) => "merge",
        Decision::Nothing => "nothing",
    }
}

#[test]
fn without_a_task_only_what_fires_makes_one() {
    for (text, expected) in [("f@1", "create"), ("f@1- g@2", "create"), ("f@1-", "nothing"), ("", "nothing")]
    {
        assert_eq!(word(&decided(&[], text)), expected, "{text:?}");
    }
}

#[test]
fn an_open_task_takes_everything_in() {
    let open = [None, Some(Phase::Pending), Some(Phase::Running), Some(Phase::Retrying)];
    for (text, expected) in [
        ("f@1", "merge"),
        ("f@9", "merge"),
        ("f@1 g@2", "merge"),
        ("g@2", "merge"),
        ("f@1-", "merge"),
        ("f@1- g@2-", "merge"),
        ("f@0-", "nothing"),
        ("g@2-", "nothing"),
    ] {
        for phase in open {
            let task = with_status(first("f@1"), phase, "", Some(1), "");
            assert_eq!(word(&decided(&[task], text)), expected, "{text:?} on {phase:?}");
        }
    }
}

/// How a run ended: phase, reason, and how many alerts its prompt had.
type End = (Phase, &'static str, Option<i64>);

const DONE: End = (Phase::Succeeded, reasons::VERDICT_REACHED, Some(1));

/// What is known of a run that ended so, what arrives, and what that leads to.
fn assert_follows(end: End, cases: &[(&str, &str, &str)]) {
    let (phase, reason, prompted) = end;
    for (known, text, expected) in cases {
        let task = with_status(first("f@5"), Some(phase), reason, prompted, known);
        assert_eq!(word(&decided(&[task], text)), *expected, "{text:?} after {reason} with {known:?}");
    }
}

#[test]
fn what_a_finished_task_handled_is_no_new_work() {
    let cases = [
        // A repeat, the twin's repeat, and the same episode with the start that another Alertmanager has.
        ("f@5", "f@5", "merge"),
        ("f@5", "f@4", "merge"),
        // Over.
        ("f@5", "f@5-", "merge"),
        ("f@5", "f@4-", "nothing"),
        ("f@5", "x@5-", "nothing"),
    ];
    assert_follows(DONE, &cases);
}

#[test]
fn a_finished_task_is_followed_by_new_work() {
    let cases = [
        // It stopped and came back; also if nobody told us that it had stopped.
        ("f@5-", "f@6", "successor"),
        ("f@5", "f@6", "successor"),
        // One that the task never had; one that joined too late for the prompt.
        ("f@5", "f@5 g@6", "successor"),
        ("f@5", "g@1", "successor"),
        ("f@5 g@6", "f@5 g@6", "successor"),
        ("f@5 g@6", "f@5", "merge"),
        ("f@5 g@6", "f@5 g@6-", "merge"),
    ];
    assert_follows(DONE, &cases);
}

#[test]
fn a_fault_handled_nothing_but_what_is_over_needs_nobody() {
    let cases = [("f@5", "f@5", "successor"), ("f@5", "f@4", "successor"), ("f@5", "f@5-", "merge")];
    assert_follows((Phase::Failed, reasons::BACKOFF_LIMIT_EXCEEDED, Some(1)), &cases);
    assert_follows((Phase::Failed, reasons::JOB_LOST, Some(1)), &cases[..1]);
}

#[test]
fn a_persons_cancel_is_an_answer_to_what_was_there() {
    let cases = [("f@5", "f@5", "merge"), ("f@5", "f@6", "successor"), ("f@5", "f@5 g@6", "successor")];
    assert_follows((Phase::Failed, reasons::CANCELLED, Some(1)), &cases);
    let waiting = (Phase::Failed, reasons::CANCELLED, None);
    assert_follows(waiting, &[("f@5 g@6", "f@5 g@6", "merge")]);
}

/// Ended because nothing fired: what fires was never looked at, whatever its start.
#[test]
fn what_fires_after_a_task_that_ended_for_nothing_is_new_work() {
    let waiting = (Phase::Succeeded, reasons::ALERT_RESOLVED, None);
    assert_follows(waiting, &[("f@5-", "f@5", "successor"), ("f@5-", "f@5-", "merge")]);
    let stopped = (Phase::Failed, reasons::ALERT_RESOLVED, Some(1));
    assert_follows(stopped, &[("f@5-", "f@5", "successor")]);
}

#[test]
fn past_what_a_status_can_hold_an_unknown_alert_is_no_new_work() {
    let many = numbered(600);
    let task = with_status(first(&many), Some(Phase::Succeeded), reasons::VERDICT_REACHED, Some(500), &many);
    assert_eq!(task.status.as_ref().unwrap().alerts.len(), 500);
    assert_eq!(task.status.as_ref().unwrap().truncated_alerts, 100);
    assert_eq!(
        word(&decided(std::slice::from_ref(&task), &many)),
        "merge",
        "else every repeat would make a task"
    );
    assert_eq!(word(&decided(&[task], "n0@2")), "successor", "what is known can still come back");
}

#[test]
fn a_status_that_was_never_written_counts_as_the_spec() {
    let many = numbered(200);
    let mut task = first(&many);
    assert_eq!((task.spec.notification.alerts.len(), task.spec.notification.further_alerts.len()), (50, 150));
    assert_eq!(task.spec.notification.truncated_alerts, 150);
    assert_eq!(records(&task).len(), 200);
    task = with_status(task, Some(Phase::Succeeded), reasons::VERDICT_REACHED, Some(200), "");
    assert_eq!(word(&decided(&[task.clone()], &many)), "merge");
    assert_eq!(follow_up(&task), None);
    assert!(is_firing(&task));
}

#[test]
fn the_newest_task_of_the_chain_decides() {
    let one = with_status(first("f@1"), Some(Phase::Succeeded), reasons::VERDICT_REACHED, Some(1), "f@1");
    let Decision::Successor(two) = decided(std::slice::from_ref(&one), "f@1 g@2") else {
        panic!("no successor")
    };
    let identity = two.spec.identity.clone().unwrap();
    assert_eq!((identity.run, identity.previous), (2, one.metadata.name.clone()));
    let two = stored(*two, "uid-2");
    for chain in [[one.clone(), two.clone()], [two.clone(), one.clone()]] {
        let Decision::Merge(status) = decided(&chain, "g@2") else { panic!("the open one takes it in") };
        assert_eq!(
            noted(&status.alerts),
            "g@2 f@1",
            "what is new comes first, as the prompt shows the first fifty"
        );
    }
}

#[test]
fn a_task_that_is_being_deleted_decides_nothing_but_a_name() {
    let mut gone = first("f@1");
    gone.metadata.deletion_timestamp = time(60);
    let Decision::Create(next) = decided(&[gone.clone()], "f@1") else { panic!("it no longer counts") };
    assert_ne!(next.metadata.name, gone.metadata.name, "its own name is still taken");
    assert_eq!(
        next.spec.identity.as_ref().map(|identity| (identity.run, identity.previous.clone())),
        Some((2, None))
    );
    assert_eq!(word(&decided(&[gone.clone()], "f@1-")), "nothing");
    assert_eq!(follow_up(&gone), None);

    let done = with_status(first("f@1"), Some(Phase::Succeeded), reasons::VERDICT_REACHED, Some(1), "f@1");
    let mut two = stored(*next, "uid-2");
    two.metadata.deletion_timestamp = time(60);
    assert_eq!(
        word(&decided(&[done.clone(), two.clone()], "f@1")),
        "merge",
        "the one before it knows the alert"
    );
    let Decision::Successor(three) = decided(&[done.clone(), two.clone()], "h@1") else {
        panic!("no successor")
    };
    assert_ne!(three.metadata.name, two.metadata.name);
    assert_eq!(three.spec.identity.as_ref().map(|identity| identity.run), Some(3));
    assert_eq!(
        three.spec.identity.as_ref().and_then(|identity| identity.previous.clone()),
        done.metadata.name
    );
}

#[test]
fn a_task_copies_what_its_route_asks_for() {
    let mut notification = notification("f@1");
    notification.group_labels = [("alertname".to_owned(), "Kube Pod".to_owned())].into();
    notification.common_labels = [("severity".to_owned(), "critical".to_owned())].into();
    let route = route();
    let incident = Incident::new(&route, &notification);
    let Decision::Create(task) = decide(&incident, &Chain::default(), at(0)) else { panic!("no task") };
    assert_eq!(task.metadata.namespace.as_deref(), Some("agents"));
    assert!(task.metadata.name.as_deref().unwrap().starts_with("kube-pod-"));
    let label = |name: &str| task.metadata.labels.as_ref().unwrap().get(name).cloned();
    assert_eq!(label("punching-fist.io/key").as_deref(), Some(incident.key()));
    assert_eq!(task.spec.identity.as_ref().unwrap().key, incident.key());
    assert_eq!(task.spec.task, route.spec().template);
    assert_eq!(task.spec.on_resolved, OnResolved::Cancel);
    assert_eq!(task.spec.route, Some(route.reference()));
    assert_eq!(
        (task.spec.alert_name.as_deref(), task.spec.severity.as_deref()),
        (Some("f"), Some("critical"))
    );
}

#[test]
fn what_joined_too_late_is_followed_up_at_once() {
    use Phase::{Failed, Running, Succeeded};
    for (phase, reason, prompted, known, follows) in [
        (Succeeded, reasons::VERDICT_REACHED, Some(1), "f@1 g@2", Some("g@2 f@1")),
        (Succeeded, reasons::VERDICT_REACHED, Some(1), "f@1- g@2", Some("g@2")),
        (Succeeded, reasons::VERDICT_REACHED, Some(1), "f@1 g@2-", None),
        (Succeeded, reasons::VERDICT_REACHED, Some(2), "f@1 g@2", None),
        (Succeeded, reasons::VERDICT_REACHED, None, "f@1 g@2", None),
        (Running, "", Some(1), "f@1 g@2", None),
        (Failed, reasons::CANCELLED, None, "f@1 g@2", None),
        // A failed run isn't tried again from here: without a repeat to slow it down it would go on for ever.
        (Failed, reasons::BACKOFF_LIMIT_EXCEEDED, Some(1), "f@1", None),
        (Failed, reasons::BACKOFF_LIMIT_EXCEEDED, Some(1), "f@1 g@2", Some("g@2 f@1")),
        // It fired again before the end was written.
        (Succeeded, reasons::ALERT_RESOLVED, None, "f@3", Some("f@3")),
        (Succeeded, reasons::ALERT_RESOLVED, None, "f@3-", None),
    ] {
        let finished = with_status(first("f@1"), Some(phase), reason, prompted, known);
        let next = follow_up(&finished);
        let alerts = next.as_ref().map(|task| noted(&records(task)));
        assert_eq!(alerts.as_deref(), follows, "{reason} after {prompted:?} of {known:?}");
        if let Some(next) = next {
            let Decision::Successor(decided) = decided(std::slice::from_ref(&finished), "f@1 g@2 f@9") else {
                panic!("the webhook would follow it too")
            };
            assert_eq!(next.metadata.name, decided.metadata.name, "webhook and controller meet at the name");
            assert_eq!(next.metadata.labels, decided.metadata.labels);
            assert_eq!((&next.spec.task, &next.spec.identity), (&decided.spec.task, &decided.spec.identity));
        }
    }
    let mut by_hand = with_status(first("f@1"), Some(Succeeded), reasons::VERDICT_REACHED, Some(0), "f@1");
    by_hand.spec.identity = None;
    assert_eq!(follow_up(&by_hand), None, "it is no incident's");
}

#[test]
fn a_late_alert_of_a_large_group_is_in_the_next_prompt() {
    let many = numbered(120);
    let known = format!("{many} late@2");
    let finished =
        with_status(first(&many), Some(Phase::Succeeded), reasons::VERDICT_REACHED, Some(120), &known);
    let next = follow_up(&finished).unwrap();
    assert_eq!(next.spec.notification.alerts[0].fingerprint, "late");
    assert_eq!(next.spec.notification.alerts[0].labels["alertname"], "late");
    assert_eq!(records(&next).len(), 121, "and the task knows them all: their repeats are no news");
}

#[test]
fn what_a_sender_left_out_goes_along_to_the_successor() {
    let finished =
        with_status(first("f@1 g@1"), Some(Phase::Succeeded), reasons::VERDICT_REACHED, Some(2), "f@1 g@1");
    let route = route();
    for (truncated, expected) in [(0, "h@2"), (1, "h@2 f@1 g@1")] {
        let notification = Notification { truncated_alerts: truncated, ..notification("h@2") };
        let incident = Incident::new(&route, &notification);
        let Decision::Successor(next) = decide(&incident, &Chain::of([&finished]), at(9)) else {
            panic!("new work")
        };
        assert_eq!(noted(&records(&next)), expected);
    }
}
