//! The steps of `cargo xtask test`, and the command of each.

use std::env;
use std::fmt;
use std::process::{ExitStatus, Stdio};

use futures::{StreamExt as _, stream};
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

/// The end-to-end tests of the real engines. Programs are chosen by their names from the whole workspace: chosen by their
/// package, they would have other features, and every dependency would be compiled once more.
const REAL_ENGINES: &str = "engines";
/// The other end-to-end tests, those first that take longest.
const OTHERS: [&str; 7] = ["agent", "alone", "tasks", "alerts", "permissions", "ground", "node"];
/// How many of these run at once, each on a cluster of its own.
const AT_ONCE: usize = 2;

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

    /// Whether it can run beside the one before it: both mostly wait for clusters of their own.
    pub fn runs_beside_the_last(self) -> bool {
        self == Self::Cluster
    }

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
            Self::Unit => run(with_threads(timed_tests(&["--lib", "--bins", "--tests"]), "4")).await,
            Self::DocTests => run(cargo(&["test", "--doc"])).await,
            Self::Agent => agent(nursery, cache).await,
            Self::EndToEnd => end_to_end().await,
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
    let mut outcome = Outcome::default();
    for arguments in [&["cluster", "up", "--alertmanager"][..], &["cluster", "status"], &["cluster", "down"]]
    {
        outcome = outcome.and(apart(&arguments.join(" "), xtask(arguments)).await);
    }
    outcome
}

async fn agent(nursery: &Nursery, cache: &Cache) -> Outcome {
    let environment = match Environment::get(nursery, cache).await {
        Ok(environment) => environment,
        Err(error) => return Outcome::failed(error),
    };
    let mut command = Command::new(environment.interpreter());
    command.args(["-B", "-m", "unittest", "discover", "--durations=5", "--start-directory", "agent/tests"]);
    run(command).await
}

/// Compiles all; then the real engines have the processors to themselves, and of the others some run at a time.
async fn end_to_end() -> Outcome {
    let names = OTHERS.iter().chain([&REAL_ENGINES]).flat_map(|name| ["--test", name]);
    let mut compile = cargo(&["test", "--workspace", "--no-run"]);
    compile.args(names);
    let compiled = run(compile).await;
    if compiled.failure.is_some() {
        return compiled;
    }
    let mut engines = end_to_end_test(REAL_ENGINES);
    if super::lacks_python().await && env::var_os(super::ENGINES).is_none() {
        engines.env(super::ENGINES, super::OF_EVERY_PYTHON);
    }
    let others = stream::iter(OTHERS).map(|name| apart(name, end_to_end_test(name)));
    let outcome = run(engines).await;
    others.buffer_unordered(AT_ONCE).fold(outcome, async |all, next| all.and(next)).await
}

fn end_to_end_test(name: &str) -> Command {
    with_threads(timed_tests(&["--workspace", "--test", name]), "6")
}

/// Runs so many tests at once, unless the user says it: most wait for what they have started.
fn with_threads(mut command: Command, threads: &str) -> Command {
    const THREADS: &str = "RUST_TEST_THREADS";
    if env::var_os(THREADS).is_none() {
        command.env(THREADS, threads);
    }
    command
}

impl Outcome {
    fn failed(why: impl fmt::Display) -> Self {
        Self { lines: Vec::new(), failure: Some(why.to_string()) }
    }

    /// What became of both.
    fn and(mut self, next: Self) -> Self {
        self.lines.extend(next.lines);
        Self { lines: self.lines, failure: self.failure.or(next.failure) }
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

/// Runs `command` beside others: what it says is shown when it is done.
async fn apart(name: &str, mut command: Command) -> Outcome {
    eprintln!("{name} begins");
    command.current_dir(repository::root()).stdin(Stdio::null()).kill_on_drop(true);
    let output = match command.output().await {
        Ok(output) => output,
        Err(error) => return Outcome::failed(error),
    };
    let [said, told] = [&output.stdout, &output.stderr].map(|bytes| String::from_utf8_lossy(bytes));
    eprintln!("\n{name} has ended:\n{told}");
    println!("{said}");
    let failure = (!output.status.success()).then(|| format!("{name}: {}", output.status));
    Outcome { lines: said.lines().map(str::to_owned).collect(), failure }
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
    use std::collections::BTreeSet;

    use clap::ValueEnum as _;

    use super::*;

    /// One that isn't named would never run.
    #[test]
    fn every_end_to_end_test_is_named() {
        let manifest = std::fs::read_to_string(repository::root().join("tests/Cargo.toml")).unwrap();
        let tests = manifest.split("[[test]]").skip(1);
        let names: BTreeSet<_> = tests.filter_map(|test| test.split('"').nth(1)).collect();
        assert_eq!(names, OTHERS.into_iter().chain([REAL_ENGINES]).collect());
    }

    #[test]
    fn a_step_is_called_on_the_command_line_as_in_the_report() {
        assert_eq!(Step::ALL.as_slice(), Step::value_variants());
        for step in Step::ALL {
            assert_eq!(Step::from_str(&step.to_string(), false), Ok(step));
        }
    }
}
