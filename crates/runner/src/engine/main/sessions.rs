//! The files of a session: `SESSION/events/0.json`, `1.json` and so on, each written once.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use serde_json::Value;

use crate::engine::untrusted::{self, Look};

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
        let old = untrusted::entries(&directory).collect();
        Self { directory, old, next: BTreeMap::new() }
    }

    /// The events that have been written since, in their order, up to the first that isn't whole.
    pub fn next(&mut self) -> Vec<Value> {
        let (mut events, mut look) = (Vec::new(), Look::new());
        for session in self.current() {
            let next = self.next.entry(session.clone()).or_default();
            while let Some(event) = event(&mut look, &file(&session, *next)) {
                events.push(event);
                *next += 1;
            }
        }
        events
    }

    /// As [`Self::next`], when nothing more is written: what isn't whole never will be.
    pub fn rest(&mut self) -> Vec<Value> {
        let (mut events, mut look) = (self.next(), Look::new());
        for session in self.current() {
            let next = self.next.get(&session).copied().unwrap_or_default();
            let mut numbers: Vec<u64> =
                untrusted::entries(&session.join("events")).filter_map(|path| number(&path)).collect();
            numbers.retain(|number| *number >= next);
            numbers.sort_unstable();
            events.extend(numbers.iter().filter_map(|number| event(&mut look, &file(&session, *number))));
        }
        events
    }

    fn current(&self) -> Vec<PathBuf> {
        let mut sessions: Vec<_> = untrusted::entries(&self.directory).collect();
        sessions.retain(|path| !self.old.contains(path));
        sessions
    }
}

fn file(session: &Path, number: u64) -> PathBuf {
    session.join(format!("events/{number}.json"))
}

fn number(path: &Path) -> Option<u64> {
    path.file_stem()?.to_str()?.parse().ok()
}

fn event(look: &mut Look, path: &Path) -> Option<Value> {
    serde_json::from_slice(&look.read(path)?).ok()
}

#[cfg(test)]
mod tests {
    use std::fs;

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

    #[test]
    fn what_an_agent_puts_there_costs_nothing_and_hides_nothing() {
        let directory = tempfile::tempdir().expect("a directory");
        let mut sessions = Sessions::new(directory.path().to_owned());
        let place = |name: &str| {
            fs::create_dir_all(directory.path().join(name).join("events")).expect("our own directory");
            file(&directory.path().join(name), 0)
        };
        untrusted::traps::set(place);
        place("own");
        for number in 0..2500 {
            let text = format!("{{\"id\":{number}}}");
            fs::write(file(&directory.path().join("own"), number), text).expect("our own directory");
        }
        assert_eq!(ids(&sessions.next()), (0..1000).collect::<Vec<_>>(), "so many in one look");
        assert_eq!(ids(&sessions.rest()), (1000..2500).collect::<Vec<_>>());
    }
}
