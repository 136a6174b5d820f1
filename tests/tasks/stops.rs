//! Runs that somebody stops, holds back or takes the Job away from: nothing of them is left.

use std::fs;

use k8s_openapi::api::batch::v1::Job;
use k8s_openapi::api::core::v1::Pod;
use kube::api::DeleteParams;
use punching_fist_api::{AlertTask, MaintenanceTask, Phase};
use punching_fist_e2e::{Failure, Space, until};
use serde_json::{Value, json};

use crate::STAGE;

/// The variable by which the processes of one run are told from all others.
const MARK: &str = "E2E_MARK";
/// An agent that does not listen.
const STUBBORN: &str = "!become trap '' INT TERM; while true; do sleep 1; done";

fn marked(mark: &str, script: &str) -> Value {
    json!({ "prompt": script, "agent": { "env": [{ "name": MARK, "value": mark }] } })
}

/// How many processes of this host belong to the run with this mark.
fn processes(mark: &str) -> usize {
    let wanted = format!("{MARK}={mark}");
    let has_it =
        |environment: Vec<u8>| environment.split(|byte| *byte == 0).any(|one| one == wanted.as_bytes());
    let all = fs::read_dir("/proc").into_iter().flatten().flatten();
    all.filter(|entry| fs::read(entry.path().join("environ")).is_ok_and(has_it)).count()
}

/// Starts a run that goes on until somebody ends it; gives the name of its Job when the agent works.
async fn running(space: &Space, name: &str, spec: Value) -> Result<String, Failure> {
    space.task_with::<MaintenanceTask>(name, spec).await?;
    let task = space.phase::<MaintenanceTask>(name, Phase::Running).await?;
    Ok(task.status.and_then(|status| status.task.job).ok_or("no job")?.name)
}

async fn nothing_is_left(space: &Space, job: &str, mark: &str) -> Result<(), Failure> {
    space.gone::<Job>(job).await?;
    until("no pod is left", async || {
        let pods = space.api::<Pod>().list(&kube::api::ListParams::default()).await.ok()?;
        let of_job = |pod: &Pod| pod.metadata.name.as_deref().is_some_and(|name| name.starts_with(job));
        (!pods.items.iter().any(of_job)).then_some(())
    })
    .await?;
    until("no process is left", async || (processes(mark) == 0).then_some(())).await
}

#[test]
fn deleting_a_task_takes_its_job_and_its_running_pod_along() {
    STAGE.play("delete", async |space| {
        let job = running(&space, "mt", marked("delete", "!sleep 600")).await?;
        until("the agent is a process", async || (processes("delete") > 0).then_some(())).await?;
        space.kubectl(&["delete", "mt/mt"]).await?;
        space.gone::<MaintenanceTask>("mt").await?;
        nothing_is_left(&space, &job, "delete").await
    });
}

#[test]
fn a_cancelled_run_ends_for_good() {
    STAGE.play("cancel", async |space| {
        let job = running(&space, "mt", marked("cancel", "!sleep 600")).await?;
        space.edit::<MaintenanceTask>("mt", json!({ "cancel": true })).await?;
        let ended = space.end::<MaintenanceTask>("mt").await?.status.ok_or("no status")?.task;
        assert_eq!((ended.phase, ended.reason.as_deref()), (Some(Phase::Failed), Some("Cancelled")));
        assert_eq!(ended.attempts.len(), 1, "the attempt is mirrored although its pod is gone");
        assert_eq!(ended.attempts[0].reason.as_deref(), Some("Signalled"));
        nothing_is_left(&space, &job, "cancel").await
    });
}

