//! What whoever makes the agent's pod and the runner in it have to agree on: how the runner is called, which variables
//! and paths there are, and which words stand in them.

pub mod paths;
pub mod variables;
mod words;

pub use words::{Engine, Mode, Runtime, UnknownWord};

/// The runner's program, as an image has it in its PATH.
pub const RUNNER: &str = "punching-fist-runner";
/// Its argument that makes it copy itself to the path that follows.
pub const PLACE: &str = "place";
/// Its argument that makes it run the agent.
pub const RUN: &str = "run";
