//! What the end-to-end tests share: one ground for all tests of a process. The tests themselves stand beside this
//! package's manifest, one file or folder per subject.

pub mod money;
pub mod notification;
mod replica;
mod service;
mod space;
mod stage;

use std::error::Error;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::LazyLock;

use punching_fist_testkit::{Ground, repository};
use tokio::io::AsyncWriteExt as _;
use tokio::process::Command;
use tokio::runtime::Runtime;
use tokio::sync::OnceCell;

pub use replica::{Answer, Replica};
pub use service::Service;
pub use space::{Follow, Space};
pub use stage::{Plan, SHELL_AGENT, Scripted, Stage, World, until};

/// Why a test fails.
pub type Failure = Box<dyn Error + Send + Sync>;
/// How a test ends.
pub type Outcome = Result<(), Failure>;

/// How long `kubectl wait` may take: [`PATIENCE`](punching_fist_testkit::wait::PATIENCE).
pub const TIMEOUT: &str = "--timeout=300s";

/// The runtime of every test that uses the shared ground: its processes and connections belong to one, and that of a
/// `#[tokio::test]` ends with its test.
static RUNTIME: LazyLock<Runtime> =
    LazyLock::new(|| Runtime::new().expect("the system gives a runtime its threads"));

/// The shared ground. Nobody stops it: it ends with the process.
static GROUND: OnceCell<Ground> = OnceCell::const_new();

/// Runs `test` on the shared ground, which the first test of a process starts.
///
/// # Panics
/// When the test fails.
pub fn on_ground<F>(test: F)
where
    F: AsyncFnOnce(&'static Ground) -> Outcome,
{
    let outcome = RUNTIME.block_on(async { test(GROUND.get_or_try_init(start).await?).await });
    if let Err(error) = outcome {
        panic!("{error}");
    }
}

async fn start() -> Result<Ground, punching_fist_testkit::Error> {
    Ground::builder().directory(directory()).start().await
}

/// A directory for this process in `target/e2e`, where logs can be read after a failure. What processes left there that
/// are gone is removed.
fn directory() -> PathBuf {
    let all = repository::root().join("target/e2e");
    for entry in fs::read_dir(&all).into_iter().flatten().flatten() {
        if !Path::new("/proc").join(entry.file_name()).exists() {
            // Another process may be doing the same.
            let _ = fs::remove_dir_all(entry.path());
        }
    }
    all.join(std::process::id().to_string())
}

/// Runs kubectl with all rights: what it wrote, or its error.
///
/// # Errors
/// It fails; the error is what it said.
pub async fn kubectl(ground: &Ground, arguments: &[&str]) -> Result<String, Failure> {
    kubectl_with(ground, arguments, "").await
}

/// The same with something to read.
///
/// # Errors
/// It fails; the error is what it said.
pub async fn kubectl_with(ground: &Ground, arguments: &[&str], input: &str) -> Result<String, Failure> {
    let mut child =
        kubectl_command(ground, arguments).stdin(Stdio::piped()).stderr(Stdio::piped()).spawn()?;
    if let Some(mut stdin) = child.stdin.take() {
        stdin.write_all(input.as_bytes()).await?;
    }
    let output = child.wait_with_output().await?;
    if !output.status.success() {
        let said = String::from_utf8_lossy(&output.stderr);
        return Err(format!("kubectl {}: {said}", arguments.join(" ")).into());
    }
    Ok(String::from_utf8(output.stdout)?)
}

/// What `punching-fist prepare-namespace` prints.
///
/// # Errors
/// It refuses; the error is what it said.
pub async fn prepared(ground: &Ground, arguments: &[&str]) -> Result<String, Failure> {
    let program = ground.operator_program().ok_or("the ground was started without the operator")?;
    let mut command = Command::new(program);
    let output = command.env_remove("NAMESPACE").arg("prepare-namespace").args(arguments).output().await?;
    if !output.status.success() {
        return Err(String::from_utf8_lossy(&output.stderr).into());
    }
    Ok(String::from_utf8(output.stdout)?)
}

/// Applies it, as its documentation says.
///
/// # Errors
/// It refuses, or kubectl does; the error is what was said.
pub async fn prepare(ground: &Ground, arguments: &[&str]) -> Result<String, Failure> {
    kubectl_with(ground, &["apply", "--filename=-"], &prepared(ground, arguments).await?).await
}

pub(crate) fn kubectl_command(ground: &Ground, arguments: &[&str]) -> Command {
    let mut command = Command::new(ground.kubectl());
    command.env("KUBECONFIG", ground.kubeconfig()).args(arguments);
    command.stdin(Stdio::null()).stdout(Stdio::piped()).kill_on_drop(true);
    command
}
