//! `cargo xtask`: the commands of this repository. One file for each; what they bring up is in `testkit`.

mod agents;
mod bench;
mod cluster;
mod demo;
mod generate;
mod images;
mod test;

use std::error::Error;
use std::process::ExitCode;

use clap::{Parser, Subcommand};

/// How a command ends: with an exit code of its own, or with an error that is told in one line.
type Outcome = Result<ExitCode, Box<dyn Error>>;

/// The commands of this repository.
#[derive(Parser)]
#[command(name = "cargo xtask", bin_name = "cargo xtask", disable_help_subcommand = true)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// A real alert becomes an agent's Job, on a cluster of its own, and is followed to its verdict
    Demo(demo::Arguments),
    /// Run everything that CI runs
    Test(test::Arguments),
    /// Run the real agents through every end that a run can come to, and keep what they print for the runner's tests
    Agents(agents::Arguments),
    /// Write the files that are made from code: crds/*.yaml
    Generate(generate::Arguments),
    /// Measure what we cost, beside the same thing without us
    Bench(bench::Arguments),
    /// Build the images, or try what can be tried of them without Docker
    #[command(subcommand)]
    Images(images::Command),
    /// A cluster for development, in the background: control plane, node, kinds, operator
    #[command(subcommand)]
    Cluster(cluster::Command),
}

#[tokio::main]
async fn main() -> ExitCode {
    let outcome = match Arguments::parse().command {
        Command::Demo(arguments) => demo::run(&arguments).await,
        Command::Test(arguments) => test::run(&arguments).await,
        Command::Agents(arguments) => agents::run(&arguments).await,
        Command::Generate(arguments) => generate::run(&arguments),
        Command::Bench(arguments) => bench::run(&arguments).await,
        Command::Images(command) => images::run(&command),
        Command::Cluster(command) => cluster::run(command).await,
    };
    outcome.unwrap_or_else(|error| {
        eprintln!("error: {error}");
        ExitCode::FAILURE
    })
}
