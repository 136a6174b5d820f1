//! The workload that is really broken: a service that wants a number of seconds and is given words, by its ConfigMap.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use futures::TryStreamExt as _;
use k8s_openapi::api::apps::v1::Deployment;
use k8s_openapi::api::core::v1::{ConfigMap, ContainerStatus, Pod};
use kube::api::DeleteParams;
use kube::runtime::{WatchStreamExt as _, watcher};
use kube::{Api, Client, ResourceExt as _};
use punching_fist_testkit::{Error, images, manifests, namespaces};
use serde_json::{Value, json};

/// Where it runs.
pub const NAMESPACE: &str = "shop";
/// What its pods' names begin with.
pub const POD_PREFIX: &str = "checkout-";
/// Its image, which the node finds in [`image`].
pub const IMAGE: &str = "checkout:1.4.2";

const NAME: &str = "checkout";
const CONFIG: &str = "checkout-config";
/// Its pods' label, as a selector.
const SELECTOR: &str = "app.kubernetes.io/name=checkout";
/// What the kubelet says of a container that it lets wait before it starts it again.
const CRASH_LOOP: &str = "CrashLoopBackOff";
/// How long that may take: it is there after the first crash, and by then it has to have been started.
const CRASH_LIMIT: Duration = Duration::from_secs(120);

/// What it does: it says what services say when they start, reads its settings, and ends if one makes no sense.
const PROGRAM: &str = r#"#!/bin/sh
log() { printf '%s %-5s %s\n' "$(date -u +%Y-%m-%dT%H:%M:%SZ)" "$1" "$2"; }
trap 'log INFO "stopping"; exit 0' TERM

log INFO "checkout 1.4.2 starting, log level ${LOG_LEVEL:-info}"
log INFO "cart service at $CART_URL"
log INFO "payment service at $PAYMENT_URL"
case $PAYMENT_TIMEOUT in
'' | *[!0-9]*)
    log FATAL "invalid configuration: PAYMENT_TIMEOUT=\"$PAYMENT_TIMEOUT\" is not a whole number of seconds"
    exit 1
    ;;
esac
log INFO "payment timeout is $PAYMENT_TIMEOUT s"
log INFO "ready on :8080"
while :; do sleep 1; done
"#;

/// A pod that keeps crashing.
pub struct Broken {
    /// Its name.
    pub pod: String,
    /// How often it was started again.
    pub restarts: i32,
}

/// Makes the image in `dir`.
///
/// # Errors
/// It can't be written.
pub fn image(dir: &Path) -> Result<PathBuf, Error> {
    let image = dir.join(NAME);
    fs::create_dir_all(&image).map_err(Error::file("create", &image))?;
    images::program(&image.join(NAME), PROGRAM)?;
    Ok(image)
}

/// Deploys it.
///
/// # Errors
/// The API server refuses it.
pub async fn deploy(client: &Client) -> Result<(), Error> {
    manifests::apply(client, &[config(), deployment()]).await
}

/// Takes it away.
///
/// # Errors
/// The API server refuses that.
pub async fn remove(client: &Client) -> Result<(), Error> {
    let deployments: Api<Deployment> = Api::namespaced(client.clone(), NAMESPACE);
    let configs: Api<ConfigMap> = Api::namespaced(client.clone(), NAMESPACE);
    let params = DeleteParams::background();
    deployments.delete(NAME, &params).await.map(drop).map_err(Error::kube("deleting Deployment checkout"))?;
    configs.delete(CONFIG, &params).await.map(drop).map_err(Error::kube("deleting ConfigMap checkout-config"))
}

/// Waits until a pod of it is in `CrashLoopBackOff`.
///
/// # Errors
/// It isn't in time; the error says what the pods are instead.
pub async fn broken(client: &Client) -> Result<Broken, Error> {
    let api: Api<Pod> = Api::namespaced(client.clone(), NAMESPACE);
    let mut last = "it has no pod".to_owned();
    let waited = tokio::time::timeout(CRASH_LIMIT, crash(api, &mut last)).await;
    match waited {
        Ok(broken) => broken,
        Err(_) => Err(Error::NotReady {
            name: format!("the broken workload ({NAMESPACE}/{NAME})"),
            seconds: CRASH_LIMIT.as_secs(),
            last: format!("it should be in {CRASH_LOOP}"),
            tail: last,
        }),
    }
}

