//! The files of a session: `SESSION/events/0.json`, `1.json` and so on, each written once.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use serde_json::Value;

use crate::engine::untrusted::{self, Look};

/// A run has one session: only so many are taken for one.
const SESSIONS: usize = 4;
/// The longest file, in bytes. The longest that the engine writes is an edit's, with a source file before and after it.
const EVENT_MAX: u64 = 4 * 1024 * 1024;
/// So many events are read while one before them isn't whole. Then that one is given up.
const AHEAD: usize = 10_000;

/// The sessions of this run, and how far each has been read.
pub struct Sessions {
    directory: PathBuf,
    /// Sessions that were there before: a volume may outlive its pod.
    old: BTreeSet<PathBuf>,
    current: BTreeMap<PathBuf, Progress>,
}

impl Sessions {
    /// The sessions that come into being in `directory` from now on.
    pub fn new(directory: PathBuf) -> Self {
        let old = untrusted::entries(&directory).collect();
        Self { directory, old, current: BTreeMap::new() }
    }

    /// The events that have been written since. One that isn't whole comes when it is, after those behind it.
    pub fn next(&mut self) -> Vec<Value> {
        self.find();
        let (mut events, look) = (Vec::new(), Look::at_short_files(EVENT_MAX));
        for (session, progress) in &mut self.current {
            progress.read(&session.join("events"), look.renewed(), &mut events);
        }
        events
    }

    /// How many events could not be read, when nothing more is written: what isn't whole never will be.
    pub fn unread(&self) -> u64 {
        self.current.iter().map(|(session, progress)| progress.unread(&session.join("events"))).sum()
    }

    /// Those that were found first stay: the engine's own is older than all that its agent makes.
    fn find(&mut self) {
        for session in untrusted::directories(&self.directory) {
            if self.current.len() < SESSIONS && !self.old.contains(&session) {
                self.current.entry(session).or_default();
            }
        }
    }
}

/// How far a session has been read.
#[derive(Default)]
struct Progress {
    /// The first event that has not been read.
    next: u64,
    /// Those behind it that have been.
    ahead: BTreeSet<u64>,
    given_up: u64,
    /// Where the next look begins to read ahead.
    start: u64,
}

impl Progress {
    fn read(&mut self, directory: &Path, mut look: Look, events: &mut Vec<Value>) {
        while self.ahead.remove(&self.next) || take(directory, self.next, &mut look, events) {
            self.next += 1;
        }
        self.read_ahead(directory, &mut look, events);
        if self.ahead.len() > AHEAD {
            let first = self.ahead.first().copied().unwrap_or_default();
            self.given_up += first - self.next;
            self.next = first;
        }
    }

    /// Begins where the last look ended: what can't be read is in the way of what can for one look at most.
    fn read_ahead(&mut self, directory: &Path, look: &mut Look, events: &mut Vec<Value>) {
        let left = self.left(directory);
        let start = std::mem::take(&mut self.start);
        for number in left.range(start..).chain(left.range(..start)).copied() {
            if look.is_over() {
                self.start = number;
                return;
            }
            if take(directory, number, look, events) {
                self.ahead.insert(number);
            }
        }
    }

    /// The events that are there and have not been read, in their order.
    fn left(&self, directory: &Path) -> BTreeSet<u64> {
        let numbers = untrusted::entries(directory).filter_map(|path| number(&path));
        numbers.filter(|number| *number >= self.next && !self.ahead.contains(number)).collect()
    }

    /// Those that are there, and those that are missing before one that was read.
    fn unread(&self, directory: &Path) -> u64 {
        let end = self.ahead.last().map_or(self.next, |last| last + 1);
        let missing = end - self.next - self.ahead.len() as u64;
        self.given_up + missing + self.left(directory).range(end..).count() as u64
    }
}

fn take(directory: &Path, number: u64, look: &mut Look, events: &mut Vec<Value>) -> bool {
    let event = look.json(&file(directory, number));
    let is_read = event.is_some();
    events.extend(event);
    is_read
}

fn file(directory: &Path, number: u64) -> PathBuf {
    directory.join(format!("{number}.json"))
}

