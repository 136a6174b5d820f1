//! The built runner, with scripts as its engines.

mod bad_input;
mod cli;
mod command;
mod event_files;
mod limits;
mod recordings;
mod run;
mod same_uid;
mod support;
