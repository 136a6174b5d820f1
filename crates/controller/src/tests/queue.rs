//! The queue under the whole controller: no limit is ever exceeded, whoever dies; slots come free; alerts go first.

use std::collections::HashMap;
use std::time::Duration;

use k8s_openapi::api::batch::v1::Job;
use k8s_openapi::api::core::v1::Pod;
use kube::ResourceExt;
use punching_fist_api::{AlertTask, MaintenanceTask, Phase, names};
use punching_fist_core::profile::Settings;
use punching_fist_testkit::recording::{Fault, RecordingApi, Times};
use serde_json::{Value, json};
use tokio::time::Instant;

use super::cluster::{Cluster, has_ended};
use super::ground::names_of;
use super::live::{self, Live, until};
use super::objects::{NS, Object, alert, job_name, maintenance, named, settings, state, verdict};

fn one_at_a_time() -> Settings {
    Settings { max_concurrent: 1, ..settings() }
}

/// Every run that holds a slot, by profile: admitted tasks without a Job, and Jobs that go on.
fn taken(api: &RecordingApi) -> HashMap<String, String> {
    let running = api.all::<Job>().into_iter().filter(|job| !has_ended(job));
    let mut taken: HashMap<_, _> = running
        .map(|job| (job.labels()[names::LABEL_TASK_ID].clone(), job.labels()[names::LABEL_PROFILE].clone()))
        .collect();
    taken.extend(admitted::<AlertTask>(api));
    taken.extend(admitted::<MaintenanceTask>(api));
    taken
}

fn admitted<K: Object>(api: &RecordingApi) -> Vec<(String, String)> {
    let without_job = |task: &K| {
        let status = task.task_status()?;
        let is_open = !status.phase.is_some_and(Phase::is_final) && status.job.is_some();
        let has_job = api.read::<Job>(NS, &job_name(task)).is_some();
        (is_open && !has_job).then(|| (task.uid().unwrap(), task.task_spec().agent.profile.clone()))
    };
    api.all::<K>().iter().filter_map(without_job).collect()
}

fn assert_within_limits(api: &RecordingApi) {
    let taken = taken(api);
    assert!(taken.len() <= 3, "{taken:?}");
    for profile in ["openhands", "other"] {
        assert!(taken.values().filter(|name| *name == profile).count() <= 2, "{taken:?}");
    }
}

fn succeeded(api: &RecordingApi) -> usize {
    fn of<K: Object>(api: &RecordingApi) -> usize {
        names_of::<K>(api).iter().filter(|name| state::<K>(api, name).0 == "Succeeded").count()
    }
    of::<AlertTask>(api) + of::<MaintenanceTask>(api)
}

#[tokio::test(start_paused = true)]
async fn thirty_tasks_keep_within_every_limit_although_the_controller_dies_again_and_again() {
    let api = live::api();
    for number in 0..30 {
        let profile =
            json!({"prompt": "p", "agent": {"profile": if number % 3 == 0 { "other" } else { "openhands" }}});
        let name = format!("task-{number}");
        match number % 2 {
            0 => drop(alert(&api, &name, &profile)),
            _ => drop(MaintenanceTask::seeded(&api, &name, &profile, &Value::Null)),
        }
    }
    let cluster = live::play(&api, vec![(0, verdict(None))]);
    let mut live = Live::start(api.client());
    let mut most = 0;
    for tick in 1_u32.. {
        if succeeded(&api) == 30 {
            break;
        }
        assert!(tick < 2_000, "{} of 30 have ended", succeeded(&api));
        assert_within_limits(&api);
        most = most.max(taken(&api).len());
        tokio::time::sleep(Duration::from_millis(250)).await;
        if tick % 15 == 0 {
            live.kill().await;
            live = Live::start(api.client());
        }
    }
    assert_eq!(most, 3, "the slots are used");
    let made = api.calls_of("create", "jobs").iter().filter(|call| call.code == Some(201)).count();
    assert_eq!(made, 30);
    live.stop().await;
    cluster.abort();
}

