//! A pod in disguise: adopted by the run's Job, with everything of the run's own pod but its name. It takes somebody with
//! all rights, as the admission policies keep everybody else from it (tests/permissions).

use http::Request;
use k8s_openapi::api::authentication::v1::{BoundObjectReference, TokenRequest, TokenRequestSpec};
use k8s_openapi::api::core::v1::{Pod, ServiceAccount};
use kube::ResourceExt as _;
use kube::api::{Patch, PatchParams, PostParams};
use punching_fist_api::{MaintenanceTask, Phase, names};
use punching_fist_e2e::{Answer, Failure, Space};
use punching_fist_testkit::namespaces;
use serde_json::json;

use crate::STAGE;

const IMPOSTOR: &str = "impostor";

/// A pod that works for somebody else, as the account that agents run as.
fn worker() -> Result<Pod, Failure> {
    Ok(serde_json::from_value(json!({
        "metadata": { "name": IMPOSTOR },
        "spec": namespaces::restricted(json!({
            "restartPolicy": "Never", "serviceAccountName": names::SERVICE_ACCOUNT,
            "terminationGracePeriodSeconds": 1,
            "containers": [{
                "name": names::AGENT_CONTAINER, "image": "busybox", "command": ["sleep", "300"],
            }],
        })),
    }))?)
}

fn is_ready(pod: &Pod) -> bool {
    let conditions = pod.status.iter().flat_map(|status| status.conditions.iter().flatten());
    conditions.filter(|one| one.type_ == "Ready").any(|one| one.status == "True")
}

/// Calls the model with the token that a kubelet would mount into this pod.
async fn asks(space: &Space, pod: &str) -> Result<Answer, Failure> {
    let bound = BoundObjectReference {
        api_version: Some("v1".to_owned()),
        kind: Some("Pod".to_owned()),
        name: Some(pod.to_owned()),
        uid: None,
    };
    let spec = TokenRequestSpec {
        audiences: vec![names::AUDIENCE_GATEWAY.to_owned()],
        bound_object_ref: Some(bound),
        ..TokenRequestSpec::default()
    };
    let request = TokenRequest { spec, ..TokenRequest::default() };
    let accounts = space.api::<ServiceAccount>();
    let made =
        accounts.create_token_request(names::SERVICE_ACCOUNT, &PostParams::default(), &request).await?;
    let token = made.status.ok_or("no token")?.token;
    let body =
        json!({ "model": "scripted", "max_tokens": 10, "messages": [{ "role": "user", "content": pod }] });
    let request = Request::post("/v1/chat/completions")
        .header("authorization", format!("Bearer {token}"))
        .header("content-type", "application/json")
        .body(body.to_string().into_bytes())?;
    space.world().replicas()[0].ask(request).await
}

#[test]
fn a_pod_in_disguise_spends_nothing_of_a_runs_budget() {
    STAGE.play("disguised", async |space| {
        space.api().create(&PostParams::default(), &worker()?).await?;
        space.until(IMPOSTOR, "ready", is_ready).await?;
        let spec = json!({ "prompt": "!sleep 300", "agent": { "profile": "paid" }, "maxRetries": 0 });
        space.task_with::<MaintenanceTask>("mt", spec).await?;
        let task = space.phase::<MaintenanceTask>("mt", Phase::Running).await?;
        let real = space.pods(&task).await?.pop().ok_or("no pod")?;
        let answer = asks(&space, &real.name_any()).await?;
        assert_eq!(answer.status, 200, "the run's own pod: {answer:?}");
        // The Job controller adopts it, and has one pod too many then: it ends the one that was ready last.
        let (labels, annotations) = (real.labels(), real.annotations());
        let patch = json!({ "metadata": { "labels": labels, "annotations": annotations } });
        space.api::<Pod>().patch(IMPOSTOR, &PatchParams::default(), &Patch::Merge(patch)).await?;
        let adopted = |pod: &Pod| pod.owner_references() == real.owner_references();
        space.until(IMPOSTOR, "adopted by the Job", adopted).await?;
        let answer = asks(&space, IMPOSTOR).await?;
        let refusal = answer.body["error"]["message"].as_str().unwrap_or_default();
        assert!(answer.status == 400 && refusal.contains("isn't named after"), "{answer:?}");
        let asked = space.world().model("paid").requests();
        assert_eq!(asked.len(), 1, "{asked:?}");
        Ok(())
    });
}
