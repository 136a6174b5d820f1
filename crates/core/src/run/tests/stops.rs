//! Runs that are stopped between two attempts for their money, and those that somebody else suspends.

use super::*;

/// A runner's end that used so much.
fn spent(uid: &str, exit_code: i32, reason: &str, cost: &str) -> PodRecord {
    let verdict = (exit_code == 0).then_some("Diagnosed");
    let message = json!({"version": 1, "reason": reason, "verdict": verdict, "error": "boom", "usage": {"costUSD": cost}});
    ended(uid, exit_code, &message.to_string())
}

fn decided_by(profile: Value, status: Value, job: &Job, pods: &[PodRecord]) -> Decision {
    let mut settings = settings();
    let mut said = json!({"image": "i", "model": "anthropic/m", "gateway": false, "maxCostUSD": "1.00"});
    said.as_object_mut().unwrap().extend(profile.as_object().unwrap().clone());
    settings.profiles.insert("openhands".into(), serde_json::from_value(said).unwrap());
    let task = task(json!({}), status);
    decide(&Observed {
        task: &task,
        job: Some(job),
        pods,
        explanation: None,
        settings: &settings,
        now: at(1),
    })
}

#[test]
fn a_run_that_has_spent_its_money_gets_no_further_attempt() {
    let fault = |uid, cost| spent(uid, 10, "ProviderFault", cost);
    let again = || json!({"active": 1, "failed": 1});
    let ending = json!({"failed": 1, "conditions": [{"type": "FailureTarget", "status": "True", "reason": "PodFailurePolicy", "lastTransitionTime": at(0).to_string()}]});
    let rows = [
        ("nothing has ended", json!({"active": 1}), vec![pod("p", PodState::Running)], "follow"),
        ("money is left", json!({"failed": 1}), vec![fault("p", "0.999999")], "follow"),
        ("all is spent", json!({"failed": 1}), vec![fault("p", "1.00")], "stop"),
        ("in two attempts", json!({"failed": 2}), vec![fault("p", "0.6"), fault("q", "0.4")], "stop"),
        ("before the Job counts it", json!({"active": 1}), vec![fault("p", "3")], "stop"),
        ("the next one works", again(), vec![fault("p", "3"), pod("q", PodState::Running)], "stop"),
        ("it found something", json!({"active": 1}), vec![spent("p", 0, "VerdictReached", "3")], "follow"),
        ("the runner said so", json!({"active": 1}), vec![spent("p", 12, "BudgetExceeded", "3")], "follow"),
        ("the Job ends by itself", ending, vec![fault("p", "3")], "follow"),
        ("nobody knows", json!({"failed": 1}), vec![ended("p", 137, "")], "follow"),
    ];
    for (case, status, pods, expected) in rows {
        let decision = decided_by(json!({}), started(), &job(status), &pods);
        assert_eq!(say(&decision).0, expected, "{case}");
        if expected == "stop" {
            assert_eq!(say(&decision).1, "BudgetExceeded", "{case}");
        }
    }
}

#[test]
fn what_the_gateway_counted_is_what_was_spent() {
    let fault = [spent("p", 10, "ProviderFault", "9")];
    let next = |state| [fault[0].clone(), pod("q", state)];
    let rows: [(&str, Value, &[PodRecord], &str); 5] = [
        ("all is spent", json!("1.00"), &fault, "stop"),
        ("the runner's own sum says nothing", json!("0.99"), &fault, "follow"),
        ("nothing was counted", json!(null), &fault, "follow"),
        ("the next one isn't up yet", json!("1.5"), &next(PodState::Waiting(None)), "stop"),
        ("the gateway ends one that works", json!("1.5"), &next(PodState::Running), "follow"),
    ];
    for (case, cost, pods, expected) in rows {
        let mut status = started();
        status["usage"] = json!({"costUSD": cost});
        let decision = decided_by(json!({"gateway": true}), status, &job(json!({"failed": 1})), pods);
        assert_eq!(say(&decision).0, expected, "{case}");
    }
}

