//! The operator's binary: what it is asked to do on the command line, and how it says that it could not.

mod cli;
mod client;
mod config;
mod crds;
mod health;
mod metrics;
mod place;
mod prepare;
mod probes;
mod run;
mod serve;
mod telemetry;
mod wiring;

use std::process::ExitCode;

use clap::Parser;

use cli::{Arguments, Command, ConfigCommand};

fn main() -> ExitCode {
    // Two crypto providers may be linked in, and rustls refuses to choose between them.
    if rustls::crypto::aws_lc_rs::default_provider().install_default().is_err() {
        return fail("another TLS provider is installed already");
    }
    let arguments = Arguments::parse();
    match obey(&arguments.command) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => fail(error),
    }
}

fn obey(command: &Command) -> Result<(), Box<dyn std::error::Error>> {
    match command {
        Command::Run(arguments) => run::run(arguments)?,
        Command::Crds => crds::print()?,
        Command::PrepareNamespace(arguments) => prepare::print(arguments)?,
        Command::Config(ConfigCommand::Check { file }) => check(file)?,
    }
    Ok(())
}

fn check(file: &std::path::Path) -> Result<(), config::ConfigError> {
    config::load(file)?;
    println!("{}: no problem found", file.display());
    Ok(())
}

fn fail(error: impl std::fmt::Display) -> ExitCode {
    eprintln!("punching-fist: {error}");
    ExitCode::FAILURE
}
