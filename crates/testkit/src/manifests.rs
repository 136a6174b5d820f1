//! Applies manifests of any kind, as `kubectl apply --server-side` would: kinds first, then what is made of them.

use std::fs;
use std::path::Path;

use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use kube::api::{DynamicObject, Patch, PatchParams};
use kube::core::GroupVersionKind;
use kube::discovery::{ApiCapabilities, ApiResource, Scope, oneshot};
use kube::runtime::wait::{await_condition, conditions};
use kube::{Api, Client};
use serde_json::Value;

use crate::wait::PATIENCE;
use crate::{Error, yaml};

/// Who owns the fields of what the ground applies.
const FIELD_MANAGER: &str = "punching-fist-ground";

/// The documents of all `*.yaml` files right in `dir`, in the order of the files' names.
///
/// # Errors
/// A file can't be read, or is no YAML.
pub fn read_directory(dir: &Path) -> Result<Vec<Value>, Error> {
    let listed = fs::read_dir(dir).map_err(Error::file("list", dir))?;
    let mut files: Vec<_> = listed.filter_map(|entry| Some(entry.ok()?.path())).collect();
    files.retain(|path| path.extension().is_some_and(|extension| extension == "yaml"));
    files.sort();
    let mut documents = Vec::new();
    for file in files {
        documents.extend(read(&file)?);
    }
    Ok(documents)
}

/// The documents of one file.
///
/// # Errors
/// It can't be read, or is no YAML.
pub fn read(file: &Path) -> Result<Vec<Value>, Error> {
    let text = fs::read_to_string(file).map_err(Error::file("read", file))?;
    yaml::read(&text).map_err(|error| Error::Manifest { path: file.to_owned(), message: error.to_string() })
}

/// Applies `documents` in their order.
///
/// # Errors
/// The API server refuses one, or does not know its kind.
pub async fn apply(client: &Client, documents: &[Value]) -> Result<(), Error> {
    for document in documents {
        apply_one(client, document).await?;
    }
    Ok(())
}

/// Applies kinds and waits until they are served.
///
/// # Errors
/// The API server refuses one, or does not serve it in time.
pub async fn apply_kinds(client: &Client, kinds: &[CustomResourceDefinition]) -> Result<(), Error> {
    let api: Api<CustomResourceDefinition> = Api::all(client.clone());
    for kind in kinds {
        let name = kind.metadata.name.clone().unwrap_or_default();
        let params = PatchParams::apply(FIELD_MANAGER).force();
        api.patch(&name, &params, &Patch::Apply(kind))
            .await
            .map_err(Error::kube(format!("applying {name}")))?;
        let established = await_condition(api.clone(), &name, conditions::is_crd_established());
        if !matches!(tokio::time::timeout(PATIENCE, established).await, Ok(Ok(_))) {
            return Err(Error::Unserved { name, seconds: PATIENCE.as_secs() });
        }
    }
    Ok(())
}

async fn apply_one(client: &Client, document: &Value) -> Result<(), Error> {
    let object: DynamicObject = serde_json::from_value(document.clone())
        .map_err(|error| Error::Yaml(format!("{error} in {document}")))?;
    let name = object.metadata.name.clone().unwrap_or_default();
    let types = object.types.clone().unwrap_or_default();
    let what = format!("applying {} {name}", types.kind);
    let gvk = GroupVersionKind::try_from(&types).map_err(|error| Error::Yaml(format!("{what}: {error}")))?;
    let found = oneshot::pinned_kind(client, &gvk).await.map_err(Error::kube(what.clone()))?;
    let api = api_of(client, &found, object.metadata.namespace.as_deref());
    let params = PatchParams::apply(FIELD_MANAGER).force();
    api.patch(&name, &params, &Patch::Apply(&object)).await.map(drop).map_err(Error::kube(what))
}

fn api_of(
    client: &Client,
    (resource, capabilities): &(ApiResource, ApiCapabilities),
    namespace: Option<&str>,
) -> Api<DynamicObject> {
    match capabilities.scope {
        Scope::Cluster => Api::all_with(client.clone(), resource),
        Scope::Namespaced => Api::namespaced_with(client.clone(), namespace.unwrap_or("default"), resource),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_directory_is_read_in_the_order_of_names() {
        let dir = tempfile::tempdir().unwrap();
        for (name, text) in [("b.yaml", "b: 1"), ("a.yaml", "a: 1\n---\na: 2"), ("c.txt", "c: 1")] {
            fs::write(dir.path().join(name), text).unwrap();
        }
        let documents = read_directory(dir.path()).unwrap();
        let text: Vec<String> = documents.iter().map(Value::to_string).collect();
        assert_eq!(text, [r#"{"a":1}"#, r#"{"a":2}"#, r#"{"b":1}"#]);
    }

    #[test]
    fn what_is_no_yaml_is_told_with_its_file() {
        let dir = tempfile::tempdir().unwrap();
        fs::write(dir.path().join("a.yaml"), "a: [").unwrap();
        let error = read_directory(dir.path()).unwrap_err().to_string();
        assert!(error.contains("a.yaml"), "{error}");
    }
}
