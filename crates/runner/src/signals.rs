//! Signals that come before anybody waits for them. Process 1 of a container doesn't even get those that it has no handler
//! for: without one the pod's end would be heard of only by SIGKILL.

use std::io;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, OnceLock};

use nix::sys::signal::{SigSet, Signal};
use signal_hook::flag;

/// The signals that ask the pod to stop. The last ones are what some images have as their STOPSIGNAL, which the container
/// runtime sends in SIGTERM's place.
const STOPPING: [Signal; 7] = [
    Signal::SIGTERM,
    Signal::SIGINT,
    Signal::SIGHUP,
    Signal::SIGQUIT,
    Signal::SIGUSR1,
    Signal::SIGUSR2,
    Signal::SIGWINCH,
];

/// The last one that nobody waited for; 0: none.
static EARLY: OnceLock<Arc<AtomicUsize>> = OnceLock::new();

/// Notes signals from now on. A program that this one starts has none of it: handlers don't outlive its start.
pub fn note() -> io::Result<()> {
    let early = EARLY.get_or_init(Arc::default);
    for signal in STOPPING {
        let number = signal as i32;
        flag::register_usize(number, Arc::clone(early), usize::try_from(number).unwrap_or_default())?;
    }
    Ok(())
}

/// Keeps signals back for whoever waits for them, in this thread and those that it starts. Gives those to wait for, and
/// one that came before.
pub fn keep_back() -> nix::Result<(SigSet, Option<Signal>)> {
    let signals: SigSet = STOPPING.into_iter().chain([Signal::SIGCHLD]).collect();
    signals.thread_block()?;
    Ok((signals, early()))
}

fn early() -> Option<Signal> {
    let number = EARLY.get()?.swap(0, Ordering::SeqCst);
    i32::try_from(number).ok()?.try_into().ok()
}