fn number(path: &Path) -> Option<u64> {
    let number: u32 = path.file_name()?.to_str()?.strip_suffix(".json")?.parse().ok()?;
    Some(number.into())
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::symlink;

    use super::*;

    fn ids(events: &[Value]) -> Vec<u64> {
        events.iter().filter_map(|event| event["id"].as_u64()).collect()
    }

    /// Where events of a session are written; the directory is made.
    fn events(root: &Path, session: &str) -> PathBuf {
        let directory = root.join(session).join("events");
        fs::create_dir_all(&directory).expect("our own directory");
        directory
    }

    fn write(directory: &Path, number: u64, text: &str) {
        fs::write(file(directory, number), text).expect("our own directory");
    }

    /// Looks until nothing is new.
    fn all(sessions: &mut Sessions) -> Vec<u64> {
        let looks = std::iter::from_fn(|| Some(ids(&sessions.next())).filter(|ids| !ids.is_empty()));
        looks.flatten().collect()
    }

    #[test]
    fn events_are_read_once_in_order_and_whole() {
        let root = tempfile::tempdir().expect("a directory");
        write(&events(root.path(), "old"), 0, r#"{"id":100}"#);
        let mut sessions = Sessions::new(root.path().to_owned());
        assert!(sessions.next().is_empty());
        let new = events(root.path(), "new");
        write(&new, 0, r#"{"id":0}"#);
        write(&new, 1, r#"{"id":"#);
        assert_eq!((ids(&sessions.next()), sessions.unread()), (vec![0], 1));
        write(&new, 1, r#"{"id":1}"#);
        write(&new, 2, r#"{"id":2}"#);
        assert_eq!(ids(&sessions.next()), [1, 2]);
        assert!(sessions.next().is_empty());
        assert_eq!(sessions.unread(), 0);
    }

    #[test]
    fn one_that_isnt_whole_hides_none_behind_it() {
        let root = tempfile::tempdir().expect("a directory");
        let mut sessions = Sessions::new(root.path().to_owned());
        let new = events(root.path(), "new");
        write(&new, 0, r#"{"id":"#);
        write(&new, 1, r#"{"id":1}"#);
        write(&new, 10, r#"{"id":10}"#);
        assert_eq!(ids(&sessions.next()), [1, 10]);
        // 0 is half an event, and eight are missing.
        assert_eq!(sessions.unread(), 9);
        write(&new, 2, r#"{"id":2}"#);
        write(&new, 12, "[");
        assert_eq!((ids(&sessions.next()), sessions.unread()), (vec![2], 9));
        write(&new, 0, r#"{"id":0}"#);
        assert_eq!((ids(&sessions.next()), sessions.unread()), (vec![0], 8));
        write(&new, 3, r#"{"id":3}"#);
        assert_eq!((ids(&sessions.next()), sessions.unread()), (vec![3], 7));
        assert!(sessions.next().is_empty());
    }

    #[test]
    fn what_an_agent_puts_there_costs_nothing_and_hides_nothing() {
        let root = tempfile::tempdir().expect("a directory");
        let mut sessions = Sessions::new(root.path().to_owned());
        let own = events(root.path(), "own");
        untrusted::traps::set(|name| root.path().join(name));
        symlink(root.path().join("own"), root.path().join("link")).expect("our own directory");
        for number in 0..2500 {
            write(&own, number, &format!("{{\"id\":{number}}}"));
        }
        assert!(sessions.next().len() <= 1000, "so many in one look");
        let longest = 4 * 1024 * 1024;
        write(&own, 2500, &format!("{{\"id\":\"{}\"}}", "x".repeat(longest)));
        untrusted::traps::set(|name| own.join(format!("{}.json", 2501 + name.len())));
        for number in 0..50 {
            events(root.path(), &format!("decoy-{number}"));
        }
        write(&events(root.path(), "decoy-7"), u64::from(u32::MAX), r#"{"id":9999}"#);
        let rest = all(&mut sessions);
        let own: Vec<_> = rest.iter().copied().filter(|id| *id != 9999).collect();
        assert!(own.is_sorted() && own.last() == Some(&2499), "{own:?}");
        assert!(sessions.current.len() == SESSIONS && sessions.unread() >= 3, "{}", sessions.unread());
    }
}