async fn crash(api: Api<Pod>, last: &mut String) -> Result<Broken, Error> {
    let config = watcher::Config::default().labels(SELECTOR);
    let pods = watcher(api, config).default_backoff().applied_objects();
    let mut pods = std::pin::pin!(pods);
    loop {
        // A watch that fails is tried again; the limit of the caller ends it.
        let Ok(Some(pod)) = pods.try_next().await else { continue };
        let container = container(&pod);
        let restarts = container.map_or(0, |container| container.restart_count);
        if waiting_for(container) == Some(CRASH_LOOP) {
            return Ok(Broken { pod: pod.name_any(), restarts });
        }
        *last = format!("{}: {}", pod.name_any(), describe(&pod));
    }
}

fn container(pod: &Pod) -> Option<&ContainerStatus> {
    pod.status.as_ref()?.container_statuses.as_ref()?.first()
}

fn waiting_for(container: Option<&ContainerStatus>) -> Option<&str> {
    container?.state.as_ref()?.waiting.as_ref()?.reason.as_deref()
}

fn describe(pod: &Pod) -> String {
    let waiting = waiting_for(container(pod)).map(str::to_owned);
    let phase = || pod.status.as_ref().and_then(|status| status.phase.clone());
    waiting.or_else(phase).unwrap_or_else(|| "no status yet".to_owned())
}

fn config() -> Value {
    json!({
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": { "name": CONFIG, "namespace": NAMESPACE, "labels": labels() },
        "data": {
            "CART_URL": "http://cart.shop.svc:8080",
            "LOG_LEVEL": "info",
            "PAYMENT_TIMEOUT": "30 seconds",
            "PAYMENT_URL": "https://payments.shop.svc",
        },
    })
}

fn deployment() -> Value {
    json!({
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": { "name": NAME, "namespace": NAMESPACE, "labels": labels() },
        "spec": {
            "replicas": 1,
            "selector": { "matchLabels": labels() },
            "template": {
                "metadata": { "labels": labels() },
                "spec": namespaces::restricted(json!({
                    "automountServiceAccountToken": false,
                    "terminationGracePeriodSeconds": 2,
                    "containers": [{
                        "name": NAME,
                        "image": IMAGE,
                        "command": [NAME],
                        "envFrom": [{ "configMapRef": { "name": CONFIG } }],
                        "ports": [{ "name": "http", "containerPort": 8080 }],
                        "resources": { "requests": { "cpu": "100m", "memory": "64Mi" } },
                    }],
                })),
            },
        },
    })
}

fn labels() -> Value {
    json!({ "app.kubernetes.io/name": NAME })
}

#[cfg(test)]
mod tests {
    use std::process::Command;

    use super::*;

    #[test]
    fn it_breaks_on_the_value_of_its_config_map_and_says_so() {
        let dir = tempfile::tempdir().unwrap();
        let program = image(dir.path()).unwrap().join(NAME);
        let data = config()["data"].clone();
        let data = data.as_object().unwrap().iter().map(|(name, value)| (name, value.as_str().unwrap()));
        let output = Command::new(program).envs(data).output().unwrap();
        let said = String::from_utf8(output.stdout).unwrap();
        assert_eq!(output.status.code(), Some(1), "{said}");
        let last = said.lines().last().unwrap_or_default();
        assert!(last.contains(r#"PAYMENT_TIMEOUT="30 seconds" is not a whole number"#), "{said}");
    }

    #[test]
    fn a_pod_that_crashes_is_told_from_one_that_waits_otherwise() {
        let pod = |reason: &str| -> Pod {
            let state = json!({ "waiting": { "reason": reason } });
            let container = json!({ "name": "checkout", "ready": false, "restartCount": 2, "image": "", "imageID": "", "state": state });
            serde_json::from_value(
                json!({ "status": { "phase": "Running", "containerStatuses": [container] } }),
            )
            .unwrap()
        };
        assert_eq!(waiting_for(container(&pod(CRASH_LOOP))), Some(CRASH_LOOP));
        assert_eq!(describe(&pod("ErrImagePull")), "ErrImagePull");
        assert_eq!(describe(&Pod::default()), "no status yet");
    }
}
