//! `cargo xtask cluster logs`: the log of a part. It stays until the next `cluster up`, whatever became of the part.

use std::path::PathBuf;
use std::process::{Command, ExitCode};

use super::state::{self, State};
use crate::Outcome;

/// Which log.
#[derive(clap::Args)]
pub struct Arguments {
    /// A part, as `cluster status` names it
    part: Option<String>,
    /// Go on showing what is added
    #[arg(short, long)]
    follow: bool,
    /// How many lines from the end
    #[arg(short = 'n', long, default_value_t = 200)]
    lines: usize,
}

/// Shows it.
pub fn run(arguments: &Arguments) -> Outcome {
    let log = log(arguments.part.as_deref())?;
    let mut tail = Command::new("tail");
    tail.arg(format!("--lines={}", arguments.lines));
    if arguments.follow {
        tail.arg("--follow=name");
    }
    let status = tail.arg(log).status()?;
    Ok(if status.success() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn log(part: Option<&str>) -> Result<PathBuf, String> {
    let state = State::read().ok_or("there is no log: `cargo xtask cluster up` was not run here")?;
    let Some(name) = part else {
        return Ok(state::log());
    };
    let found = state.parts.iter().find(|part| part.name == name);
    let names: Vec<&str> = state.parts.iter().map(|part| part.name.as_str()).collect();
    found
        .map(|part| part.log.clone())
        .ok_or_else(|| format!("no part is called {name}; there are: {}", names.join(", ")))
}
