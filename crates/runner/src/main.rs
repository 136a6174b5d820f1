//! The first process of an agent's pod: runs the agent, passes on what it does, and says truthfully how it ended.
//!
//! `place DEST` copies this program to DEST, for an init container; `run` does the work, as its environment says.

mod cost;
mod engine;
mod inbox;
mod journal;
mod judge;
mod kubeconfig;
mod lines;
mod observed;
mod place;
mod processes;
mod run;
mod seccomp;
mod secrets;
mod settings;
mod signals;
mod silence;
mod skills;
mod start;
mod supervisor;
mod task;
mod termination;
mod verdict_block;
mod watch;

use std::ffi::OsString;
use std::path::PathBuf;
use std::process::ExitCode;

use punching_fist_protocol::pod::{PLACE, RUN, RUNNER};

fn main() -> ExitCode {
    // First of all: the pod may be told to stop at any moment.
    let noted = signals::note();
    let arguments: Vec<OsString> = std::env::args_os().skip(1).collect();
    let words: Vec<_> = arguments.iter().map(|argument| argument.to_str()).collect();
    match words.as_slice() {
        [Some(RUN)] => run::run(noted),
        [Some(PLACE), _] => place(&PathBuf::from(&arguments[1])),
        [Some("--version")] => {
            println!("{RUNNER} {}", env!("CARGO_PKG_VERSION"));
            ExitCode::SUCCESS
        }
        _ => {
            eprintln!("usage: {RUNNER} {RUN} | {PLACE} DEST | --version");
            ExitCode::from(2)
        }
    }
}

fn place(destination: &std::path::Path) -> ExitCode {
    match place::place(destination) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("can't place the runner at {}: {error}", destination.display());
            ExitCode::FAILURE
        }
    }
}
