//! Tells when files below a directory change.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use nix::errno::Errno;
use nix::sys::inotify::{AddWatchFlags, InitFlags, Inotify};

/// How often files are looked at where the kernel doesn't tell of changes.
const INTERVAL: Duration = Duration::from_millis(200);
/// How many directories below its root are an engine's own. The agent could make more, down to any depth.
const DEPTH: usize = 8;
/// How many directories are watched, at most.
const MOST_WATCHES: usize = 1000;

/// Whether somebody has been told of a change and hasn't looked yet: one time is enough.
#[derive(Clone, Debug, Default)]
pub struct Pending(Arc<AtomicBool>);

impl Pending {
    /// To be called before looking: what changes from now on is told again.
    pub fn clear(&self) {
        self.0.store(false, Ordering::SeqCst);
    }

    fn set(&self) -> bool {
        !self.0.swap(true, Ordering::SeqCst)
    }
}

/// Calls `tell` when something below `root` has changed, until it gives false.
pub fn watch(root: &Path, pending: &Pending, tell: impl FnMut() -> bool) {
    let tell = telling(pending, tell);
    match Watcher::new(root) {
        Ok(watcher) => watcher.run(tell),
        // The node's limit of watches is reached: that costs time, not events.
        Err(_) => at_intervals(tell),
    }
}

fn telling(pending: &Pending, mut tell: impl FnMut() -> bool) -> impl FnMut() -> bool {
    let pending = pending.clone();
    move || !pending.set() || tell()
}

fn at_intervals(mut tell: impl FnMut() -> bool) {
    while tell() {
        thread::sleep(INTERVAL);
    }
}

struct Watcher {
    inotify: Inotify,
    root: PathBuf,
}

impl Watcher {
    fn new(root: &Path) -> nix::Result<Self> {
        let inotify = Inotify::init(InitFlags::IN_CLOEXEC)?;
        let watcher = Self { inotify, root: root.to_owned() };
        watcher.add_all()?;
        Ok(watcher)
    }

    fn run(self, mut tell: impl FnMut() -> bool) {
        // What was written before the watch is told of now.
        while tell() {
            match self.wait() {
                Ok(()) | Err(Errno::EINTR) => {}
                Err(_) => return at_intervals(tell),
            }
        }
    }

    /// Waits for a change. New directories are watched before anybody is told: what stands in them is found then.
    fn wait(&self) -> nix::Result<()> {
        let events = self.inotify.read_events()?;
        let grown = AddWatchFlags::IN_ISDIR | AddWatchFlags::IN_Q_OVERFLOW;
        if events.iter().any(|event| event.mask.intersects(grown)) {
            self.add_all()?;
        }
        Ok(())
    }

    /// Watches the root and what is below it, as far as an engine's own directories go. What is watched already stays so.
    fn add_all(&self) -> nix::Result<()> {
        let (mut found, mut left) = (vec![(self.root.clone(), 0)], MOST_WATCHES);
        while let Some((directory, depth)) = found.pop() {
            left -= 1;
            if self.add(&directory)? && depth < DEPTH {
                found.extend(directories(&directory).take(left + 1).map(|below| (below, depth + 1)));
            }
            // As where the node's own limit is reached.
            if found.len() > left {
                return Err(Errno::ENOSPC);
            }
        }
        Ok(())
    }

    /// Whether there is such a directory: one that is gone doesn't matter.
    fn add(&self, directory: &Path) -> nix::Result<bool> {
        let changes = AddWatchFlags::IN_CREATE
            | AddWatchFlags::IN_MODIFY
            | AddWatchFlags::IN_MOVED_TO
            | AddWatchFlags::IN_ONLYDIR
            | AddWatchFlags::IN_DONT_FOLLOW;
        match self.inotify.add_watch(directory, changes) {
            Err(Errno::ENOENT | Errno::ENOTDIR | Errno::EACCES) if directory != self.root => Ok(false),
            watched => watched.map(|_| true),
        }
    }
}

fn directories(directory: &Path) -> impl Iterator<Item = PathBuf> + use<> {
    let entries = fs::read_dir(directory).into_iter().flatten().flatten();
    let directories = entries.filter(|entry| entry.file_type().is_ok_and(|kind| kind.is_dir()));
    directories.map(|entry| entry.path())
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc::{Receiver, sync_channel};
    use std::time::Instant;

    use super::*;

    const PATIENCE: Duration = Duration::from_secs(10);

    fn watched(root: &Path) -> (Pending, Receiver<()>) {
        let (sender, receiver) = sync_channel(8);
        let pending = Pending::default();
        let (root, told) = (root.to_owned(), pending.clone());
        let watching = move || watch(&root, &told, || sender.send(()).is_ok());
        thread::Builder::new().stack_size(256 * 1024).spawn(watching).expect("a thread");
        (pending, receiver)
    }

    /// Looks when it is told, until everything is there.
    fn wait_for(path: &Path, text: &str, pending: &Pending, changes: &Receiver<()>) {
        let start = Instant::now();
        loop {
            changes.recv_timeout(PATIENCE).expect("a change is told");
            pending.clear();
            if fs::read_to_string(path).is_ok_and(|found| found == text) {
                return;
            }
            assert!(start.elapsed() < PATIENCE);
        }
    }

    #[test]
    fn changes_are_told_in_directories_that_came_later_too() {
        let root = tempfile::tempdir().expect("a directory");
        let (pending, changes) = watched(root.path());
        for round in 0..50 {
            let directory = root.path().join(format!("sessions/{round}/events"));
            fs::create_dir_all(&directory).expect("our own directory");
            let file = directory.join("0.json");
            fs::write(&file, "first").expect("our own directory");
            wait_for(&file, "first", &pending, &changes);
            fs::write(root.path().join("half"), "second").expect("our own directory");
            fs::rename(root.path().join("half"), &file).expect("our own directory");
            wait_for(&file, "second", &pending, &changes);
        }
    }

    #[test]
    fn directories_without_end_dont_end_the_watch() {
        let root = tempfile::tempdir().expect("a directory");
        let deep = root.path().join("d/".repeat(1900));
        let (pending, changes) = watched(root.path());
        changes.recv_timeout(PATIENCE).expect("the first look");
        fs::create_dir_all(&deep).expect("our own directory");
        for number in 0..3000 {
            fs::create_dir(root.path().join(number.to_string())).expect("our own directory");
        }
        let file = root.path().join("file");
        pending.clear();
        fs::write(&file, "text").expect("our own directory");
        wait_for(&file, "text", &pending, &changes);
        // Deeper than the standard library removes.
        std::process::Command::new("rm").arg("-rf").arg(root.path()).status().expect("rm");
    }

    #[test]
    fn where_nothing_can_be_watched_it_is_looked_at_again_and_again() {
        let (pending, changes) = watched(Path::new("/nowhere"));
        for _ in 0..3 {
            changes.recv_timeout(PATIENCE).expect("a look");
            pending.clear();
        }
    }

    #[test]
    fn what_nobody_has_looked_at_is_told_once() {
        let root = tempfile::tempdir().expect("a directory");
        let (pending, changes) = watched(root.path());
        changes.recv_timeout(PATIENCE).expect("the first look");
        for number in 0..100 {
            fs::write(root.path().join(number.to_string()), "").expect("our own directory");
        }
        assert!(changes.recv_timeout(Duration::from_millis(50)).is_err());
        pending.clear();
        fs::write(root.path().join("last"), "").expect("our own directory");
        changes.recv_timeout(PATIENCE).expect("the next look");
    }
}
