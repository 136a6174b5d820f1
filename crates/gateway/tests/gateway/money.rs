//! The budget, against everything that could get past it: parallel calls, replicas, deaths, lost answers.

use std::sync::Arc;
use std::time::Duration;

use futures::future::join_all;
use prometheus::Registry;
use punching_fist_api::{MaintenanceTask, Reservation};
use punching_fist_core::money::Money;
use punching_fist_gateway::{Gateway, Keys, Metrics};
use punching_fist_testkit::recording::{Fault, Times};
use punching_fist_testkit::wait::until;
use serde_json::{Value, json};
use tokio::task::JoinHandle;

use crate::common::{
    Answer, CHAT, Ground, NAMESPACE, Script, TASK, heal, nothing_in_flight, request, send, usage,
};

const STATUS: &str = "maintenancetasks/status";

/// An answer that costs 0.4 dollars.
const DEAR: &str = r#"{"usage":{"prompt_tokens":0,"completion_tokens":200000}}"#;

/// A call whose charge is a bit more than 0.4 dollars.
fn body() -> Value {
    json!({"model": "m", "max_tokens": 200_000})
}

fn is_spent(answer: &Answer) -> bool {
    answer.status == 400 && answer.error().starts_with("punching-fist-gateway: BudgetExceeded: ")
}

fn spent(ground: &Ground) -> Money {
    Money::parse(&ground.usage().total.cost_usd.unwrap()).unwrap()
}

/// A call that goes on beside the test.
fn call(ground: &Ground) -> JoinHandle<Answer> {
    let router = ground.router();
    tokio::spawn(async move { send(&router, request(CHAT, &body())).await })
}

/// A call whose answer the provider keeps back until it is told to go on.
async fn held_call(ground: &Ground) -> JoinHandle<Answer> {
    ground.provider.script([Script::Held(DEAR.to_owned())]);
    let call = call(ground);
    ground.provider.wait_for_calls(1).await;
    call
}

#[tokio::test]
async fn the_call_that_passes_the_budget_is_the_last() {
    let ground = Ground::new("openai/m").await;
    ground.provider.script([Script::Json(200, DEAR.to_owned())]);
    for _ in 0..3 {
        assert_eq!(ground.post(CHAT, &body()).await.status, 200);
    }
    let refused = ground.post(CHAT, &body()).await;
    assert!(is_spent(&refused), "{refused:?}");
    assert!(refused.error().contains("1.2 of its budget of 1 US dollars"), "{}", refused.error());
    assert_eq!((ground.provider.asked().len(), spent(&ground)), (3, Money::parse("1.2").unwrap()));
}

#[tokio::test]
async fn a_task_can_have_a_budget_of_its_own() {
    let ground = Ground::new("openai/m").await;
    ground.provider.script([Script::Json(200, DEAR.to_owned())]);
    ground.api.change::<MaintenanceTask>(NAMESPACE, TASK, |task| {
        task.spec.task.agent.max_cost_usd = Some("0.3".to_owned());
    });
    assert_eq!(ground.post(CHAT, &body()).await.status, 200);
    assert!(is_spent(&ground.post(CHAT, &body()).await));
}

#[tokio::test]
async fn a_model_that_costs_nothing_is_never_stopped() {
    let free = json!({"input": "0", "output": "0"});
    let ground = Ground::with("openai/m", |profile| profile["prices"] = free).await;
    ground.provider.script([Script::Json(200, DEAR.to_owned())]);
    for _ in 0..5 {
        assert_eq!(ground.post(CHAT, &body()).await.status, 200);
    }
    let usage = ground.usage().total;
    assert_eq!((usage.calls, usage.output_tokens, usage.cost_usd.as_deref()), (5, 1_000_000, Some("0")));
}

