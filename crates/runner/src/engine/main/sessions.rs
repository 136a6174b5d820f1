//! The files of a session: `SESSION/events/0.json`, `1.json` and so on, each written once.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use serde_json::Value;

/// The sessions of this run, and how far each has been read.
pub struct Sessions {
    directory: PathBuf,
    /// Sessions that were there before: a volume may outlive its pod.
    old: Vec<PathBuf>,
    next: BTreeMap<PathBuf, u64>,
}

impl Sessions {
    /// The sessions that come into being in `directory` from now on.
    pub fn new(directory: PathBuf) -> Self {
        let old = entries(&directory);
        Self { directory, old, next: BTreeMap::new() }
    }

    /// The events that have been written since, in their order, up to the first that isn't whole.
    pub fn next(&mut self) -> Vec<Value> {
        let mut events = Vec::new();
        for session in self.current() {
            let next = self.next.entry(session.clone()).or_default();
            while let Some(event) = event(&file(&session, *next)) {
                events.push(event);
                *next += 1;
            }
        }
        events
    }

    /// As [`Self::next`], when nothing more is written: what isn't whole never will be.
    pub fn rest(&mut self) -> Vec<Value> {
        let mut events = self.next();
        for session in self.current() {
            let next = self.next.get(&session).copied().unwrap_or_default();
            let mut numbers: Vec<u64> =
                entries(&session.join("events")).iter().filter_map(|path| number(path)).collect();
            numbers.retain(|number| *number >= next);
            numbers.sort_unstable();
            events.extend(numbers.iter().filter_map(|number| event(&file(&session, *number))));
        }
        events
    }

    fn current(&self) -> Vec<PathBuf> {
        let mut sessions = entries(&self.directory);
        sessions.retain(|path| !self.old.contains(path));
        sessions
    }
}

fn entries(directory: &Path) -> Vec<PathBuf> {
    fs::read_dir(directory).into_iter().flatten().flatten().map(|entry| entry.path()).collect()
}

fn file(session: &Path, number: u64) -> PathBuf {
    session.join(format!("events/{number}.json"))
}

fn number(path: &Path) -> Option<u64> {
    path.file_stem()?.to_str()?.parse().ok()
}

fn event(path: &Path) -> Option<Value> {
    serde_json::from_slice(&fs::read(path).ok()?).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ids(events: &[Value]) -> Vec<u64> {
        events.iter().filter_map(|event| event["id"].as_u64()).collect()
    }

    #[test]
    fn events_are_read_once_in_order_and_whole() {
        let directory = tempfile::tempdir().expect("a directory");
        let write = |session: &str, number: u64, text: &str| {
            let path = file(&directory.path().join(session), number);
            fs::create_dir_all(path.parent().expect("a parent")).expect("a directory");
            fs::write(path, text).expect("a file");
        };
        write("old", 0, r#"{"id":100}"#);
        let mut sessions = Sessions::new(directory.path().to_owned());
        assert!(sessions.next().is_empty());
        write("new", 0, r#"{"id":0}"#);
        write("new", 1, r#"{"id":"#);
        write("new", 2, r#"{"id":2}"#);
        assert_eq!(ids(&sessions.next()), [0]);
        write("new", 1, r#"{"id":1}"#);
        assert_eq!(ids(&sessions.next()), [1, 2]);
        assert!(sessions.next().is_empty());
        write("new", 3, r#"{"id":"#);
        write("new", 10, r#"{"id":10}"#);
        write("new", 4, r#"{"id":4}"#);
        assert_eq!(ids(&sessions.rest()), [4, 10]);
    }
}
