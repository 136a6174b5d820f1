//! What the API server may answer when a Job is made, and what becomes of the admission then.

use k8s_openapi::api::batch::v1::Job;
use kube::ResourceExt;
use punching_fist_api::{MaintenanceTask, Task, reasons};
use punching_fist_core::conditions;
use punching_fist_testkit::recording::{Fault, Times};
use serde_json::{Value, json};

use super::clock;
use super::ground::Ground;
use super::objects::{NS, edit, job_name, maintenance, named, state};

/// A Job of the task's name with the labels of ours, of another owner.
fn foreign(task: &MaintenanceTask, owner_uid: &str) -> Job {
    let labels = json!({"app.kubernetes.io/managed-by": "punching-fist", "task.id": task.uid(), "punching-fist.io/kind": "MaintenanceTask"});
    let owner = json!({"apiVersion": "punching-fist.io/v1alpha1", "kind": "MaintenanceTask", "name": "mt", "uid": owner_uid, "controller": true});
    let metadata =
        json!({"name": job_name(task), "namespace": NS, "labels": labels, "ownerReferences": [owner]});
    serde_json::from_value(json!({"metadata": metadata, "spec": {"template": {"spec": {"containers": []}}}}))
        .unwrap()
}

/// A task that is admitted and has no Job yet.
async fn admitted() -> (Ground, MaintenanceTask) {
    let mut ground = Ground::new();
    let task = maintenance(&ground.api, "mt");
    ground.admit();
    ground.pass::<MaintenanceTask>("mt").await.unwrap();
    (ground, task)
}

fn reason(ground: &Ground) -> String {
    state::<MaintenanceTask>(&ground.api, "mt").1
}

#[tokio::test(start_paused = true)]
async fn the_job_is_made_once_over_many_passes() {
    let mut ground = Ground::new();
    let task = maintenance(&ground.api, "mt");
    for _ in 0..10 {
        ground.admit();
        ground.pass::<MaintenanceTask>("mt").await.unwrap();
    }
    assert_eq!(ground.api.calls_of("create", "jobs").len(), 1);
    let recorded = named::<MaintenanceTask>(&ground.api, "mt").status.unwrap().task.job.unwrap();
    assert_eq!(recorded.name, job_name(&task));
    assert_eq!(recorded.uid, ground.cluster.job(&recorded.name).uid());
}

#[tokio::test(start_paused = true)]
async fn the_admission_is_written_before_the_job_is_made() {
    let mut ground = Ground::new();
    maintenance(&ground.api, "mt");
    ground.drive::<MaintenanceTask>("mt").await;
    let steps: Vec<_> = ground
        .api
        .writes()
        .into_iter()
        .filter(|call| !call.resource.starts_with("events"))
        .map(|call| {
            format!("{} {} {}", call.verb, call.resource, call.body["status"]["job"]["uid"].is_string())
        })
        .collect();
    assert_eq!(
        steps,
        ["apply maintenancetasks/status false", "create jobs false", "apply maintenancetasks/status true"]
    );
}

#[tokio::test(start_paused = true)]
async fn a_job_that_is_there_and_is_ours_is_taken_over() {
    let (ground, task) = admitted().await;
    let job = ground.api.seed(&foreign(&task, &task.uid().unwrap()));
    // The cache of Jobs doesn't show it yet.
    ground.stale_pass(named::<MaintenanceTask>(&ground.api, "mt")).await.unwrap();
    assert_eq!(ground.api.calls_of("create", "jobs")[0].code, Some(409));
    let recorded = named::<MaintenanceTask>(&ground.api, "mt").status.unwrap().task.job.unwrap();
    assert_eq!(recorded.uid, job.uid());
}

#[tokio::test(start_paused = true)]
async fn a_job_of_that_name_that_is_not_ours_stalls_the_task_and_is_never_touched() {
    let mut ground = Ground::new();
    let task = maintenance(&ground.api, "mt");
    let job = ground.api.seed(&foreign(&task, "somebody-else"));
    let stalled = ground.drive::<MaintenanceTask>("mt").await;
    let status = stalled.task_status().unwrap();
    assert!(conditions::holds(&status.conditions, reasons::STALLED).is_some());
    assert_eq!((reason(&ground).as_str(), &status.job), ("JobNameTaken", &None));
    assert!(!ground.has_slot(&stalled));
    // A cancel ends the task, not the Job.
    edit::<MaintenanceTask>(&ground.api, "mt", |task| task.spec.cancel = true);
    ground.drive::<MaintenanceTask>("mt").await;
    assert_eq!(reason(&ground), "Cancelled");
    assert!(ground.api.calls_of("delete", "jobs").is_empty());
    assert_eq!(ground.cluster.job(&job.name_any()), job);
}

