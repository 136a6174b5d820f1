//! `cargo xtask bench`: figures, each beside the same thing without us. Nothing here passes or fails: what a shared machine
//! shows today is to be read, not asserted.

mod agent;
mod events;
mod figures;
mod gateway;
mod memory;
mod pod;
mod scripted;
mod start;
mod table;

use std::env;
use std::process::ExitCode;

use clap::CommandFactory as _;
use punching_fist_testkit::repository;
use tokio::process::Command;

use crate::Outcome;

/// What to measure.
#[derive(clap::Args)]
#[command(subcommand_help_heading = "Benchmarks", subcommand_value_name = "BENCHMARK")]
pub struct Arguments {
    #[command(subcommand)]
    benchmark: Option<Benchmark>,
}

#[derive(clap::Subcommand)]
enum Benchmark {
    /// What an agent's run costs because of us: the runner in front of its engine, the gateway before its model
    Agent(agent::Arguments),
    /// The engine that is measured: started by the benchmark itself
    #[command(hide = true)]
    Engine(scripted::Arguments),
    /// The gateway that is measured: started by the benchmark itself
    #[command(hide = true)]
    Gateway(gateway::serve::Arguments),
}

/// Measures, or says what can be measured.
pub async fn run(arguments: &Arguments) -> Outcome {
    match &arguments.benchmark {
        None => list(),
        Some(Benchmark::Agent(_)) if cfg!(debug_assertions) => in_release().await,
        Some(Benchmark::Agent(arguments)) => agent::run(arguments).await,
        Some(Benchmark::Engine(arguments)) => scripted::run(arguments),
        Some(Benchmark::Gateway(arguments)) => gateway::serve::run(arguments).await,
    }
}

fn list() -> Outcome {
    let mut command = crate::Arguments::command();
    let bench = command.find_subcommand_mut("bench").ok_or("this program has no benchmarks")?;
    for benchmark in bench.get_subcommands().filter(|benchmark| !benchmark.is_hide_set()) {
        let about = benchmark.get_about().map(ToString::to_string).unwrap_or_default();
        println!("cargo xtask bench {}  {about}", benchmark.get_name());
    }
    Ok(ExitCode::SUCCESS)
}

/// The same command again, built for release: what is measured is what is shipped, and who measures is as quick.
async fn in_release() -> Outcome {
    eprintln!("Building for release; the first time takes minutes.");
    let mut command = Command::new(env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    command.args(["run", "--release", "--quiet", "--package", "xtask", "--"]).args(env::args_os().skip(1));
    let status = command.current_dir(repository::root()).status().await?;
    Ok(if status.success() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}
