//! What the pod's environment tells the runner. A setting that is missing or makes no sense is named in the error.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::time::Duration;

use punching_fist_protocol::is_decimal;
use punching_fist_protocol::pod::variables::{
    COMMAND, ENGINE, GRACE_SECONDS, KUBECONFIG, LLM_API_KEY, LLM_BASE_URL, LLM_INPUT_COST_PER_TOKEN,
    LLM_MODEL, LLM_OUTPUT_COST_PER_TOKEN, MAX_COST_USD, MAX_ITERATIONS, MODE, PROMPT_FILE, RUNTIME,
    SKILLS_DIR, TERMINATION_LOG, TIMEOUT_SECONDS, TOKEN_FILE,
};
use punching_fist_protocol::pod::{UnknownWord, paths};

use crate::cost::Prices;
use crate::engine::{self, Engine};
use crate::kubeconfig::{self, KubeconfigError};
use crate::skills::{SkillError, Skills};
use crate::task::Task;

/// A pod's grace period where it sets none.
const DEFAULT_GRACE_SECONDS: u64 = 30;
/// No run is meant to take longer: seconds in thirty days.
const MOST_SECONDS: u64 = 30 * 24 * 3600;

/// How an attempt is to run.
pub struct Settings {
    /// Which engine.
    pub engine: &'static dyn Engine,
    /// What it is told, its limits too.
    pub task: Task,
    /// How long Kubernetes waits between SIGTERM and SIGKILL.
    pub grace: Duration,
    /// What tokens cost, where that is known.
    pub prices: Prices,
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
    /// It is no amount of money.
    #[error("the environment variable {name} has to be a decimal like \"2.50\", not {value:?}")]
    Decimal {
        /// The variable.
        name: &'static str,
        /// What it holds.
        value: String,
    },
    /// It is none of the words that make sense.
    #[error("the environment variable {name} has to be {known}, not {value:?}", known = known.join(" or "))]
    Word {
        /// The variable.
        name: &'static str,
        /// What it holds.
        value: String,
        /// The words that make sense.
        known: &'static [&'static str],
    },
    /// It names no engine.
    #[error("the environment variable {ENGINE} names no engine: {value:?}; there is {known}", known = known.join(", "))]
    Engine {
        /// What it holds.
        value: String,
        /// The engines.
        known: &'static [&'static str],
    },
    /// The engine `command` has nothing to start.
    #[error("{problem}, not {0:?}", problem = no_command())]
    Command(String),
    /// A file can't be read, or is empty.
    #[error("the environment variable {name} names {path}, which {problem}")]
    File {
        /// The variable.
        name: &'static str,
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        problem: String,
    },
    /// The skills can't be read.
    #[error("the environment variable {SKILLS_DIR} names skills that can't be used: {0}")]
    Skills(#[from] SkillError),
    /// The other cluster's kubeconfig is refused.
    #[error("the environment variable {KUBECONFIG} names a file that is refused: {0}")]
    Kubeconfig(#[from] KubeconfigError),
    /// The process has no current directory.
    #[error("the container's working directory can't be used: {0}")]
    Workspace(#[from] io::Error),
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
    pub fn variables(&self) -> impl Iterator<Item = (&str, &str)> {
        self.0.iter().map(|(name, value)| (name.as_str(), value.as_str()))
    }

    /// A variable, if there is something in it.
    pub fn get(&self, name: &str) -> Option<&str> {
        self.0.get(name).map(|value| value.trim()).filter(|value| !value.is_empty())
    }

    /// Where the termination message goes. Known before anything else: a refused setting is told there.
    pub fn termination_log(&self) -> PathBuf {
        self.get(TERMINATION_LOG).unwrap_or(paths::TERMINATION_LOG).into()
    }

    /// The settings, or the first one that is wrong.
    pub fn settings(&self) -> Result<Settings, SettingError> {
        let engine = self.engine()?;
        let grace = self.get(GRACE_SECONDS).map(|value| number(GRACE_SECONDS, value, MOST_SECONDS));
        let grace = grace.transpose()?.unwrap_or(DEFAULT_GRACE_SECONDS);
        Ok(Settings {
            engine,
            task: self.task(engine)?,
            grace: Duration::from_secs(grace),
            prices: Prices {
                input: self.price(LLM_INPUT_COST_PER_TOKEN),
                output: self.price(LLM_OUTPUT_COST_PER_TOKEN),
            },
        })
    }

    fn engine(&self) -> Result<&'static dyn Engine, SettingError> {
        let word = self.required(ENGINE)?;
        let wrong = |UnknownWord(known)| SettingError::Engine { value: word.to_owned(), known };
        word.parse().map(engine::of).map_err(wrong)
    }

    fn task(&self, engine: &dyn Engine) -> Result<Task, SettingError> {
        let prompt = file(PROMPT_FILE, self.required(PROMPT_FILE)?)?;
        let timeout = number(TIMEOUT_SECONDS, self.required(TIMEOUT_SECONDS)?, MOST_SECONDS)?;
        Ok(Task {
            prompt,
            mode: self.word(MODE)?,
            model: of_model(engine, LLM_MODEL, self.get(LLM_MODEL).unwrap_or_default().to_owned())?,
            api_key: of_model(engine, LLM_API_KEY, self.api_key()?)?,
            base_url: self.get(LLM_BASE_URL).map(str::to_owned),
            max_iterations: number(MAX_ITERATIONS, self.required(MAX_ITERATIONS)?, u64::from(u32::MAX))?,
            max_cost: self.decimal(MAX_COST_USD)?,
            timeout: Duration::from_secs(timeout),
            runtime: self.word(RUNTIME)?,
            command: self.command()?,
            skills: self
                .get(SKILLS_DIR)
                .map(|root| Skills::read(Path::new(root)))
                .transpose()?
                .unwrap_or_default(),
            kubeconfig: self.kubeconfig()?,
            state_directory: state_directory(),
            workspace: std::env::current_dir()?,
        })
    }

    /// The token for the model's gateway, or the model's key.
    fn api_key(&self) -> Result<String, SettingError> {
        let Some(path) = self.get(TOKEN_FILE) else {
            return Ok(self.get(LLM_API_KEY).unwrap_or_default().to_owned());
        };
        let token = file(TOKEN_FILE, path)?;
        Ok(token.trim().to_owned())
    }

    fn command(&self) -> Result<Vec<String>, SettingError> {
        let Some(value) = self.get(COMMAND) else { return Ok(Vec::new()) };
        serde_json::from_str(value).map_err(|_| SettingError::Command(value.to_owned()))
    }

    /// The file of another cluster that the operator mounts; whatever else the image names is its own.
    fn kubeconfig(&self) -> Result<Option<String>, SettingError> {
        let path = self.get(KUBECONFIG).map(Path::new).filter(|path| path.starts_with(paths::CLUSTER));
        let Some(path) = path else { return Ok(None) };
        Ok(Some(kubeconfig::read(&file(KUBECONFIG, path)?)?.text))
    }

    fn word<T: FromStr<Err = UnknownWord> + Default>(&self, name: &'static str) -> Result<T, SettingError> {
        let Some(value) = self.get(name) else { return Ok(T::default()) };
        value.parse().map_err(|UnknownWord(known)| SettingError::Word {
            name,
            value: value.to_owned(),
            known,
        })
    }

    fn decimal(&self, name: &'static str) -> Result<Option<String>, SettingError> {
        let wrong = |value: &str| SettingError::Decimal { name, value: value.to_owned() };
        let checked = |value: &str| if is_decimal(value) { Ok(value.to_owned()) } else { Err(wrong(value)) };
        self.get(name).map(checked).transpose()
    }

    /// A price that makes no sense is none: the gateway has it from elsewhere.
    fn price(&self, name: &str) -> f64 {
        let price = self.get(name).and_then(|price| price.parse().ok()).unwrap_or_default();
        if f64::is_finite(price) && price > 0.0 { price } else { 0.0 }
    }

    fn required(&self, name: &'static str) -> Result<&str, SettingError> {
        self.get(name).ok_or(SettingError::Missing(name))
    }
}

/// What an engine without a model can do without.
fn of_model(engine: &dyn Engine, name: &'static str, value: String) -> Result<String, SettingError> {
    if value.is_empty() && engine.needs_model() { Err(SettingError::Missing(name)) } else { Ok(value) }
}

/// What stands in a file that a variable names.
fn file(name: &'static str, path: impl Into<PathBuf>) -> Result<String, SettingError> {
    let path = path.into();
    let problem = match fs::read(&path) {
        Ok(bytes) if bytes.trim_ascii().is_empty() => "is empty".to_owned(),
        Ok(bytes) => return Ok(String::from_utf8_lossy(&bytes).into_owned()),
        Err(error) => format!("can't be read: {error}"),
    };
    Err(SettingError::File { name, path, problem })
}

/// What is wrong where the engine `command` has nothing to start.
pub fn no_command() -> String {
    format!("the environment variable {COMMAND} has to be a JSON list of strings that begins with a program")
}

/// Where the engine's own files are kept while it works.
pub fn state_directory() -> PathBuf {
    std::env::temp_dir().join(format!("punching-fist-{}", std::process::id()))
}

fn number(name: &'static str, value: &str, most: u64) -> Result<u64, SettingError> {
    let wrong = || SettingError::Number { name, value: value.to_owned(), most };
    u64::from_str(value).ok().filter(|number| (1..=most).contains(number)).ok_or_else(wrong)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::ExitCodes;
    use punching_fist_protocol::pod::{Mode, Runtime};

    fn environment(changes: &[(&str, &str)]) -> Environment {
        let good = [
            (ENGINE, "sdk"),
            (PROMPT_FILE, "/proc/self/status"),
            (TIMEOUT_SECONDS, "60"),
            (MAX_ITERATIONS, "10"),
            (LLM_MODEL, "openai/x"),
            (LLM_API_KEY, "key"),
        ];
        let both = good.iter().chain(changes);
        Environment(both.map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect())
    }

    #[test]
    fn good_settings_are_read() {
        let settings =
            environment(&[(GRACE_SECONDS, " 5 ")]).settings().unwrap_or_else(|error| panic!("{error}"));
        assert_eq!(settings.engine.exit_codes(), ExitCodes::Ours);
        assert_eq!(
            (settings.task.timeout.as_secs(), settings.grace.as_secs(), settings.task.max_iterations),
            (60, 5, 10)
        );
        let told = environment(&[
            (MODE, "Remediate"),
            (RUNTIME, "docker"),
            (MAX_COST_USD, "2.50"),
            (COMMAND, r#"["ls","-l"]"#),
            (LLM_BASE_URL, "http://gateway/v1"),
            (KUBECONFIG, "/root/.kube/config"),
            (LLM_INPUT_COST_PER_TOKEN, "0.0000025"),
            (LLM_OUTPUT_COST_PER_TOKEN, "many"),
        ]);
        let Settings { task, prices, .. } = told.settings().unwrap_or_else(|error| panic!("{error}"));
        assert_eq!((task.mode, task.runtime), (Mode::Remediate, Runtime::Docker));
        assert_eq!((task.max_cost.as_deref(), task.command.len()), (Some("2.50"), 2));
        assert_eq!((task.base_url.as_deref(), task.api_key.as_str()), (Some("http://gateway/v1"), "key"));
        assert!(prices.input > 0.0 && prices.output <= 0.0);
        assert_eq!(environment(&[]).termination_log(), PathBuf::from(paths::TERMINATION_LOG));
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
            (MAX_COST_USD, "-1"),
            (MAX_COST_USD, "2,50"),
            (MODE, "remediate"),
            (RUNTIME, "podman"),
            (COMMAND, "ls -l"),
            (COMMAND, "{}"),
            (TOKEN_FILE, "/nowhere/token"),
            (TOKEN_FILE, "/dev/null"),
            (SKILLS_DIR, "/nowhere"),
            (KUBECONFIG, "/punching-fist-cluster/kubeconfig"),
            (GRACE_SECONDS, "0"),
            (LLM_MODEL, " "),
            (LLM_API_KEY, ""),
        ];
        for (name, value) in table {
            let error = environment(&[(name, value)]).settings().err().expect(name).to_string();
            assert!(error.contains(name), "{name}={value}: {error}");
        }
    }
}
