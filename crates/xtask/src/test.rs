//! `cargo xtask test`: everything that CI runs, one step after the other, and at the end what ran and how long it took.
//! A step that fails does not keep the later ones from running: one run tells all that is wrong.

mod report;
mod steps;

use std::env;
use std::process::ExitCode;
use std::time::Instant;

use punching_fist_testkit::prerequisites::{Needs, Part};
use punching_fist_testkit::{Cache, Nursery};

use crate::Outcome;
use report::Report;
use steps::Step;

/// Names the engines that the end-to-end tests run [default: all of them].
const ENGINES: &str = "ENGINES";

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
    let needs = Needs { parts: parts(&steps), ..Needs::default() };
    needs.check(&cache).await?;
    needs.build(&nursery, &cache).await?;
    let mut report = Report::default();
    for step in steps {
        eprintln!("\n==> {step}");
        let started = Instant::now();
        let outcome = step.run(&nursery, &cache).await;
        report.add(step, outcome, started.elapsed());
    }
    println!("\n{report}");
    Ok(if report.passed() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn parts(steps: &[Step]) -> Vec<Part> {
    let stands = [Step::EndToEnd, Step::Demo, Step::Cluster].iter().any(|step| steps.contains(step));
    // Whoever names engines may have no Python for the others: their test gets what it needs by itself.
    let engines = steps.contains(&Step::EndToEnd) && env::var_os(ENGINES).is_none();
    let mut parts = match (stands, steps.contains(&Step::Agent)) {
        (true, _) => vec![Part::ControlPlane, Part::Node, Part::Alertmanager, Part::Agent],
        (false, true) => vec![Part::Agent],
        (false, false) => Vec::new(),
    };
    parts.extend(engines.then_some(Part::Engines));
    parts
}
