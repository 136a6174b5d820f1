//! Many at once: repeats, twins, replicas, a controller that writes too, and an API server that fails. One incident has
//! one open task, and no firing alert is lost.

use std::time::Duration;

use futures::future::join_all;
use punching_fist_api::{AlertState, AlertTask, Phase, reasons};
use punching_fist_core::incident;
use punching_fist_testkit::recording::{Fault, RecordingApi, Times};
use serde_json::Value;

use crate::common::*;

/// As Alertmanager does it: again and again while the answer is a 5xx.
async fn deliver(hook: Hook, body: Value) {
    for _ in 0..50 {
        let answer = hook.post(&body).await;
        assert!(answer.code == 200 || answer.code == 503, "{answer:?}");
        if answer.code == 200 {
            return;
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    panic!("never taken in");
}

/// While nothing is in trouble, once has to do.
async fn deliver_once(hook: Hook, body: Value) {
    let answer = hook.post(&body).await;
    assert_eq!(answer.code, 200, "{answer:?}");
}

async fn all_at_once(hooks: &[Hook], bodies: Vec<Value>) {
    let sent = bodies.into_iter().enumerate();
    let sent = sent.map(|(i, body)| tokio::spawn(deliver_once(hooks[i % hooks.len()].clone(), body)));
    for done in join_all(sent).await {
        done.unwrap();
    }
}

async fn in_spite_of_trouble(hooks: &[Hook], bodies: Vec<Value>) {
    let sent = bodies.into_iter().enumerate();
    let sent = sent.map(|(i, body)| tokio::spawn(deliver(hooks[i % hooks.len()].clone(), body)));
    for done in join_all(sent).await {
        done.unwrap();
    }
}

fn replicas(api: &RecordingApi) -> [Hook; 2] {
    [Hook::cached(api), Hook::with(api, |webhook| webhook)]
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn the_same_twenty_times_over_two_replicas_is_one_task() {
    for _ in 0..10 {
        let api = api();
        let hooks = replicas(&api);
        all_at_once(&hooks, vec![body(&[firing("a"), firing("b")]); 20]).await;
        let task = only(&api);
        assert_eq!(status(&task).alerts.len(), 2);
        assert_eq!(status(&task).occurrences, 20, "each was merged once");
        let made = api.calls_of("create", "alerttasks").iter().filter(|call| call.code == Some(201)).count();
        assert_eq!(made, 1);

        finish(&api, &task, Phase::Succeeded, reasons::VERDICT_REACHED);
        all_at_once(&hooks, vec![body(&[firing("a"), firing("b")]); 20]).await;
        only(&api);
        all_at_once(&hooks, vec![body(&[firing("a"), firing("c")]); 20]).await;
        assert_eq!(tasks(&api).len(), 2, "one successor");
        assert_eq!(status(&tasks(&api)[1]).occurrences, 20);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn what_joins_at_the_same_moment_is_all_in() {
    let api = api();
    let hooks = replicas(&api);
    let names: Vec<String> = (0..20).map(|i| format!("alert-{i}")).collect();
    all_at_once(&hooks, names.iter().map(|name| body(&[firing(name)])).collect()).await;
    let mut known: Vec<_> = status(&only(&api)).alerts.into_iter().map(|record| record.fingerprint).collect();
    known.sort();
    let mut sent = names;
    sent.sort();
    assert_eq!(known, sent);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn incidents_do_not_wait_for_each_other() {
    let api = api();
    let hooks = replicas(&api);
    let bodies = (0..40).map(|i| {
        let mut body = body(&[firing("a")]);
        body["groupKey"] = format!("{{}}:{{n=\"{}\"}}", i % 20).into();
        body
    });
    all_at_once(&hooks, bodies.collect()).await;
    assert_eq!(tasks(&api).len(), 20);
    assert!(tasks(&api).iter().all(|task| status(task).occurrences == 2));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_controller_that_writes_all_the_time_is_no_harm() {
    let api = api();
    let hooks = replicas(&api);
    let writer = tokio::spawn({
        let api = api.clone();
        async move {
            for i in 0.. {
                for task in api.all::<AlertTask>() {
                    api.change::<AlertTask>(NAMESPACE, &name(&task), |task| {
                        task.status.get_or_insert_default().task.retry_count = i;
                    });
                }
                tokio::time::sleep(Duration::from_millis(2)).await;
            }
        }
    });
    in_spite_of_trouble(&hooks, (0..20).map(|i| body(&[firing(&format!("n{}", i % 5))])).collect()).await;
    writer.abort();
    assert_eq!(status(&only(&api)).alerts.len(), 5);
}

/// What an API server in trouble does.
const TROUBLE: [Fault; 7] = [
    Fault::Status(500),
    Fault::DoneThenStatus(500),
    Fault::Status(503),
    Fault::Disconnect,
    Fault::Slow(Duration::from_millis(20)),
    Fault::DoneThenStatus(504),
    Fault::Status(409),
];

/// The alerts that come and go: in each round another part of them fires.
const NAMES: [&str; 4] = ["a", "b", "c", "d"];

fn fires(round: usize, alert: usize) -> bool {
    !(round + alert).is_multiple_of(3)
}

fn group(round: usize) -> Vec<Value> {
    let one = |(i, name): (usize, &&str)| {
        let status = if fires(round, i) { "firing" } else { "resolved" };
        alert(name, status, i64::try_from(round * 60 + i).unwrap())
    };
    NAMES.iter().enumerate().map(one).collect()
}

/// Every fault that an API server in trouble has, one after the other, while runs end and alerts come and go.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn trouble_loses_nothing() {
    let api = api();
    let hooks = replicas(&api);
    for round in 0..30 {
        for (verb, resource) in
            [("create", "alerttasks"), ("apply", "alerttasks/status"), ("list", "alerttasks")]
        {
            api.inject(verb, resource, TROUBLE[round % TROUBLE.len()].clone(), Times::Count(3));
        }
        in_spite_of_trouble(&hooks, vec![body(&group(round)); 4]).await;
        api.heal();

        let all = tasks(&api);
        let open = all.iter().filter(|task| incident::is_open(task)).count();
        assert_eq!(open, 1, "round {round}: what came back has a task, and one alone");
        let newest = all.last().unwrap();
        let records = status(newest).alerts;
        for name in NAMES.iter().enumerate().filter(|(i, _)| fires(round, *i)).map(|(_, name)| name) {
            let record = records.iter().find(|record| record.fingerprint == *name);
            let state = record.map(|record| record.state);
            assert_eq!(state, Some(AlertState::Firing), "round {round}, alert {name}");
        }
        finish(&api, newest, Phase::Succeeded, reasons::VERDICT_REACHED);
    }
}
