//! The plain manifests of `deploy/`: they parse without an unknown field, fit together, and grant what the code calls and
//! nothing more.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

use k8s_openapi::api::apps::v1::Deployment;
use k8s_openapi::api::core::v1::{ConfigMap, Namespace, PodSpec, PodTemplateSpec, Service, ServiceAccount};
use k8s_openapi::api::policy::v1::PodDisruptionBudget;
use k8s_openapi::api::rbac::v1::{ClusterRole, ClusterRoleBinding, PolicyRule, Role, RoleBinding};
use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::Value;

/// Every call of the webhook, the controller and the gateway, by who makes it.
const CALLS: &[(&str, &str, &[&str])] = &[
    // webhook: newest task of a key, by label and by name; controller: watch; controller and gateway: `meter` for what a
    // run has used, which crds/policies.yaml asks for
    ("punching-fist.io", "alerttasks", &["get", "list", "watch", "meter"]),
    // controller: watch; controller and gateway: as above
    ("punching-fist.io", "maintenancetasks", &["get", "list", "watch", "meter"]),
    // webhook, controller and gateway: server-side apply
    ("punching-fist.io", "alerttasks/status", &["get", "patch"]),
    ("punching-fist.io", "maintenancetasks/status", &["get", "patch"]),
    // controller: owner references that block their owner's deletion
    ("punching-fist.io", "alerttasks/finalizers", &["update"]),
    ("punching-fist.io", "maintenancetasks/finalizers", &["update"]),
    // controller: jobs.rs, watch.rs, and `manage` for making them, which crds/policies.yaml asks for
    ("batch", "jobs", &["get", "list", "watch", "create", "patch", "delete", "manage"]),
    // controller: watch.rs, report.rs
    ("", "pods", &["get", "list", "watch"]),
    ("", "pods/log", &["get"]),
    // controller: jobs.rs
    ("", "serviceaccounts", &["get"]),
    ("", "events", &["list"]),
    // controller: events.rs
    ("events.k8s.io", "events", &["create", "patch"]),
    // gateway: whose token it is
    ("authentication.k8s.io", "tokenreviews", &["create"]),
    // operator: crds.rs
    ("apiextensions.k8s.io", "customresourcedefinitions", &["get"]),
];

fn deploy() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../deploy")
}

/// Every document, in the order in which `kubectl apply -f deploy` takes them.
fn documents() -> Vec<Value> {
    let entries = fs::read_dir(deploy()).unwrap().map(|entry| entry.unwrap().path());
    let mut files: Vec<_> =
        entries.filter(|path| path.extension().is_some_and(|end| end == "yaml")).collect();
    files.sort();
    let read = |file: PathBuf| {
        let text = fs::read_to_string(file).unwrap();
        let documents = serde_yaml::Deserializer::from_str(&text);
        documents.map(|document| Value::deserialize(document).unwrap()).collect::<Vec<_>>()
    };
    files.into_iter().flat_map(read).collect()
}

/// The document as its Kubernetes type; an unknown field is a mistake that the API server would only warn of.
fn strict<T: DeserializeOwned>(document: &Value) -> T {
    let mut unknown = Vec::new();
    let typed = serde_ignored::deserialize(document, |path| unknown.push(path.to_string())).unwrap();
    assert!(unknown.is_empty(), "unknown fields {unknown:?} in {}", name(document));
    typed
}

fn named<T: DeserializeOwned>(kind: &str, name: &str) -> T {
    let wanted = |document: &&Value| document["kind"] == kind && document["metadata"]["name"] == name;
    strict(documents().iter().find(wanted).unwrap_or_else(|| panic!("no {kind} {name}")))
}

fn name(document: &Value) -> String {
    format!("{} {}", document["kind"], document["metadata"]["name"])
}

#[test]
fn every_document_is_its_type_and_nothing_else() {
    for document in documents() {
        match document["kind"].as_str().unwrap() {
            "Namespace" => drop(strict::<Namespace>(&document)),
            "ServiceAccount" => drop(strict::<ServiceAccount>(&document)),
            "ClusterRole" => drop(strict::<ClusterRole>(&document)),
            "ClusterRoleBinding" => drop(strict::<ClusterRoleBinding>(&document)),
            "Role" => drop(strict::<Role>(&document)),
            "RoleBinding" => drop(strict::<RoleBinding>(&document)),
            "ConfigMap" => drop(strict::<ConfigMap>(&document)),
            "Deployment" => drop(strict::<Deployment>(&document)),
            "Service" => drop(strict::<Service>(&document)),
            "PodDisruptionBudget" => drop(strict::<PodDisruptionBudget>(&document)),
            // A Secret above all: credentials are nobody's but the user's.
            kind => panic!("{kind} has no place here"),
        }
    }
}

