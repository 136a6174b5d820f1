//! Brings a ground up with a pod on it, says so, and waits to be killed: for the tests of what is left of it then. With
//! KUBECONFIG set, on that cluster.

use std::error::Error;
use std::path::PathBuf;
use std::time::Duration;

use punching_fist_e2e::{TIMEOUT, kubectl};
use punching_fist_testkit::Ground;

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error + Send + Sync>> {
    let dir = PathBuf::from(std::env::args_os().nth(1).ok_or("usage: doomed DIRECTORY")?);
    let existing = std::env::var_os("KUBECONFIG").is_some();
    let ground = Ground::builder().directory(dir).existing(existing).operators(false).start().await?;
    kubectl(&ground, &["run", "pod", "--image=busybox", "--restart=Never", "--", "sleep", "3600"]).await?;
    kubectl(&ground, &["wait", "--for=condition=Ready", "pod/pod", TIMEOUT]).await?;
    println!("ready");
    tokio::time::sleep(Duration::from_secs(3600)).await;
    Ok(())
}
