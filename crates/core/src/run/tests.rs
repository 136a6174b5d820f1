//! What is decided, for every state that a task, its Job and its pods can be in together.

#![expect(clippy::needless_pass_by_value, reason = "a table reads better with the values themselves")]

mod stops;

use serde_json::{Value, json};

use punching_fist_api::{AlertTask, MaintenanceTask, Verdict};

use super::*;
use crate::pods::{PodEnd, PodState};
use crate::profile::tests::settings;

const NOW: i64 = 1_800_000_000;

fn at(second: i64) -> Timestamp {
    Timestamp::from_second(NOW + second).unwrap()
}

fn task(spec: Value, status: Value) -> MaintenanceTask {
    let mut spec = spec;
    spec["prompt"] = json!("p");
    let mut task = json!({"metadata": {"name": "t", "namespace": "n", "uid": "u"}, "spec": spec});
    if !status.is_null() {
        task["status"] = status;
    }
    serde_json::from_value(task).unwrap()
}

fn alert(spec: Value, status: Value) -> AlertTask {
    let mut spec = spec;
    spec["notification"] = json!({"alerts": [{"labels": {"alertname": "A"}}]});
    serde_json::from_value(
        json!({"metadata": {"name": "t", "namespace": "n", "uid": "u"}, "spec": spec, "status": status}),
    )
    .unwrap()
}

fn job(status: Value) -> Job {
    let spec = json!({"template": {"spec": {"containers": []}}});
    let metadata = json!({"name": "openhands-task-u", "uid": "j", "creationTimestamp": at(0).to_string()});
    serde_json::from_value(json!({"metadata": metadata, "spec": spec, "status": status})).unwrap()
}

fn pod(uid: &str, state: PodState) -> PodRecord {
    PodRecord {
        uid: uid.into(),
        name: uid.into(),
        created: Some(at(0)),
        job_uid: Some("j".into()),
        profile: "openhands".into(),
        state,
    }
}

fn ended(uid: &str, exit_code: i32, message: &str) -> PodRecord {
    let end = PodEnd {
        exit_code: Some(exit_code),
        reason: "Error".into(),
        message: message.into(),
        finished_at: None,
    };
    pod(uid, PodState::Ended(end))
}

fn with_verdict() -> PodRecord {
    ended(
        "p",
        0,
        r#"{"version": 1, "reason": "VerdictReached", "verdict": "Diagnosed", "summary": "s", "longSHA256": "h"}"#,
    )
}

fn decided<K: Task>(task: &K, job: Option<&Job>, pods: &[PodRecord], second: i64) -> Decision {
    let settings = settings();
    decide(&Observed { task, job, pods, explanation: None, settings: &settings, now: at(second) })
}

fn admitted() -> Value {
    json!({"phase": "Pending", "job": {"name": "openhands-task-u", "generation": 1}})
}

fn started() -> Value {
    json!({"phase": "Running", "job": {"name": "openhands-task-u", "uid": "j", "generation": 1}})
}

fn say(decision: &Decision) -> (&'static str, &str) {
    match decision {
        Decision::Close(outcome) => ("close", outcome.say.reason()),
        Decision::Stop(say) => ("stop", say.reason()),
        Decision::Delete(outcome) => ("delete", outcome.say.reason()),
        Decision::Hold(say) => ("hold", say.reason()),
        Decision::Seek(outcome) => ("seek", outcome.say.reason()),
        Decision::Follow(progress) => ("follow", progress.say.reason()),
        Decision::Finish(outcome) => ("finish", outcome.say.reason()),
        Decision::Leave => ("leave", ""),
        Decision::Settled => ("settled", ""),
        Decision::Rest(_) => ("rest", ""),
        Decision::Ask => ("ask", ""),
        Decision::Make => ("make", ""),
    }
}

