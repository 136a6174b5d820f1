//! The binary as a process, without a cluster: what it refuses at start, what its probes say, how it stops.

use std::fs;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::Path;
use std::process::{Child, Command, Output, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::time::{Duration, Instant};

use tempfile::TempDir;

const LIMIT: Duration = Duration::from_secs(120);

/// A folder with a configuration, and a kubeconfig that leads nowhere if nothing else is said.
struct Ground {
    dir: TempDir,
    webhook: SocketAddr,
    probes: SocketAddr,
    gateway: SocketAddr,
}

impl Ground {
    fn new() -> Self {
        Self::at([(); 3].map(|()| free_address()), free_address())
    }

    /// With these addresses for webhook, probes and gateway, and an API server there.
    fn at(listen: [SocketAddr; 3], api_server: SocketAddr) -> Self {
        let [webhook, probes, gateway] = listen;
        let ground = Self { dir: tempfile::tempdir().unwrap(), webhook, probes, gateway };
        ground.write("token", "secret");
        ground.write(
            "config.yaml",
            &format!(
                "listen: {{webhook: '{webhook}', probes: '{probes}', gateway: '{gateway}'}}\nreceivers:\n  prometheus:\n    http_config: {{bearer_token_file: {}}}\n",
                ground.path("token")
            ),
        );
        ground.write(
            "kubeconfig",
            &format!(
                "{{apiVersion: v1, kind: Config, current-context: a, contexts: [{{name: a, context: {{cluster: a, user: a}}}}], \
                 clusters: [{{name: a, cluster: {{server: 'http://{api_server}'}}}}], users: [{{name: a, user: {{}}}}]}}"
            ),
        );
        ground
    }

    fn path(&self, name: &str) -> String {
        self.dir.path().join(name).display().to_string()
    }

    fn write(&self, name: &str, text: &str) {
        fs::write(self.dir.path().join(name), text).unwrap();
    }

    fn command(&self) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_punching-fist"));
        command
            .args(["run", "--config", &self.path("config.yaml")])
            .env_clear()
            .env("KUBECONFIG", self.path("kubeconfig"))
            .env("NAMESPACE", "punching-fist")
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        command
    }

    /// Starts it, and waits until its probes answer.
    fn start(&self) -> Running {
        let running = Running(self.command().spawn().unwrap());
        wait(|| get(self.probes, "/startupz").is_some());
        running
    }
}

/// Ended with the test, whatever becomes of it.
struct Running(Child);

impl Running {
    fn terminate(&self) {
        let terminated = Command::new("kill").arg(self.0.id().to_string()).status().unwrap();
        assert!(terminated.success());
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn free_address() -> SocketAddr {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap()
}

fn wait(mut done: impl FnMut() -> bool) {
    let start = Instant::now();
    while !done() {
        assert!(start.elapsed() < LIMIT, "not within {LIMIT:?}");
        std::thread::sleep(Duration::from_millis(20));
    }
}

/// Status line and body; none if nobody answers.
fn get(address: SocketAddr, path: &str) -> Option<String> {
    let mut stream = TcpStream::connect(address).ok()?;
    write!(stream, "GET {path} HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n").ok()?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer).ok()?;
    Some(answer)
}

fn refusal(command: &mut Command) -> String {
    let Output { status, stderr, .. } = command.output().unwrap();
    let stderr = String::from_utf8(stderr).unwrap();
    assert_eq!(status.code(), Some(1), "{stderr}");
    assert_eq!(stderr.lines().count(), 1, "one line that says it: {stderr}");
    stderr
}

#[test]
fn without_an_api_server_it_lives_and_is_not_ready() {
    let ground = Ground::new();
    let mut running = ground.start();
    assert!(get(ground.probes, "/livez").unwrap().starts_with("HTTP/1.1 200"));
    wait(|| get(ground.probes, "/readyz").unwrap().contains("cluster: the API server"));
    assert!(get(ground.probes, "/readyz").unwrap().starts_with("HTTP/1.1 503"));
    assert!(get(ground.probes, "/metrics").unwrap().contains("punching_fist_leader 0"));
    assert!(get(ground.webhook, "/webhook/alertmanager").unwrap().starts_with("HTTP/1.1 405"));

    running.terminate();
    wait(|| running.0.try_wait().unwrap().is_some());
    assert_eq!(running.0.wait().unwrap().code(), Some(0), "SIGTERM is an orderly end");
    assert!(get(ground.probes, "/livez").is_none());
}

/// An API server that takes every call and answers none; it tells when one of them is about `what`.
fn silent_api_server(what: &'static str) -> (SocketAddr, Receiver<()>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let (tell, told) = channel();
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let (mut stream, tell) = (stream.unwrap(), tell.clone());
            std::thread::spawn(move || {
                let (mut asked, mut buffer) = (String::new(), [0; 4096]);
                // It ends with the caller.
                while let Ok(length @ 1..) = stream.read(&mut buffer) {
                    asked += &String::from_utf8_lossy(&buffer[..length]);
                    if asked.contains(what) {
                        let _ = tell.send(());
                    }
                }
            });
        }
    });
    (address, told)
}