#[test]
fn a_namespace_comes_before_what_is_in_it() {
    let mut there = BTreeSet::new();
    for document in documents() {
        if let Some(namespace) = document["metadata"]["namespace"].as_str() {
            assert!(there.contains(namespace), "{} comes before namespace {namespace}", name(&document));
        }
        if document["kind"] == "Namespace" {
            assert_eq!(document["metadata"]["labels"]["pod-security.kubernetes.io/enforce"], "restricted");
            there.insert(document["metadata"]["name"].as_str().unwrap().to_owned());
        }
    }
    assert_eq!(there, ["punching-fist", "punching-fist-agents"].map(str::to_owned).into());
}

/// Verbs by group and resource.
fn granted(rules: &[PolicyRule]) -> BTreeMap<(String, String), BTreeSet<String>> {
    let mut granted = BTreeMap::<_, BTreeSet<String>>::new();
    for rule in rules {
        for group in rule.api_groups.iter().flatten() {
            for resource in rule.resources.iter().flatten() {
                granted.entry((group.clone(), resource.clone())).or_default().extend(rule.verbs.clone());
            }
        }
    }
    granted
}

#[test]
fn the_operator_may_do_what_it_calls_and_nothing_more() {
    let role: ClusterRole = named("ClusterRole", "punching-fist");
    let rules = role.rules.unwrap();
    let wanted = CALLS.iter().map(|(group, resource, verbs)| {
        (((*group).to_owned(), (*resource).to_owned()), verbs.iter().map(|verb| (*verb).to_owned()).collect())
    });
    assert_eq!(granted(&rules), wanted.collect());
    let named = rules.iter().find_map(|rule| rule.resource_names.as_deref()).unwrap();
    assert_eq!(named, ["alerttasks.punching-fist.io", "maintenancetasks.punching-fist.io"]);
}

#[test]
fn of_its_own_namespace_the_operator_needs_its_lease_alone() {
    let role: Role = named("Role", "punching-fist-leader-election");
    let rules = role.rules.unwrap();
    let verbs = ["create", "get", "update"].map(str::to_owned).into();
    let lease = ("coordination.k8s.io".to_owned(), "leases".to_owned());
    assert_eq!(granted(&rules), BTreeMap::from([(lease, verbs)]));
    let unnamed = rules.iter().filter(|rule| rule.resource_names.is_none()).flat_map(|rule| &rule.verbs);
    assert_eq!(unnamed.collect::<Vec<_>>(), ["create"]);
}

#[test]
fn the_operator_makes_tasks_where_the_route_does_and_nowhere_else() {
    let role: Role = named("Role", "punching-fist-tasks");
    assert_eq!(role.metadata.namespace.as_deref(), config()["defaultRoute"]["namespace"].as_str());
    // Beside making them: what crds/policies.yaml asks of the author of a task. `use` reads nothing.
    let wanted = [
        ("punching-fist.io", "alerttasks", "create"),
        ("", "serviceaccounts", "use"),
        ("", "configmaps", "use"),
    ];
    let wanted = wanted
        .map(|(group, resource, verb)| ((group.to_owned(), resource.to_owned()), [verb.to_owned()].into()));
    assert_eq!(granted(&role.rules.unwrap()), BTreeMap::from(wanted));
}

fn pod() -> PodTemplateSpec {
    named::<Deployment>("Deployment", "punching-fist").spec.unwrap().template
}

fn pod_spec() -> PodSpec {
    pod().spec.unwrap()
}

#[test]
fn bindings_lead_from_the_pods_account_to_the_roles() {
    let account = pod_spec().service_account_name.unwrap();
    drop(named::<ServiceAccount>("ServiceAccount", &account));
    let bindings: Vec<_> = documents()
        .into_iter()
        .filter(|document| document["kind"].as_str().unwrap().ends_with("Binding"))
        .filter(|document| document["subjects"][0]["name"] == account.as_str())
        .collect();
    assert_eq!(bindings.len(), 3, "cluster-wide, the Lease, and tasks for alerts");
    for binding in bindings {
        assert_eq!(binding["roleRef"]["name"], binding["metadata"]["name"]);
        assert_eq!(binding["subjects"][0]["namespace"], "punching-fist");
    }
}

#[test]
fn the_pod_keeps_to_the_restricted_profile() {
    let pod = pod_spec();
    let security = pod.security_context.unwrap();
    assert_eq!(security.run_as_non_root, Some(true));
    assert_eq!(security.seccomp_profile.unwrap().type_, "RuntimeDefault");
    let container = &pod.containers[0];
    let security = container.security_context.clone().unwrap();
    assert_eq!(security.allow_privilege_escalation, Some(false));
    assert_eq!(security.read_only_root_filesystem, Some(true));
    assert_eq!(security.capabilities.unwrap().drop.unwrap(), ["ALL"]);
    assert!(container.startup_probe.is_some() && container.liveness_probe.is_some());
    assert!(container.readiness_probe.is_some());
}

