//! The examples of skills, applied as they are shipped and run by the real agent: a runbook that it follows, and an MCP
//! server whose tools it has. Of a task only that is changed which our node doesn't have: profile, image, DNS.

use std::fs;
use std::time::Duration;

use jiff::Timestamp;
use k8s_openapi::api::core::v1::{Node, Pod};
use kube::Api;
use kube::api::{Patch, PatchParams};
use punching_fist_api::{Finding, MaintenanceTask, Verdict, names};
use punching_fist_e2e::{Failure, Outcome, Scripted, Space, TIMEOUT, kubectl, kubectl_with};
use punching_fist_testkit::scripted_model::{Behaviour, Step, scripts};
use punching_fist_testkit::{images, namespaces, repository, yaml};
use serde_json::{Value, json};
use tokio::time::sleep;

use crate::STAGE;

/// A node that nobody runs: its disk is full.
const NODE: &str = "full";
/// How often its kubelet would tell how it is.
const BEAT: Duration = Duration::from_secs(10);
/// What the workload says for itself.
const COMPLAINT: &str = "cache has 21 GiB and no limit";
const RUNBOOK: &str = "runbook";
const MCP: &str = "kubernetes-mcp";

/// The models behind this file's profiles.
pub fn models() -> Vec<Scripted> {
    let list = Step::Call("pods_list_in_namespace".to_owned(), json!({ "namespace": "mcp" }));
    let secrets =
        json!({ "apiVersion": "v1", "kind": "Secret", "namespace": "mcp", "name": "openhands-secrets" });
    let spy = Step::Call("resources_get".to_owned(), secrets);
    let look = vec![list, spy, Step::Finish(scripts::conclusion())];
    let sdk = |profile, behaviour| Scripted { profile, behaviour, more: json!({ "image": images::AGENT }) };
    vec![sdk(RUNBOOK, Behaviour::FollowRunbook), sdk(MCP, Behaviour::Steps(look))]
}

/// Applies an example: its ConfigMap as it stands, its task as `change` has it. Gives the task's spec.
async fn apply(space: &Space, file: &str, change: impl Fn(&mut Value)) -> Result<Value, Failure> {
    let text = fs::read_to_string(repository::root().join("examples/skills").join(file))?;
    let documents = yaml::read(&text)?;
    let [config_map, task] = documents.as_slice() else {
        return Err(format!("{file} has other documents").into());
    };
    space.kubectl_apply(config_map).await?;
    let mut task = task.clone();
    change(&mut task["spec"]);
    space.kubectl_apply(&task).await?;
    Ok(task["spec"].clone())
}

async fn result(space: &Space, task: &str) -> Result<Finding, Failure> {
    let ended = space.end::<MaintenanceTask>(task).await?;
    let status = ended.status.ok_or("no status")?.task;
    Ok(status.result.ok_or_else(|| format!("no result: {:?} {:?}", status.reason, status.message))?)
}

/// The run's events of a kind.
async fn events(space: &Space, task: &str, kind: &str) -> Result<Vec<Value>, Failure> {
    let name = space.kubectl(&["get", "mt", task, "--output=jsonpath={.status.job.name}"]).await?;
    let log = space.kubectl(&["logs", &format!("job/{name}")]).await?;
    let events = log.lines().map(serde_json::from_str).collect::<Result<Vec<Value>, _>>()?;
    Ok(events.into_iter().filter(|event| event["kind"] == kind).collect())
}

/// A node whose disk is full, two pods that were evicted from it, and the workload of the greedier one elsewhere.
async fn press(space: &Space) -> Outcome {
    let namespace = space.namespace();
    let script = format!("echo {COMPLAINT}; sleep 300");
    let writer = json!({ "name": "log-writer", "image": images::SHELL, "command": ["sh", "-c", script] });
    let labels = json!({ "app": "log-writer" });
    let evicted = |name: &str| {
        let spec = json!({ "nodeName": NODE, "containers": [{ "name": "c", "image": "none" }] });
        json!({ "apiVersion": "v1", "kind": "Pod", "metadata": { "name": name, "namespace": namespace },
            "spec": namespaces::restricted(spec) })
    };
    let list = json!({ "apiVersion": "v1", "kind": "List", "items": [
        { "apiVersion": "v1", "kind": "Node", "metadata": { "name": NODE } },
        { "apiVersion": "apps/v1", "kind": "Deployment", "metadata": { "name": "log-writer", "namespace": namespace },
          "spec": { "selector": { "matchLabels": labels }, "template": { "metadata": { "labels": labels },
            "spec": namespaces::restricted(json!({ "terminationGracePeriodSeconds": 1, "containers": [writer] })) } } },
        evicted("log-writer-6d4f9c-x2x7z"),
        evicted("careful-58cc84-fhf7p"),
    ] });
    let ground = space.world().ground();
    kubectl_with(ground, &["apply", "--filename=-"], &list.to_string()).await?;
    for (pod, used) in [("log-writer-6d4f9c-x2x7z", 21), ("careful-58cc84-fhf7p", 2)] {
        let message =
            format!("The node was low on resource: ephemeral-storage. Container c was using {used}Gi.");
        let status = json!({ "phase": "Failed", "reason": "Evicted", "message": message });
        let patch = Patch::Merge(json!({ "status": status }));
        space.api::<Pod>().patch_status(pod, &PatchParams::default(), &patch).await?;
    }
    let ready = ["wait", "--for=condition=Available", "deployment/log-writer", TIMEOUT];
    space.kubectl(&ready).await.map(drop)
}