/// Two replicas, twelve calls at once, each of which would cost 0.4 of the dollar that there is.
#[tokio::test]
async fn parallel_calls_of_two_replicas_pass_it_by_one_call_at_most() {
    let ground = Ground::new("openai/m").await;
    ground.provider.script([Script::Json(200, DEAR.to_owned())]);
    let replicas = [ground.router(), ground.replica().router()];
    let calls = (0..12).map(|number| {
        let router = replicas[number % 2].clone();
        async move { send(&router, request(CHAT, &body())).await }
    });
    let answers = join_all(calls).await;
    let usage = nothing_in_flight(&ground.api).await;
    let good = answers.iter().filter(|answer| answer.status == 200).count();
    assert_eq!((good, ground.provider.asked().len(), usage.total.calls), (3, 3, 3), "{answers:?}");
    assert!(answers.iter().all(|answer| answer.status == 200 || is_spent(answer)));
    assert_eq!(spent(&ground), Money::parse("1.2").unwrap());
}

#[tokio::test]
async fn a_call_waits_for_those_that_hold_the_rest_of_the_budget() {
    let ground = Ground::new("openai/m").await;
    ground.provider.script([Script::Held(DEAR.to_owned())]);
    let calls: Vec<_> = (0..4).map(|_| call(&ground)).collect();
    ground.provider.wait_for_calls(3).await;
    assert_eq!(ground.usage().in_flight.len(), 3);
    ground.provider.go.notify_one();
    ground.provider.go.notify_one();
    // 0.8 are spent and 0.4 reserved: the fourth still waits, and is refused when the third has cost its share.
    ground.provider.go.notify_one();
    let answers: Vec<Answer> = join_all(calls).await.into_iter().map(Result::unwrap).collect();
    assert_eq!(answers.iter().filter(|answer| answer.status == 200).count(), 3);
    assert_eq!(answers.iter().filter(|answer| is_spent(answer)).count(), 1);
}

#[tokio::test]
async fn what_a_dead_replica_left_stays_charged() {
    let ground = Ground::new("openai/m").await;
    ground.provider.script([Script::Json(200, DEAR.to_owned())]);
    let left = |age: i64, charge: &str| Reservation {
        id: format!("left-{age}"),
        charge_usd: charge.to_owned(),
        time: serde_json::from_value(json!(
            (jiff::Timestamp::now() - jiff::SignedDuration::from_mins(age)).to_string()
        ))
        .unwrap(),
    };
    ground.api.change::<MaintenanceTask>(NAMESPACE, TASK, |task| {
        let usage = task.status.as_mut().unwrap().task.usage.as_mut().unwrap();
        usage.in_flight = vec![left(1, "0.1"), left(120, "0.2")];
    });
    assert_eq!(ground.post(CHAT, &body()).await.status, 200);
    let usage = ground.usage();
    assert_eq!(
        (usage.total.cost_usd.as_deref(), usage.total.calls),
        (Some("0.6"), 2),
        "the old one is spent"
    );
    assert_eq!(usage.in_flight.len(), 1, "the young one may be under way at another replica");
}

#[tokio::test]
async fn a_call_that_goes_on_for_long_is_not_taken_for_dead() {
    let mut ground = Ground::new("openai/m").await;
    let (settings, metrics) = (Arc::new(ground.settings.clone()), Metrics::register(&Registry::new()));
    let keys = Keys::new(&settings);
    ground.gateway = Gateway::new(ground.api.client(), settings, keys, metrics.unwrap()).unwrap();
    let call = held_call(&ground).await;
    let age = || jiff::Timestamp::now().duration_since(ground.usage().in_flight[0].time.0);
    for _ in 0..2 {
        ground.api.change::<MaintenanceTask>(NAMESPACE, TASK, |task| {
            let usage = task.status.as_mut().unwrap().task.usage.as_mut().unwrap();
            usage.in_flight[0].time.0 -= jiff::SignedDuration::from_mins(4);
        });
        assert!(age().as_mins() >= 4);
        tokio::time::pause();
        tokio::time::advance(Duration::from_secs(61)).await;
        tokio::time::resume();
        let is_renewed = async || (age().as_mins() < 1).then_some(());
        until("it is written that the call goes on", is_renewed).await.unwrap();
    }
    ground.provider.go.notify_one();
    assert_eq!(call.await.unwrap().status, 200);
    let usage = nothing_in_flight(&ground.api).await;
    assert_eq!((usage.total.cost_usd.as_deref(), usage.total.calls), (Some("0.4"), 1));
}

