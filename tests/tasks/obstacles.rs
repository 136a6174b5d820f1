//! What keeps a run from starting, what the task says about it, and how it goes on when that is mended.

use k8s_openapi::api::core::v1::{ResourceQuota, Secret, ServiceAccount};
use kube::api::{DeleteParams, PostParams};
use punching_fist_api::{MaintenanceTask, Phase, TaskStatus};
use punching_fist_e2e::{Failure, kubectl_with, prepare, prepared};
use serde_json::json;

use crate::STAGE;

fn status(task: MaintenanceTask) -> Result<TaskStatus, Failure> {
    Ok(task.status.ok_or("no status")?.task)
}

fn stalled(status: &TaskStatus) -> bool {
    status.conditions.iter().any(|condition| condition.type_ == "Stalled" && condition.status == "True")
}

fn message(status: &TaskStatus) -> &str {
    status.message.as_deref().unwrap_or_default()
}

#[test]
fn a_missing_service_account_holds_the_task_until_it_is_made() {
    STAGE.play("no-account", async |space| {
        let spec = json!({ "prompt": "!verdict Diagnosed done", "serviceAccountName": "later" });
        let task: MaintenanceTask = space.task_with("mt", spec).await?;
        let waiting = status(space.reason("mt", "ServiceAccountMissing").await?)?;
        assert!(stalled(&waiting) && waiting.phase == Some(Phase::Pending) && waiting.job.is_none());
        assert!(message(&waiting).contains("\"later\"") && message(&waiting).contains("\"no-account\""));
        assert!(space.jobs(&task).await?.is_empty());
        let account: ServiceAccount = serde_json::from_value(json!({ "metadata": { "name": "later" } }))?;
        space.api().create(&PostParams::default(), &account).await?;
        space.phase::<MaintenanceTask>("mt", Phase::Succeeded).await?;
        Ok(())
    });
}

/// Where no node runs the operator's pod there is nothing to `kubectl exec` in: its program is run beside the cluster.
#[test]
fn a_namespace_that_nobody_prepared_is_prepared_by_the_command_in_the_message() {
    STAGE.play("unprepared", async |space| {
        let ground = space.world().ground();
        let rights = prepared(ground, &["unprepared"]).await?;
        kubectl_with(ground, &["delete", "--filename=-"], &rights).await?;
        space.task::<MaintenanceTask>("mt", "!verdict Diagnosed done").await?;
        let waiting = status(space.reason("mt", "ServiceAccountMissing").await?)?;
        assert!(stalled(&waiting) && waiting.job.is_none());
        let said = message(&waiting).to_owned();
        let command =
            said.split_once("make it: ").and_then(|(_, rest)| rest.split_once(" (where")).map(|(it, _)| it);
        let [print, apply] = command
            .and_then(|command| command.split_once(" | "))
            .map(<[&str; 2]>::from)
            .ok_or(said.as_str())?;
        let exec = "kubectl -n punching-fist exec deploy/punching-fist -- punching-fist prepare-namespace ";
        assert_eq!((print.strip_prefix(exec), apply), (Some("unprepared"), "kubectl apply -f -"));
        prepare(ground, &["unprepared"]).await?;
        space.phase::<MaintenanceTask>("mt", Phase::Succeeded).await?;
        Ok(())
    });
}

#[test]
fn a_prompt_that_does_not_render_is_mended_by_an_edit() {
    STAGE.play("bad-prompt", async |space| {
        let endless = "{% for i in range(10000) %}0123456789{% endfor %}";
        let table = [
            ("syntax", "!say one\n{{ task.name", "line 2"),
            ("unknown", "!say one\n!say two\n{{ alert.labels.pod }}", "line 3"),
            ("too-long", endless, "more than 65536 bytes"),
        ];
        for (name, prompt, part) in table {
            let task: MaintenanceTask = space.task(name, prompt).await?;
            let waiting = status(space.reason(name, "InvalidPrompt").await?)?;
            assert!(stalled(&waiting) && waiting.phase == Some(Phase::Pending) && waiting.job.is_none());
            assert!(message(&waiting).contains(part), "{name}: {}", message(&waiting));
            assert!(space.jobs(&task).await?.is_empty());
            space
                .edit::<MaintenanceTask>(name, json!({ "prompt": "!verdict Diagnosed {{ task.name }}" }))
                .await?;
        }
        for (name, ..) in table {
            let ended = status(space.phase(name, Phase::Succeeded).await?)?;
            assert!(!stalled(&ended) && message(&ended) == name);
        }
        Ok(())
    });
}

