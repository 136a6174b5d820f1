//! What a pod may ask about itself: `fieldRef` and `resourceFieldRef`. Pure.

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::{Container, Pod, ResourceFieldSelector};

use crate::quantity;

/// The only address that pods have: they share the host's network.
pub const ADDRESS: &str = "127.0.0.1";

/// What a node offers, for a container without limits.
#[derive(Clone, Debug)]
pub struct Allocatable {
    pub cpu: String,
    pub memory: String,
}

/// The value of a `fieldPath`.
///
/// # Errors
/// Nobody knows the path; the message names it.
pub fn field(pod: &Pod, path: &str) -> Result<String, String> {
    let meta = &pod.metadata;
    let spec = pod.spec.as_ref();
    if let Some((map, key)) = subscript(path) {
        return match map {
            "metadata.labels" => Ok(entry(meta.labels.as_ref(), key)),
            "metadata.annotations" => Ok(entry(meta.annotations.as_ref(), key)),
            _ => Err(format!("unsupported fieldPath: {path}")),
        };
    }
    Ok(match path {
        "metadata.name" => meta.name.clone().unwrap_or_default(),
        "metadata.namespace" => meta.namespace.clone().unwrap_or_default(),
        "metadata.uid" => meta.uid.clone().unwrap_or_default(),
        "metadata.labels" => listing(meta.labels.as_ref()),
        "metadata.annotations" => listing(meta.annotations.as_ref()),
        "spec.nodeName" => spec.and_then(|s| s.node_name.clone()).unwrap_or_default(),
        "spec.serviceAccountName" => spec.and_then(|s| s.service_account_name.clone()).unwrap_or_default(),
        "status.hostIP" | "status.hostIPs" | "status.podIP" | "status.podIPs" => ADDRESS.to_owned(),
        _ => return Err(format!("unsupported fieldPath: {path}")),
    })
}

/// The value of a `resourceFieldRef`; `container` is the one that asks.
///
/// # Errors
/// The container or the resource is unknown; the message says which.
pub fn resource(
    pod: &Pod,
    container: Option<&str>,
    selector: &ResourceFieldSelector,
    node: &Allocatable,
) -> Result<String, String> {
    let wanted = selector.container_name.as_deref().or(container).unwrap_or_default();
    let container =
        containers(pod).find(|c| c.name == wanted).ok_or_else(|| format!("container {wanted} not found"))?;
    let unknown = || format!("unsupported container resource: {}", selector.resource);
    let (kind, name) = selector.resource.split_once('.').ok_or_else(unknown)?;
    let value = amount(container, kind, name, node).ok_or_else(unknown)?;
    let divisor = selector.divisor.as_ref().map_or("", |divisor| &divisor.0);
    quantity::in_units_of(&value, divisor)
        .ok_or_else(|| format!("can't divide {value} by {divisor} for {}", selector.resource))
}

/// All containers of a pod, those that run first included.
pub fn containers(pod: &Pod) -> impl Iterator<Item = &Container> {
    pod.spec.iter().flat_map(|spec| spec.init_containers.iter().flatten().chain(&spec.containers))
}

/// Without a limit the node's own size counts, without a request nothing: as in a kubelet.
fn amount(container: &Container, kind: &str, name: &str, node: &Allocatable) -> Option<String> {
    let resources = container.resources.as_ref();
    let (set, fallback) = match kind {
        "limits" => {
            let node = match name {
                "cpu" => Some(node.cpu.clone()),
                "memory" => Some(node.memory.clone()),
                _ => None,
            };
            (resources.and_then(|r| r.limits.as_ref()), node)
        }
        "requests" => (resources.and_then(|r| r.requests.as_ref()), Some("0".to_owned())),
        _ => return None,
    };
    let known = matches!(name, "cpu" | "memory" | "ephemeral-storage") || name.starts_with("hugepages-");
    let fallback = fallback.or_else(|| Some("0".to_owned())).filter(|_| known);
    set.and_then(|set| set.get(name)).map(|quantity| quantity.0.clone()).or(fallback)
}

/// `metadata.labels['key']` as its two parts.
fn subscript(path: &str) -> Option<(&str, &str)> {
    path.strip_suffix("']")?.split_once("['")
}

fn entry(map: Option<&BTreeMap<String, String>>, key: &str) -> String {
    map.and_then(|map| map.get(key)).cloned().unwrap_or_default()
}

/// One `key="value"` a line, the value escaped as Go's `%q` does it for the characters that matter.
fn listing(map: Option<&BTreeMap<String, String>>) -> String {
    let lines: Vec<_> = map.into_iter().flatten().map(|(key, value)| format!("{key}={value:?}")).collect();
    lines.join("\n")
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn pod() -> Pod {
        serde_json::from_value(json!({
            "metadata": {
                "name": "web", "namespace": "shop", "uid": "u-1",
                "labels": {"app": "web", "tier": "front"},
                "annotations": {"example.dev/note": "two\nlines \"quoted\""},
            },
            "spec": {
                "nodeName": "dev", "serviceAccountName": "robot",
                "containers": [
                    {"name": "a", "resources": {"limits": {"cpu": "1500m"}, "requests": {"memory": "64Mi"}}},
                ],
            },
        }))
        .unwrap()
    }

    #[test]
    fn fields_are_read_from_the_pod() {
        for (path, want) in [
            ("metadata.name", Ok("web")),
            ("metadata.namespace", Ok("shop")),
            ("metadata.uid", Ok("u-1")),
            ("metadata.labels", Ok("app=\"web\"\ntier=\"front\"")),
            ("metadata.labels['tier']", Ok("front")),
            ("metadata.labels['none']", Ok("")),
            ("metadata.annotations['example.dev/note']", Ok("two\nlines \"quoted\"")),
            ("spec.nodeName", Ok("dev")),
            ("spec.serviceAccountName", Ok("robot")),
            ("status.podIP", Ok("127.0.0.1")),
            ("spec.containers", Err("unsupported fieldPath: spec.containers")),
            ("spec.x['y']", Err("unsupported fieldPath: spec.x['y']")),
        ] {
            assert_eq!(field(&pod(), path), want.map(str::to_owned).map_err(str::to_owned), "{path}");
        }
    }

    #[test]
    fn resources_fall_back_to_the_node() {
        let node = Allocatable { cpu: "4".to_owned(), memory: "8Gi".to_owned() };
        for (name, divisor, want) in [
            ("limits.cpu", "1m", Ok("1500")),
            ("limits.memory", "1Gi", Ok("8")),
            ("requests.memory", "1Mi", Ok("64")),
            ("requests.cpu", "1", Ok("0")),
            ("limits.gpu", "1", Err("unsupported container resource: limits.gpu")),
            ("cpu", "1", Err("unsupported container resource: cpu")),
        ] {
            let selector: ResourceFieldSelector =
                serde_json::from_value(json!({"resource": name, "divisor": divisor})).unwrap();
            let got = resource(&pod(), Some("a"), &selector, &node);
            assert_eq!(got, want.map(str::to_owned).map_err(str::to_owned), "{name}");
        }
    }
}
