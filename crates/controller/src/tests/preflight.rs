//! What is looked at before a slot is taken: what the configuration offers, the model's key, and whether the status can be
//! written at all.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use k8s_openapi::api::batch::v1::Job;
use k8s_openapi::api::core::v1::ServiceAccount;
use punching_fist_api::{AlertTask, MaintenanceTask, reasons};
use punching_fist_core::conditions;
use punching_fist_core::profile::{AgentProfile, Settings};
use punching_fist_testkit::recording::{Fault, RecordingApi, Times};
use serde_json::{Value, json};
use tokio::time::Instant;

use super::ground::Ground;
use super::live::{self, Live, until};
use super::objects::{
    NS, Object, alert, edit, job_name, maintenance, named, service_account, settings, state,
};

const STATUS: &str = "maintenancetasks/status";

/// A profile whose model is reached through the gateway.
fn through_gateway() -> AgentProfile {
    let prices = json!({"input": "3", "output": "15"});
    serde_json::from_value(json!({
        "image": "i", "model": "anthropic/own", "gateway": true, "prices": prices,
        "otherModels": {"openai/other": prices, "gemini/other": prices},
        "key": {"file": "/keys/anthropic"},
    }))
    .unwrap()
}

fn configured(settings: &mut Settings) {
    let docker = json!({"image": "i", "model": "m", "gateway": false, "engine": "main", "runtime": "docker"});
    settings.profiles.insert("docker".to_owned(), serde_json::from_value(docker).unwrap());
    settings.profiles.insert("gateway".to_owned(), through_gateway());
}

/// The API server dates Jobs by the real time, behind which these tests' own runs away: no pod is late.
fn one_at_a_time() -> Settings {
    Settings { max_concurrent: 1, pod_start_timeout_seconds: 1_000_000, ..settings() }
}

fn reason(api: &RecordingApi) -> String {
    state::<MaintenanceTask>(api, "mt").1
}

fn message(api: &RecordingApi) -> String {
    named::<MaintenanceTask>(api, "mt").status.unwrap().task.message.unwrap_or_default()
}

fn is_stalled(api: &RecordingApi) -> bool {
    let status = named::<MaintenanceTask>(api, "mt").status.unwrap().task;
    conditions::holds(&status.conditions, reasons::STALLED).is_some()
}