/// What died holds all that is left. That isn't the run's end: its charge is only reserved.
#[tokio::test(start_paused = true)]
async fn a_budget_that_is_only_reserved_is_worth_another_try() {
    let ground = Ground::new("openai/m").await;
    ground.provider.script([Script::Json(200, DEAR.to_owned())]);
    ground.api.change::<MaintenanceTask>(NAMESPACE, TASK, |task| {
        let usage = task.status.as_mut().unwrap().task.usage.as_mut().unwrap();
        usage.total.cost_usd = Some("0.25".to_owned());
        let time = serde_json::from_value(json!(jiff::Timestamp::now().to_string())).unwrap();
        usage.in_flight = vec![Reservation { id: "left".to_owned(), charge_usd: "0.9".to_owned(), time }];
    });
    let answer = ground.post(CHAT, &body()).await;
    assert_eq!(answer.status, 503);
    let message = answer.error();
    assert!(message.starts_with("punching-fist-gateway: Unavailable: "), "{message}");
    assert!(
        message.contains("budget of 1 US dollars (agent.maxCostUSD) 0.25 are spent, and 0.9 are"),
        "{message}"
    );
    assert_eq!((ground.provider.asked().len(), ground.usage().in_flight.len()), (0, 1));
}

#[tokio::test]
async fn another_writer_is_no_reason_to_fail() {
    let ground = Ground::new("openai/m").await;
    ground.provider.script([Script::Json(200, DEAR.to_owned())]);
    for round in 1..=3 {
        assert_eq!(ground.post(CHAT, &json!({"model": "m", "max_tokens": 1})).await.status, 200);
        // What is remembered is old now.
        ground.api.change::<MaintenanceTask>(NAMESPACE, TASK, |task| {
            task.status.as_mut().unwrap().task.message = Some(format!("round {round}"));
            task.status.as_mut().unwrap().task.usage.as_mut().unwrap().total.cost_usd = Some("0".to_owned());
        });
        ground.api.inject("apply", STATUS, Fault::Status(409), Times::Count(2));
    }
    assert_eq!(ground.usage().total.calls, 3);
}

#[tokio::test]
async fn nothing_is_refused_on_what_is_only_remembered() {
    let ground = Ground::new("openai/m").await;
    ground.provider.script([Script::Json(200, DEAR.to_owned())]);
    for _ in 0..3 {
        ground.post(CHAT, &body()).await;
    }
    // Somebody gives the run more money, in another replica's words: its cost is taken back.
    ground.api.change::<MaintenanceTask>(NAMESPACE, TASK, |task| {
        task.status.as_mut().unwrap().task.usage.as_mut().unwrap().total.cost_usd = Some("0.1".to_owned());
    });
    assert_eq!(ground.post(CHAT, &body()).await.status, 200);
}