#[test]
fn before_admission() {
    let rows = [
        (json!({}), Value::Null, ("ask", "")),
        (json!({"suspend": true}), Value::Null, ("hold", "Suspended")),
        (json!({"cancel": true}), Value::Null, ("close", "Cancelled")),
        (json!({"cancel": true, "suspend": true}), Value::Null, ("close", "Cancelled")),
        (json!({}), json!({"phase": "Succeeded"}), ("settled", "")),
        (json!({"cancel": true}), json!({"phase": "Failed"}), ("settled", "")),
    ];
    for (spec, status, expected) in rows {
        let task = task(spec.clone(), status.clone());
        assert_eq!(say(&decided(&task, None, &[], 0)), expected, "{spec} {status}");
    }
    let mut deleted = task(json!({}), Value::Null);
    deleted.metadata.deletion_timestamp = Some(k8s_openapi::apimachinery::pkg::apis::meta::v1::Time(at(0)));
    assert_eq!(decided(&deleted, None, &[], 0), Decision::Leave);
}

#[test]
fn a_refused_job_is_tried_again_after_a_while_or_an_edit() {
    let stalled = |reason: &str| {
        let since = at(0).to_string();
        json!({"phase": "Pending", "conditions": [{"type": "Stalled", "status": "True", "reason": reason, "message": "m", "lastTransitionTime": since, "observedGeneration": 1}]})
    };
    let refused = |reason: &str, generation: i64, second: i64| {
        let mut task = task(json!({}), stalled(reason));
        task.metadata.generation = Some(generation);
        say(&decided(&task, None, &[], second)).0
    };
    assert_eq!(refused("JobRefused", 1, 59), "rest");
    assert_eq!(refused("JobNameTaken", 1, 0), "rest");
    assert_eq!(refused("JobRefused", 1, 60), "ask", "the refusal may have been healed");
    assert_eq!(refused("JobRefused", 2, 1), "ask", "an edit");
    assert_eq!(refused("ServiceAccountMissing", 1, 1), "ask", "looked at by each pass");
}

#[test]
fn a_resolved_alert_closes_what_waits_and_stops_what_runs_only_if_asked() {
    let resolved = |mut status: Value| {
        status["alertState"] = json!("resolved");
        status
    };
    let cancel = json!({"onResolved": "Cancel"});
    let running = job(json!({"active": 1}));
    let waiting = alert(json!({}), resolved(json!({})));
    let closed = decided(&waiting, None, &[], 0);
    assert_eq!(say(&closed), ("close", "AlertResolved"));
    assert!(matches!(closed, Decision::Close(outcome) if outcome.phase == Phase::Succeeded));
    let finishes = alert(json!({}), resolved(started()));
    assert_eq!(say(&decided(&finishes, Some(&running), &[pod("p", PodState::Running)], 0)).0, "follow");
    let stops = alert(cancel.clone(), resolved(started()));
    assert_eq!(say(&decided(&stops, Some(&running), &[], 0)), ("stop", "AlertResolved"));
    let over = job(json!({"succeeded": 1, "conditions": [{"type": "Complete", "status": "True"}]}));
    assert_eq!(say(&decided(&stops, Some(&over), &[with_verdict()], 0)), ("finish", "VerdictReached"));
}

#[test]
fn a_stop_that_is_written_down_ends_when_the_job_is_gone() {
    let mut status = started();
    status["conditions"] = json!([{"type": "Stopping", "status": "True", "reason": "Cancelled", "message": "m", "lastTransitionTime": at(0).to_string()}]);
    let task = task(json!({}), status);
    for job in [None, Some(job(json!({"active": 1})))] {
        let decision = decided(&task, job.as_ref(), &[], 0);
        assert_eq!(say(&decision), ("delete", "Cancelled"));
        assert!(matches!(decision, Decision::Delete(outcome) if outcome.phase == Phase::Failed));
    }
}

#[test]
fn an_admitted_task_makes_its_job_once_and_never_again() {
    assert_eq!(decided(&task(json!({}), admitted()), None, &[], 0), Decision::Make);
    assert_eq!(say(&decided(&task(json!({}), started()), None, &[], 0)), ("seek", "JobLost"));
    assert_eq!(
        say(&decided(&task(json!({"cancel": true}), admitted()), None, &[], 0)),
        ("stop", "Cancelled")
    );
    assert_eq!(decided(&task(json!({"suspend": true}), admitted()), None, &[], 0), Decision::Make);
}