#[tokio::test(start_paused = true)]
async fn alerts_go_before_maintenance_that_was_there_first() {
    let api = live::api();
    for name in ["mt-1", "mt-2"] {
        maintenance(&api, name);
    }
    for name in ["at-1", "at-2"] {
        alert(&api, name, &json!({}));
    }
    let cluster = live::play(&api, vec![(0, verdict(None))]);
    let live = Live::start_with(api.client(), one_at_a_time());
    until("all have ended", || succeeded(&api) == 4).await;
    let jobs = api.calls_of("create", "jobs");
    let kinds: Vec<_> = jobs
        .iter()
        .map(|call| call.body["metadata"]["labels"][names::LABEL_KIND].as_str().unwrap())
        .collect();
    assert_eq!(kinds, ["AlertTask", "AlertTask", "MaintenanceTask", "MaintenanceTask"]);
    live.stop().await;
    cluster.abort();
}

#[tokio::test(start_paused = true)]
async fn the_first_slot_is_given_at_once() {
    let api = live::api();
    maintenance(&api, "mt");
    let since = Instant::now();
    let live = Live::start(api.client());
    until("its Job is made", || !api.all::<Job>().is_empty()).await;
    assert!(since.elapsed() < Duration::from_secs(5), "{:?}", since.elapsed());
    live.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_deleted_task_gives_its_slot_to_the_next_when_its_pod_has_ended() {
    let api = live::api();
    let first = maintenance(&api, "first");
    let live = Live::start_with(api.client(), one_at_a_time());
    until("its Job is made", || !api.all::<Job>().is_empty()).await;
    let cluster = Cluster::new(&api);
    let pod = cluster.make_pod(&job_name(&first));
    cluster.container(&pod, &json!({"running": {}}));
    maintenance(&api, "second");
    until("the second waits", || state::<MaintenanceTask>(&api, "second").1 == "Queued").await;
    api.remove::<MaintenanceTask>(NS, "first");
    api.remove::<Job>(NS, &job_name(&first));
    tokio::time::sleep(Duration::from_secs(120)).await;
    assert_eq!(state::<MaintenanceTask>(&api, "second").1, "Queued", "the first one's pod still works");
    cluster.end_container(&pod, 13, "");
    api.remove::<Pod>(NS, &pod);
    let since = Instant::now();
    until("the second has its Job", || !api.all::<Job>().is_empty()).await;
    assert!(since.elapsed() < Duration::from_secs(5), "{:?}", since.elapsed());
    live.stop().await;
}

#[tokio::test(start_paused = true)]
async fn nobody_is_admitted_before_every_cache_is_full() {
    for late in ["alerttasks", "maintenancetasks", "jobs", "pods"] {
        let api = live::api();
        maintenance(&api, "mt");
        api.inject("list", late, Fault::Slow(Duration::from_secs(40)), Times::Always);
        let live = Live::start(api.client());
        tokio::time::sleep(Duration::from_secs(35)).await;
        assert!(api.all::<Job>().is_empty(), "{late} may hold every slot");
        until("its Job is made", || !api.all::<Job>().is_empty()).await;
        live.stop().await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_full_queue_costs_no_call_while_it_waits() {
    let api = live::api();
    let live = Live::start_with(api.client(), one_at_a_time());
    for name in ["a", "b", "c"] {
        maintenance(&api, name);
    }
    let waiting = || {
        let states = ["a", "b", "c"].map(|name| state::<MaintenanceTask>(&api, name).1);
        states.iter().filter(|reason| *reason == "Queued").count() == 2
            && states.contains(&"Starting".to_owned())
    };
    until("two wait", waiting).await;
    tokio::time::sleep(Duration::from_secs(5)).await;
    api.forget();
    tokio::time::sleep(Duration::from_secs(240)).await;
    let calls: Vec<_> = api.calls().into_iter().filter(|call| call.resource != "events").collect();
    assert!(calls.is_empty(), "{calls:?}");
    live.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_stalled_task_holds_nobody_up() {
    let api = live::api();
    let spec = json!({"prompt": "p", "serviceAccountName": "nobody"});
    MaintenanceTask::seeded(&api, "stalled", &spec, &Value::Null);
    maintenance(&api, "next");
    let live = Live::start_with(api.client(), one_at_a_time());
    until("the next one starts", || state::<MaintenanceTask>(&api, "next").1 == "Starting").await;
    assert_eq!(state::<MaintenanceTask>(&api, "stalled").1, "ServiceAccountMissing");
    assert!(named::<MaintenanceTask>(&api, "stalled").status.unwrap().task.job.is_none());
    live.stop().await;
}
