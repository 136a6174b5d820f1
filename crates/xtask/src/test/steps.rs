//! The steps of `cargo xtask test`, and the command of each.

use std::env;
use std::fmt;
use std::num::NonZero;
use std::process::{ExitStatus, Stdio};

use futures::{StreamExt as _, future, stream};
use punching_fist_testkit::python::Environment;
use punching_fist_testkit::{Cache, Nursery, repository};
use tokio::io::{AsyncBufReadExt as _, BufReader};
use tokio::process::Command;

use crate::cluster::state;
use crate::generate;

/// libtest tells how long each test took only to who says that it may use what is not stable. Said to the compiler, the
/// same word would rebuild every crate that looks for it: so only the test programs hear it.
const TIMED: [&str; 2] = ["--config", r#"target."cfg(all())".runner=["env","RUSTC_BOOTSTRAP=1"]"#];
const REPORT_TIME: [&str; 4] = ["--", "-Z", "unstable-options", "--report-time"];

/// The programs of the end-to-end tests. Chosen by their names from the whole workspace: chosen by their package, they would
/// have other features, and every dependency would be compiled once more.
const END_TO_END: [&str; 8] =
    ["agent", "alerts", "alone", "engines", "ground", "node", "permissions", "tasks"];

/// How libtest is told how many tests run at once.
const THREADS: &str = "RUST_TEST_THREADS";
/// How many end-to-end tests do, unless the user says it: they mostly wait for the cluster.
const END_TO_END_AT_ONCE: &str = "8";

/// One thing that CI looks at.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum Step {
    /// Is everything formatted?
    Format,
    /// Clippy, warnings being errors
    Lint,
    /// Are the files that are made from code what the code makes?
    Generated,
    /// Do the docs build without a warning?
    Docs,
    /// Tests that need nothing but this machine
    Unit,
    /// The examples in the docs
    DocTests,
    /// The agent's own tests, in its virtual environment
    Agent,
    /// Tests on a real control plane
    EndToEnd,
    /// `cargo xtask demo --once`: does an alert come to a verdict?
    Demo,
    /// `cargo xtask cluster` up, status and down
    Cluster,
}

/// What became of a step.
#[derive(Default)]
pub struct Outcome {
    /// What it wrote.
    pub lines: Vec<String>,
    /// Why it failed, if it did.
    pub failure: Option<String>,
}

impl Step {
    /// All of them, the quick ones first.
    pub const ALL: [Self; 10] = [
        Self::Format,
        Self::Lint,
        Self::Generated,
        Self::Docs,
        Self::Unit,
        Self::DocTests,
        Self::Agent,
        Self::EndToEnd,
        Self::Demo,
        Self::Cluster,
    ];

    /// Runs it, its output on the terminal.
    pub async fn run(self, nursery: &Nursery, cache: &Cache) -> Outcome {
        match self {
            Self::Format => run(cargo(&["fmt", "--all", "--check"])).await,
            Self::Lint => {
                run(cargo(&["clippy", "--workspace", "--all-targets", "--", "-D", "warnings"])).await
            }
            Self::Generated => generate::check_all().map_or_else(Outcome::failed, |()| Outcome::default()),
            Self::Docs => {
                let mut command = cargo(&["doc", "--workspace", "--no-deps"]);
                command.env("RUSTDOCFLAGS", "-D warnings");
                run(command).await
            }
            Self::Unit => run(timed_tests(&["--lib", "--bins", "--tests"])).await,
            Self::DocTests => run(cargo(&["test", "--doc"])).await,
            Self::Agent => agent(nursery, cache).await,
            Self::EndToEnd => {
                let names = END_TO_END.iter().flat_map(|name| ["--test", name]);
                let mut command = timed_tests(&[&["--workspace"], &names.collect::<Vec<_>>()[..]].concat());
                if env::var_os(THREADS).is_none() {
                    command.env(THREADS, END_TO_END_AT_ONCE);
                }
                if super::lacks_python().await && env::var_os(super::ENGINES).is_none() {
                    command.env(super::ENGINES, super::OF_EVERY_PYTHON);
                }
                run(command).await
            }
            Self::Demo => run(xtask(&["demo", "--once"])).await,
            Self::Cluster => cluster().await,
        }
    }
}

impl fmt::Display for Step {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Format => "format",
            Self::Lint => "lint",
            Self::Generated => "generated",
            Self::Docs => "docs",
            Self::Unit => "unit",
            Self::DocTests => "doc-tests",
            Self::Agent => "agent",
            Self::EndToEnd => "end-to-end",
            Self::Demo => "demo",
            Self::Cluster => "cluster",
        })
    }
}

fn cargo(arguments: &[&str]) -> Command {
    let mut command = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    command.args(arguments);
    command
}

