//! Makes two recordings of the same run equal: what differs from run to run and from machine to machine is replaced by
//! stable words, and long texts are cut where that can be seen.

use std::collections::HashMap;
use std::path::Path;

use punching_fist_testkit::python::Environment;
use punching_fist_testkit::repository;
use regex::{Captures, Regex};
use serde_json::Value;

/// Characters of a text that are kept.
const TEXT_MAX: usize = 600;
/// Lines of standard error that are kept.
const LINES_MAX: usize = 30;
const MARKER: &str = "… [cut]";
/// What stands between these lines of the engine `cli` is drawn for people, with the whole system prompt in it.
const SUMMARY: (&str, &str) = ("CONVERSATION SUMMARY", "Goodbye");

/// What has been replaced so far in one recording.
pub struct Normal {
    /// Texts of this machine and of this run, the longest first.
    words: Vec<(String, String)>,
    patterns: Vec<(Regex, &'static str)>,
    id: Regex,
    ids: HashMap<String, String>,
}

impl Normal {
    /// For a run in `directory`.
    pub fn new(environment: &Environment, directory: &Path) -> Self {
        let system = nix::sys::utsname::uname().ok();
        let release = system.as_ref().map(|system| system.release().to_string_lossy().into_owned());
        let paths = [
            (directory.to_path_buf(), "/run-directory"),
            (environment.directory.clone(), "/opt/environment"),
            (environment.python.prefix.clone(), "/opt/python"),
            (repository::root().clone(), "/repository"),
        ];
        let mut words: Vec<(String, String)> =
            paths.map(|(path, word)| (path.display().to_string(), word.to_owned())).to_vec();
        words.extend(release.map(|release| (release, "kernel-release".to_owned())));
        words.retain(|(text, _)| text.len() > 3);
        words.sort_by_key(|(text, _)| std::cmp::Reverse(text.len()));
        Self { words, patterns: patterns(), id: pattern(ID), ids: HashMap::new() }
    }

    /// Standard output: lines of JSON, and others between them.
    pub fn stdout(&mut self, text: &str) -> String {
        let mut lines = Vec::new();
        let mut hidden = false;
        for line in text.lines() {
            hidden &= !line.contains(SUMMARY.1);
            if !hidden {
                lines.push(self.line(line));
            }
            if line.contains(SUMMARY.0) {
                hidden = true;
                lines.push(MARKER.to_owned());
            }
        }
        joined(&lines)
    }

    /// Standard error: its first lines.
    pub fn stderr(&mut self, text: &str) -> String {
        let mut lines: Vec<String> = text.lines().take(LINES_MAX).map(|line| self.line(line)).collect();
        if text.lines().count() > LINES_MAX {
            lines.push(MARKER.to_owned());
        }
        joined(&lines)
    }

    /// A file of JSON, or of anything else.
    pub fn json(&mut self, text: &str) -> String {
        joined(&[self.line(text)])
    }

    /// A path with the ids in it.
    pub fn path(&mut self, path: &str) -> String {
        self.text(path)
    }

    fn line(&mut self, line: &str) -> String {
        match serde_json::from_str::<Value>(line) {
            Ok(mut value) if value.is_object() => {
                self.value(&mut value);
                value.to_string()
            }
            _ => cut(&self.text(line)),
        }
    }

    fn value(&mut self, value: &mut Value) {
        match value {
            Value::String(text) => *text = cut(&self.text(text)),
            Value::Array(values) => values.iter_mut().for_each(|value| self.value(value)),
            Value::Object(fields) => {
                for (name, value) in fields {
                    match name.as_str() {
                        // Times that things took, and what the system counts.
                        "latency" | "pid" | "response_latencies" | "timestamp" | "created" => still(value),
                        "hostname" => *value = Value::String("host".to_owned()),
                        // What the engine `cli` was given: nothing that happened.
                        "agent" if value.get("llm").is_some() => *value = Value::String(MARKER.to_owned()),
                        _ => self.value(value),
                    }
                }
            }
            Value::Null | Value::Bool(_) | Value::Number(_) => {}
        }
    }

