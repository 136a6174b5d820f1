//! Logs: structured, filtered by `RUST_LOG`, JSON unless a person is looking. The audit trail has the target `audit`.

use std::io::IsTerminal;

use tracing_subscriber::EnvFilter;
use tracing_subscriber::filter::ParseError;

use crate::cli::LogFormat;

/// What is logged unless `RUST_LOG` says otherwise.
const DEFAULT_FILTER: &str = "info";

/// `RUST_LOG` can't be understood.
#[derive(Debug, thiserror::Error)]
#[error("RUST_LOG: {0}; write for example `info,punching_fist=debug`")]
pub struct BadFilter(#[from] ParseError);

/// Starts logging to stderr.
pub fn start(format: Option<LogFormat>) -> Result<(), BadFilter> {
    let written = std::env::var("RUST_LOG").unwrap_or_default();
    let filter = if written.trim().is_empty() { DEFAULT_FILTER } else { &written };
    let filter = EnvFilter::try_new(filter)?;
    let logs = tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr);
    match format.unwrap_or_else(default_format) {
        LogFormat::Json => logs.json().flatten_event(true).init(),
        LogFormat::Text => logs.with_ansi(std::io::stderr().is_terminal()).init(),
    }
    Ok(())
}

fn default_format() -> LogFormat {
    if std::io::stderr().is_terminal() { LogFormat::Text } else { LogFormat::Json }
}