#[tokio::test]
async fn without_the_api_server_no_call_goes_out_and_it_is_worth_trying_again() {
    for (verb, resource, fault) in [
        ("create", "tokenreviews", Fault::Disconnect),
        ("create", "tokenreviews", Fault::Status(503)),
        ("get", "pods", Fault::Status(500)),
        ("get", "maintenancetasks", Fault::Disconnect),
        ("apply", STATUS, Fault::Status(503)),
        ("apply", STATUS, Fault::Disconnect),
    ] {
        let ground = Ground::new("openai/m").await;
        ground.provider.script([Script::Json(200, DEAR.to_owned())]);
        ground.api.inject(verb, resource, fault, Times::Count(4));
        let router = ground.router();
        let answer = send(&router, request(CHAT, &body())).await;
        assert_eq!(answer.status, 503, "{verb} {resource}: {answer:?}");
        assert!(answer.headers.contains_key("retry-after") && answer.error().contains(": Unavailable: "));
        assert!(ground.provider.asked().is_empty());
        heal(&ground.api);
        assert_eq!(send(&router, request(CHAT, &body())).await.status, 200, "nothing bad is remembered");
        let usage = nothing_in_flight(&ground.api).await;
        assert_eq!(usage.total.calls, 1);
    }
}

/// The charge was written, but the answer to that got lost: it is not written twice.
#[tokio::test]
async fn a_lost_answer_to_a_write_is_looked_after() {
    let ground = Ground::new("openai/m").await;
    ground.provider.script([Script::Json(200, DEAR.to_owned())]);
    ground.api.inject("apply", STATUS, Fault::DoneThenStatus(504), Times::Count(1));
    assert_eq!(ground.post(CHAT, &body()).await.status, 200);
    let usage = ground.usage();
    assert_eq!((usage.total.calls, usage.total.cost_usd.as_deref()), (1, Some("0.4")));
    assert!(usage.in_flight.is_empty());
    ground.api.inject("apply", STATUS, Fault::DoneThenStatus(504), Times::Always);
    let second = call(&ground);
    assert_eq!(second.await.unwrap().status, 200);
    heal(&ground.api);
    let usage = nothing_in_flight(&ground.api).await;
    assert_eq!((usage.total.calls, usage.total.cost_usd.as_deref()), (2, Some("0.8")), "settled once");
}

/// The charge was written, but nobody could see that, and so the call never went out: the charge is taken back.
#[tokio::test]
async fn a_charge_for_a_call_that_never_went_out_is_taken_back() {
    let ground = Ground::new("openai/m").await;
    ground.provider.script([Script::Json(200, DEAR.to_owned())]);
    ground.post(CHAT, &body()).await;
    ground.api.inject("apply", STATUS, Fault::DoneThenStatus(500), Times::Once);
    ground.api.inject("get", "maintenancetasks", Fault::Status(500), Times::Once);
    assert_eq!(ground.post(CHAT, &body()).await.status, 503);
    let usage = ground.usage();
    assert_eq!((usage.total.calls, usage.in_flight.len(), ground.provider.asked().len()), (1, 0, 1));
}

#[tokio::test]
async fn what_it_cost_is_written_when_the_api_server_is_back() {
    let ground = Ground::new("openai/m").await;
    let call = held_call(&ground).await;
    ground.api.inject("*", "*", Fault::Status(503), Times::Always);
    ground.provider.go.notify_one();
    assert_eq!(call.await.unwrap().status, 200, "the answer doesn't wait for that");
    let tried = async || (ground.api.calls_of("apply", STATUS).len() >= 2).then_some(());
    until("a try to settle", tried).await.unwrap();
    assert_eq!(usage(&ground.api).in_flight.len(), 1);
    heal(&ground.api);
    ground.settled().await;
    let usage = ground.usage();
    assert_eq!((usage.total.cost_usd.as_deref(), usage.in_flight.len()), (Some("0.4"), 0));
}

#[tokio::test]
async fn a_run_that_ends_meanwhile_is_still_charged() {
    let ground = Ground::new("openai/m").await;
    let call = held_call(&ground).await;
    ground.api.change::<MaintenanceTask>(NAMESPACE, TASK, |task| {
        task.status.as_mut().unwrap().task.phase = Some(punching_fist_api::Phase::Failed);
    });
    ground.provider.go.notify_one();
    call.await.unwrap();
    ground.settled().await;
    assert_eq!(ground.usage().total.cost_usd.as_deref(), Some("0.4"));
}
