//! The ground itself: a control plane that serves, Alertmanager that posts, and nothing left when who started it is gone.

use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use punching_fist_e2e::{Failure, Outcome, TIMEOUT, kubectl, kubectl_with, on_ground, until};
use punching_fist_testkit::wait::PATIENCE;
use punching_fist_testkit::{Binaries, Cache, ControlPlane, Ground, Nursery, alertmanager, control_plane};
use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::TcpListener;
use tokio::process::{Child, Command};

#[test]
fn kubectl_finds_the_kinds_of_the_repository_already_there() {
    on_ground(async |ground| {
        // The files and what the ground applied from code are the same: nothing is left to change.
        let crds = punching_fist_testkit::repository::root().join("crds");
        let crds = crds.to_string_lossy();
        kubectl(ground, &["diff", "--server-side", "--force-conflicts", "--filename", &crds]).await?;
        let names =
            kubectl(ground, &["api-resources", "--api-group=punching-fist.io", "--output=name"]).await?;
        assert_eq!(names, "alerttasks.punching-fist.io\nmaintenancetasks.punching-fist.io\n");
        Ok(())
    });
}

/// What `kubectl auth can-i` answers: yes or no.
async fn can_i(ground: &Ground, question: &[&str]) -> String {
    let asked = kubectl(ground, &[&["auth", "can-i"], question].concat()).await;
    // kubectl fails when the answer is no.
    asked.map_or_else(|_| "no".to_owned(), |answer| answer.trim().to_owned())
}

#[test]
fn agents_may_read_pods_and_no_secrets() {
    on_ground(async |ground| {
        for namespace in ["default", "shop", "punching-fist-agents"] {
            let agent = format!("--as=system:serviceaccount:{namespace}:punching-fist-agent");
            for (verb, what, expected) in [
                ("get", "pods", "yes"),
                ("get", "pods/log", "yes"),
                ("list", "deployments.apps", "yes"),
                ("get", "secrets", "no"),
                ("delete", "pods", "no"),
                ("create", "jobs.batch", "no"),
            ] {
                let answer = can_i(ground, &[verb, what, &agent, "--namespace=kube-system"]).await;
                assert_eq!(answer, expected, "{namespace}: {verb} {what}");
            }
        }
        Ok(())
    });
}

#[test]
fn the_operator_makes_alert_tasks_in_prepared_namespaces_alone() {
    on_ground(async |ground| {
        let operator = "--as=system:serviceaccount:punching-fist:punching-fist";
        for (verb, namespace, expected) in [
            ("create", "punching-fist-agents", "yes"),
            ("create", "shop", "yes"),
            ("create", "kube-system", "no"),
            ("create", "punching-fist", "no"),
            ("get", "kube-system", "yes"),
            ("delete", "punching-fist-agents", "no"),
        ] {
            let question = [verb, "alerttasks.punching-fist.io", operator, "--namespace", namespace];
            assert_eq!(can_i(ground, &question).await, expected, "{verb} in {namespace}");
        }
        Ok(())
    });
}

#[test]
fn finished_tasks_are_deleted_by_their_phase() {
    on_ground(async |ground| {
        for (kind, spec) in [
            ("AlertTask", json!({ "notification": { "alerts": [{}] } })),
            ("MaintenanceTask", json!({ "prompt": "Look." })),
        ] {
            let resource = format!("{}s", kind.to_lowercase());
            for (name, phase) in [("done", "Succeeded"), ("going", "Running")] {
                let task = json!({
                    "apiVersion": "punching-fist.io/v1alpha1", "kind": kind, "spec": spec,
                    "metadata": { "name": name, "namespace": "default" },
                });
                kubectl_with(ground, &["create", "--filename=-"], &task.to_string()).await?;
                let patch = json!({ "status": { "phase": phase } }).to_string();
                let status =
                    ["patch", &resource, name, "--subresource=status", "--type=merge", "--patch", &patch];
                kubectl(ground, &status).await?;
            }
            // As deploy/README.md has it.
            let phase = ["--field-selector", "status.phase=Succeeded"];
            kubectl(ground, &[&["delete", &resource, "--all-namespaces"], &phase[..]].concat()).await?;
            let left = kubectl(ground, &["get", &resource, "--output=name"]).await?;
            assert!(left.contains("/going") && !left.contains("/done"), "{left}");
            kubectl(ground, &["delete", &resource, "going"]).await?;
        }
        Ok(())
    });
}

#[test]
fn a_job_runs_to_its_end_and_its_log_is_followed() {
    on_ground(async |ground| {
        let script = "for line in 1 2 3; do echo line $line; sleep 0.3; done";
        kubectl(ground, &["create", "job", "plain", "--image=busybox", "--", "sh", "-c", script]).await?;
        let started = async || kubectl(ground, &["logs", "job/plain"]).await.ok();
        until("the container has started", started).await?;
        // It ends when the container does, and has then shown everything.
        let followed = kubectl(ground, &["logs", "--follow", "job/plain"]).await?;
        assert_eq!(followed, "line 1\nline 2\nline 3\n");
        kubectl(ground, &["wait", "--for=condition=Complete", "job/plain", TIMEOUT]).await?;
        let node =
            kubectl(ground, &["get", "pods", "-ljob-name=plain", "-o=jsonpath={.items[*].spec.nodeName}"])
                .await?;
        assert_eq!(Some(node.as_str()), ground.node_name());
        kubectl(ground, &["delete", "job/plain"]).await?;
        Ok(())
    });
}

