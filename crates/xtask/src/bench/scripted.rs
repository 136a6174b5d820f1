//! The engine that is measured: it writes events at a steady pace, each with the time of its writing: as `sdk` does, as
//! lines, or as `main` does, as files.

use std::fs;
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::thread;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use punching_fist_protocol::Event;
use serde_json::{Value, json};

use crate::Outcome;

/// What it writes.
#[derive(clap::Args)]
pub struct Arguments {
    /// Events in a second
    #[arg(long)]
    rate: u32,
    /// How many events
    #[arg(long)]
    count: u32,
    /// Where files are written [default: lines on standard output]
    #[arg(long)]
    files: Option<PathBuf>,
}

/// Writes them.
pub fn run(arguments: &Arguments) -> Outcome {
    let pace = Duration::from_secs(1) / arguments.rate.max(1);
    let started = Instant::now();
    for number in 0..arguments.count {
        thread::sleep((pace * (number + 1)).saturating_sub(started.elapsed()));
        match &arguments.files {
            Some(directory) => write_file(directory, number, &message())?,
            None => print_event()?,
        }
    }
    if let Some(directory) = &arguments.files {
        write_file(
            directory,
            arguments.count,
            &json!({ "source": "agent", "action": "finish", "args": {} }),
        )?;
        write_file(directory, arguments.count + 1, &finished())?;
    }
    Ok(ExitCode::SUCCESS)
}

fn print_event() -> io::Result<()> {
    let event = Event::Message { text: now().as_nanos().to_string() };
    // One write, as line-buffered programs do it.
    let line = format!("{}\n", serde_json::to_string(&event)?);
    let mut stdout = io::stdout().lock();
    stdout.write_all(line.as_bytes())?;
    stdout.flush()
}

fn write_file(directory: &Path, number: u32, event: &Value) -> io::Result<()> {
    fs::create_dir_all(directory)?;
    fs::write(directory.join(format!("{number}.json")), event.to_string())
}

fn message() -> Value {
    json!({ "source": "agent", "action": "message", "args": { "content": now().as_nanos().to_string() } })
}

fn finished() -> Value {
    let extras = json!({ "agent_state": "finished", "reason": "" });
    json!({ "source": "environment", "observation": "agent_state_changed", "content": "", "extras": extras })
}

/// The time of day, which is the same for all processes.
pub fn now() -> Duration {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default()
}

/// How long ago an event was written, if this line holds one of ours.
pub fn age(line: &str, now: Duration) -> Option<Duration> {
    match serde_json::from_str(line) {
        Ok(Event::Message { text }) => {
            let nanos: u64 = text.parse().ok()?;
            now.checked_sub(Duration::from_nanos(nanos))
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_age_is_read_from_our_events_alone() {
        let now = Duration::from_micros(1);
        for (line, nanos) in [
            (r#"{"kind":"message","text":"400"}"#, Some(600)),
            (r#"{"time":"2026-01-01T00:00:00Z","kind":"message","text":"400"}"#, Some(600)),
            (r#"{"kind":"message","text":"2000"}"#, None),
            (r#"{"kind":"message","text":"hello"}"#, None),
            (r#"{"kind":"thought","text":"400"}"#, None),
            ("", None),
        ] {
            assert_eq!(age(line, now), nanos.map(Duration::from_nanos), "{line}");
        }
    }
}
