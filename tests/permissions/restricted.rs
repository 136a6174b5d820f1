//! The restricted Pod Security profile, asked of the API server's own admission: it takes the pod of every Job that we
//! make, but for the seed's privileged one.

use std::fs;

use k8s_openapi::api::batch::v1::Job;
use k8s_openapi::api::core::v1::{Pod, ServiceAccount};
use k8s_openapi::api::node::v1::RuntimeClass;
use k8s_openapi::api::scheduling::v1::PriorityClass;
use kube::api::PostParams;
use kube::core::NamespaceResourceScope;
use kube::{Api, Error, Resource};
use punching_fist_e2e::{Failure, Outcome, on_ground};
use punching_fist_testkit::{Ground, manifests, namespaces, repository};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

const NAMESPACE: &str = "restricted";

/// Jobs of `crates/core/tests/golden`, with the file's name.
fn golden() -> Result<Vec<(String, Value)>, Failure> {
    let mut jobs = Vec::new();
    for entry in fs::read_dir(repository::root().join("crates/core/tests/golden"))? {
        let path = entry?.path();
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        jobs.extend(manifests::read(&path)?.into_iter().map(|job| (name.clone(), job)));
    }
    Ok(jobs)
}

#[test]
fn every_pod_but_the_privileged_one_is_let_in() {
    on_ground(async |ground| {
        namespaces::ensure(&ground.client(), NAMESPACE).await?;
        let (mut admitted, mut refused) = (0, 0);
        for (name, mut job) in golden()? {
            job["metadata"]["namespace"] = json!(NAMESPACE);
            provide(ground, &job["spec"]["template"]["spec"]).await?;
            // The Job is taken either way, with a warning; its pods are what the label is about.
            dry_run::<Job>(ground, &job).await.map_err(|error| format!("{name}: {error}"))?;
            let answer = dry_run::<Pod>(ground, &pod(&job)).await;
            if name.contains("docker") {
                let refusal = answer.expect_err("a privileged pod").to_string();
                for fault in ["violates PodSecurity \"restricted", "privileged", "hostPath"] {
                    assert!(refusal.contains(fault), "{name}: {fault} in {refusal}");
                }
                refused += 1;
            } else {
                answer.map_err(|error| format!("{name}: {error}"))?;
                admitted += 1;
            }
        }
        assert!(admitted > 1 && refused > 0, "{admitted} admitted, {refused} refused");
        Ok(())
    });
}

/// The pod that the Job controller would make.
fn pod(job: &Value) -> Value {
    let template = &job["spec"]["template"];
    let mut metadata = template["metadata"].clone();
    metadata["name"] = json!("tried");
    metadata["namespace"] = json!(NAMESPACE);
    json!({ "metadata": metadata, "spec": template["spec"] })
}

/// Makes what the other admission plugins look for before a pod comes in.
async fn provide(ground: &Ground, pod: &Value) -> Outcome {
    let client = ground.client();
    let account = json!({ "metadata": { "name": pod["serviceAccountName"] } });
    ensure::<ServiceAccount>(Api::namespaced(client.clone(), NAMESPACE), account).await?;
    if let Some(name) = pod["runtimeClassName"].as_str() {
        let class = json!({ "metadata": { "name": name }, "handler": "runsc" });
        ensure::<RuntimeClass>(Api::all(client.clone()), class).await?;
    }
    if let Some(name) = pod["priorityClassName"].as_str() {
        let class = json!({ "metadata": { "name": name }, "value": 10 });
        ensure::<PriorityClass>(Api::all(client), class).await?;
    }
    Ok(())
}

async fn ensure<K>(api: Api<K>, object: Value) -> Outcome
where
    K: Resource + Clone + std::fmt::Debug + Serialize + DeserializeOwned,
{
    match api.create(&PostParams::default(), &serde_json::from_value(object)?).await {
        Err(Error::Api(status)) if status.is_already_exists() => Ok(()),
        answer => Ok(answer.map(drop)?),
    }
}

async fn dry_run<K>(ground: &Ground, object: &Value) -> Outcome
where
    K: Resource<DynamicType = (), Scope = NamespaceResourceScope>,
    K: Clone + std::fmt::Debug + Serialize + DeserializeOwned,
{
    let api: Api<K> = Api::namespaced(ground.client(), NAMESPACE);
    let params = PostParams { dry_run: true, ..PostParams::default() };
    api.create(&params, &serde_json::from_value(object.clone())?).await?;
    Ok(())
}
