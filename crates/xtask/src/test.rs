//! `cargo xtask test`: everything that CI runs, one step after the other, and at the end what ran and how long it took.
//! A step that fails does not keep the later ones from running: one run tells all that is wrong.

mod report;
mod steps;

use std::env;
use std::process::ExitCode;
use std::time::Instant;

use futures::future::join_all;
use punching_fist_testkit::prerequisites::{Needs, Part};
use punching_fist_testkit::python::Packages;
use punching_fist_testkit::{Cache, Nursery, lacks_kubernetes_mcp};

use crate::Outcome;
use report::Report;
use steps::Step;

/// Names the engines that the end-to-end tests run.
const ENGINES: &str = "ENGINES";
/// Those that any CPython from 3.12 on runs.
const OF_EVERY_PYTHON: &str = "sdk,command";

/// What to run.
#[derive(clap::Args)]
pub struct Arguments {
    /// Only these steps [default: all of them]
    #[arg(value_enum)]
    steps: Vec<Step>,
}

/// Runs the steps.
pub async fn run(arguments: &Arguments) -> Outcome {
    let steps = if arguments.steps.is_empty() { Step::ALL.to_vec() } else { arguments.steps.clone() };
    let nursery = Nursery::start()?;
    let cache = Cache::of_user();
    // What is missing is told, and what takes minutes is built, before the first step runs.
    let lacks_python = lacks_python().await;
    if lacks_python && steps.contains(&Step::EndToEnd) {
        eprintln!("No CPython 3.12 is here: the engines cli and main, which run on no other, are not tried.");
    }
    if lacks_kubernetes_mcp(&cache) && steps.contains(&Step::EndToEnd) {
        eprintln!("No npm is here: the MCP server of examples/skills is not tried.");
    }
    // Whoever names engines may have no Python for the others: their test gets what it needs by itself.
    let engines = env::var_os(ENGINES).is_none() && !lacks_python;
    let needs = Needs { parts: parts(&steps, engines), ..Needs::default() };
    needs.check(&cache).await?;
    needs.build(&nursery, &cache).await?;
    let (mut report, begun) = (Report::default(), Instant::now());
    for beside in steps.chunk_by(|_, next| next.runs_beside_the_last()) {
        let run = async |step: &Step| {
            eprintln!("\n==> {step}");
            let started = Instant::now();
            let outcome = step.run(&nursery, &cache).await;
            (*step, outcome, started.elapsed())
        };
        for (step, outcome, time) in join_all(beside.iter().map(run)).await {
            report.add(step, outcome, time);
        }
    }
    report.time = begun.elapsed();
    println!("\n{report}");
    Ok(if report.passed() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// Whether this machine has only Pythons that not all engines run on.
async fn lacks_python() -> bool {
    Packages::Cli.find_python().await.is_none()
}

fn parts(steps: &[Step], engines: bool) -> Vec<Part> {
    let stands = [Step::EndToEnd, Step::Demo, Step::Cluster].iter().any(|step| steps.contains(step));
    let mut parts = match (stands, steps.contains(&Step::Agent)) {
        (true, _) => vec![Part::ControlPlane, Part::Node, Part::Alertmanager, Part::Agent],
        (false, true) => vec![Part::Agent],
        (false, false) => Vec::new(),
    };
    parts.extend((engines && steps.contains(&Step::EndToEnd)).then_some(Part::Engines));
    parts
}
