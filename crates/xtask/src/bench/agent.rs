//! `cargo xtask bench agent`: the runner in front of an engine, the gateway before its model.

use std::io;
use std::path::Path;
use std::process::ExitCode;

use punching_fist_testkit::Nursery;
use punching_fist_testkit::repository::Programs;

use super::table::{Row, Table};
use super::{events, gateway, memory, start};
use crate::Outcome;

/// What to measure.
#[derive(clap::Args)]
pub struct Arguments {
    /// Only this [default: both]
    #[arg(value_enum)]
    subject: Option<Subject>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
enum Subject {
    /// The first process of an agent's pod
    Runner,
    /// The agents' door to the model
    Gateway,
}

/// Measures, and prints what came out.
pub async fn run(arguments: &Arguments) -> Outcome {
    let nursery = Nursery::start()?;
    let wanted = |subject| arguments.subject.is_none_or(|only| only == subject);
    if wanted(Subject::Runner) {
        let runner = Programs::build(&nursery, false).await?.runner;
        let rows = tokio::task::spawn_blocking(move || runner_rows(&runner)).await??;
        println!("{}", Table { title: "Runner".to_owned(), rows });
    }
    if wanted(Subject::Gateway) {
        eprintln!("Measuring the gateway");
        let rows = gateway::rows(&nursery).await?;
        println!("{}", Table { title: "Gateway".to_owned(), rows });
    }
    Ok(ExitCode::SUCCESS)
}

type Part = (&'static str, fn(&Path) -> io::Result<Vec<Row>>);

fn runner_rows(runner: &Path) -> io::Result<Vec<Row>> {
    let parts: [Part; 3] = [("start", start::rows), ("memory", memory::rows), ("events", events::rows)];
    let mut rows = Vec::new();
    for (what, measure) in parts {
        eprintln!("Measuring the runner: {what}");
        rows.extend(measure(runner)?);
    }
    Ok(rows)
}