#[tokio::test(start_paused = true)]
async fn what_the_configuration_does_not_offer_is_said_and_an_edit_mends_it() {
    let rows = [
        (json!({"profile": "docker"}), "PrivilegedAgentRefused", "allowPrivilegedAgents: true"),
        (
            json!({"profile": "gateway", "model": "anthropic/dear"}),
            "ModelNotOffered",
            "anthropic/own, gemini/other",
        ),
        (
            json!({"profile": "gateway", "model": "anthropic/dear"}),
            "ModelNotOffered",
            "agents.gateway.otherModels",
        ),
        (json!({"profile": "gateway", "model": "gemini/other"}), "ModelNotOffered", "openai/ nor anthropic/"),
        (json!({"profile": "gateway", "model": "openai/"}), "ModelNotOffered", "spec.agent.model"),
    ];
    for (agent, expected, part) in rows {
        let mut ground = Ground::new();
        ground.configure(configured);
        let spec = json!({"prompt": "p", "agent": agent});
        let task = MaintenanceTask::seeded(&ground.api, "mt", &spec, &Value::Null);
        ground.drive::<MaintenanceTask>("mt").await;
        assert_eq!(reason(&ground.api), expected, "{agent}");
        assert!(message(&ground.api).contains(part), "{}", message(&ground.api));
        assert!(is_stalled(&ground.api) && !ground.has_slot(&task) && ground.jobs_made() == 0);
        edit::<MaintenanceTask>(&ground.api, "mt", |task| {
            let agent = json!({"profile": "gateway", "model": "openai/other"});
            task.spec.task.agent = serde_json::from_value(agent).unwrap();
        });
        ground.drive::<MaintenanceTask>("mt").await;
        assert_eq!((reason(&ground.api).as_str(), ground.jobs_made()), ("Starting", 1), "{agent}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_privileged_agent_starts_where_the_configuration_allows_it() {
    let mut ground = Ground::new();
    ground.configure(|settings| {
        configured(settings);
        settings.allow_privileged_agents = true;
    });
    let spec = json!({"prompt": "p", "agent": {"profile": "docker"}});
    MaintenanceTask::seeded(&ground.api, "mt", &spec, &Value::Null);
    ground.drive::<MaintenanceTask>("mt").await;
    assert_eq!((reason(&ground.api).as_str(), ground.jobs_made()), ("Starting", 1));
}

#[tokio::test(start_paused = true)]
async fn any_model_may_be_named_where_the_gateway_keeps_no_budget() {
    let mut ground = Ground::new();
    let spec = json!({"prompt": "p", "agent": {"model": "gemini/dear"}});
    MaintenanceTask::seeded(&ground.api, "mt", &spec, &Value::Null);
    ground.drive::<MaintenanceTask>("mt").await;
    assert_eq!(reason(&ground.api), "Starting");
}

#[tokio::test(start_paused = true)]
async fn a_missing_account_is_told_with_the_command_that_makes_it() {
    let mut ground = Ground::new();
    MaintenanceTask::seeded(&ground.api, "mt", &json!({"prompt": "p", "mode": "Remediate"}), &Value::Null);
    ground.drive::<MaintenanceTask>("mt").await;
    assert_eq!(reason(&ground.api), "ServiceAccountMissing");
    let command = "kubectl -n punching-fist exec deploy/punching-fist -- punching-fist prepare-namespace ops --remediate | \
                   kubectl apply -f -";
    assert!(message(&ground.api).contains(command), "{}", message(&ground.api));
}

/// Nothing about the task is wrong, so it isn't stalled; and who waits for a key holds nobody up and asks for nothing.
#[tokio::test(start_paused = true)]
async fn a_task_waits_for_its_models_key_and_goes_on_when_it_is_there() {
    let api = live::api();
    let set = Arc::new(AtomicBool::new(false));
    let has_key = {
        let set = set.clone();
        Arc::new(move |profile: &str| profile == "gateway" && set.load(Ordering::Relaxed))
    };
    let mut settings = one_at_a_time();
    configured(&mut settings);
    let agent = json!({"prompt": "p", "agent": {"profile": "gateway"}});
    MaintenanceTask::seeded(&api, "mt", &agent, &Value::Null);
    let live = Live::start_keyed(api.client(), settings, has_key);
    until("its key is missed", || reason(&api) == "ModelKeyMissing").await;
    assert_eq!(state::<MaintenanceTask>(&api, "mt").0, "Pending");
    assert!(!is_stalled(&api));
    assert!(message(&api).contains("/keys/anthropic") && message(&api).contains("agents.gateway.key"));
    tokio::time::sleep(Duration::from_secs(1)).await;
    api.forget();
    tokio::time::sleep(Duration::from_secs(600)).await;
    let calls: Vec<_> = api.calls().into_iter().filter(|call| call.verb != "watch").collect();
    assert!(calls.is_empty(), "{calls:?}");
    maintenance(&api, "another");
    until("another has the slot", || state::<MaintenanceTask>(&api, "another").1 == "Starting").await;
    edit::<MaintenanceTask>(&api, "another", |task| task.spec.cancel = true);
    let cluster = live::play(&api, vec![]);
    until("it is over", || state::<MaintenanceTask>(&api, "another").0 == "Failed").await;
    set.store(true, Ordering::Relaxed);
    let since = Instant::now();
    until("it starts", || state::<MaintenanceTask>(&api, "mt").0 == "Running").await;
    assert!(since.elapsed() < Duration::from_secs(30), "{:?}", since.elapsed());
    live.stop().await;
    cluster.abort();
}

/// The admission of one task, or what is said of it, is refused for good: others get its slot, and it is tried now and
/// then, not all the time.
#[tokio::test(start_paused = true)]
async fn a_task_whose_status_is_refused_keeps_no_slot() {
    for without_account in [false, true] {
        let api = live::api();
        if without_account {
            api.remove::<ServiceAccount>(NS, "punching-fist-agent");
        }
        maintenance(&api, "mt");
        api.inject("apply", STATUS, Fault::Status(422), Times::Always);
        let live = Live::start_with(api.client(), one_at_a_time());
        until("it is refused", || !api.calls_of("apply", STATUS).is_empty()).await;
        tokio::time::sleep(Duration::from_secs(120)).await;
        api.forget();
        tokio::time::sleep(Duration::from_secs(600)).await;
        let tries = api.calls_of("apply", STATUS).len();
        assert!((1..=40).contains(&tries), "{tries} in ten minutes");
        service_account(&api);
        alert(&api, "at", &json!({}));
        until("the other one starts", || state::<AlertTask>(&api, "at").1 == "Starting").await;
        remove_alert(&api);
        api.heal();
        until("it starts", || reason(&api) == "Starting").await;
        live.stop().await;
    }
}

/// A name that the kind's schema refuses today, in an object that is older.
#[tokio::test(start_paused = true)]
async fn a_task_that_cannot_even_be_asked_about_keeps_no_slot() {
    let api = live::api();
    let spec = json!({"prompt": "p", "serviceAccountName": "my agent"});
    MaintenanceTask::seeded(&api, "mt", &spec, &Value::Null);
    let live = Live::start_with(api.client(), one_at_a_time());
    tokio::time::sleep(Duration::from_secs(30)).await;
    alert(&api, "at", &json!({}));
    until("the other one starts", || state::<AlertTask>(&api, "at").1 == "Starting").await;
    live.stop().await;
}

/// The AlertTask that holds the only slot goes, with its Job.
fn remove_alert(api: &RecordingApi) {
    let task = named::<AlertTask>(api, "at");
    api.remove::<Job>(NS, &job_name(&task));
    api.remove::<AlertTask>(NS, "at");
}
