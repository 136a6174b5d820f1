//! What the pod's environment tells the runner. A setting that is missing or makes no sense is named in the error.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::str::FromStr;
use std::time::Duration;

use crate::engine::{self, Engine};

const ENGINE: &str = "PUNCHING_FIST_ENGINE";
const PROMPT_FILE: &str = "PUNCHING_FIST_PROMPT_FILE";
const TIMEOUT_SECONDS: &str = "PUNCHING_FIST_TIMEOUT_SECONDS";
const MAX_ITERATIONS: &str = "PUNCHING_FIST_MAX_ITERATIONS";
const GRACE_SECONDS: &str = "PUNCHING_FIST_GRACE_SECONDS";
const TERMINATION_LOG: &str = "PUNCHING_FIST_TERMINATION_LOG";
/// What the engine can't do without, besides: the runner passes it on.
const MODEL: [&str; 2] = ["LLM_MODEL", "LLM_API_KEY"];

/// Where Kubernetes looks for a container's termination message.
const DEFAULT_TERMINATION_LOG: &str = "/dev/termination-log";
/// A pod's grace period where it sets none.
const DEFAULT_GRACE_SECONDS: u64 = 30;
/// No run is meant to take longer: seconds in thirty days.
const MOST_SECONDS: u64 = 30 * 24 * 3600;

/// How an attempt is to run.
pub struct Settings {
    /// Which engine.
    pub engine: &'static dyn Engine,
    /// How long it may work.
    pub timeout: Duration,
    /// How many steps it may take.
    pub max_iterations: u64,
    /// How long Kubernetes waits between SIGTERM and SIGKILL.
    pub grace: Duration,
}

/// A setting that the runner can't work with.
#[derive(Debug, thiserror::Error)]
pub enum SettingError {
    /// It isn't there, or empty.
    #[error("the environment variable {0} is missing or empty")]
    Missing(&'static str),
    /// It isn't a number in the range.
    #[error("the environment variable {name} has to be a whole number from 1 to {most}, not {value:?}")]
    Number {
        /// The variable.
        name: &'static str,
        /// What it holds.
        value: String,
        /// The greatest value that makes sense.
        most: u64,
    },
    /// It names no engine.
    #[error("the environment variable {ENGINE} names no engine: {0:?}; there is {known}", known = engine::names().join(", "))]
    Engine(String),
    /// The prompt can't be read, or is empty.
    #[error("the environment variable {PROMPT_FILE} names {path}, which {problem}")]
    Prompt {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        problem: String,
    },
}

/// The environment as the runner reads it: what isn't Unicode is read as well as it can be.
pub struct Environment(BTreeMap<String, String>);

impl Environment {
    /// The environment of this process.
    pub fn of_this_process() -> Self {
        let text = |(name, value): (std::ffi::OsString, std::ffi::OsString)| {
            (name.to_string_lossy().into_owned(), value.to_string_lossy().into_owned())
        };
        Self(std::env::vars_os().map(text).collect())
    }

    /// Every variable.
    pub fn variables(&self) -> impl Iterator<Item = (&String, &String)> {
        self.0.iter()
    }

    /// Where the termination message goes. Known before anything else: a refused setting is told there.
    pub fn termination_log(&self) -> PathBuf {
        self.optional(TERMINATION_LOG).unwrap_or(DEFAULT_TERMINATION_LOG).into()
    }

    /// The settings, or the first one that is wrong.
    pub fn settings(&self) -> Result<Settings, SettingError> {
        let engine = self.required(ENGINE)?;
        let engine = engine::by_name(engine).ok_or_else(|| SettingError::Engine(engine.to_owned()))?;
        self.check_prompt()?;
        MODEL.into_iter().try_for_each(|name| self.required(name).map(drop))?;
        let timeout = number(TIMEOUT_SECONDS, self.required(TIMEOUT_SECONDS)?, MOST_SECONDS)?;
        let max_iterations = number(MAX_ITERATIONS, self.required(MAX_ITERATIONS)?, u64::from(u32::MAX))?;
        let grace = self.optional(GRACE_SECONDS).map(|value| number(GRACE_SECONDS, value, MOST_SECONDS));
        let grace = grace.transpose()?.unwrap_or(DEFAULT_GRACE_SECONDS);
        Ok(Settings {
            engine,
            timeout: Duration::from_secs(timeout),
            max_iterations,
            grace: Duration::from_secs(grace),
        })
    }

    fn check_prompt(&self) -> Result<(), SettingError> {
        let path = PathBuf::from(self.required(PROMPT_FILE)?);
        let problem = match std::fs::read(&path) {
            Ok(prompt) if prompt.trim_ascii().is_empty() => "is empty".to_owned(),
            Ok(_) => return Ok(()),
            Err(error) => format!("can't be read: {error}"),
        };
        Err(SettingError::Prompt { path, problem })
    }

    fn optional(&self, name: &str) -> Option<&str> {
        self.0.get(name).map(|value| value.trim()).filter(|value| !value.is_empty())
    }

    fn required(&self, name: &'static str) -> Result<&str, SettingError> {
        self.optional(name).ok_or(SettingError::Missing(name))
    }
}

fn number(name: &'static str, value: &str, most: u64) -> Result<u64, SettingError> {
    let wrong = || SettingError::Number { name, value: value.to_owned(), most };
    u64::from_str(value).ok().filter(|number| (1..=most).contains(number)).ok_or_else(wrong)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn environment(changes: &[(&str, &str)]) -> Environment {
        let good = [
            (ENGINE, "sdk"),
            (PROMPT_FILE, "/proc/self/status"),
            (TIMEOUT_SECONDS, "60"),
            (MAX_ITERATIONS, "10"),
            ("LLM_MODEL", "openai/x"),
            ("LLM_API_KEY", "key"),
        ];
        let both = good.iter().chain(changes);
        Environment(both.map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect())
    }

    #[test]
    fn good_settings_are_read() {
        let settings =
            environment(&[(GRACE_SECONDS, " 5 ")]).settings().unwrap_or_else(|error| panic!("{error}"));
        assert_eq!(settings.engine.name(), "sdk");
        assert_eq!(
            (settings.timeout.as_secs(), settings.grace.as_secs(), settings.max_iterations),
            (60, 5, 10)
        );
        assert_eq!(environment(&[]).termination_log(), PathBuf::from(DEFAULT_TERMINATION_LOG));
    }

    #[test]
    fn a_bad_setting_is_named() {
        let table = [
            (ENGINE, ""),
            (ENGINE, "claude"),
            (PROMPT_FILE, ""),
            (PROMPT_FILE, "/nowhere/prompt"),
            (PROMPT_FILE, "/dev/null"),
            (PROMPT_FILE, "/"),
            (TIMEOUT_SECONDS, ""),
            (TIMEOUT_SECONDS, "0"),
            (TIMEOUT_SECONDS, "-1"),
            (TIMEOUT_SECONDS, "1e3"),
            (TIMEOUT_SECONDS, "99999999999999999999"),
            (MAX_ITERATIONS, "many"),
            (GRACE_SECONDS, "0"),
            ("LLM_MODEL", " "),
            ("LLM_API_KEY", ""),
        ];
        for (name, value) in table {
            let error = environment(&[(name, value)]).settings().err().expect(name).to_string();
            assert!(error.contains(name), "{name}={value}: {error}");
        }
    }
}
