//! The webhook as Alertmanager meets it, with an API server in memory.

mod common;
mod http;
mod intake;
mod races;
mod strays;
mod ugly;
