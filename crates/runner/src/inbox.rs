//! Everything that can happen to the runner, in one queue: the engine's lines, the ends of its pipes, signals.

use std::io::{self, BufReader, Read};
use std::path::PathBuf;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread;

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

fn spawn(name: &str, work: impl FnOnce() + Send + 'static) -> io::Result<()> {
    thread::Builder::new().name(name.to_owned()).stack_size(256 * 1024).spawn(work).map(drop)
}
