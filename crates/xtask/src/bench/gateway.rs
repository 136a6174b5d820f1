//! What the gateway costs: its own time in a call and before the first byte of a stream, and the memory of streams.
//!
//! It runs as a process of its own, before a real API server and a model that answers at once. Its own time is the
//! whole less what the model took and less the write of the task's status, as the gateway's metrics tell it.

mod calls;
mod client;
mod runs;
pub mod serve;
mod streams;
mod upstream;

use std::env;
use std::net::SocketAddr;
use std::path::Path;
use std::time::Duration;

use punching_fist_testkit::process::{Process, Program};
use punching_fist_testkit::{Binaries, Cache, ControlPlane, Nursery, files, loopback};

use super::table::Row;
use client::Failure;
use upstream::Upstream;

/// How long the gateway may take to serve.
const READY: Duration = Duration::from_secs(30);
const STOP: Duration = Duration::from_secs(5);

/// What the measurements are made on.
struct Bench {
    upstream: Upstream,
    gateway: SocketAddr,
    gateway_pid: u32,
}

/// Brings all of it up, measures, and ends it.
pub async fn rows(nursery: &Nursery) -> Result<Vec<Row>, Failure> {
    let directory = tempfile::Builder::new().prefix("punching-fist-bench-").tempdir()?;
    let binaries = Binaries::get(nursery, &Cache::of_user()).await?;
    let control_plane =
        ControlPlane::start(nursery, &binaries, &directory.path().join("control-plane")).await?;
    let kubeconfig = directory.path().join("kubeconfig");
    files::write_private(&kubeconfig, &control_plane.kubeconfig()?)?;
    let tokens = runs::prepare(&control_plane.client(), 1 + streams::COUNT).await?;
    let upstream = Upstream::start().await?;
    let gateway = start(nursery, directory.path(), &kubeconfig, upstream.address).await?;
    let address = gateway.address().ok_or("the gateway has no address")?;
    let measured = measure(Bench { upstream, gateway: address, gateway_pid: gateway.pid() }, &tokens).await;
    gateway.stop(STOP).await?;
    control_plane.stop().await?;
    measured
}

async fn measure(mut bench: Bench, tokens: &[String]) -> Result<Vec<Row>, Failure> {
    let (first, others) = tokens.split_first().ok_or("no runs")?;
    let mut rows = calls::rows(&mut bench, first).await?;
    rows.extend(streams::rows(&mut bench, others).await?);
    Ok(rows)
}

async fn start(
    nursery: &Nursery,
    directory: &Path,
    kubeconfig: &Path,
    upstream: SocketAddr,
) -> Result<Process, Failure> {
    let address = loopback::free_address()?;
    let program = Program::new("gateway", env::current_exe()?, directory.join("gateway.log"))
        .args(["bench", "gateway", "--kubeconfig"])
        .args([kubeconfig])
        .args(["--upstream", &format!("http://{upstream}/v1"), "--listen", &address.to_string()])
        .env(serve::KEY, "the-key-of-the-model")
        .address(address);
    let mut gateway = program.start(nursery).await?;
    let serves = async || loopback::get(address, serve::METRICS).await.map(drop).map_err(|e| e.to_string());
    gateway.ready(READY, serves).await?;
    Ok(gateway)
}