fn timed_tests(which: &[&str]) -> Command {
    let mut command = cargo(&["test", "--no-fail-fast"]);
    command.args(TIMED).args(which).args(REPORT_TIME);
    command
}

fn xtask(arguments: &[&str]) -> Command {
    let mut command = cargo(&["run", "--quiet", "--bin", "xtask", "--"]);
    command.args(arguments);
    command
}

/// Takes a cluster up and down again, unless somebody works on one in this checkout.
async fn cluster() -> Outcome {
    if state::is_held().unwrap_or(false) {
        println!("A cluster is up here and left alone: nothing is tried.");
        return Outcome::default();
    }
    let mut outcome = run(xtask(&["cluster", "up", "--alertmanager"])).await;
    for command in ["status", "down"] {
        let next = run(xtask(&["cluster", command])).await;
        outcome.lines.extend(next.lines);
        outcome.failure = outcome.failure.or(next.failure);
    }
    outcome
}

async fn agent(nursery: &Nursery, cache: &Cache) -> Outcome {
    let environment = match Environment::get(nursery, cache).await {
        Ok(environment) => environment,
        Err(error) => return Outcome::failed(error),
    };
    let files = match agent_tests() {
        Ok(files) => files,
        Err(error) => return Outcome::failed(error),
    };
    let file = |name: &String| {
        let mut command = Command::new(environment.interpreter());
        command.args([
            "-B",
            "-m",
            "unittest",
            "discover",
            "--durations=5",
            "--start-directory",
            "agent/tests",
        ]);
        command.args(["--pattern", name]);
        apart(command)
    };
    // Of each file some tests run side by side, and each starts an agent, whose imports take a processor for seconds.
    let at_once = (processors() / 2).max(1);
    let failures = stream::iter(files.iter().map(file)).buffered(at_once).filter_map(future::ready);
    let failures: Vec<String> = failures.collect().await;
    Outcome { lines: Vec::new(), failure: failures.first().cloned() }
}

fn processors() -> usize {
    std::thread::available_parallelism().map_or(1, NonZero::get)
}

/// The files of the agent's tests.
fn agent_tests() -> std::io::Result<Vec<String>> {
    let names = std::fs::read_dir(repository::root().join("agent/tests"))?;
    let names = names.map(|entry| Ok(entry?.file_name().to_string_lossy().into_owned()));
    let names: std::io::Result<Vec<String>> = names.collect();
    Ok(names?.into_iter().filter(|name| name.starts_with("test_")).collect())
}

/// Runs `command` beside others: what it says is shown when it is done. Gives why it failed, if it did.
async fn apart(mut command: Command) -> Option<String> {
    command.current_dir(repository::root()).stdin(Stdio::null()).kill_on_drop(true);
    match command.output().await {
        Ok(output) => {
            print!("{}", String::from_utf8_lossy(&output.stdout));
            eprint!("{}", String::from_utf8_lossy(&output.stderr));
            (!output.status.success()).then(|| output.status.to_string())
        }
        Err(error) => Some(error.to_string()),
    }
}

impl Outcome {
    fn failed(why: impl fmt::Display) -> Self {
        Self { lines: Vec::new(), failure: Some(why.to_string()) }
    }
}

/// Runs `command` with its output on the terminal.
async fn run(mut command: Command) -> Outcome {
    command.current_dir(repository::root()).stdin(Stdio::null()).stdout(Stdio::piped()).kill_on_drop(true);
    let mut lines = Vec::new();
    let failure = match follow(command, &mut lines).await {
        Ok(status) if status.success() => None,
        Ok(status) => Some(status.to_string()),
        Err(error) => Some(error.to_string()),
    };
    Outcome { lines, failure }
}

async fn follow(mut command: Command, lines: &mut Vec<String>) -> std::io::Result<ExitStatus> {
    let mut child = command.spawn()?;
    if let Some(stdout) = child.stdout.take() {
        let mut output = BufReader::new(stdout).lines();
        while let Some(line) = output.next_line().await? {
            println!("{line}");
            lines.push(line);
        }
    }
    child.wait().await
}

#[cfg(test)]
mod tests {
    use clap::ValueEnum as _;

    use super::*;

    /// One that isn't named would never run.
    #[test]
    fn every_end_to_end_test_is_named() {
        let manifest = std::fs::read_to_string(repository::root().join("tests/Cargo.toml")).unwrap();
        let tests = manifest.split("[[test]]").skip(1);
        let mut names: Vec<_> = tests.filter_map(|test| test.split('"').nth(1)).collect();
        names.sort_unstable();
        assert_eq!(names, END_TO_END);
    }

    #[test]
    fn a_step_is_called_on_the_command_line_as_in_the_report() {
        assert_eq!(Step::ALL.as_slice(), Step::value_variants());
        for step in Step::ALL {
            assert_eq!(Step::from_str(&step.to_string(), false), Ok(step));
        }
    }
}
