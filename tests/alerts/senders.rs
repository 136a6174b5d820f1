//! The real ones at both ends: Alertmanager posts, and the agent is the OpenHands SDK.

use std::time::Duration;

use jiff::Timestamp;
use punching_fist_api::{AlertState, AlertTask, MaintenanceTask, Phase, Verdict};
use punching_fist_e2e::until;
use punching_fist_testkit::{alertmanager, manifests, namespaces};
use serde_json::{Value, json};

use crate::{ONE, STAGE, at, chain};

fn real(ends_at: Option<Timestamp>) -> Value {
    let labels = json!({ "alertname": "Real", "namespace": "shop", "severity": "warning" });
    let annotations = json!({ "summary": "It is real.", "script": "!verdict Diagnosed Real." });
    json!([{ "labels": labels, "annotations": annotations, "endsAt": ends_at }])
}

#[test]
fn alertmanager_fires_and_resolves() {
    STAGE.play_alerts("real", async |space| {
        let replica = at(&space, ONE);
        let settings = alertmanager::Settings {
            group_wait: Duration::from_millis(200),
            group_interval: Duration::from_secs(1),
            ..alertmanager::Settings::new(replica.webhook_url(), Some(replica.token().to_owned()))
        };
        let alertmanager = space.world().ground().alertmanager(&settings).await?;
        alertmanager.post_alerts(&real(None)).await?;
        let made = until("a task", async || chain(&space, "Real").await.ok()?.pop()).await?;
        let facts = &made.spec.notification;
        assert_eq!(facts.receiver.as_deref(), Some("punching-fist"));
        assert_eq!(facts.common_annotations["summary"], "It is real.");
        assert!(
            facts.group_key.as_deref().is_some_and(|key| key.contains("Real"))
                && facts.external_url.is_some()
        );
        assert_eq!(facts.alerts[0].fingerprint.len(), 16);
        let name = made.metadata.name.unwrap_or_default();
        space.phase::<AlertTask>(&name, Phase::Succeeded).await?;
        alertmanager.post_alerts(&real(Some(Timestamp::now()))).await?;
        let over = |task: &AlertTask| {
            task.status.as_ref().is_some_and(|status| status.alert_state == Some(AlertState::Resolved))
        };
        space.until(&name, "alertState resolved", over).await?;
        assert_eq!(chain(&space, "Real").await?.len(), 1);
        alertmanager.stop().await?;
        Ok(())
    });
}

/// A Deployment that crash-loops because of a value in its ConfigMap.
fn broken(namespace: &str) -> Vec<serde_json::Value> {
    let program = r#"case "$PAYMENT_TIMEOUT" in *[!0-9]*) echo "FATAL invalid configuration: PAYMENT_TIMEOUT=\"$PAYMENT_TIMEOUT\" is not a whole number of seconds"; exit 1;; esac; sleep 600"#;
    let labels = json!({ "app": "checkout" });
    vec![
        json!({
            "apiVersion": "v1", "kind": "ConfigMap",
            "metadata": { "name": "checkout-config", "namespace": namespace },
            "data": { "PAYMENT_TIMEOUT": "30 seconds" },
        }),
        json!({
            "apiVersion": "apps/v1", "kind": "Deployment",
            "metadata": { "name": "checkout", "namespace": namespace },
            "spec": {
                "selector": { "matchLabels": labels },
                "template": {
                    "metadata": { "labels": labels },
                    "spec": namespaces::restricted(json!({ "containers": [{
                        "name": "checkout", "image": "busybox", "command": ["sh", "-c", program],
                        "envFrom": [{ "configMapRef": { "name": "checkout-config" } }],
                    }] })),
                },
            },
        }),
    ]
}

#[test]
fn the_openhands_sdk_finds_what_is_broken() {
    STAGE.play("openhands", async |space| {
        manifests::apply(&space.world().client(), &broken(space.namespace())).await?;
        let crashed = async || {
            let pods = space.kubectl(&["get", "pods", "--no-headers"]).await.ok()?;
            pods.lines().any(|pod| pod.contains("CrashLoopBackOff")).then_some(())
        };
        until("the workload crash-loops", crashed).await?;
        let labels = json!({ "alertname": "KubePodCrashLooping", "namespace": space.namespace(), "deployment": "checkout" });
        let notification = json!({ "commonLabels": labels, "groupLabels": labels, "alerts": [{ "labels": labels }] });
        // Without a prompt it is the one that we ship.
        let spec = json!({ "agent": { "profile": "sdk" }, "notification": notification, "maxRetries": 0 });
        space.task_with::<AlertTask>("at", spec).await?;
        let ended = space.end::<AlertTask>("at").await?.status.ok_or("no status")?.task;
        assert_eq!(ended.phase, Some(Phase::Succeeded), "{:?}", ended.message);
        let found = ended.result.ok_or("no result")?;
        assert_eq!(found.verdict, Some(Verdict::Diagnosed));
        let summary = found.summary.unwrap_or_default();
        assert!(summary.contains("PAYMENT_TIMEOUT") && summary.contains("checkout-config"), "{summary}");
        let report = found.report.unwrap_or_default();
        assert!(report.contains("kubectl get configmap checkout-config"), "{report}");
        assert!(found.plan.is_some_and(|plan| plan.contains("kubectl patch configmap")));
        let usage = ended.usage.ok_or("no usage")?.total;
        assert!(usage.calls > 2 && usage.input_tokens > 0 && usage.cost_usd.is_some(), "{usage:?}");
        let job = format!("job/{}", ended.job.ok_or("no job")?.name);
        let log = space.kubectl(&["logs", &job]).await?;
        assert!(log.contains(r#""kind":"command""#) && log.contains("is not a whole number"), "{log}");
        Ok(())
    });
}

#[test]
fn a_key_that_the_model_refuses_is_not_tried_twice() {
    STAGE.play("refused-key", async |space| {
        let spec = json!({ "prompt": "Look.", "agent": { "profile": "sdk-refused" } });
        space.task_with::<MaintenanceTask>("mt", spec).await?;
        let ended = space.end::<MaintenanceTask>("mt").await?.status.ok_or("no status")?.task;
        assert_eq!((ended.phase, ended.reason.as_deref()), (Some(Phase::Failed), Some("CredentialsRefused")));
        assert_eq!((ended.attempts.len(), ended.retry_count), (1, 0));
        Ok(())
    });
}
