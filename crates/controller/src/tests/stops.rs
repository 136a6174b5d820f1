//! Runs that are stopped, by us or by others, and pods that don't start.

use k8s_openapi::api::batch::v1::Job;
use k8s_openapi::api::core::v1::{Event, Pod};
use kube::ResourceExt;
use punching_fist_api::{AlertTask, MaintenanceTask, Task, reasons};
use punching_fist_core::conditions;
use serde_json::{Value, json};

use super::clock;
use super::ground::Ground;
use super::objects::{NS, alert, edit, maintenance, named, said, state, webhook_says};

fn cancel(ground: &Ground) {
    edit::<MaintenanceTask>(&ground.api, "mt", |task| task.spec.cancel = true);
}

/// A pass whose cache lacks the Job, which the API server has.
async fn pass_without_the_job(ground: &mut Ground) {
    let job = ground.api.all::<Job>().remove(0);
    ground.api.remove::<Job>(NS, &job.name_any());
    ground.observe();
    ground.api.seed(&job);
    ground.stale_pass(named::<MaintenanceTask>(&ground.api, "mt")).await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_cancel_is_written_down_then_the_job_goes_in_the_foreground_then_it_is_over() {
    let mut ground = Ground::new();
    maintenance(&ground.api, "mt");
    let (job, pod) = ground.running::<MaintenanceTask>("mt").await;
    cancel(&ground);
    ground.pass::<MaintenanceTask>("mt").await.unwrap();
    let status = named::<MaintenanceTask>(&ground.api, "mt").status.unwrap().task;
    let stopping = conditions::holds(&status.conditions, reasons::STOPPING).unwrap();
    assert_eq!((stopping.reason.as_str(), ground.api.calls_of("delete", "jobs").len()), ("Cancelled", 0));
    ground.drive::<MaintenanceTask>("mt").await;
    let deletes = ground.api.calls_of("delete", "jobs");
    assert_eq!(deletes.len(), 1, "once");
    assert_eq!(deletes[0].body["propagationPolicy"], "Foreground");
    assert_eq!(deletes[0].body["preconditions"]["uid"], json!(ground.cluster.job(&job).uid()));
    assert_eq!(ground.taken(), 1, "its pod still ends");
    ground.cluster.end_container(&pod, 13, "");
    ground.observe();
    ground.cluster.remove(&job);
    let task = ground.drive::<MaintenanceTask>("mt").await;
    assert_eq!(state::<MaintenanceTask>(&ground.api, "mt"), said("Failed", "Cancelled"));
    assert_eq!(task.task_status().unwrap().attempts.len(), 1, "what was seen of it stays");
    assert_eq!((ground.taken(), ground.jobs_made()), (0, 1));
}

#[tokio::test(start_paused = true)]
async fn a_cancel_between_admission_and_job_makes_no_job() {
    let mut ground = Ground::new();
    maintenance(&ground.api, "mt");
    ground.admit();
    ground.pass::<MaintenanceTask>("mt").await.unwrap();
    assert_eq!(ground.taken(), 1);
    cancel(&ground);
    ground.drive::<MaintenanceTask>("mt").await;
    assert_eq!(state::<MaintenanceTask>(&ground.api, "mt"), said("Failed", "Cancelled"));
    assert_eq!((ground.jobs_made(), ground.taken()), (0, 0));
}

#[tokio::test(start_paused = true)]
async fn a_cancel_finds_a_job_that_the_cache_does_not_show() {
    let mut ground = Ground::new();
    maintenance(&ground.api, "mt");
    ground.drive::<MaintenanceTask>("mt").await;
    cancel(&ground);
    ground.pass::<MaintenanceTask>("mt").await.unwrap();
    pass_without_the_job(&mut ground).await;
    assert_eq!(ground.api.calls_of("delete", "jobs").len(), 1);
    assert_eq!(state::<MaintenanceTask>(&ground.api, "mt").0, "Pending");
}

#[tokio::test(start_paused = true)]
async fn a_cancel_after_the_end_changes_nothing() {
    let mut ground = Ground::new();
    maintenance(&ground.api, "mt");
    let (job, pod) = ground.running::<MaintenanceTask>("mt").await;
    ground.cluster.conclude(&job, &pod, None);
    cancel(&ground);
    ground.drive::<MaintenanceTask>("mt").await;
    assert_eq!(state::<MaintenanceTask>(&ground.api, "mt"), said("Succeeded", "VerdictReached"));
    ground.drive::<MaintenanceTask>("mt").await;
    assert!(ground.api.calls_of("delete", "jobs").is_empty());
}

#[tokio::test(start_paused = true)]
async fn a_resolved_alert_stops_a_run_only_where_the_route_asks_for_it() {
    for (on_resolved, stops) in [("Finish", false), ("Cancel", true)] {
        let mut ground = Ground::new();
        alert(&ground.api, "at", &json!({"onResolved": on_resolved}));
        let (job, pod) = ground.running::<AlertTask>("at").await;
        webhook_says(&ground.api, "at", &[("f1", "resolved")]);
        ground.drive::<AlertTask>("at").await;
        assert_eq!(ground.api.calls_of("delete", "jobs").len(), usize::from(stops), "{on_resolved}");
        if stops {
            ground.cluster.remove(&job);
            ground.drive::<AlertTask>("at").await;
            assert_eq!(state::<AlertTask>(&ground.api, "at"), said("Succeeded", "AlertResolved"));
        } else {
            ground.cluster.conclude(&job, &pod, None);
            ground.drive::<AlertTask>("at").await;
            assert_eq!(state::<AlertTask>(&ground.api, "at"), said("Succeeded", "VerdictReached"));
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_job_that_somebody_deleted_is_lost_and_never_made_again() {
    let mut ground = Ground::new();
    maintenance(&ground.api, "mt");
    let (job, _) = ground.running::<MaintenanceTask>("mt").await;
    ground.cluster.remove(&job);
    ground.drive::<MaintenanceTask>("mt").await;
    assert_eq!(state::<MaintenanceTask>(&ground.api, "mt"), said("Failed", "JobLost"));
    assert_eq!((ground.jobs_made(), ground.taken()), (1, 0));
}

#[tokio::test(start_paused = true)]
async fn a_job_that_only_the_cache_lacks_is_not_lost() {
    let mut ground = Ground::new();
    maintenance(&ground.api, "mt");
    ground.running::<MaintenanceTask>("mt").await;
    pass_without_the_job(&mut ground).await;
    assert_eq!(state::<MaintenanceTask>(&ground.api, "mt").0, "Running");
}

#[tokio::test(start_paused = true)]
async fn obstacles_are_told_and_time_out_for_the_pods_own_reason() {
    let waiting = |reason: &str, message: &str| json!({"waiting": {"reason": reason, "message": message}});
    let rows = [
        (waiting("ImagePullBackOff", "no such image"), "ImagePullFailed", "no such image"),
        (
            waiting("CreateContainerConfigError", "secret \"openhands-secrets\" not found"),
            "PodConfigError",
            "openhands-secrets",
        ),
        (waiting("ContainerCreating", ""), "Starting", ""),
    ];
    for (container, reason, part) in rows {
        let mut ground = Ground::new();
        maintenance(&ground.api, "mt");
        ground.drive::<MaintenanceTask>("mt").await;
        let job = ground.api.all::<Job>()[0].name_any();
        let pod = ground.cluster.make_pod(&job);
        ground.cluster.container(&pod, &container);
        ground.drive::<MaintenanceTask>("mt").await;
        assert_eq!(state::<MaintenanceTask>(&ground.api, "mt"), said("Pending", reason));
        let message = || named::<MaintenanceTask>(&ground.api, "mt").status.unwrap().task.message.unwrap();
        assert!(message().contains(part), "{}", message());
        clock::pass(601).await;
        ground.drive::<MaintenanceTask>("mt").await;
        ground.cluster.remove(&job);
        ground.drive::<MaintenanceTask>("mt").await;
        let ended = if reason == "Starting" { "PodStartTimeout" } else { reason };
        assert_eq!(state::<MaintenanceTask>(&ground.api, "mt"), said("Failed", ended));
        let message = named::<MaintenanceTask>(&ground.api, "mt").status.unwrap().task.message.unwrap();
        assert!(message.contains("600 s") && message.contains(part), "{message}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_pod_that_no_node_takes_says_so() {
    let mut ground = Ground::new();
    maintenance(&ground.api, "mt");
    ground.drive::<MaintenanceTask>("mt").await;
    let pod = ground.cluster.make_pod(&ground.api.all::<Job>()[0].name_any());
    let condition = json!({"type": "PodScheduled", "status": "False", "reason": "Unschedulable", "message": "0/3 nodes are available"});
    ground.cluster.pod_status(&pod, &json!({"conditions": [condition]}));
    ground.drive::<MaintenanceTask>("mt").await;
    assert_eq!(state::<MaintenanceTask>(&ground.api, "mt"), said("Pending", "Unschedulable"));
}

#[tokio::test(start_paused = true)]
async fn an_evicted_pod_is_replaced_however_long_the_run_was() {
    let mut ground = Ground::new();
    maintenance(&ground.api, "mt");
    let (job, pod) = ground.running::<MaintenanceTask>("mt").await;
    clock::pass(1200).await;
    ground.cluster.end_container(&pod, 13, "");
    ground.drive::<MaintenanceTask>("mt").await;
    ground.api.remove::<Pod>(NS, &pod);
    // The disruption is ignored: `failed` stays absent.
    ground.cluster.job_status(&job, &json!({"active": null}));
    let task = ground.drive::<MaintenanceTask>("mt").await;
    let status = task.task_status().unwrap();
    assert!(conditions::holds(&status.conditions, reasons::STOPPING).is_none(), "{:?}", status.message);
    let next = ground.cluster.make_pod(&job);
    ground.cluster.conclude(&job, &next, None);
    ground.drive::<MaintenanceTask>("mt").await;
    assert_eq!(state::<MaintenanceTask>(&ground.api, "mt"), said("Succeeded", "VerdictReached"));
}

/// Pods that are refused leave nothing but an Event about the Job.
#[tokio::test(start_paused = true)]
async fn a_pod_that_is_refused_is_explained_by_the_jobs_events() {
    let mut ground = Ground::new();
    maintenance(&ground.api, "mt");
    ground.drive::<MaintenanceTask>("mt").await;
    let job = ground.api.all::<Job>().remove(0);
    let about = |name: &str, uid: Value, message: &str| {
        let event = json!({"metadata": {"name": name, "namespace": NS}, "involvedObject": {"uid": uid}, "reason": "FailedCreate", "message": message, "lastTimestamp": clock::now().to_string()});
        ground.api.seed::<Event>(&serde_json::from_value(event).unwrap());
    };
    about("other", json!("another Job"), "not this one");
    about("ours", json!(job.uid()), "exceeded quota: agents");
    ground.api.forget();
    ground.pass::<MaintenanceTask>("mt").await.unwrap();
    assert!(ground.api.calls_of("list", "events").is_empty(), "a fresh Job is given a moment");
    clock::pass(15).await;
    ground.drive::<MaintenanceTask>("mt").await;
    assert_eq!(state::<MaintenanceTask>(&ground.api, "mt"), said("Pending", "PodRefused"));
    let message = named::<MaintenanceTask>(&ground.api, "mt").status.unwrap().task.message.unwrap();
    assert_eq!(message, "exceeded quota: agents");
    clock::pass(600).await;
    ground.drive::<MaintenanceTask>("mt").await;
    ground.cluster.remove(&job.name_any());
    ground.drive::<MaintenanceTask>("mt").await;
    assert_eq!(state::<MaintenanceTask>(&ground.api, "mt"), said("Failed", "PodRefused"));
}

/// A volume that can't be mounted leaves nothing but an Event about the pod.
#[tokio::test(start_paused = true)]
async fn a_pod_that_waits_for_a_missing_config_map_says_so() {
    let mut ground = Ground::new();
    maintenance(&ground.api, "mt");
    ground.drive::<MaintenanceTask>("mt").await;
    let pod = ground.cluster.make_pod(&ground.api.all::<Job>()[0].name_any());
    ground.cluster.container(&pod, &json!({"waiting": {"reason": "ContainerCreating"}}));
    let uid = ground.api.read::<Pod>(NS, &pod).unwrap().uid();
    let missing = "MountVolume.SetUp failed for volume \"skill-0\": configmap \"disk\" not found";
    let event = json!({"metadata": {"name": "e", "namespace": NS}, "involvedObject": {"uid": uid}, "reason": "FailedMount", "message": missing, "lastTimestamp": clock::now().to_string()});
    ground.api.seed::<Event>(&serde_json::from_value(event).unwrap());
    ground.api.forget();
    ground.drive::<MaintenanceTask>("mt").await;
    assert!(ground.api.calls_of("list", "events").is_empty(), "a fresh pod is given a moment");
    assert_eq!(state::<MaintenanceTask>(&ground.api, "mt"), said("Pending", "Starting"));
    clock::pass(15).await;
    ground.drive::<MaintenanceTask>("mt").await;
    assert_eq!(state::<MaintenanceTask>(&ground.api, "mt"), said("Pending", "PodConfigError"));
    let message = named::<MaintenanceTask>(&ground.api, "mt").status.unwrap().task.message.unwrap();
    assert!(message.starts_with(missing) && message.contains("starts by itself"), "{message}");
    clock::pass(180).await;
    ground.drive::<MaintenanceTask>("mt").await;
    assert_eq!(state::<MaintenanceTask>(&ground.api, "mt"), said("Pending", "Starting"), "it was made");
}

#[tokio::test(start_paused = true)]
async fn a_pod_still_at_work_holds_the_slot_of_its_deleted_task() {
    let mut ground = Ground::new();
    maintenance(&ground.api, "mt");
    let (job, pod) = ground.running::<MaintenanceTask>("mt").await;
    ground.api.remove::<MaintenanceTask>(NS, "mt");
    assert_eq!(ground.taken(), 1);
    ground.api.remove::<Job>(NS, &job);
    assert_eq!(ground.taken(), 1, "its pod still runs");
    ground.cluster.end_container(&pod, 13, "");
    assert_eq!(ground.taken(), 0);
    ground.api.remove::<Pod>(NS, &pod);
    assert_eq!(ground.taken(), 0);
}