#[tokio::test(start_paused = true)]
async fn a_cancel_before_the_job_was_made_leaves_a_foreign_one_alone() {
    let (mut ground, task) = admitted().await;
    ground.api.seed(&foreign(&task, "somebody-else"));
    edit::<MaintenanceTask>(&ground.api, "mt", |task| task.spec.cancel = true);
    ground.drive::<MaintenanceTask>("mt").await;
    assert_eq!(reason(&ground), "Cancelled");
    assert!(ground.api.calls_of("delete", "jobs").is_empty());
}

#[tokio::test(start_paused = true)]
async fn a_refusal_takes_the_admission_back_rests_and_goes_on_when_it_is_healed() {
    for code in [400, 403, 404, 422] {
        let mut ground = Ground::new();
        maintenance(&ground.api, "mt");
        ground.api.inject("create", "jobs", Fault::Status(code), Times::Always);
        let task = ground.drive::<MaintenanceTask>("mt").await;
        let status = task.task_status().unwrap();
        assert_eq!((reason(&ground).as_str(), &status.job), ("JobRefused", &None), "{code}");
        assert!(conditions::holds(&status.conditions, reasons::STALLED).is_some());
        assert!(!ground.has_slot(&task) && ground.taken() == 0, "{code}");
        let tries = ground.api.calls_of("create", "jobs").len();
        assert_eq!(tries, 1, "its own status is no reason to try again");
        ground.api.heal();
        ground.drive::<MaintenanceTask>("mt").await;
        assert_eq!(reason(&ground), "JobRefused", "it rests");
        clock::pass(61).await;
        ground.drive::<MaintenanceTask>("mt").await;
        assert_eq!((reason(&ground).as_str(), ground.jobs_made()), ("Starting", 1), "{code}");
    }
}

#[tokio::test(start_paused = true)]
async fn an_edit_ends_the_rest_after_a_refusal() {
    let mut ground = Ground::new();
    maintenance(&ground.api, "mt");
    ground.api.inject("create", "jobs", Fault::Status(422), Times::Once);
    ground.drive::<MaintenanceTask>("mt").await;
    edit::<MaintenanceTask>(&ground.api, "mt", |task| task.spec.task.timeout_seconds = Some(7));
    ground.drive::<MaintenanceTask>("mt").await;
    assert_eq!((reason(&ground).as_str(), ground.jobs_made()), ("Starting", 1));
}

#[tokio::test(start_paused = true)]
async fn what_may_pass_keeps_the_admission_and_its_slot() {
    for fault in [
        Fault::Status(401),
        Fault::Status(408),
        Fault::Status(429),
        Fault::Status(500),
        Fault::Status(503),
        Fault::Disconnect,
    ] {
        let mut ground = Ground::new();
        maintenance(&ground.api, "mt");
        ground.admit();
        ground.pass::<MaintenanceTask>("mt").await.unwrap();
        ground.api.inject("create", "jobs", fault.clone(), Times::Once);
        ground.pass::<MaintenanceTask>("mt").await.unwrap_err();
        assert_eq!((reason(&ground).as_str(), ground.taken()), ("Admitted", 1), "{fault:?}");
        assert_eq!(ground.counted("punching_fist_reconcile_errors_total"), 1, "{fault:?}");
        ground.drive::<MaintenanceTask>("mt").await;
        assert_eq!((reason(&ground).as_str(), ground.jobs_made()), ("Starting", 1), "{fault:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn an_answer_that_lies_makes_no_second_job() {
    for fault in [Fault::DoneThenStatus(500), Fault::DoneThenStatus(504), Fault::DoneThenHang] {
        let mut ground = Ground::new();
        maintenance(&ground.api, "mt");
        ground.admit();
        ground.pass::<MaintenanceTask>("mt").await.unwrap();
        ground.api.inject("create", "jobs", fault.clone(), Times::Once);
        ground.pass::<MaintenanceTask>("mt").await.unwrap_err();
        let made = ground.api.all::<Job>();
        // First with a cache that doesn't show the Job, then with one that does.
        ground.stale_pass(named::<MaintenanceTask>(&ground.api, "mt")).await.unwrap();
        ground.drive::<MaintenanceTask>("mt").await;
        assert_eq!(ground.api.all::<Job>(), made, "{fault:?}");
        let recorded = named::<MaintenanceTask>(&ground.api, "mt").status.unwrap().task.job.unwrap();
        assert_eq!(recorded.uid, made[0].uid(), "{fault:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_job_is_made_from_the_task_and_belongs_to_it() {
    let mut ground = Ground::new();
    let task = maintenance(&ground.api, "mt");
    ground.drive::<MaintenanceTask>("mt").await;
    let body = &ground.api.calls_of("create", "jobs")[0].body;
    let owner = &body["metadata"]["ownerReferences"][0];
    assert_eq!((&owner["uid"], &owner["controller"]), (&Value::from(task.uid()), &Value::Bool(true)));
    assert_eq!(
        body["spec"]["template"]["metadata"]["annotations"]["punching-fist.io/prompt"],
        "Look around."
    );
    assert!(body["spec"]["ttlSecondsAfterFinished"].is_null(), "a TTL says that the result is mirrored");
}