/// What the kubelet of [`NODE`] would say, again and again. A node that doesn't say for long that it is Ready is taken for
/// lost, and what it said of itself for unknown.
async fn beat(space: &Space) -> Outcome {
    let nodes: Api<Node> = Api::all(space.world().client());
    loop {
        let condition = |kind: &str, message: &str| {
            json!({ "type": kind, "status": "True", "message": message,
                "lastTransitionTime": "2026-01-01T00:00:00Z", "lastHeartbeatTime": Timestamp::now().to_string() })
        };
        let conditions = [
            condition("Ready", "kubelet is posting"),
            condition("DiskPressure", "kubelet has disk pressure"),
        ];
        let patch = Patch::Merge(json!({ "status": { "conditions": conditions } }));
        nodes.patch_status(NODE, &PatchParams::default(), &patch).await?;
        sleep(BEAT).await;
    }
}

/// What the run that had the runbook concludes with: each part of it comes from a command's output.
fn assert_found(found: &Finding, namespace: &str) {
    let summary = format!("{namespace}/log-writer fills the disk of node {NODE}.");
    assert_eq!((found.verdict, found.summary.as_deref()), (Some(Verdict::Diagnosed), Some(summary.as_str())));
    let report = found.report.as_deref().unwrap_or_default();
    for line in [
        "node full: DiskPressure since 2026-01-01T00:00:00Z: kubelet has disk pressure",
        "evicted from full: disks/log-writer-6d4f9c-x2x7z: The node was low on resource: ephemeral-storage.",
        COMPLAINT,
        "Replicas:",
    ] {
        assert!(report.contains(line), "{line} is not in\n{report}");
    }
    let plan = found.plan.as_deref().unwrap_or_default();
    assert!(plan.contains("--limits=ephemeral-storage"), "{plan}");
}

/// The shell commands of a run.
async fn commands(space: &Space, task: &str) -> Result<Vec<String>, Failure> {
    let events = events(space, task, "command").await?;
    Ok(events.iter().filter_map(|event| event["command"].as_str().map(str::to_owned)).collect())
}

/// Runs the example's task with its runbook and without.
async fn follow(space: &Space) -> Outcome {
    let spec = apply(space, "disk-pressure.yaml", |spec| spec["agent"]["profile"] = json!(RUNBOOK)).await?;
    // The same without its skill.
    let mut ignorant = spec;
    ignorant["agent"] = json!({ "profile": RUNBOOK });
    space.task_with::<MaintenanceTask>("ignorant", ignorant).await?;

    let namespace = space.namespace();
    assert_found(&result(space, "disk-pressure").await?, namespace);
    let expected = [
        "/punching-fist-skills/disk-pressure-runbook/survey.py".to_owned(),
        format!("kubectl logs deployment/log-writer --namespace {namespace}"),
        format!("kubectl describe deployment/log-writer --namespace {namespace}"),
    ];
    assert_eq!(commands(space, "disk-pressure").await?, expected);
    assert_eq!(result(space, "ignorant").await?.verdict, Some(Verdict::Inconclusive));
    assert_eq!(commands(space, "ignorant").await?, Vec::<String>::new());

    let asked = space.world().model(RUNBOOK).requests();
    let (told, untold): (Vec<_>, Vec<_>) =
        asked.iter().map(|request| request.body.to_string()).partition(|body| body.contains("survey.py"));
    assert!(!told.is_empty() && !untold.is_empty());
    assert!(told.iter().all(|body| body.contains("Nobody but the storage team")));
    Ok(())
}

#[test]
fn the_runbook_of_the_example_is_followed() {
    STAGE.play("disks", async |space| {
        press(&space).await?;
        tokio::select! {
            outcome = follow(&space) => outcome?,
            failure = beat(&space) => failure?,
        }
        kubectl(space.world().ground(), &["delete", "node", NODE]).await.map(drop)
    });
}

#[test]
fn the_mcp_server_of_the_example_looks_as_the_agent() {
    STAGE.play("mcp", async |space| {
        if !space.world().ground().add_kubernetes_mcp().await? {
            println!("There is no npm: the server can't be installed.");
            return Ok(());
        }
        // In a pod the server looks for `kubernetes.default.svc`, and our node has no DNS; a kubeconfig says where it is.
        let account = names::SERVICE_ACCOUNT;
        let token = space.kubectl(&["create", "token", account]).await?;
        let kubeconfig = space.world().ground().cluster().kubeconfig_for_token(token.trim())?;
        let literal = format!("--from-literal=kubeconfig={kubeconfig}");
        space.kubectl(&["create", "secret", "generic", "here", &literal]).await?;
        apply(&space, "kubernetes-mcp.yaml", |spec| {
            spec["cluster"] = json!("here");
            spec["agent"]["profile"] = json!(MCP);
            spec["agent"]["image"] = json!(images::AGENT);
        })
        .await?;
        result(&space, "warnings-of-today").await?;
        let asked = space.world().model(MCP).requests();
        let tools = asked.iter().find_map(|request| request.body["tools"].as_array()).ok_or("no tools")?;
        let names: Vec<&str> = tools.iter().filter_map(|tool| tool["function"]["name"].as_str()).collect();
        for tool in ["pods_list", "events_list", "resources_get", "pods_list_in_namespace"] {
            assert!(names.contains(&tool), "{tool} is not in {names:?}");
        }
        // It was started to read only.
        assert!(!names.iter().any(|name| name.contains("delete") || name.contains("create")), "{names:?}");
        let shown = events(&space, "warnings-of-today", "output").await?;
        let [pods, secret] = shown.as_slice() else { return Err(format!("{shown:?}").into()) };
        let said = |event: &Value| event["text"].as_str().unwrap_or_default().to_owned();
        assert!(said(pods).contains("openhands-task-"), "{pods}");
        // What the ServiceAccount may not read, it can't.
        assert!(said(secret).contains("forbidden"), "{secret}");
        Ok(())
    });
}
