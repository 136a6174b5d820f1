//! Who writes what of a usage, and what becomes of calls that nobody settled.

use punching_fist_api::MaintenanceTask;
use serde_json::{Value, json};

use super::*;
use crate::job::Run;
use crate::profile::tests::settings;

fn at(second: i64) -> Timestamp {
    Timestamp::from_second(1_700_000_000 + second).unwrap()
}

fn usage(cost: &str, charges: &[(&str, i64)]) -> RunUsage {
    let in_flight = charges.iter().map(|(charge, second)| {
        json!({"id": format!("at-{second}"), "chargeUSD": charge, "time": at(*second).to_string()})
    });
    let in_flight: Vec<Value> = in_flight.collect();
    serde_json::from_value(json!({"costUSD": cost, "calls": 1, "inFlight": in_flight})).unwrap()
}

#[test]
fn what_a_finished_run_left_under_way_is_spent_when_nobody_can_settle_it() {
    let over = OVER_AFTER.as_secs();
    assert_eq!(rest(None, at(0)), Rest::Nothing);
    assert_eq!(rest(Some(&usage("1", &[])), at(0)), Rest::Nothing);
    let two = usage("1", &[("0.2", 60), ("free", 0)]);
    assert_eq!(rest(Some(&two), at(0)), Rest::Look(SignedDuration::from_secs(over + 1)));
    assert_eq!(rest(Some(&two), at(over)), Rest::Look(SignedDuration::from_secs(1)));
    let one = usage("1", &[("0.2", 0), ("0.5", 60)]);
    let Rest::Write(written) = rest(Some(&one), at(over + 1)) else { panic!("the first one is over") };
    assert_eq!((written.cost_usd.as_str(), written.calls, written.in_flight.len()), ("1.2", 2, 1));
    let Rest::Write(written) = rest(Some(&two), at(over + 61)) else { panic!("both are over") };
    assert_eq!((written.cost_usd, written.in_flight.len()), (most().to_string(), 0));
    let future = usage("1", &[("0.2", 1_000_000_000)]);
    assert!(matches!(rest(Some(&future), at(0)), Rest::Look(_)), "a clock that goes wrong does no harm");
}

#[test]
fn what_is_over_is_spent_before_anybody_writes_it() {
    let (over, money) = (OVER_AFTER.as_secs() + 1, |text| Money::parse(text));
    assert_eq!(spent(&usage("1", &[("0.2", 0)]), at(0)), money("1"));
    assert_eq!(spent(&usage("1", &[("0.2", 0)]), at(over)), money("1.2"));
    assert_eq!(spent(&RunUsage::default(), at(0)), None);
}

fn task(status: &Value) -> MaintenanceTask {
    let metadata = json!({"name": "t", "namespace": "n", "uid": "u"});
    serde_json::from_value(json!({"metadata": metadata, "spec": {"prompt": "p"}, "status": status})).unwrap()
}

fn with_gateway(gateway: bool) -> Settings {
    let mut settings = settings();
    settings.profiles.get_mut("openhands").unwrap().gateway = gateway;
    settings
}

#[test]
fn a_run_is_metered_as_its_job_was_made() {
    let task = task(&Value::Null);
    for made in [true, false] {
        let settings = with_gateway(made);
        let run =
            Run { task: &task, profile: &settings.profiles["openhands"], settings: &settings, prompt: "p" };
        let job = job::build(&run).unwrap();
        for now in [with_gateway(!made), Settings::default()] {
            assert_eq!(is_metered(&task, Some(&job), &now), made);
        }
        assert_eq!(is_metered(&task, None, &settings), made, "none is made yet");
    }
}

#[test]
fn without_its_job_the_usage_tells_who_wrote_it() {
    let attempts =
        json!([{"podUID": "p", "pod": "p", "usage": {"calls": 2, "iterations": 5, "costUSD": "0.4"}}]);
    let told = json!({"calls": 2, "iterations": 5, "costUSD": "0.4"});
    let flying = json!({"calls": 2, "costUSD": "0.4", "inFlight": [{"id": "a", "chargeUSD": "1", "time": at(0).to_string()}]});
    for (phase, usage, attempts, direct, by_gateway) in [
        ("Running", json!({"calls": 1, "costUSD": "0.1"}), json!([]), true, true),
        ("Failed", json!({"calls": 3, "iterations": 5, "costUSD": "0.5"}), attempts.clone(), true, true),
        ("Failed", flying, attempts.clone(), true, true),
        ("Failed", told.clone(), attempts.clone(), false, false),
        ("Running", told, attempts, false, true),
    ] {
        let task = task(&json!({"phase": phase, "usage": usage, "attempts": attempts}));
        let found = [false, true].map(|gateway| is_metered(&task, None, &with_gateway(gateway)));
        assert_eq!(found, [direct, by_gateway], "{phase} {usage}");
    }
}
