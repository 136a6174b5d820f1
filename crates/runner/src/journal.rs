//! The pod's log: one JSON object per line, redacted, unbuffered, and never waited for without end.

use std::os::fd::AsFd;
use std::time::{Duration, Instant};

use jiff::Timestamp;
use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use punching_fist_protocol::{Event, Line, Reason, Redactor};

use crate::judge::Fault;

/// How long a reader that takes nothing is waited for, once.
const PATIENCE: Duration = Duration::from_secs(5);
/// The same when the pod may be killed soon.
const HURRY: Duration = Duration::from_secs(1);
/// A pipe that `poll` calls writable takes so many bytes without blocking (PIPE_BUF).
const CHUNK: usize = 4096;

/// Writes events to a descriptor.
pub struct Journal<W> {
    out: W,
    redactor: Redactor,
    /// How long a reader that takes nothing is waited for.
    patience: Duration,
    /// Lines that nobody took, and nobody has been told of.
    lost: u64,
    /// Nobody took the last line: until somebody does, lines are not waited for.
    is_unheard: bool,
    /// The last line was written in part.
    broken: bool,
    /// Why nobody can be waited for any more.
    deaf: Option<Errno>,
}

impl<W: AsFd> Journal<W> {
    /// A journal on `out`.
    pub fn new(out: W, redactor: Redactor) -> Self {
        Self { out, redactor, patience: PATIENCE, lost: 0, is_unheard: false, broken: false, deaf: None }
    }

    /// The text without secrets.
    pub fn redact(&self, text: &str) -> String {
        self.redactor.redact(text)
    }

    /// The text without secrets, of which more is missing.
    pub fn redact_beginning(&self, text: &str) -> String {
        self.redactor.redact_beginning(text)
    }

    /// The event without secrets.
    pub fn redacted(&self, mut event: Event) -> Event {
        for text in event.texts_mut() {
            *text = self.redact(text);
        }
        event
    }

    /// Writes an event that has been redacted.
    pub fn write(&mut self, event: Event) {
        self.write_line(&line(event));
    }

    /// Writes a line as it stands.
    pub fn write_line(&mut self, line: &str) {
        let is_told = self.tell_lost();
        if !is_told || !self.put(line) {
            self.lost += 1;
        }
    }

    /// Says where lines are missing, before what comes behind them.
    fn tell_lost(&mut self) -> bool {
        if self.lost > 0 {
            let text = format!("lines missing here, as nobody took them: {}", self.lost);
            let is_told = self.put(&line(Event::Error { reason: None, code: None, text }));
            self.lost = if is_told { 0 } else { self.lost };
        }
        self.lost == 0
    }

    /// Whether the line was taken, in time and as a whole.
    fn put(&mut self, line: &str) -> bool {
        let start = if self.broken { "\n" } else { "" };
        let until = Instant::now() + if self.is_unheard { Duration::ZERO } else { self.patience };
        let bytes = format!("{start}{line}\n").into_bytes();
        let written = self.write_until(&bytes, until);
        self.is_unheard = written < bytes.len();
        self.broken = self.is_unheard && (self.broken || written > 0);
        !self.is_unheard
    }

    /// Waits once more for whoever did not take lines before: the result is worth it.
    pub fn forgive(&mut self) {
        self.is_unheard = false;
    }

    /// Lines are lost although somebody may read: it can't be found out any more.
    pub fn fault(&self) -> Option<Fault> {
        let text = |errno| format!("the agent's log can't be written any more: {errno}");
        self.deaf.map(|errno| Fault::new(Reason::AgentFault, text(errno)))
    }

    /// Waits less from now on.
    pub fn hurry(&mut self) {
        self.patience = self.patience.min(HURRY);
    }

    /// How many bytes were taken in time.
    fn write_until(&mut self, bytes: &[u8], until: Instant) -> usize {
        let mut written = 0;
        while written < bytes.len() && self.is_writable(until) {
            let chunk = &bytes[written..bytes.len().min(written + CHUNK)];
            match nix::unistd::write(&self.out, chunk) {
                Ok(taken) => written += taken,
                Err(Errno::EINTR | Errno::EAGAIN) => {}
                Err(_) => break,
            }
        }
        written
    }

    fn is_writable(&mut self, until: Instant) -> bool {
        loop {
            let left = until.saturating_duration_since(Instant::now());
            let timeout = PollTimeout::try_from(left).unwrap_or(PollTimeout::ZERO);
            match poll(&mut [PollFd::new(self.out.as_fd(), PollFlags::POLLOUT)], timeout) {
                Ok(count) => return count > 0,
                Err(Errno::EINTR) => {}
                Err(errno) => {
                    self.deaf = Some(errno);
                    return false;
                }
            }
        }
    }
}

fn line(event: Event) -> String {
    let line = Line { time: format!("{:.3}", Timestamp::now()), event: event.fitted() };
    // An event is strings and numbers: JSON can always hold it.
    serde_json::to_string(&line).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use std::io::Read;

    use super::*;

    fn message(text: &str) -> Event {
        Event::Message { text: text.to_owned() }
    }

    #[test]
    fn a_reader_that_takes_nothing_costs_lines_and_not_the_run() {
        let (mut reader, writer) = std::io::pipe().expect("a pipe");
        let redactor = Redactor::from_values([""; 0]);
        let mut journal = Journal::new(writer, redactor);
        journal.patience = Duration::from_millis(50);
        let start = Instant::now();
        for _ in 0..100 {
            journal.write(message(&"x".repeat(3000)));
        }
        assert!(start.elapsed() < Duration::from_secs(2), "lines are not waited for while nobody reads");
        let lost = journal.lost;
        assert!(lost > 1);
        let drain = std::thread::spawn(move || {
            let mut all = String::new();
            reader.read_to_string(&mut all).map(|_| all)
        });
        journal.forgive();
        journal.patience = PATIENCE;
        journal.write(message("the last"));
        drop(journal);
        let all = drain.join().expect("no panic").expect("text");
        let ends: Vec<_> = all.lines().rev().map(Line::parse).take(2).collect();
        let [Some(end), Some(before)] = ends.as_slice() else { panic!("the last lines are whole: {ends:?}") };
        assert_eq!(end.event, message("the last"));
        let text = format!("lines missing here, as nobody took them: {lost}");
        assert_eq!(before.event, Event::Error { reason: None, code: None, text });
    }
}
