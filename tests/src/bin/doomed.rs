//! Starts a control plane, prints the ids of its processes, and waits to be killed: for the test that proves that
//! nothing outlives it.

use std::error::Error;
use std::path::PathBuf;

use punching_fist_testkit::{Binaries, Cache, ControlPlane, Nursery};

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let dir = PathBuf::from(std::env::args_os().nth(1).ok_or("usage: doomed DIRECTORY")?);
    let nursery = Nursery::start()?;
    let binaries = Binaries::get(&nursery, &Cache::of_user()).await?;
    let control_plane = ControlPlane::start(&nursery, &binaries, &dir).await?;
    let pids: Vec<String> =
        control_plane.processes().iter().map(|process| process.pid().to_string()).collect();
    println!("{}", pids.join(" "));
    std::future::pending::<()>().await;
    Ok(())
}
