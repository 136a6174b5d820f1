//! `cargo xtask cluster down`: asks the process that holds the cluster to end it, and makes sure that it did.

use std::process::ExitCode;
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use super::state::{self, State};
use crate::Outcome;

/// How long pods and processes may take to end by themselves.
const GRACE: Duration = Duration::from_secs(60);
const POLL: Duration = Duration::from_millis(50);

/// Ends the cluster, if there is one.
pub async fn run() -> Outcome {
    if !state::is_held()? {
        println!("No cluster is up.");
        return Ok(ExitCode::SUCCESS);
    }
    let pid = State::read().and_then(|state| i32::try_from(state.pid).ok());
    let pid = Pid::from_raw(pid.ok_or("the cluster is just being started; try again in a moment")?);
    kill(pid, Signal::SIGTERM)?;
    if !ended(GRACE).await? {
        eprintln!("It does not end by itself within {} s: killing it.", GRACE.as_secs());
        // Its children go with it.
        kill(pid, Signal::SIGKILL)?;
        ended(GRACE).await?;
    }
    println!("The cluster is down.");
    Ok(ExitCode::SUCCESS)
}

async fn ended(limit: Duration) -> std::io::Result<bool> {
    let started = Instant::now();
    while state::is_held()? {
        if started.elapsed() > limit {
            return Ok(false);
        }
        tokio::time::sleep(POLL).await;
    }
    Ok(true)
}
