//! What the gateway counted: it stays the gateway's, and what died with it is spent in the end.

use std::time::Duration;

use kube::Api;
use kube::runtime::controller::Action;
use punching_fist_api::{MaintenanceTask, RunUsage, names};
use punching_fist_core::meter::GatewayUsage;
use serde_json::{Value, json};

use super::clock;
use super::ground::Ground;
use super::objects::{NS, edit, log_holds, long, maintenance, named};
use crate::write;

fn usage(ground: &Ground) -> RunUsage {
    named::<MaintenanceTask>(&ground.api, "mt")
        .status
        .and_then(|status| status.task.usage)
        .unwrap_or_default()
}

/// The gateway writes so much.
async fn counts(ground: &Ground, usage: &Value) {
    let usage: RunUsage = serde_json::from_value(usage.clone()).expect("a usage");
    let tasks = Api::namespaced(ground.api.client(), NS);
    let task = named::<MaintenanceTask>(&ground.api, "mt");
    write::usage(&tasks, &task, &GatewayUsage::read(Some(&usage))).await.expect("it is written");
}

/// A run by the gateway that has ended, with that usage.
async fn ended_with(spent: &Value) -> Ground {
    let mut ground = Ground::new();
    meter(&mut ground, true);
    maintenance(&ground.api, "mt");
    let (job, pod) = ground.running::<MaintenanceTask>("mt").await;
    counts(&ground, spent).await;
    log_holds(&ground.api, &long());
    ground.cluster.conclude(&job, &pod, Some(&long()));
    ground.drive::<MaintenanceTask>("mt").await;
    ground
}

fn meter(ground: &mut Ground, gateway: bool) {
    ground.configure(|settings| {
        let profile = settings.profiles.get_mut("openhands").expect("a profile");
        let prices = json!({"input": "1", "output": "1"});
        (profile.gateway, profile.prices) = (gateway, serde_json::from_value(prices).ok());
    });
}

#[tokio::test(start_paused = true)]
async fn a_call_that_died_with_its_replica_is_spent_after_the_end() {
    let call = json!({"id": "a", "chargeUSD": "0.25", "time": clock_now()});
    let mut ground = ended_with(&json!({"costUSD": "1", "calls": 1, "inFlight": [call]})).await;
    ground.api.forget();
    let action = ground.pass::<MaintenanceTask>("mt").await.unwrap();
    assert!(
        ground.api.writes().is_empty() && action != Action::requeue(Duration::from_secs(600)),
        "{action:?}"
    );
    clock::pass(301).await;
    ground.pass::<MaintenanceTask>("mt").await.unwrap();
    let written = ground.api.writes();
    assert_eq!((written.len(), &*written[0].query["fieldManager"]), (1, names::MANAGER_GATEWAY));
    assert!(written[0].body["metadata"]["resourceVersion"].is_string(), "a replica may settle it right now");
    let usage = usage(&ground);
    assert_eq!((usage.total.cost_usd.as_deref(), usage.total.calls), (Some("1.25"), 2));
    assert!(usage.in_flight.is_empty() && usage.total.iterations > 0);
    ground.api.forget();
    let action = ground.pass::<MaintenanceTask>("mt").await.unwrap();
    assert_eq!((action, ground.api.writes().len()), (Action::requeue(Duration::from_secs(600)), 0));
}

/// The time as the API server keeps it.
fn clock_now() -> String {
    jiff::Timestamp::from_second(jiff::Timestamp::now().as_second()).expect("now is a time").to_string()
}

#[tokio::test(start_paused = true)]
async fn what_the_gateway_counted_stays_whatever_the_configuration_says_later() {
    let mut ground = ended_with(&json!({"costUSD": "1", "calls": 7, "inputTokens": 9})).await;
    let before = usage(&ground);
    assert_eq!((before.total.calls, before.total.cost_usd.as_deref()), (7, Some("1")));
    for has_job in [true, false] {
        for gone in [false, true] {
            meter(&mut ground, false);
            ground.configure(|settings| settings.profiles.retain(|_, _| !gone));
            edit(&ground.api, "mt", |task: &mut MaintenanceTask| {
                task.spec.task.ttl_seconds_after_finished += 1;
            });
            ground.api.forget();
            ground.pass::<MaintenanceTask>("mt").await.unwrap();
            assert!(!ground.api.calls_of("apply", "maintenancetasks/status").is_empty(), "it was seen");
            assert_eq!(usage(&ground), before, "with its Job: {has_job}, without its profile: {gone}");
            ground.configure(|settings| settings.profiles = super::objects::settings().profiles);
        }
        for job in ground.api.all::<k8s_openapi::api::batch::v1::Job>() {
            ground.api.remove::<k8s_openapi::api::batch::v1::Job>(NS, &kube::ResourceExt::name_any(&job));
        }
    }
}
