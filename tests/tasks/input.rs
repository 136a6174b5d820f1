//! Objects that the API server refuses: the message names the field.

use punching_fist_api::{MaintenanceTask, Phase};
use punching_fist_e2e::Space;
use serde_json::{Value, json};

use crate::STAGE;

fn manifest(kind: &str, spec: &Value) -> Value {
    json!({
        "apiVersion": "punching-fist.io/v1alpha1", "kind": kind, "metadata": { "name": "bad" }, "spec": spec,
    })
}

/// What kubectl says about a manifest that must be refused.
async fn refusal(space: &Space, manifest: &Value) -> String {
    match space.kubectl_apply(manifest).await {
        Ok(said) => panic!("{manifest} was taken: {said}"),
        Err(error) => error.to_string(),
    }
}

/// What a spec is of one variable for the agent.
fn with_variable(variable: &Value) -> Value {
    json!({ "prompt": "p", "agent": { "env": [variable] } })
}

async fn assert_refused(space: &Space, kind: &str, cases: &[(Value, &str)]) {
    for (spec, field) in cases {
        let said = refusal(space, &manifest(kind, spec)).await;
        assert!(said.contains(field), "{field} is not named: {said}");
    }
}

#[test]
fn bad_specs_are_refused_by_field() {
    STAGE.play("bad-specs", async |space| {
        let tasks = [
            (json!({ "prompt": "p", "promt": "q" }), "spec.promt"),
            (json!({ "prompt": "p", "agent": { "modell": "m" } }), "spec.agent.modell"),
            (json!({ "prompt": "p".repeat(32 * 1024 + 1) }), "spec.prompt"),
            (json!({ "prompt": "" }), "spec.prompt"),
            (json!({}), "spec.prompt"),
            (json!({ "prompt": "p", "timeoutSeconds": -1 }), "spec.timeoutSeconds"),
            (json!({ "prompt": "p", "timeoutSeconds": 0 }), "spec.timeoutSeconds"),
            (json!({ "prompt": "p", "timeoutSeconds": "soon" }), "spec.timeoutSeconds"),
            (json!({ "prompt": "p", "maxRetries": -1 }), "spec.maxRetries"),
            (json!({ "prompt": "p", "maxRetries": 11 }), "spec.maxRetries"),
            (json!({ "prompt": "p", "ttlSecondsAfterFinished": -1 }), "spec.ttlSecondsAfterFinished"),
            (json!({ "prompt": "p", "agent": { "maxIterations": 0 } }), "spec.agent.maxIterations"),
            (json!({ "prompt": "p", "agent": { "profile": "" } }), "spec.agent.profile"),
            (json!({ "prompt": "p", "serviceAccountName": "" }), "spec.serviceAccountName"),
            (json!({ "prompt": "p", "serviceAccountName": "my agent" }), "spec.serviceAccountName"),
            (json!({ "prompt": "p", "serviceAccountName": "a/b" }), "spec.serviceAccountName"),
            (json!({ "prompt": "p", "cluster": "A_b" }), "spec.cluster"),
            (
                json!({ "prompt": "p", "agent": { "skills": [{ "configMap": ".." }] } }),
                "spec.agent.skills[0].configMap",
            ),
            (json!({ "prompt": "p", "suspend": "yes" }), "spec.suspend"),
        ];
        assert_refused(&space, "MaintenanceTask", &tasks).await;
        let secret = json!({ "secretKeyRef": { "name": "n", "key": "k" } });
        let variables = [
            (json!({ "name": "LLM_API_KEY", "value": "x" }), "spec.agent.env[0].name"),
            (json!({ "name": "PUNCHING_FIST_ENGINE", "value": "x" }), "spec.agent.env[0].name"),
            (json!({ "name": "1 2", "value": "x" }), "spec.agent.env[0].name"),
            (json!({ "name": "A", "value": "x", "valueFrom": secret }), "spec.agent.env[0]"),
            (json!({ "name": "A", "valueFrom": {} }), "spec.agent.env[0].valueFrom"),
            (
                json!({ "name": "A", "valueFrom": { "secretKeyRef": { "name": "N", "key": "k" } } }),
                "spec.agent.env[0].valueFrom.secretKeyRef.name",
            ),
        ];
        let variables = variables.map(|(variable, field)| (with_variable(&variable), field));
        assert_refused(&space, "MaintenanceTask", &variables).await;
        Ok(())
    });
}

#[test]
fn bad_notifications_are_refused_by_field() {
    STAGE.play("bad-notifications", async |space| {
        let alerts = [
            (json!({ "prompt": "p" }), "spec.notification"),
            (json!({ "notification": { "alerts": [] } }), "spec.notification.alerts"),
            (
                json!({ "notification": { "alerts": [{ "status": "burning" }] } }),
                "spec.notification.alerts[0].status",
            ),
        ];
        assert_refused(&space, "AlertTask", &alerts).await;
        Ok(())
    });
}

#[test]
fn an_admitted_run_and_its_end_can_not_be_changed() {
    STAGE.play("immutable", async |space| {
        space.task::<MaintenanceTask>("mt", "!await go\n!verdict Diagnosed done").await?;
        space.phase::<MaintenanceTask>("mt", Phase::Running).await?;
        for spec in
            [json!({ "prompt": "other" }), json!({ "maxRetries": 0 }), json!({ "agent": { "model": "x" } })]
        {
            let Err(error) = space.edit::<MaintenanceTask>("mt", spec.clone()).await else {
                panic!("{spec} was taken");
            };
            let said = error.to_string();
            assert!(said.contains("the run is admitted") && said.contains("make a new task"), "{said}");
        }
        space.edit::<MaintenanceTask>("mt", json!({ "ttlSecondsAfterFinished": 60 })).await?;
        space.signal("go").await?;
        space.phase::<MaintenanceTask>("mt", Phase::Succeeded).await?;
        let patch = ["patch", "mt/mt", "--subresource=status", "--type=merge", "--patch"];
        let said = space.kubectl(&[&patch[..], &[r#"{"status":{"phase":"Running"}}"#]].concat()).await;
        let said = said.err().ok_or("a terminal phase was changed")?.to_string();
        assert!(said.contains("stays so"), "{said}");
        Ok(())
    });
}