#[test]
fn a_missing_secret_is_named_and_the_pod_starts_when_it_is_made() {
    STAGE.play("no-secret", async |space| {
        let variable = json!({ "name": "TOKEN", "valueFrom": { "secretKeyRef": { "name": "github", "key": "token" } } });
        let spec = json!({ "prompt": "!run test \"$TOKEN\" = sesame\n!verdict Diagnosed done", "agent": { "env": [variable] } });
        space.task_with::<MaintenanceTask>("mt", spec).await?;
        let waiting = status(space.reason("mt", "PodConfigError").await?)?;
        assert_eq!(waiting.phase, Some(Phase::Pending));
        assert!(message(&waiting).contains("github"), "{}", message(&waiting));
        let secret = json!({ "metadata": { "name": "github" }, "stringData": { "token": "sesame" } });
        let secret: Secret = serde_json::from_value(secret)?;
        space.api().create(&PostParams::default(), &secret).await?;
        let ended = space.phase::<MaintenanceTask>("mt", Phase::Succeeded).await?;
        let job = format!("job/{}", status(ended)?.job.ok_or("no job")?.name);
        let log = space.kubectl(&["logs", &job]).await?;
        assert!(log.contains("\"exitCode\":0"), "{log}");
        Ok(())
    });
}

#[test]
fn an_image_that_is_not_there_is_told_and_given_up_in_the_end() {
    STAGE.play("no-image", async |space| {
        let spec = json!({ "prompt": "!say never", "agent": { "image": "registry.example/nothing:1" } });
        let task: MaintenanceTask = space.task_with("mt", spec).await?;
        let waiting = status(space.reason("mt", "ImagePullFailed").await?)?;
        assert_eq!(waiting.phase, Some(Phase::Pending), "a pod that can't start doesn't run");
        assert!(message(&waiting).contains("registry.example/nothing:1"), "{}", message(&waiting));
        assert!(message(&waiting).contains("spec.agent.image"), "{}", message(&waiting));
        let ended = status(space.end("mt").await?)?;
        assert_eq!((ended.phase, ended.reason.as_deref()), (Some(Phase::Failed), Some("ImagePullFailed")));
        assert!(message(&ended).starts_with("no pod started in 30 s"), "{}", message(&ended));
        assert!(space.jobs(&task).await?.is_empty());
        Ok(())
    });
}

#[test]
fn a_quota_that_refuses_the_pod_is_told() {
    STAGE.play("quota", async |space| {
        let quota = json!({ "metadata": { "name": "nothing" }, "spec": { "hard": { "pods": "0" } } });
        let quota: ResourceQuota = serde_json::from_value(quota)?;
        space.api().create(&PostParams::default(), &quota).await?;
        let counted =
            |quota: &ResourceQuota| quota.status.as_ref().is_some_and(|status| status.hard.is_some());
        space.until("nothing", "the quota is in force", counted).await?;
        space.task::<MaintenanceTask>("mt", "!verdict Diagnosed done").await?;
        let waiting = status(space.reason("mt", "PodRefused").await?)?;
        assert_eq!(waiting.phase, Some(Phase::Pending));
        assert!(message(&waiting).contains("exceeded quota: nothing"), "{}", message(&waiting));
        space.api::<ResourceQuota>().delete("nothing", &DeleteParams::default()).await?;
        let ended = status(space.end("mt").await?)?;
        // The Job controller tries again with growing waits: whether that is in time is not ours to say.
        assert!(["VerdictReached", "PodRefused"].contains(&ended.reason.as_deref().unwrap_or_default()));
        Ok(())
    });
}

#[test]
fn an_unknown_profile_is_mended_by_an_edit() {
    STAGE.play("no-profile", async |space| {
        let spec = json!({ "prompt": "!verdict Diagnosed done", "agent": { "profile": "gold" } });
        space.task_with::<MaintenanceTask>("mt", spec).await?;
        let waiting = status(space.reason("mt", "UnknownProfile").await?)?;
        assert!(stalled(&waiting));
        assert!(message(&waiting).contains("spec.agent.profile") && message(&waiting).contains("narrow"));
        space.edit::<MaintenanceTask>("mt", json!({ "agent": { "profile": "openhands" } })).await?;
        space.phase::<MaintenanceTask>("mt", Phase::Succeeded).await?;
        Ok(())
    });
}