#[test]
fn an_agent_that_does_not_listen_is_killed() {
    STAGE.play("stubborn", async |space| {
        let mut spec = marked("stubborn", STUBBORN);
        spec["timeoutSeconds"] = json!(1);
        space.task_with::<MaintenanceTask>("mt", spec).await?;
        let ended = space.end::<MaintenanceTask>("mt").await?.status.ok_or("no status")?.task;
        assert_eq!((ended.phase, ended.reason.as_deref()), (Some(Phase::Failed), Some("TimeLimit")));
        until("no process is left", async || (processes("stubborn") == 0).then_some(())).await
    });
}

#[test]
fn what_is_cancelled_before_it_starts_never_has_a_job() {
    STAGE.play("cancel-early", async |space| {
        let spec = json!({ "prompt": "!verdict Diagnosed never", "suspend": true });
        let task: MaintenanceTask = space.task_with("mt", spec).await?;
        space.reason::<MaintenanceTask>("mt", "Suspended").await?;
        space.edit::<MaintenanceTask>("mt", json!({ "cancel": true })).await?;
        let ended = space.end::<MaintenanceTask>("mt").await?.status.ok_or("no status")?.task;
        assert_eq!((ended.phase, ended.reason.as_deref()), (Some(Phase::Failed), Some("Cancelled")));
        assert!(ended.job.is_none() && space.jobs(&task).await?.is_empty());
        Ok(())
    });
}

#[test]
fn a_suspended_task_waits_and_one_that_runs_goes_on() {
    STAGE.play("suspend", async |space| {
        let spec = json!({ "prompt": "!await go\n!verdict Diagnosed after all", "suspend": true });
        let task: MaintenanceTask = space.task_with("mt", spec).await?;
        let waiting = space.reason::<MaintenanceTask>("mt", "Suspended").await?;
        let waiting = waiting.status.ok_or("no status")?.task;
        assert_eq!((waiting.phase, waiting.job), (Some(Phase::Pending), None));
        assert!(space.jobs(&task).await?.is_empty());
        space.edit::<MaintenanceTask>("mt", json!({ "suspend": false })).await?;
        space.phase::<MaintenanceTask>("mt", Phase::Running).await?;
        let held = space.edit::<MaintenanceTask>("mt", json!({ "suspend": true })).await?;
        let generation = held.metadata.generation.unwrap_or_default();
        let seen = |task: &MaintenanceTask| {
            task.status.as_ref().is_some_and(|status| status.task.observed_generation == generation)
        };
        let still = space.until("mt", "the edit is seen", seen).await?;
        assert_eq!(still.status.and_then(|status| status.task.phase), Some(Phase::Running));
        space.signal("go").await?;
        space.phase::<MaintenanceTask>("mt", Phase::Succeeded).await?;
        Ok(())
    });
}

#[test]
fn a_job_that_somebody_deletes_is_not_made_again() {
    STAGE.play("job-lost", async |space| {
        let job = running(&space, "mt", marked("job-lost", "!sleep 600")).await?;
        space.api::<Job>().delete(&job, &DeleteParams::foreground()).await?;
        let ended = space.end::<MaintenanceTask>("mt").await?;
        let status = ended.status.as_ref().ok_or("no status")?.task.clone();
        assert_eq!((status.phase, status.reason.as_deref()), (Some(Phase::Failed), Some("JobLost")));
        nothing_is_left(&space, &job, "job-lost").await?;
        assert!(space.jobs(&ended).await?.is_empty());
        Ok(())
    });
}

#[test]
fn an_alert_task_by_hand_runs_like_any_other() {
    STAGE.play("by-hand", async |space| {
        let alert = json!({ "labels": { "alertname": "ByHand" } });
        let spec = json!({
            "prompt": "!verdict Diagnosed {{ alert.labels.alertname }} looked at",
            "notification": { "alerts": [alert] },
        });
        space.task_with::<AlertTask>("at", spec).await?;
        let ended = space.phase::<AlertTask>("at", Phase::Succeeded).await?;
        let message = ended.status.and_then(|status| status.task.message);
        assert_eq!(message.as_deref(), Some("ByHand looked at"));
        Ok(())
    });
}