#[test]
fn under_way() {
    let waits = || {
        let obstacle = Obstacle { reason: reasons::IMAGE_PULL_FAILED, message: "m".into() };
        pod("p", PodState::Waiting(Some(obstacle)))
    };
    let (failed, runs) = (|| ended("q", 10, ""), pod("p", PodState::Running));
    let rows = [
        (json!({}), vec![], "Pending", "Starting"),
        (json!({"active": 1}), vec![], "Pending", "Starting"),
        (json!({"active": 1}), vec![pod("p", PodState::Waiting(None))], "Pending", "Starting"),
        (json!({"active": 1}), vec![waits()], "Pending", "ImagePullFailed"),
        (json!({"active": 1}), vec![runs.clone()], "Running", "AgentRunning"),
        (json!({"failed": 1}), vec![failed()], "Retrying", "Retrying"),
        (json!({"failed": 1, "active": 1}), vec![failed(), runs], "Retrying", "Retrying"),
        (json!({"failed": 1, "active": 1}), vec![failed(), waits()], "Retrying", "ImagePullFailed"),
    ];
    for (status, pods, phase, reason) in rows {
        let Decision::Follow(progress) =
            decided(&task(json!({}), admitted()), Some(&job(status.clone())), &pods, 1)
        else {
            panic!("{status} goes on")
        };
        assert_eq!(
            (format!("{:?}", progress.phase).as_str(), progress.say.reason()),
            (phase, reason),
            "{status}"
        );
    }
}

#[test]
fn a_run_that_is_to_fail_goes_on_while_its_pods_do() {
    let target = json!({"failed": 1, "conditions": [{"type": "FailureTarget", "status": "True", "reason": "DeadlineExceeded", "lastTransitionTime": at(0).to_string()}]});
    let Decision::Follow(progress) = decided(&task(json!({}), started()), Some(&job(target)), &[], 1) else {
        panic!()
    };
    assert_eq!(
        (progress.phase, progress.say.reason()),
        (Phase::Running, "DeadlineExceeded"),
        "its pods still run"
    );
}

#[test]
fn what_does_not_start_in_time_is_stopped_for_its_own_reason() {
    let obstacle = Obstacle { reason: reasons::POD_CONFIG_ERROR, message: "secret missing".into() };
    let waits = [pod("p", PodState::Waiting(Some(obstacle)))];
    let active = job(json!({"active": 1}));
    let admitted = task(json!({}), admitted());
    assert_eq!(say(&decided(&admitted, Some(&active), &waits, 599)), ("follow", "PodConfigError"));
    assert_eq!(say(&decided(&admitted, Some(&active), &waits, 600)), ("stop", "PodConfigError"));
    assert_eq!(say(&decided(&admitted, Some(&job(json!({}))), &[], 600)), ("stop", "PodStartTimeout"));
    let settings = settings();
    let quota = Obstacle { reason: reasons::POD_REFUSED, message: "exceeded quota".into() };
    let refused = Observed {
        task: &admitted,
        job: Some(&job(json!({}))),
        pods: &[],
        explanation: Some(&quota),
        settings: &settings,
        now: at(600),
    };
    assert_eq!(say(&decide(&refused)), ("stop", "PodRefused"));
    assert_eq!(say(&decide(&Observed { now: at(20), ..refused })), ("follow", "PodRefused"));
    let back_off = job(json!({"failed": 1}));
    assert_eq!(
        say(&decided(&admitted, Some(&back_off), &[ended("p", 10, "")], 700)).0,
        "follow",
        "the back-off is the Job's"
    );
}

/// A volume that can't be mounted stands in no pod's status.
#[test]
fn a_pod_that_waits_in_silence_is_explained_by_its_events() {
    let (admitted, settings) = (task(json!({}), admitted()), settings());
    let missing = Obstacle { reason: reasons::POD_CONFIG_ERROR, message: "configmap not found".into() };
    let silent = [pod("p", PodState::Waiting(None))];
    let (first, second) = (job(json!({"active": 1})), job(json!({"active": 1, "failed": 1})));
    for (job, second, expected) in [
        (&first, 20, ("follow", "PodConfigError")),
        (&second, 20, ("follow", "PodConfigError")),
        (&first, 600, ("stop", "PodConfigError")),
    ] {
        let seen = Observed {
            task: &admitted,
            job: Some(job),
            pods: &silent,
            explanation: None,
            settings: &settings,
            now: at(second),
        };
        let unexplained = decide(&seen);
        assert!(
            !matches!(&unexplained, Decision::Follow(progress) if !progress.unexplained),
            "{unexplained:?}"
        );
        let explained = decide(&Observed { explanation: Some(&missing), ..seen });
        assert_eq!(say(&explained), expected);
        assert!(!matches!(&explained, Decision::Follow(progress) if progress.unexplained));
    }
}

