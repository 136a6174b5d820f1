//! `cargo xtask bench agent`: the runner in front of an engine, the gateway before its model.

use std::io;
use std::path::Path;
use std::process::ExitCode;

use punching_fist_testkit::Nursery;
use punching_fist_testkit::repository::Programs;

use super::table::{Row, Table};
use super::{events, gateway, memory, start};
use crate::Outcome;

/// Measures all, and prints it.
pub async fn run() -> Outcome {
    let nursery = Nursery::start()?;
    let runner = Programs::build(&nursery, false).await?.runner;
    let rows = tokio::task::spawn_blocking(move || runner_rows(&runner)).await??;
    println!("{}", Table { title: "Runner".to_owned(), rows });
    eprintln!("Measuring the gateway");
    let rows = gateway::rows(&nursery).await?;
    println!("{}", Table { title: "Gateway".to_owned(), rows });
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
