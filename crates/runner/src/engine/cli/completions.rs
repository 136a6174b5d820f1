//! What each call of the model took: a file for each, written by the SDK below the CLI. The conversation's own state says
//! it only when the conversation has ended. The files hold the whole conversation again, and so are removed when read.

use std::collections::BTreeSet;
use std::fs;
use std::path::PathBuf;

use punching_fist_protocol::Usage;
use serde_json::Value;

use crate::engine::openhands;
use crate::engine::untrusted::{self, Look};

/// The files, and their sum.
#[derive(Debug, Default)]
pub struct Completions {
    directory: PathBuf,
    read: BTreeSet<PathBuf>,
    usage: Usage,
    cost: f64,
}

impl Completions {
    /// The files that are written to `directory`.
    pub fn new(directory: PathBuf) -> Self {
        Self { directory, ..Self::default() }
    }

    /// Adds what is new.
    pub fn look(&mut self) {
        let mut look = Look::new();
        for path in untrusted::entries(&self.directory) {
            // Half a file is read again later, and takes no place from the others.
            let Some(call) = look.json(&path) else { continue };
            // One that can't be removed is not to count twice.
            if self.read.insert(path.clone()) {
                self.add(&call);
            }
            let _ = fs::remove_file(&path);
        }
    }

    /// What all calls have taken so far.
    pub fn usage(&self) -> Usage {
        Usage { cost_usd: openhands::cost(self.cost), ..self.usage.clone() }
    }

    /// A call that failed has a file too, without an answer in it.
    fn add(&mut self, call: &Value) {
        if call["response"].is_null() {
            return;
        }
        let count = |field: &str| call["usage_summary"][field].as_u64().unwrap_or_default();
        let written = call["response"]["usage"]["cache_creation_input_tokens"].as_u64().unwrap_or_default();
        let usage = &mut self.usage;
        usage.calls += 1;
        usage.input_tokens = usage.input_tokens.saturating_add(count("prompt_tokens"));
        usage.output_tokens = usage.output_tokens.saturating_add(count("completion_tokens"));
        usage.cache_read_tokens = usage.cache_read_tokens.saturating_add(count("cache_read_tokens"));
        usage.cache_write_tokens = usage.cache_write_tokens.saturating_add(written);
        self.cost += call["cost"].as_f64().unwrap_or_default();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_call_counts_once_and_its_file_goes() {
        let directory = tempfile::tempdir().expect("a directory");
        let write = |name: &str, text: &str| fs::write(directory.path().join(name), text).expect("a file");
        let mut completions = Completions::new(directory.path().to_owned());
        let call = r#"{"cost":0.25,"response":{"usage":{"cache_creation_input_tokens":7}},
            "usage_summary":{"prompt_tokens":100,"completion_tokens":5,"cache_read_tokens":40}}"#;
        write("a.json", call);
        write("b.json", &call[..50]);
        write("failed.json", r#"{"error":"no"}"#);
        completions.look();
        assert_eq!((completions.usage().calls, completions.usage().input_tokens), (1, 100));
        write("b.json", call);
        completions.look();
        let usage = completions.usage();
        assert_eq!(
            (usage.calls, usage.output_tokens, usage.cache_read_tokens, usage.cache_write_tokens),
            (2, 10, 80, 14)
        );
        assert_eq!(usage.cost_usd.as_deref(), Some("0.500000"));
        assert_eq!(fs::read_dir(directory.path()).expect("a directory").count(), 0);
    }

    #[test]
    fn what_an_agent_puts_there_costs_nothing_and_hides_nothing() {
        let directory = tempfile::tempdir().expect("a directory");
        untrusted::traps::set(|name| directory.path().join(name));
        for number in 0..1500 {
            let call = r#"{"response":{},"usage_summary":{"prompt_tokens":18446744073709551615}}"#;
            fs::write(directory.path().join(format!("{number}.json")), call).expect("a file");
        }
        let mut completions = Completions::new(directory.path().to_owned());
        completions.look();
        assert_eq!(completions.usage().calls, 1000, "so many in one look");
        completions.look();
        assert_eq!((completions.usage().calls, completions.usage().input_tokens), (1500, u64::MAX));
    }

    #[test]
    fn what_stays_half_written_hides_no_call() {
        let directory = tempfile::tempdir().expect("a directory");
        let write = |name: String, text: &str| fs::write(directory.path().join(name), text).expect("a file");
        // Whatever the order is, some calls stand behind more of the others than one look takes.
        (0..1500).for_each(|number| write(format!("half-{number}.json"), "{"));
        let call = r#"{"response":{},"usage_summary":{"prompt_tokens":1}}"#;
        (0..100).for_each(|number| write(format!("{number}.json"), call));
        let mut completions = Completions::new(directory.path().to_owned());
        let mut looks = (0..10).map(|_| {
            completions.look();
            completions.usage().calls
        });
        assert!(looks.any(|calls| calls == 100), "{}", completions.usage().calls);
    }
}