    fn text(&mut self, text: &str) -> String {
        let mut text = text.to_owned();
        for (found, word) in &self.words {
            text = text.replace(found, word);
        }
        for (pattern, word) in &self.patterns {
            text = pattern.replace_all(&text, *word).into_owned();
        }
        let Self { id, ids, .. } = self;
        let named = id.replace_all(&text, |found: &Captures<'_>| {
            let plain = found[0].replace('-', "").to_lowercase();
            let number = ids.len() + 1;
            ids.entry(plain).or_insert_with(|| format!("id-{number}")).clone()
        });
        named.into_owned()
    }
}

/// Random ids: UUIDs with and without dashes, and the sessions of the engine `main`.
const ID: &str = r"\b[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}\b|\b[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{1,4}-[0-9a-f]{15,16}\b|\b[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{2}-[0-9a-f]{15}\b|\b[0-9a-f]{32}\b";

fn patterns() -> Vec<(Regex, &'static str)> {
    [
        (r"\d{4}-\d\d-\d\d[T ]\d\d:\d\d:\d\d([.,]\d+)?(\+00:00|Z)?", "2026-01-01T00:00:00.000000"),
        (r"\b20\d\d-\d\d-\d\d", "2026-01-01"),
        (r"\b\d\d/\d\d/\d\d\b", "01/01/26"),
        (r"\b\d\d:\d\d:\d\d\b", "00:00:00"),
        (r"127\.0\.0\.1:\d+", "127.0.0.1:8080"),
        (r"oh_editor_history_\w+", "oh_editor_history"),
        (r"0x[0-9a-f]{6,}", "0xaddress"),
        (r"\b\d+(\.\d+)? (milli)?seconds\b", "some seconds"),
        (r"\bTask-\d+\b", "Task-1"),
    ]
    .map(|(text, word)| (pattern(text), word))
    .to_vec()
}

fn pattern(text: &str) -> Regex {
    Regex::new(text).unwrap_or_else(|error| panic!("our own pattern {text}: {error}"))
}

/// The same kind of value, without what differs.
fn still(value: &mut Value) {
    match value {
        Value::Number(_) => *value = 0.into(),
        Value::String(text) => "2026-01-01T00:00:00.000000".clone_into(text),
        Value::Array(values) => values.clear(),
        _ => {}
    }
}

fn cut(text: &str) -> String {
    match text.char_indices().nth(TEXT_MAX) {
        Some((at, _)) => format!("{}{MARKER}", &text[..at]),
        None => text.to_owned(),
    }
}

fn joined(lines: &[String]) -> String {
    lines.iter().flat_map(|line| [line.as_str(), "\n"]).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn normal() -> Normal {
        let words = vec![("/home/me/cache/venv".to_owned(), "/opt/environment".to_owned())];
        Normal { words, patterns: patterns(), id: pattern(ID), ids: HashMap::new() }
    }

    #[test]
    fn what_differs_from_run_to_run_is_replaced() {
        let run = |id: &str, time: &str, port: u16| {
            let plain = id.replace('-', "");
            let event = format!(
                r#"{{"id":"{id}","latency":{port}.5,"path":"/home/me/cache/venv/bin","timestamp":"{time}"}}"#
            );
            normal().stdout(&format!("http://127.0.0.1:{port}/v1 at {time}\n{event}\nConversation {plain}\n"))
        };
        let one = run("e6805280-6688-4913-8c9a-6d56ae9d5fb1", "2026-11-23T03:28:49.234885+00:00", 40001);
        let other = run("277fd895-463e-4dad-98af-b92bd0e18d7d", "2027-01-02T13:08:00.1", 39002);
        assert_eq!(one, other);
        assert!(
            one.contains("id-1") && one.contains("/opt/environment/bin") && !one.contains("id-2"),
            "{one}"
        );
    }

    #[test]
    fn what_is_drawn_for_people_and_what_is_long_is_cut() {
        let text =
            format!("a\n--- CONVERSATION SUMMARY ---\n| drawn |\nGoodbye!\n{}\n", "x".repeat(TEXT_MAX + 1));
        let lines = normal().stdout(&text);
        assert!(!lines.contains("drawn") && lines.contains("Goodbye!"), "{lines}");
        assert!(lines.ends_with("x… [cut]\n"), "{lines}");
    }
}
