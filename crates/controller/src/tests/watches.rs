//! Watches that end, expire or come late: nothing that happened meanwhile stays unseen.

use std::time::Duration;

use k8s_openapi::api::batch::v1::Job;
use k8s_openapi::api::core::v1::Pod;
use punching_fist_api::{AlertTask, MaintenanceTask, Task};
use punching_fist_testkit::recording::{Fault, RecordingApi, Times};
use serde_json::json;
use tokio::time::Instant;

use super::cluster::Cluster;
use super::ground::counted;
use super::line;
use super::live::{self, Live, until};
use super::objects::{NS, alert, job_name, maintenance, named, settings, state, webhook_says};

/// Well below the ten minutes after which an object is looked at without a reason.
const SEEN_WITHIN: Duration = Duration::from_secs(120);

fn reason(api: &RecordingApi, name: &str) -> String {
    state::<MaintenanceTask>(api, name).1
}

/// A task whose agent works.
async fn working(api: &RecordingApi, name: &str) -> (String, String) {
    let job = job_name(&maintenance(api, name));
    until("its Job is made", || api.read::<Job>(NS, &job).is_some()).await;
    let pod = Cluster::new(api).make_pod(&job);
    Cluster::new(api).container(&pod, &json!({"running": {}}));
    until("it runs", || state::<MaintenanceTask>(api, name).0 == "Running").await;
    (job, pod)
}

/// Every watch ends, and cannot go on where it was: everything has to be listed anew, which fails at first.
async fn blind(api: &RecordingApi, watches: &tokio::sync::Notify) {
    let expired = json!({"type": "ERROR", "object": {"kind": "Status", "apiVersion": "v1", "status": "Failure", "code": 410, "reason": "Expired", "message": "too old resource version"}});
    api.inject("watch", "*", Fault::Answer(200, format!("{expired}\n")), Times::Count(6));
    api.inject("list", "*", Fault::Status(500), Times::Always);
    watches.notify_waiters();
    tokio::time::sleep(Duration::from_secs(10)).await;
}

