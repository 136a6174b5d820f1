//! The engines that can work on a task. One file each: which program, which arguments, what its lines mean.

mod sdk;

use std::ffi::OsString;

use nix::sys::signal::Signal;
use punching_fist_protocol::Event;

/// A program that runs an agent, and how to read it.
pub trait Engine: Sync {
    /// Its name in the configuration.
    fn name(&self) -> &'static str;
    /// The program, as PATH finds it.
    fn program(&self) -> &'static str;
    /// What it is started with. Nothing that an alert says stands here: the prompt is a file.
    fn arguments(&self) -> Vec<OsString>;
    /// What it takes for a request to end in order.
    fn stop_signal(&self) -> Signal;
    /// What a line of its standard output means.
    fn read(&self, line: &str) -> Reading;
}

/// What a line of an engine's standard output is.
#[derive(Debug, PartialEq)]
pub enum Reading {
    /// An event.
    Event(Event),
    /// A conclusion that can't be read, and why.
    UnreadableFinish(String),
    /// Something else; it is kept in the log.
    Other,
}

const ENGINES: [&dyn Engine; 1] = [&sdk::Sdk];

/// The engine of that name.
pub fn by_name(name: &str) -> Option<&'static dyn Engine> {
    ENGINES.into_iter().find(|engine| engine.name() == name)
}

/// The names of all engines.
pub fn names() -> Vec<&'static str> {
    ENGINES.into_iter().map(Engine::name).collect()
}