fn config() -> Value {
    let map: ConfigMap = named("ConfigMap", "punching-fist");
    serde_yaml::from_str(&map.data.unwrap()["config.yaml"]).unwrap()
}

#[test]
fn images_are_this_version_and_the_configuration_names_the_same() {
    let version = env!("CARGO_PKG_VERSION");
    let operator = format!("ghcr.io/punching-fist/punching-fist:{version}");
    assert_eq!(pod_spec().containers[0].image.as_ref(), Some(&operator));
    assert_eq!(config()["runner"]["image"], operator);
    let agent = format!("ghcr.io/punching-fist/punching-fist-agent:{version}");
    assert_eq!(config()["agents"]["openhands"]["image"], agent);
}

#[test]
fn the_configuration_is_accepted() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("config.yaml");
    let map: ConfigMap = named("ConfigMap", "punching-fist");
    fs::write(&file, &map.data.unwrap()["config.yaml"]).unwrap();
    let binary = env!("CARGO_BIN_EXE_punching-fist");
    let output = std::process::Command::new(binary).args(["config", "check"]).arg(&file).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}

#[test]
fn the_configuration_points_at_what_is_mounted() {
    let pod = pod_spec();
    let mount = &pod.containers[0].volume_mounts.as_ref().unwrap()[0].mount_path;
    let sources = pod.volumes.unwrap().remove(0).projected.unwrap().sources.unwrap();
    let paths: Vec<_> = sources
        .into_iter()
        .filter_map(|source| {
            source.config_map.and_then(|map| map.items).or_else(|| source.secret.unwrap().items)
        })
        .map(|items| format!("{mount}/{}", items[0].path))
        .collect();
    let token = config()["receivers"]["prometheus"]["http_config"]["bearer_token_file"].clone();
    let arguments = pod.containers[0].args.clone().unwrap();
    assert_eq!(paths, [arguments[2].as_str(), token.as_str().unwrap()]);
}

#[test]
fn a_drain_leaves_a_replica_and_waits_for_none_that_serves_nobody() {
    let deployment = named::<Deployment>("Deployment", "punching-fist").spec.unwrap();
    let budget: PodDisruptionBudget = named("PodDisruptionBudget", "punching-fist");
    let spec = budget.spec.unwrap();
    assert_eq!(spec.selector.as_ref(), Some(&deployment.selector));
    // With as many replicas as have to stay no node could ever be drained.
    let Some(IntOrString::Int(stay)) = spec.min_available else { panic!("{:?}", spec.min_available) };
    assert!(0 < stay && stay < deployment.replicas.unwrap());
    assert_eq!(spec.unhealthy_pod_eviction_policy.as_deref(), Some("AlwaysAllow"));
}

#[test]
fn the_service_leads_to_the_pods_ports() {
    let labels = pod().metadata.unwrap().labels.unwrap();
    let service = named::<Service>("Service", "punching-fist").spec.unwrap();
    assert!(service.selector.unwrap().iter().all(|(name, value)| labels.get(name) == Some(value)));
    let listen = config()["listen"].clone();
    for (port, name) in pod_spec().containers[0].ports.iter().flatten().zip(["webhook", "probes", "gateway"])
    {
        assert_eq!(port.name.as_deref(), Some(name));
        assert_eq!(listen[name], format!("0.0.0.0:{}", port.container_port));
    }
}

#[test]
fn agents_find_the_gateway_behind_the_service() {
    let service: Service = named("Service", "punching-fist");
    let ports = service.spec.unwrap().ports.unwrap();
    let port = ports.iter().find(|port| port.name.as_deref() == Some("gateway")).unwrap();
    let host = format!("{}.{}.svc", service.metadata.name.unwrap(), service.metadata.namespace.unwrap());
    assert_eq!(config()["gateway"]["url"], format!("http://{host}:{}", port.port));
}

#[test]
fn the_models_key_is_the_operators_and_may_come_later() {
    let containers = pod_spec().containers;
    let profile = &config()["agents"]["openhands"];
    let variables = containers[0].env.iter().flatten();
    let variable = variables.clone().find(|variable| profile["key"]["env"] == *variable.name).unwrap();
    let secret = variable.value_from.clone().unwrap().secret_key_ref.unwrap();
    assert_eq!((secret.name.as_str(), secret.key.as_str()), ("punching-fist-secrets", "openhands-api-key"));
    assert_eq!(secret.optional, Some(true));
}