#[tokio::test(start_paused = true)]
async fn what_happened_while_the_watches_were_away_is_seen() {
    let api = live::api();
    let (client, watches) = line::blinking(api.client());
    let settings = punching_fist_core::profile::Settings { max_concurrent: 2, ..settings() };
    let live = Live::start_with(client, settings);
    let (ending, pod) = working(&api, "ending").await;
    let (lost, _) = working(&api, "lost").await;
    maintenance(&api, "waiting");
    alert(&api, "resolved", &json!({}));
    until("the others wait", || {
        reason(&api, "waiting") == "Queued" && state::<AlertTask>(&api, "resolved").1 == "Queued"
    })
    .await;

    blind(&api, &watches).await;
    let cluster = Cluster::new(&api);
    cluster.conclude(&ending, &pod, None);
    cluster.remove(&lost);
    webhook_says(&api, "resolved", &[("f1", "resolved")]);
    maintenance(&api, "new");
    tokio::time::sleep(Duration::from_secs(10)).await;
    assert_eq!(reason(&api, "ending"), "AgentRunning", "nobody can have seen it");
    api.heal();

    let since = Instant::now();
    until("all is seen", || {
        let states = ["ending", "lost", "waiting", "new"].map(|name| reason(&api, name));
        states == ["VerdictReached", "JobLost", "Starting", "Starting"]
            && state::<AlertTask>(&api, "resolved").1 == "AlertResolved"
    })
    .await;
    assert!(since.elapsed() < SEEN_WITHIN, "{:?}", since.elapsed());
    live.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_pod_that_went_unseen_gives_its_slot_back() {
    let api = live::api();
    let (client, watches) = line::blinking(api.client());
    let settings = punching_fist_core::profile::Settings { max_concurrent: 1, ..settings() };
    let live = Live::start_with(client, settings);
    let (job, pod) = working(&api, "gone").await;
    maintenance(&api, "waiting");
    api.remove::<MaintenanceTask>(NS, "gone");
    api.remove::<Job>(NS, &job);
    until("the next one waits", || reason(&api, "waiting") == "Queued").await;
    blind(&api, &watches).await;
    api.remove::<Pod>(NS, &pod);
    api.heal();
    let since = Instant::now();
    until("the next one starts", || reason(&api, "waiting") == "Starting").await;
    assert!(since.elapsed() < SEEN_WITHIN, "{:?}", since.elapsed());
    live.stop().await;
}

#[tokio::test(start_paused = true)]
async fn watches_that_only_end_go_on_where_they_were() {
    let api = live::api();
    let (client, watches) = line::blinking(api.client());
    let live = Live::start(client);
    let (job, pod) = working(&api, "mt").await;
    api.forget();
    watches.notify_waiters();
    Cluster::new(&api).conclude(&job, &pod, None);
    until("it is over", || reason(&api, "mt") == "VerdictReached").await;
    assert!(api.calls_of("list", "*").is_empty());
    live.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_result_is_not_given_up_before_the_pods_were_listed() {
    let api = live::api();
    let live = Live::start(api.client());
    let (job, pod) = working(&api, "mt").await;
    live.kill().await;
    Cluster::new(&api).conclude(&job, &pod, None);
    // Nobody was there for long, and then the pods come last.
    tokio::time::sleep(Duration::from_secs(600)).await;
    api.inject("list", "pods", Fault::Slow(Duration::from_secs(20)), Times::Always);
    let live = Live::start(api.client());
    until("it is over", || {
        named::<MaintenanceTask>(&api, "mt").task_status().unwrap().completion_time.is_some()
    })
    .await;
    assert_eq!(reason(&api, "mt"), "VerdictReached");
    live.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_missing_service_account_is_looked_for_again() {
    use k8s_openapi::api::core::v1::ServiceAccount;
    let api = live::api();
    api.remove::<ServiceAccount>(NS, "punching-fist-agent");
    maintenance(&api, "mt");
    let live = Live::start(api.client());
    until("it is missed", || reason(&api, "mt") == "ServiceAccountMissing").await;
    super::objects::service_account(&api);
    let since = Instant::now();
    until("it is found", || reason(&api, "mt") == "Starting").await;
    assert!(since.elapsed() < Duration::from_secs(30), "{:?}", since.elapsed());
    live.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_refused_job_is_tried_once_a_minute() {
    let api = live::api();
    maintenance(&api, "mt");
    api.inject("create", "jobs", Fault::Status(403), Times::Always);
    let live = Live::start(api.client());
    until("it is refused", || reason(&api, "mt") == "JobRefused").await;
    api.forget();
    tokio::time::sleep(Duration::from_secs(600)).await;
    let tries = api.calls_of("create", "jobs").len();
    assert!((8..=10).contains(&tries), "{tries} in ten minutes");
    assert_eq!(counted(&live.registry, "punching_fist_reconcile_errors_total"), 0);
    api.heal();
    until("it is healed", || !api.all::<Job>().is_empty()).await;
    live.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_controller_that_is_told_to_stop_before_it_began_ends_too() {
    let api = live::api();
    maintenance(&api, "mt");
    api.inject("list", "*", Fault::Hang, Times::Always);
    let live = Live::start(api.client());
    until("it begins", || !api.calls_of("list", "*").is_empty()).await;
    let since = Instant::now();
    live.stop().await;
    assert!(since.elapsed() < Duration::from_secs(1), "{:?}", since.elapsed());
}

#[tokio::test(start_paused = true)]
async fn a_controller_that_is_told_to_stop_ends_the_pass_under_way() {
    let api = live::api();
    let live = Live::start(api.client());
    api.inject("apply", "*", Fault::Slow(Duration::from_secs(5)), Times::Once);
    maintenance(&api, "mt");
    until("a pass is under way", || !api.calls_of("apply", "*").is_empty()).await;
    live.stop().await;
    assert_ne!(reason(&api, "mt"), "", "what was begun is done");
}

#[tokio::test(start_paused = true)]
async fn every_pass_that_waits_for_a_late_cache_goes_on() {
    let api = live::api();
    let names: Vec<String> = (0..5).map(|number| format!("mt-{number}")).collect();
    for name in &names {
        maintenance(&api, name);
    }
    // The tasks are known long before their Jobs: all passes have begun by then, each in a task of its own.
    api.inject("list", "jobs", Fault::Slow(Duration::from_secs(5)), Times::Always);
    let live = Live::start(api.client());
    let since = Instant::now();
    until("two have their Jobs, and the others know that they wait", || {
        let mut reasons: Vec<String> = names.iter().map(|name| reason(&api, name)).collect();
        reasons.sort();
        reasons == ["Queued", "Queued", "Queued", "Starting", "Starting"]
    })
    .await;
    assert!(since.elapsed() < SEEN_WITHIN, "{:?}", since.elapsed());
    let since = Instant::now();
    live.stop().await;
    assert!(since.elapsed() < Duration::from_secs(1), "{:?}", since.elapsed());
}