/// A call of the gateway that nobody can answer yet: whose token it is, the API server doesn't say.
fn call_gateway(ground: &Ground, asked: &Receiver<()>) -> TcpStream {
    let mut agent = TcpStream::connect(ground.gateway).unwrap();
    let body = r#"{"model": "a", "messages": []}"#;
    let length = body.len();
    write!(
        agent,
        "POST /v1/messages HTTP/1.1\r\nHost: a\r\nx-api-key: a.b.c\r\nContent-Length: {length}\r\n\r\n{body}"
    )
    .unwrap();
    asked.recv_timeout(LIMIT).unwrap();
    agent
}

#[test]
fn an_agent_gets_its_answer_before_the_process_ends() {
    let (api_server, asked) = silent_api_server("tokenreviews");
    let ground = Ground::at([(); 3].map(|()| free_address()), api_server);
    let mut running = ground.start();
    let mut agent = call_gateway(&ground, &asked);
    running.terminate();
    wait(|| TcpStream::connect(ground.gateway).is_err());
    assert!(running.0.try_wait().unwrap().is_none(), "it ended before it answered");
    let mut answer = String::new();
    agent.read_to_string(&mut answer).unwrap();
    assert!(
        answer.starts_with("HTTP/1.1 503") && answer.contains("punching-fist-gateway: Unavailable"),
        "{answer}"
    );
    wait(|| running.0.try_wait().unwrap().is_some());
    assert_eq!(running.0.wait().unwrap().code(), Some(0));
}

#[test]
fn a_port_that_is_taken_is_named_with_its_key() {
    for (index, key) in ["listen.webhook", "listen.probes", "listen.gateway"].into_iter().enumerate() {
        // Taken first: an address that was free a moment ago may be another test's by now.
        let taken = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = taken.local_addr().unwrap();
        let mut listen = [(); 3].map(|()| free_address());
        listen[index] = address;
        let ground = Ground::at(listen, free_address());
        let message = refusal(&mut ground.command());
        assert!(message.contains(&format!("{key}: cannot listen on {address}")), "{message}");
        assert!(message.contains(&format!("free port {}", address.port())), "{message}");
    }
}

#[test]
fn what_is_missing_is_said_in_one_line() {
    let ground = Ground::new();
    let message = refusal(ground.command().env_remove("NAMESPACE"));
    assert!(message.contains("set NAMESPACE"), "{message}");
    let message = refusal(ground.command().env("RUST_LOG", "info,punching_fist=loud"));
    assert!(message.contains("RUST_LOG"), "{message}");
    let message = refusal(ground.command().env("NAMESPACE", "punching-fist-agents"));
    assert!(message.contains("defaultRoute.namespace is the operator's own namespace"), "{message}");
    let message = refusal(ground.command().env("KUBECONFIG", "/no/such/kubeconfig"));
    assert!(message.contains("set KUBECONFIG"), "{message}");
    ground.write("config.yaml", "limits:\n  maxConcurent: 1\n");
    let message = refusal(&mut ground.command());
    assert!(message.contains("config.yaml:2: limits: unknown field `maxConcurent`"), "{message}");
}

#[test]
fn the_definitions_that_it_prints_are_the_committed_ones() {
    let output = Command::new(env!("CARGO_BIN_EXE_punching-fist")).arg("crds").output().unwrap();
    let printed = documents(&String::from_utf8(output.stdout).unwrap());
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../crds");
    let committed = ["alerttasks.yaml", "maintenancetasks.yaml"];
    let committed = committed.map(|name| documents(&fs::read_to_string(folder.join(name)).unwrap()));
    assert_eq!(printed, committed.concat());
}

#[test]
fn a_namespace_is_prepared_for_the_operator_of_its_configuration_and_nobodys_shell() {
    let ground = Ground::new();
    let arguments = ["prepare-namespace", "ops", "--network-policy", "--api-server-cidr", "192.0.2.1/32"];
    let mut command = Command::new(env!("CARGO_BIN_EXE_punching-fist"));
    command.args(arguments).env("NAMESPACE", "mine").env("PUNCHING_FIST_CONFIG", ground.path("config.yaml"));
    let printed = documents(&String::from_utf8(command.output().unwrap().stdout).unwrap());
    let found = |kind: &str| printed.iter().rfind(|one| one["kind"] == kind).unwrap();
    // The tests may run in a pod themselves.
    let own = fs::read_to_string("/var/run/secrets/kubernetes.io/serviceaccount/namespace");
    let own = own.unwrap_or_else(|_| "punching-fist".to_owned());
    assert_eq!(found("RoleBinding")["subjects"][0]["namespace"], own.trim());
    let egress = &found("NetworkPolicy")["spec"]["egress"][0];
    assert_eq!(egress["ports"][0]["port"], ground.gateway.port());
    ground.write("config.yaml", "limits:\n  maxConcurent: 1\n");
    let message = refusal(&mut command);
    assert!(message.contains("say --gateway-port") && message.contains("config.yaml:2: "), "{message}");
}

fn documents(text: &str) -> Vec<serde_json::Value> {
    use serde::Deserialize;
    let documents = serde_yaml::Deserializer::from_str(text);
    documents.map(|document| serde_json::Value::deserialize(document).unwrap()).collect()
}
