//! The ground itself: a control plane that serves, Alertmanager that posts, and nothing left when who started it is gone.

use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use punching_fist_e2e::{Outcome, kubectl, on_ground};
use punching_fist_testkit::{alertmanager, wait};
use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::TcpListener;
use tokio::process::Command;

const LIMIT: Duration = Duration::from_secs(30);

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
                let asked =
                    kubectl(ground, &["auth", "can-i", verb, what, &agent, "--namespace=kube-system"]).await;
                // kubectl fails when the answer is no.
                let answer = asked.map_or_else(|_| "no".to_owned(), |answer| answer.trim().to_owned());
                assert_eq!(answer, expected, "{namespace}: {verb} {what}");
            }
            kubectl(ground, &["get", "secret", "openhands-secrets", "--namespace", namespace]).await?;
        }
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
        let (head, body) = tokio::time::timeout(LIMIT, receive(&listener)).await??;
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
    let mut child = Command::new(env!("CARGO_BIN_EXE_doomed"))
        .arg(dir.path())
        .stdout(Stdio::piped())
        .kill_on_drop(true)
        .spawn()?;
    let stdout = child.stdout.take().ok_or("stdout is piped")?;
    let line = BufReader::new(stdout)
        .lines()
        .next_line()
        .await?
        .ok_or("it ended before its control plane was up")?;
    let pids: Vec<&str> = line.split_whitespace().collect();
    assert_eq!(pids.len(), 3, "{line}");
    assert!(pids.iter().all(|pid| runs(pid)), "{line}");
    child.kill().await?;
    wait::until("all are gone", LIMIT, async || pids.iter().all(|pid| !runs(pid)).then_some(())).await?;
    Ok(())
}

/// Whether the process is there and no zombie.
fn runs(pid: &str) -> bool {
    let status = std::fs::read_to_string(Path::new("/proc").join(pid).join("status")).unwrap_or_default();
    status.lines().any(|line| line.starts_with("State:") && !line.contains('Z'))
}
