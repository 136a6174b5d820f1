//! Everything that can happen to the runner, in one queue: the engine's lines, the ends of its pipes, signals.

use std::io::{self, BufReader, Read};
use std::path::PathBuf;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread;
use std::time::{Duration, Instant};

use nix::sys::signal::Signal;
use punching_fist_protocol::Stream;

use crate::lines::{Lines, RawLine};
use crate::signals;
use crate::watch::{Pending, watch};

/// A full queue holds the engine up; lines can be long, so it is short.
const QUEUE: usize = 8;

/// One thing that happened.
#[derive(Debug)]
pub enum Note {
    /// The engine, or a process of it, printed a line.
    Line(Stream, RawLine),
    /// Nobody holds the other end of one of the pipes any more.
    Closed,
    /// Files of the engine have changed.
    Changed,
    /// A signal for the runner.
    Signal(Signal),
}

/// The queue's sending side, for more sources.
pub struct Inbox {
    sender: SyncSender<Note>,
}

impl Inbox {
    /// Starts to collect signals. To be called before any other thread starts: a signal goes to any that lets it.
    pub fn open() -> io::Result<(Self, Receiver<Note>)> {
        let (sender, receiver) = sync_channel(QUEUE);
        let (signals, early) = signals::keep_back()?;
        let to = sender.clone();
        spawn("signals", move || {
            let later = std::iter::from_fn(|| signals.wait().ok());
            for signal in early.into_iter().chain(later) {
                if to.send(Note::Signal(signal)).is_err() {
                    return;
                }
            }
        })?;
        Ok((Self { sender }, receiver))
    }

    /// Collects the lines of a pipe.
    pub fn read(&self, stream: Stream, pipe: impl Read + Send + 'static) -> io::Result<()> {
        let to = self.sender.clone();
        spawn("pipe", move || {
            let mut lines = Lines::new(BufReader::new(pipe));
            while let Ok(Some(line)) = lines.next_line() {
                if to.send(Note::Line(stream, line)).is_err() {
                    return;
                }
            }
            // Nobody listens any more: nobody has to know.
            let _ = to.send(Note::Closed);
        })
    }

    /// Tells of changes below a directory, once until `pending` is cleared.
    pub fn watch(&self, directory: PathBuf, pending: Pending) -> io::Result<()> {
        let to = self.sender.clone();
        spawn("watch", move || watch(&directory, &pending, || to.send(Note::Changed).is_ok()))
    }
}

/// The next note, which may take so long to come, but not beyond `last`. To be called anew for each: what is done about one
/// takes nothing of the time that the next one has.
pub fn next(inbox: &Receiver<Note>, patience: Duration, last: Instant) -> Option<Note> {
    let left = last.saturating_duration_since(Instant::now());
    // Without any time left, what is there already would still be taken, one after the other without end.
    if left.is_zero() { None } else { inbox.recv_timeout(patience.min(left)).ok() }
}

fn spawn(name: &str, work: impl FnOnce() + Send + 'static) -> io::Result<()> {
    thread::Builder::new().name(name.to_owned()).stack_size(256 * 1024).spawn(work).map(drop)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_note_has_its_time_and_all_have_an_end() {
        let (sender, inbox) = sync_channel(QUEUE);
        let (now, long, short) = (Instant::now(), Duration::from_secs(600), Duration::from_millis(1));
        let waiting = thread::spawn(move || {
            let first = next(&inbox, long, now + long);
            (first.is_some(), inbox)
        });
        sender.send(Note::Closed).expect("somebody listens");
        let (is_there, inbox) = waiting.join().expect("no panic");
        assert!(is_there && next(&inbox, short, now + long).is_none(), "nobody else comes");
        sender.send(Note::Changed).expect("somebody listens");
        assert!(next(&inbox, long, now).is_none(), "it is over, whatever still comes");
        assert!(next(&inbox, short, now + long).is_some());
    }
}
