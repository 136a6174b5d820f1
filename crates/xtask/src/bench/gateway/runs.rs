//! Runs that the gateway believes in: tasks with a Job, pods of it, and the tokens that are bound to them.

use std::collections::BTreeMap;

use futures::{StreamExt as _, TryStreamExt as _, stream};
use k8s_openapi::api::authentication::v1::{BoundObjectReference, TokenRequest, TokenRequestSpec};
use k8s_openapi::api::batch::v1::Job;
use k8s_openapi::api::core::v1::{Pod, ServiceAccount};
use kube::api::{Patch, PatchParams, PostParams};
use kube::{Api, Client, Resource as _, ResourceExt as _};
use punching_fist_api::{MaintenanceTask, crds, names};
use punching_fist_protocol::pod::variables;
use punching_fist_testkit::manifests;
use serde_json::{Value, json};

use super::client::Failure;
use super::serve::{MODEL, PROFILE};

const NAMESPACE: &str = "default";
const ACCOUNT: &str = "default";
/// How many are made at once.
const AT_ONCE: usize = 16;

/// Makes so many, and gives a token of each.
pub async fn prepare(client: &Client, count: usize) -> Result<Vec<String>, Failure> {
    manifests::apply_kinds(client, &crds()).await?;
    let job: Job = create(client, &job()).await?;
    let make = |number| one(client, &job, number);
    stream::iter(0..count).map(make).buffer_unordered(AT_ONCE).try_collect().await
}

/// One Job for all of them. The Job controller leaves it and its pods alone.
fn job() -> Value {
    let container = json!({ "name": names::AGENT_CONTAINER, "image": "bench:1" });
    json!({
        "metadata": { "name": "bench" },
        "spec": {
            "managedBy": "punching-fist.io/bench",
            "template": { "spec": { "restartPolicy": "Never", "containers": [container] } },
        },
    })
}

async fn one(client: &Client, job: &Job, number: usize) -> Result<String, Failure> {
    let name = format!("bench-{number}");
    let spec = json!({ "prompt": "Measure.", "agent": { "profile": PROFILE } });
    let task: MaintenanceTask =
        create(client, &json!({ "metadata": { "name": name }, "spec": spec })).await?;
    let job_ref = json!({ "name": job.name_any(), "uid": job.uid(), "generation": 1 });
    let status = json!({ "status": { "phase": "Running", "job": job_ref } });
    let tasks: Api<MaintenanceTask> = Api::namespaced(client.clone(), NAMESPACE);
    tasks.patch_status(&name, &PatchParams::default(), &Patch::Merge(&status)).await?;
    let pod: Pod = create(client, &pod(job, &task)).await?;
    token(client, &pod).await
}

fn pod(job: &Job, task: &MaintenanceTask) -> Value {
    let labels = BTreeMap::from([
        (names::LABEL_APP, names::APP.to_owned()),
        (names::LABEL_COMPONENT, names::COMPONENT_AGENT.to_owned()),
        (names::LABEL_KIND, MaintenanceTask::kind(&()).into_owned()),
        (names::LABEL_PROFILE, PROFILE.to_owned()),
        (names::LABEL_TASK_ID, task.uid().unwrap_or_default()),
    ]);
    let metadata = json!({
        "name": format!("{}-bench", punching_fist_core::job::name(&task.uid().unwrap_or_default())),
        "labels": labels,
        "annotations": { names::ANNOTATION_TASK: task.name_any() },
        "ownerReferences": [job.controller_owner_ref(&())],
    });
    let environment = [json!({ "name": variables::LLM_MODEL, "value": MODEL })];
    let container = json!({ "name": names::AGENT_CONTAINER, "image": "bench:1", "env": environment });
    json!({ "metadata": metadata, "spec": { "serviceAccountName": ACCOUNT, "containers": [container] } })
}

async fn token(client: &Client, pod: &Pod) -> Result<String, Failure> {
    let bound = BoundObjectReference {
        api_version: Some("v1".to_owned()),
        kind: Some("Pod".to_owned()),
        name: Some(pod.name_any()),
        uid: pod.uid(),
    };
    let audiences = vec![names::AUDIENCE_GATEWAY.to_owned()];
    let spec = TokenRequestSpec { audiences, bound_object_ref: Some(bound), expiration_seconds: None };
    let accounts: Api<ServiceAccount> = Api::namespaced(client.clone(), NAMESPACE);
    let request = TokenRequest { spec, ..TokenRequest::default() };
    let answer = accounts.create_token_request(ACCOUNT, &PostParams::default(), &request).await?;
    Ok(answer.status.ok_or("the API server gives no token")?.token)
}

async fn create<K>(client: &Client, object: &Value) -> Result<K, Failure>
where
    K: kube::Resource<DynamicType = (), Scope = kube::core::NamespaceResourceScope>
        + Clone
        + std::fmt::Debug
        + serde::de::DeserializeOwned
        + serde::Serialize,
{
    let api: Api<K> = Api::namespaced(client.clone(), NAMESPACE);
    Ok(api.create(&PostParams::default(), &serde_json::from_value(object.clone())?).await?)
}
