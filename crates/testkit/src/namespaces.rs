//! Namespaces that agents can work in: the ServiceAccount with its read-only rights, and the Secret with the model's
//! key for those that don't reach it through the gateway. The rights are those of `deploy/agent-rbac.yaml`, nothing of their own.

use k8s_openapi::api::core::v1::Namespace;
use kube::{Api, Client};
use serde_json::{Value, json};

use crate::{Error, manifests, repository};

/// Where the operator lives.
pub const OPERATOR: &str = "punching-fist";
/// Where the default route's tasks live; also the namespace that the manifest is written for.
pub const AGENTS: &str = "punching-fist-agents";
/// Namespaces that are there, and prepared, from the start.
pub(crate) const PREPARED: [&str; 3] = ["default", "shop", AGENTS];
/// The Secret with the model's key.
const MODEL_SECRET: &str = "openhands-secrets";

/// Makes `name` if need be, and all that an agent needs in it; the model's key is only for agents that get it themselves.
///
/// # Errors
/// The API server refuses something.
pub async fn prepare(client: &Client, name: &str, model_key: Option<&str>) -> Result<(), Error> {
    ensure(client, name).await?;
    manifests::apply(client, &rights(name)?).await?;
    match model_key {
        Some(key) => set_model_key(client, name, key).await,
        None => Ok(()),
    }
}

/// Makes `name` if there is none: one whose pods have to pass the restricted Pod Security profile.
///
/// # Errors
/// The API server refuses it.
pub async fn ensure(client: &Client, name: &str) -> Result<(), Error> {
    let api: Api<Namespace> = Api::all(client.clone());
    let found = api.get_opt(name).await.map_err(Error::kube(format!("reading namespace {name}")))?;
    if found.is_some() && name != AGENTS {
        return Ok(());
    }
    restrict(client, name).await
}

/// The same, if it is there already or not.
///
/// # Errors
/// The API server refuses it.
pub async fn restrict(client: &Client, name: &str) -> Result<(), Error> {
    manifests::apply(client, &[namespace(name)?]).await
}

/// This spec of a pod, with all that the restricted Pod Security profile asks of one that asks for nothing itself.
#[must_use]
pub fn restricted(mut pod: Value) -> Value {
    pod["securityContext"] =
        json!({ "runAsNonRoot": true, "runAsUser": 1000, "seccompProfile": { "type": "RuntimeDefault" } });
    for container in pod["containers"].as_array_mut().into_iter().flatten() {
        container["securityContext"] =
            json!({ "allowPrivilegeEscalation": false, "capabilities": { "drop": ["ALL"] } });
    }
    pod
}

async fn set_model_key(client: &Client, namespace: &str, key: &str) -> Result<(), Error> {
    let secret = json!({
        "apiVersion": "v1",
        "kind": "Secret",
        "metadata": { "name": MODEL_SECRET, "namespace": namespace },
        "stringData": { "api-key": key },
    });
    manifests::apply(client, &[secret]).await
}

fn namespace(name: &str) -> Result<Value, Error> {
    let own = agent_rbac()?.into_iter().find(|document| document["kind"] == "Namespace");
    let labels = json!({ "pod-security.kubernetes.io/enforce": "restricted" });
    let plain =
        json!({ "apiVersion": "v1", "kind": "Namespace", "metadata": { "name": name, "labels": labels } });
    Ok(own.filter(|document| document["metadata"]["name"] == name).unwrap_or(plain))
}

/// The manifest without its Namespace, for another namespace.
fn rights(name: &str) -> Result<Vec<Value>, Error> {
    let mut documents = agent_rbac()?;
    documents.retain(|document| document["kind"] != "Namespace");
    for document in &mut documents {
        replace(document, name);
    }
    Ok(documents)
}

/// What `sed s/punching-fist-agents/NAME/` does to the manifest.
fn replace(value: &mut Value, name: &str) {
    match value {
        Value::String(text) => *text = text.replace(AGENTS, name),
        Value::Array(items) => items.iter_mut().for_each(|item| replace(item, name)),
        Value::Object(fields) => fields.values_mut().for_each(|field| replace(field, name)),
        _ => {}
    }
}

fn agent_rbac() -> Result<Vec<Value>, Error> {
    manifests::read(&repository::root().join("deploy/agent-rbac.yaml"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn another_namespace_gets_its_own_account_and_binding_and_the_same_role() {
        let documents = rights("shop").unwrap();
        let named = |kind: &str| {
            let found: Vec<_> = documents.iter().filter(|document| document["kind"] == kind).collect();
            assert_eq!(found.len(), 1, "{kind}");
            found[0].clone()
        };
        assert_eq!(named("ServiceAccount")["metadata"]["namespace"], "shop");
        assert_eq!(named("ClusterRole")["metadata"]["name"], "punching-fist-agent");
        let binding = named("ClusterRoleBinding");
        assert_eq!(binding["metadata"]["name"], "punching-fist-agent:shop");
        assert_eq!(
            binding["subjects"][0],
            json!({ "kind": "ServiceAccount", "name": "punching-fist-agent", "namespace": "shop" })
        );
    }

    #[test]
    fn every_namespace_asks_for_the_restricted_profile() {
        for name in PREPARED.into_iter().chain(["another"]) {
            let labels = &namespace(name).unwrap()["metadata"]["labels"];
            assert_eq!(labels["pod-security.kubernetes.io/enforce"], "restricted", "{name}");
        }
    }

    #[test]
    fn agents_read_no_secrets_and_write_nothing() {
        let documents = rights("shop").unwrap();
        let role = documents.iter().find(|document| document["kind"] == "ClusterRole").unwrap();
        for rule in role["rules"].as_array().unwrap() {
            for verb in rule["verbs"].as_array().unwrap() {
                assert!(["get", "list", "watch"].map(Value::from).contains(verb), "{rule}");
            }
            for resource in rule["resources"].as_array().unwrap() {
                assert!(resource != "secrets" && resource != "*", "{rule}");
            }
        }
    }
}