#[test]
fn a_complete_job_waits_for_what_its_pod_said_and_then_says_that_nothing_was_found() {
    let complete = job(
        json!({"succeeded": 1, "completionTime": at(0).to_string(), "conditions": [{"type": "Complete", "status": "True"}]}),
    );
    let task = task(json!({}), started());
    assert_eq!(say(&decided(&task, Some(&complete), &[], 59)).0, "follow");
    let nothing = decided(&task, Some(&complete), &[], 60);
    assert_eq!(say(&nothing), ("finish", "NoResult"));
    assert!(
        matches!(nothing, Decision::Finish(outcome) if outcome.phase == Phase::Failed && outcome.result.is_none())
    );
    let Decision::Finish(found) = decided(&task, Some(&complete), &[with_verdict()], 1) else { panic!() };
    assert_eq!(
        (found.phase, found.say.reason(), found.over_since),
        (Phase::Succeeded, "VerdictReached", Some(at(0)))
    );
    assert_eq!(found.result.unwrap().verdict, Some(Verdict::Diagnosed));
    assert_eq!(found.report.unwrap().sha256, "h");
}

#[test]
fn a_fix_is_believed_of_a_run_that_may_make_one() {
    let complete = job(json!({"succeeded": 1, "conditions": [{"type": "Complete", "status": "True"}]}));
    let message = json!({"version": 1, "reason": "VerdictReached", "verdict": "Fixed", "acted": true});
    let pods = [ended("p", 0, &message.to_string())];
    for (mode, verdict) in [("Remediate", Verdict::Fixed), ("Investigate", Verdict::Diagnosed)] {
        let task = task(json!({"mode": mode}), started());
        let Decision::Finish(outcome) = decided(&task, Some(&complete), &pods, 1) else { panic!("{mode}") };
        assert_eq!(outcome.result.unwrap().verdict, Some(verdict), "{mode}");
    }
}

#[test]
fn a_failed_job_says_which_limit_or_fault_it_was() {
    let failed = |reason: &str| {
        job(
            json!({"failed": 1, "conditions": [{"type": "Failed", "status": "True", "reason": reason, "message": "the Job's words", "lastTransitionTime": at(0).to_string()}]}),
        )
    };
    let limit = ended("p", 12, r#"{"version": 1, "reason": "IterationLimit", "error": "100 steps"}"#);
    let fault = ended("p", 10, r#"{"version": 1, "reason": "ProviderFault", "error": "500"}"#);
    let rows = [
        ("PodFailurePolicy", vec![limit], "IterationLimit", "IterationLimit: 100 steps"),
        ("BackoffLimitExceeded", vec![fault], "BackoffLimitExceeded", "ProviderFault: 500"),
    ];
    for (reason, pods, expected, message) in rows {
        let Decision::Finish(outcome) = decided(&task(json!({}), started()), Some(&failed(reason)), &pods, 1)
        else {
            panic!("{reason} is the end")
        };
        assert_eq!((outcome.say.reason(), outcome.say.message.as_str()), (expected, message));
        assert_eq!((outcome.phase, outcome.run.last_error.as_deref()), (Phase::Failed, Some(message)));
    }
    let unseen = decided(&task(json!({}), started()), Some(&failed("BackoffLimitExceeded")), &[], 59);
    assert_eq!(say(&unseen).0, "follow", "the pod's own words are still on their way");
    assert_eq!(
        say(&decided(&task(json!({}), started()), Some(&failed("BackoffLimitExceeded")), &[], 60)).0,
        "finish"
    );
}
