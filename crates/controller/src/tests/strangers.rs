//! What doesn't fit: objects that can't be read, pods and Jobs that pretend or lost their labels, tasks beside the
//! operator.

use k8s_openapi::api::batch::v1::Job;
use k8s_openapi::api::core::v1::Pod;
use kube::Api;
use kube::api::{ApiResource, DynamicObject, PostParams};
use punching_fist_api::MaintenanceTask;
use punching_fist_testkit::recording::{Fault, Times};
use serde_json::json;

use super::ground::Ground;
use super::live::{self, Live, until};
use super::objects::{NS, edit, log_holds, long, maintenance, named, state, verdict};

#[tokio::test(start_paused = true)]
async fn an_object_that_cannot_be_read_holds_nobody_up() {
    let api = live::api();
    let kind = ApiResource::erase::<MaintenanceTask>(&());
    let tasks: Api<DynamicObject> = Api::namespaced_with(api.client(), NS, &kind);
    let poisoned =
        DynamicObject::new("poisoned", &kind).data(json!({"spec": {"prompt": "p", "maxRetries": "many"}}));
    tasks.create(&PostParams::default(), &poisoned).await.unwrap();
    maintenance(&api, "first");
    let live = Live::start(api.client());
    until("the list is read", || state::<MaintenanceTask>(&api, "first").1 == "Starting").await;
    let mut later = poisoned.clone();
    later.metadata.name = Some("poisoned-later".to_owned());
    tasks.create(&PostParams::default(), &later).await.unwrap();
    maintenance(&api, "second");
    until("the watch goes on", || state::<MaintenanceTask>(&api, "second").1 == "Starting").await;
    live.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_pod_that_only_names_the_job_says_nothing() {
    let mut ground = Ground::new();
    maintenance(&ground.api, "mt");
    let (job, pod) = ground.running::<MaintenanceTask>("mt").await;
    let mut forged: Pod = ground.api.read(NS, &pod).unwrap();
    forged.metadata.name = Some("forged".to_owned());
    forged.metadata.uid = None;
    forged.metadata.owner_references.as_mut().unwrap()[0].uid = "another".to_owned();
    ground.api.seed(&forged);
    let cluster = ground.cluster.clone();
    cluster.end_container("forged", 0, &verdict(None));
    cluster.complete(&job);
    let task = ground.drive::<MaintenanceTask>("mt").await;
    let status = task.status.unwrap().task;
    assert!(status.result.is_none() && status.attempts.is_empty(), "{status:?}");
}

#[tokio::test(start_paused = true)]
async fn a_job_that_lost_its_labels_is_still_the_tasks_own() {
    let mut ground = Ground::new();
    maintenance(&ground.api, "mt");
    let (job, pod) = ground.running::<MaintenanceTask>("mt").await;
    ground.api.change::<Job>(NS, &job, |job| job.metadata.labels = None);
    let long = long();
    log_holds(&ground.api, &long);
    let cluster = ground.cluster.clone();
    cluster.conclude(&job, &pod, Some(&long));
    ground.drive::<MaintenanceTask>("mt").await;
    assert_eq!(
        state::<MaintenanceTask>(&ground.api, "mt"),
        ("Succeeded".to_owned(), "VerdictReached".to_owned())
    );
}

#[tokio::test(start_paused = true)]
async fn no_agent_runs_beside_the_operator() {
    let mut ground = Ground::new();
    ground.move_in();
    maintenance(&ground.api, "mt");
    let task = ground.drive::<MaintenanceTask>("mt").await;
    assert_eq!(state::<MaintenanceTask>(&ground.api, "mt").1, "NamespaceRefused");
    assert!(!ground.has_slot(&task) && ground.jobs_made() == 0);
}

#[tokio::test(start_paused = true)]
async fn an_edited_ttl_reaches_the_job() {
    let mut ground = Ground::new();
    maintenance(&ground.api, "mt");
    let (job, pod) = ground.running::<MaintenanceTask>("mt").await;
    let cluster = ground.cluster.clone();
    cluster.conclude(&job, &pod, None);
    ground.drive::<MaintenanceTask>("mt").await;
    let ttl = |ground: &Ground| ground.cluster.job(&job).spec.unwrap().ttl_seconds_after_finished;
    assert_eq!(ttl(&ground), Some(3600));
    edit::<MaintenanceTask>(&ground.api, "mt", |task| task.spec.task.ttl_seconds_after_finished = 7);
    ground.drive::<MaintenanceTask>("mt").await;
    assert_eq!(ttl(&ground), Some(7));
}

#[tokio::test(start_paused = true)]
async fn a_report_that_is_refused_does_not_keep_the_run_from_ending() {
    let mut ground = Ground::new();
    maintenance(&ground.api, "mt");
    let (job, pod) = ground.running::<MaintenanceTask>("mt").await;
    let long = long();
    log_holds(&ground.api, &long);
    let cluster = ground.cluster.clone();
    cluster.conclude(&job, &pod, Some(&long));
    ground.api.inject("apply", "maintenancetasks/status", Fault::Status(422), Times::Once);
    ground.drive::<MaintenanceTask>("mt").await;
    let task = named::<MaintenanceTask>(&ground.api, "mt");
    let result = task.status.unwrap().task.result.unwrap();
    assert!(result.verdict.is_some() && result.report.is_none());
}
