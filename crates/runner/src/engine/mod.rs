//! The engines that can work on a task. One file each: what is started, what it says, how its end is judged.

mod cli;
mod command;
mod main;
mod mcp;
mod openhands;
mod protocol_lines;
mod sdk;
mod untrusted;

use std::ffi::OsString;
use std::path::PathBuf;
use std::time::Duration;

use nix::sys::signal::Signal;
use punching_fist_protocol::{Event, pod};

use crate::judge::{Fault, ProcessEnd};
use crate::task::Task;

/// A program that runs an agent, and how to read it.
pub trait Engine: Sync {
    /// What to start for this task.
    fn launch(&self, task: &Task) -> Result<Launch, Fault>;
    /// Who reads what this start says; one for each run, so that it may remember what it has read.
    fn reader(&self, task: &Task) -> Box<dyn Reader>;
    /// What its exit code means.
    fn exit_codes(&self) -> ExitCodes;

    /// What it takes for a request to end in order.
    fn stop_signal(&self) -> Signal {
        Signal::SIGINT
    }

    /// How long the model may keep it waiting; none: it ends that by itself.
    fn most_silence(&self) -> Option<Duration> {
        None
    }

    /// Whether it can't be started without `LLM_MODEL` and a key.
    fn needs_model(&self) -> bool {
        true
    }
}

/// What is started, and what has to be there before. Nothing that an alert says stands on the command line: an adapter
/// writes it to a file.
#[derive(Debug, Default)]
pub struct Launch {
    /// The program, as PATH finds it.
    pub program: OsString,
    /// Its arguments.
    pub arguments: Vec<OsString>,
    /// Variables that it gets besides the runner's own environment. `LLM_API_KEY` is always the task's.
    pub set: Vec<(OsString, OsString)>,
    /// Variables of the runner's environment that it doesn't get.
    pub remove: Vec<OsString>,
    /// Directories to be made first, with all above them.
    pub directories: Vec<PathBuf>,
    /// Files to be written first, with the directories above them: where, and what stands in them.
    pub files: Vec<(PathBuf, String)>,
    /// A directory below which the engine writes its events: whenever a file there changes, the reader looks.
    pub watched: Option<PathBuf>,
}

/// Reads what an engine says. Nothing of it has been redacted; what it gives back is redacted before it goes anywhere,
/// so nothing may be cut here.
pub trait Reader {
    /// A line of standard output. None: it says nothing to us, and is kept in the log as it is.
    fn line(&mut self, line: &str) -> Option<Vec<Reading>>;

    /// What is new on the disk, or a part of it. Called when a file below [`Launch::watched`] has changed, which it may
    /// have in part only, and when every process of the engine is gone until nothing is new.
    fn look(&mut self) -> Vec<Reading> {
        Vec::new()
    }

    /// What there is to add now that the engine has ended so. Called last.
    fn at_end(&mut self, _end: ProcessEnd) -> Vec<Reading> {
        Vec::new()
    }
}

/// What a reader found.
#[derive(Debug, PartialEq)]
pub enum Reading {
    /// An event. A [`Event::Log`] is taken from nobody: how lines that are no events stand in the log is the runner's.
    Event(Event),
    /// A conclusion that can't be read, and why.
    UnreadableFinish(String),
    /// What people should know, and what says nothing of how the run ended.
    Remark(String),
}

/// What an engine's exit code means. A verdict always takes a finish event, and `finished` as the last state.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ExitCodes {
    /// They are the runner's own: a verdict goes with 0 only, and each other code with its reasons.
    Ours,
    /// A verdict goes with 0 only; every other code is a fault of the agent.
    Plain,
    /// Nothing: a verdict is one with any of them.
    Meaningless,
}

/// The engine of that name.
pub fn of(name: pod::Engine) -> &'static dyn Engine {
    match name {
        pod::Engine::Sdk => &sdk::Sdk,
        pod::Engine::Cli => &cli::Cli,
        pod::Engine::Main => &main::Main,
        pod::Engine::Command => &command::Command,
    }
}
