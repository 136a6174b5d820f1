//! The ground itself: a control plane that serves, and that is gone when who started it is.

use std::error::Error;
use std::path::Path;
use std::process::Stdio;
use std::time::{Duration, Instant};

use tokio::io::{AsyncBufReadExt as _, BufReader};
use tokio::process::Command;

type Outcome = Result<(), Box<dyn Error>>;

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
    let started = Instant::now();
    while pids.iter().any(|pid| runs(pid)) {
        assert!(started.elapsed() < Duration::from_secs(10), "still there: {line}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    Ok(())
}

/// Whether the process is there and no zombie.
fn runs(pid: &str) -> bool {
    let status = std::fs::read_to_string(Path::new("/proc").join(pid).join("status")).unwrap_or_default();
    status.lines().any(|line| line.starts_with("State:") && !line.contains('Z'))
}