#[test]
fn alertmanager_posts_what_it_is_given() {
    on_ground(async |ground| {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let url = format!("http://{}/webhook/alertmanager", listener.local_addr()?);
        let settings = alertmanager::Settings {
            group_wait: Duration::from_millis(10),
            ..alertmanager::Settings::new(url, Some("token-of-a-test".to_owned()))
        };
        let alertmanager = ground.alertmanager(&settings).await?;
        alertmanager
            .post_alerts(&json!([{ "labels": { "alertname": "Broken", "namespace": "shop" } }]))
            .await?;
        let (head, body) = tokio::time::timeout(PATIENCE, receive(&listener)).await??;
        assert!(head.starts_with("POST /webhook/alertmanager HTTP/1.1"), "{head}");
        assert!(head.contains("Authorization: Bearer token-of-a-test"), "{head}");
        assert_eq!((&body["version"], &body["groupLabels"]["namespace"]), (&json!("4"), &json!("shop")));
        alertmanager.stop().await?;
        Ok(())
    });
}

/// One request: its head, and its body as JSON. It is answered with 200.
async fn receive(listener: &TcpListener) -> std::io::Result<(String, Value)> {
    let (stream, _) = listener.accept().await?;
    let mut stream = BufReader::new(stream);
    let (mut head, mut length) = (String::new(), 0);
    while stream.read_line(&mut head).await? > 2 {
        let line = head.lines().last().unwrap_or_default();
        if let Some(value) = line.strip_prefix("Content-Length: ") {
            length = value.parse().map_err(std::io::Error::other)?;
        }
    }
    let mut body = vec![0; length];
    stream.read_exact(&mut body).await?;
    stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n").await?;
    Ok((head, serde_json::from_slice(&body)?))
}

#[tokio::test]
async fn nothing_outlives_who_is_killed() -> Outcome {
    let dir = tempfile::tempdir()?;
    let mut child = doomed(dir.path(), None).await?;
    let below = descendants(child.id().ok_or("it runs")?);
    // etcd, API server, controller manager, and the pod: its namespaces' keeper and its first process.
    assert!(below.len() >= 5, "{below:?}");
    child.kill().await?;
    let gone = async || below.iter().all(|pid| Process::read(*pid).is_none()).then_some(());
    until("all processes are gone", gone).await?;
    Ok(())
}

#[tokio::test]
async fn a_cluster_that_is_there_already_is_used_and_left() -> Outcome {
    let dir = tempfile::tempdir()?;
    let nursery = Nursery::start()?;
    let binaries = Binaries::get(&nursery, &Cache::of_user()).await?;
    let control_plane = ControlPlane::start(&nursery, &binaries, &dir.path().join("theirs")).await?;
    let kubeconfig = dir.path().join("kubeconfig");
    std::fs::write(&kubeconfig, control_plane.kubeconfig()?)?;
    let mut child = doomed(&dir.path().join("ours"), Some(&kubeconfig)).await?;
    child.kill().await?;
    control_plane::probe(&control_plane.client(), "/readyz").await?;
    control_plane.stop().await?;
    Ok(())
}

/// A process that holds a ground with a pod on it.
async fn doomed(dir: &Path, kubeconfig: Option<&Path>) -> Result<Child, Failure> {
    let mut command = Command::new(env!("CARGO_BIN_EXE_doomed"));
    command.arg(dir).stdout(Stdio::piped()).kill_on_drop(true).env_remove("KUBECONFIG");
    if let Some(kubeconfig) = kubeconfig {
        command.env("KUBECONFIG", kubeconfig);
    }
    let mut child = command.spawn()?;
    let stdout = child.stdout.take().ok_or("stdout is piped")?;
    let line =
        BufReader::new(stdout).lines().next_line().await?.ok_or("it ended before its ground was up")?;
    assert_eq!(line, "ready");
    Ok(child)
}

/// What `/proc` says about a process.
struct Process {
    pid: u32,
    parent: u32,
}

impl Process {
    /// Nothing for one that has ended, waited for or not.
    fn read(pid: u32) -> Option<Self> {
        let status = std::fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
        let field = |name: &str| status.lines().find_map(|line| line.strip_prefix(name)).map(str::trim);
        let alive = !field("State:")?.starts_with('Z');
        let parent = field("PPid:")?.parse().ok()?;
        alive.then_some(Self { pid, parent })
    }
}

/// The processes that `root` has started, and those that they have started.
fn descendants(root: u32) -> Vec<u32> {
    let all = std::fs::read_dir("/proc").into_iter().flatten().flatten();
    let pids = all.filter_map(|entry| entry.file_name().to_str()?.parse().ok());
    let processes: Vec<Process> = pids.filter_map(Process::read).collect();
    let mut found = vec![root];
    let mut next = 0;
    while let Some(&parent) = found.get(next) {
        found.extend(processes.iter().filter(|process| process.parent == parent).map(|process| process.pid));
        next += 1;
    }
    found.split_off(1)
}
