//! What a user sees while something takes minutes: how long it has taken, about how long it will, how far it is. One
//! line that is rewritten on a terminal, a line now and then elsewhere.

use std::io::{IsTerminal as _, Write as _, stderr};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use tokio::task::JoinHandle;

/// How often the line is rewritten on a terminal.
const TERMINAL_TICK: Duration = Duration::from_millis(500);
/// How often a line is added where there is no terminal.
const LINE_TICK: Duration = Duration::from_secs(15);

/// A step that is under way. Dropping it ends the display.
pub struct Progress {
    shown: Shown,
    ticker: JoinHandle<()>,
    terminal: bool,
}

#[derive(Clone)]
struct Shown {
    what: Arc<str>,
    note: Arc<Mutex<String>>,
    started: Instant,
    estimate: Duration,
}

impl Progress {
    /// Shows that `what` is being done, which takes about `estimate`.
    pub fn start(what: &str, estimate: Duration) -> Self {
        let shown = Shown { what: what.into(), note: Arc::default(), started: Instant::now(), estimate };
        let terminal = stderr().is_terminal();
        let period = if terminal { TERMINAL_TICK } else { LINE_TICK };
        let ticking = shown.clone();
        let ticker = tokio::spawn(async move {
            let mut ticks = tokio::time::interval(period);
            loop {
                ticks.tick().await;
                show(&ticking.line(), terminal);
            }
        });
        Self { shown, ticker, terminal }
    }

    /// Says how far it is: "1200 packages".
    pub fn note(&self, note: String) {
        *self.shown.note.lock().unwrap_or_else(PoisonError::into_inner) = note;
    }

    /// Says that it is done, and how long it took.
    pub fn done(self) {
        self.ticker.abort();
        let took = minutes(self.shown.started.elapsed());
        show(&format!("{}: done in {took}.", self.shown.what), self.terminal);
        if self.terminal {
            eprintln!();
        }
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        self.ticker.abort();
    }
}

impl Shown {
    fn line(&self) -> String {
        let note = self.note.lock().unwrap_or_else(PoisonError::into_inner).clone();
        line(&self.what, &note, self.started.elapsed(), self.estimate)
    }
}

fn show(line: &str, terminal: bool) {
    if terminal {
        // Back to the start of the line, and clear what is longer than the new one.
        eprint!("\r\x1b[K{line}");
        let _ = stderr().flush();
    } else {
        eprintln!("{line}");
    }
}

fn line(what: &str, note: &str, elapsed: Duration, estimate: Duration) -> String {
    let comma = if note.is_empty() { "" } else { ", " };
    let left = match estimate.checked_sub(elapsed) {
        Some(left) if left.as_secs() > 0 => format!("about {} left (an estimate)", minutes(left)),
        _ => format!("longer than the estimated {}", minutes(estimate)),
    };
    format!("{what}: {}{comma}{note}, {left}", minutes(elapsed))
}

/// `75 s` as `1m15s`.
pub fn minutes(duration: Duration) -> String {
    match (duration.as_secs() / 60, duration.as_secs() % 60) {
        (0, seconds) => format!("{seconds}s"),
        (minutes, seconds) => format!("{minutes}m{seconds:02}s"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_says_what_is_left() {
        let seconds = Duration::from_secs;
        for (note, elapsed, expected) in [
            ("", 15, "Building x: 15s, about 1m15s left (an estimate)"),
            ("3 packages", 15, "Building x: 15s, 3 packages, about 1m15s left (an estimate)"),
            ("", 90, "Building x: 1m30s, longer than the estimated 1m30s"),
        ] {
            assert_eq!(line("Building x", note, seconds(elapsed), seconds(90)), expected);
        }
    }
}