#[test]
fn a_call_that_nobody_settled_is_spent_after_a_while() {
    let fault = [spent("p", 10, "ProviderFault", "9")];
    for (age, expected) in [(301, "stop"), (200, "follow")] {
        let mut status = started();
        let call = json!({"id": "a", "chargeUSD": "0.5", "time": at(1 - age).to_string()});
        status["usage"] = json!({"costUSD": "0.5", "inFlight": [call]});
        let decision = decided_by(json!({"gateway": true}), status, &job(json!({"failed": 1})), &fault);
        assert_eq!(say(&decision).0, expected, "{age}");
    }
}

#[test]
fn the_end_of_a_run_without_money_says_what_was_spent_and_of_what() {
    let pods = [spent("p", 10, "ProviderFault", "1.25")];
    let Decision::Stop(say) = decided_by(json!({}), started(), &job(json!({"failed": 1})), &pods) else {
        panic!("it has spent all")
    };
    assert!(
        say.message.contains("1.25 of 1 US dollars") && say.message.contains("maxCostUSD"),
        "{}",
        say.message
    );
    let mut status = started();
    status["conditions"] = json!([{"type": "Stopping", "status": "True", "reason": say.reason(), "message": say.message, "lastTransitionTime": at(0).to_string()}]);
    let Decision::Delete(outcome) = decided_by(json!({}), status, &job(json!({"failed": 1})), &pods) else {
        panic!("the Job goes")
    };
    assert_eq!((outcome.phase, outcome.say.reason()), (Phase::Failed, "BudgetExceeded"));
    let error = outcome.run.last_error.unwrap();
    assert!(error.starts_with("BudgetExceeded: ") && error.contains("1.25 of 1 US dollars"), "{error}");
    assert!(error.ends_with("ProviderFault: boom"), "{error}");
}

#[test]
fn the_runners_own_limit_is_the_reason_of_the_run() {
    let condition = json!({"type": "Failed", "status": "True", "reason": "PodFailurePolicy", "message": "the Job's words", "lastTransitionTime": at(0).to_string()});
    let failed = job(json!({"failed": 2, "conditions": [condition]}));
    let first = spent("p", 10, "ProviderFault", "0.5");
    for reason in ["BudgetExceeded", "TimeLimit", "IterationLimit"] {
        let pods = [first.clone(), spent("q", 12, reason, "0.5")];
        let Decision::Finish(outcome) = decided_by(json!({}), started(), &failed, &pods) else {
            panic!("{reason} is the end")
        };
        let error = outcome.run.last_error.unwrap();
        assert_eq!((outcome.say.reason(), error), (reason, format!("{reason}: boom")));
    }
}

#[test]
fn a_job_that_somebody_suspended_waits_for_as_long_as_they_like() {
    let admitted = task(json!({}), admitted());
    let mut suspended = job(json!({"conditions": [{"type": "Suspended", "status": "True"}]}));
    suspended.spec.as_mut().unwrap().suspend = Some(true);
    for pods in [vec![], vec![pod("p", PodState::Waiting(None))]] {
        let Decision::Follow(progress) = decided(&admitted, Some(&suspended), &pods, 6000) else {
            panic!("nobody is late")
        };
        assert_eq!((progress.phase, progress.say.reason()), (Phase::Pending, "Suspended"));
        assert!(!progress.unexplained);
    }
    suspended.spec.as_mut().unwrap().suspend = Some(false);
    assert_eq!(
        say(&decided(&admitted, Some(&suspended), &[], 6000)).0,
        "follow",
        "resumed, and not seen to yet"
    );
    let resumed = job(
        json!({"startTime": at(6000).to_string(), "conditions": [{"type": "Suspended", "status": "False"}]}),
    );
    assert_eq!(say(&decided(&admitted, Some(&resumed), &[], 6599)).0, "follow");
    assert_eq!(say(&decided(&admitted, Some(&resumed), &[], 6600)), ("stop", "PodStartTimeout"));
}
