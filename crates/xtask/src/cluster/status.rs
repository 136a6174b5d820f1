//! `cargo xtask cluster status`: each part as it is now, not as it was when it was started.

use std::fmt::Write as _;
use std::fs;
use std::path::Path;
use std::process::ExitCode;
use std::time::Duration;

use k8s_openapi::api::core::v1::Node;
use kube::{Api, Client};
use punching_fist_testkit::{control_plane, ground, loopback};
use tokio::net::TcpStream;

use super::state::{self, Check, Part, Phase, State};
use crate::Outcome;

/// How long a part may take to answer.
const LIMIT: Duration = Duration::from_secs(3);

/// Shows each part; the exit code is 0 only if all are healthy.
pub async fn run() -> Outcome {
    let state = State::read();
    if !state::is_held()? {
        println!("{}", absent(state.as_ref()));
        return Ok(ExitCode::FAILURE);
    }
    if let Some(state) = state.filter(|state| state.phase == Phase::Ready) {
        return show(&state).await;
    }
    println!("The cluster is starting. `cargo xtask cluster logs` shows how far it is.");
    Ok(ExitCode::FAILURE)
}

fn absent(state: Option<&State>) -> String {
    let up = "`cargo xtask cluster up` starts one";
    match state {
        Some(State { phase: Phase::Starting | Phase::Ready, pid, .. }) => {
            format!("No cluster is up: process {pid} held one and ended without `cluster down`; {up}.")
        }
        _ => format!("No cluster is up; {up}."),
    }
}

async fn show(state: &State) -> Outcome {
    let client = client().await;
    let mut table = format!("{:<26}{:>9}  {:<22}HEALTH\n", "PART", "PID", "ADDRESS");
    let _ = writeln!(table, "{:<26}{:>9}  {:<22}healthy", "(holds the others)", state.pid, "");
    let mut healthy = true;
    for part in &state.parts {
        let health = health(part, client.as_ref()).await;
        healthy &= health.is_ok();
        let address = part.address.map(|address| address.to_string()).unwrap_or_default();
        let health = health.map_or_else(|why| format!("NOT healthy: {why}"), |()| "healthy".to_owned());
        let _ = writeln!(table, "{:<26}{:>9}  {:<22}{health}", part.name, part.pid, address);
    }
    // At once: who reads it may stop after the first line that matters.
    print!("{table}");
    Ok(if healthy { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

async fn client() -> Option<Client> {
    let kubeconfig = fs::read_to_string(state::kubeconfig()).ok()?;
    control_plane::client_of(&kubeconfig).await.ok()
}

async fn health(part: &Part, client: Option<&Client>) -> Result<(), String> {
    if !Path::new("/proc").join(part.pid.to_string()).exists() {
        return Err(format!("its process has ended; see `cargo xtask cluster logs {}`", part.name));
    }
    let client = || client.ok_or_else(|| "no kubeconfig".to_owned());
    let asked = async {
        match &part.check {
            Check::Accepts(address) => TcpStream::connect(address).await.map(drop).map_err(|e| e.to_string()),
            Check::Answers(address, path) => {
                loopback::get(*address, path).await.map(drop).map_err(|e| e.to_string())
            }
            Check::ApiServer => control_plane::probe(client()?, "/readyz").await,
            Check::Node(name) => node_ready(client()?, name).await,
        }
    };
    tokio::time::timeout(LIMIT, asked).await.unwrap_or_else(|_| Err("no answer".to_owned()))
}

async fn node_ready(client: &Client, name: &str) -> Result<(), String> {
    let node: Node = Api::all(client.clone()).get(name).await.map_err(|error| error.to_string())?;
    if ground::is_ready(&node) { Ok(()) } else { Err("its Node is not Ready".to_owned()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_crash_is_told_apart_from_an_end() {
        let state = |phase| State { pid: 7, phase, parts: Vec::new(), model: None };
        for (state, crashed) in [
            (None, false),
            (Some(state(Phase::Stopped)), false),
            (Some(state(Phase::Ready)), true),
            (Some(state(Phase::Starting)), true),
        ] {
            assert_eq!(absent(state.as_ref()).contains("without `cluster down`"), crashed);
        }
    }
}
