//! How each engine is started for a recording: as the runner's adapter does it, but for short retries and for limits that
//! a short run reaches.

use std::fs;
use std::io;
use std::path::Path;

use punching_fist_testkit::python::Environment;
use punching_fist_testkit::repository;
use punching_fist_testkit::scripted_model::{INPUT_COST_PER_TOKEN, MODEL, OUTPUT_COST_PER_TOKEN};
use serde_json::{Value, json};

/// Where the run's directory stands in the sandbox: a directory that every system has, so that the fixtures name the same
/// paths whoever records them.
pub const INSIDE: &str = "/mnt";
/// What stands for the model's key.
pub const KEY: &str = "the-key-of-the-model-0123456789";

const MAX_ITERATIONS: &str = "4";
const MAX_COST: &str = "2";
const RETRIES: u32 = 2;
const SECONDS_TO_ANSWER: u32 = 4;

const PROMPT: &str = "The disk of node-1 is full. Find out why.\n";

/// A program that runs an agent.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum Engine {
    /// Our own agent on the SDK
    Sdk,
    /// The command line `openhands`
    Cli,
    /// The generation before, `openhands.core.main`
    Main,
}

impl Engine {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Sdk, Self::Cli, Self::Main];

    /// Its name in an agent profile.
    pub fn name(self) -> &'static str {
        match self {
            Self::Sdk => "sdk",
            Self::Cli => "cli",
            Self::Main => "main",
        }
    }

    /// The program and its arguments.
    pub fn command(self, environment: &Environment) -> Vec<String> {
        let python = environment.interpreter().display().to_string();
        let prompt = format!("{INSIDE}/state/task.md");
        let words: Vec<&str> = match self {
            Self::Sdk => vec![&python, "-m", "punching_fist_agent"],
            Self::Cli => vec![
                &python,
                "-m",
                "openhands_cli.entrypoint",
                "--headless",
                "--json",
                "--override-with-envs",
                "-f",
                &prompt,
            ],
            Self::Main => vec![
                &python,
                "-m",
                "openhands.core.main",
                "-f",
                &prompt,
                "-i",
                MAX_ITERATIONS,
                "-b",
                MAX_COST,
            ],
        };
        words.into_iter().map(str::to_owned).collect()
    }

    /// What it is asked to end with, as a line.
    pub fn stop_signal(self) -> &'static str {
        match self {
            Self::Sdk => "INT\n",
            Self::Cli | Self::Main => "TERM\n",
        }
    }

    /// What the engine finds in its environment.
    pub fn variables(self, environment: &Environment, model_url: &str) -> Vec<(String, String)> {
        let search = format!("{}:/usr/local/bin:/usr/bin:/bin", environment.directory.join("bin").display());
        let number = |number: u32| number.to_string();
        let common = [
            ("PATH", search),
            ("HOME", format!("{INSIDE}/home")),
            ("TMPDIR", format!("{INSIDE}/tmp")),
            ("TMUX_TMPDIR", format!("{INSIDE}/tmp")),
            ("LANG", "C.UTF-8".to_owned()),
            ("PYTHONDONTWRITEBYTECODE", "1".to_owned()),
            ("PYTHONUNBUFFERED", "1".to_owned()),
            ("LITELLM_LOCAL_MODEL_COST_MAP", "True".to_owned()),
            ("PUNCHING_FIST_TERMINATION_LOG", format!("{INSIDE}/termination-log")),
            ("PUNCHING_FIST_PROMPT_FILE", format!("{INSIDE}/state/task.md")),
            ("LLM_MODEL", MODEL.to_owned()),
            ("LLM_BASE_URL", model_url.to_owned()),
            ("LLM_API_KEY", KEY.to_owned()),
            ("LLM_INPUT_COST_PER_TOKEN", INPUT_COST_PER_TOKEN.to_owned()),
            ("LLM_OUTPUT_COST_PER_TOKEN", OUTPUT_COST_PER_TOKEN.to_owned()),
            ("LLM_NUM_RETRIES", number(RETRIES)),
            ("LLM_RETRY_MIN_WAIT", number(1)),
            ("LLM_RETRY_MAX_WAIT", number(1)),
            ("LLM_TIMEOUT", number(SECONDS_TO_ANSWER)),
        ];
        let own = match self {
            Self::Sdk => sdk_variables(),
            Self::Cli => cli_variables(),
            Self::Main => main_variables(),
        };
        common.into_iter().chain(own).map(|(name, value)| (name.to_owned(), value)).collect()
    }

    /// Writes into the run's directory what has to be there.
    pub fn prepare(self, directory: &Path) -> io::Result<()> {
        for name in ["home", "tmp", "workspace", "out", "state/persistence"] {
            fs::create_dir_all(directory.join(name))?;
        }
        if self == Self::Cli {
            let settings = directory.join("state/persistence/agent_settings.json");
            fs::write(settings, agent_settings().to_string())?;
        }
        fs::write(directory.join("state/task.md"), PROMPT)
    }

    /// Below the run's directory, where the files are that the adapter reads.
    pub fn events(self) -> Option<&'static str> {
        match self {
            Self::Sdk => None,
            Self::Cli => Some("state/run"),
            Self::Main => Some("state/sessions"),
        }
    }
}

fn sdk_variables() -> Vec<(&'static str, String)> {
    vec![
        ("PYTHONPATH", repository::root().join("agent").display().to_string()),
        ("PUNCHING_FIST_MODE", "Investigate".to_owned()),
        ("PUNCHING_FIST_MAX_ITERATIONS", MAX_ITERATIONS.to_owned()),
        ("PUNCHING_FIST_MAX_COST_USD", MAX_COST.to_owned()),
    ]
}

fn cli_variables() -> Vec<(&'static str, String)> {
    vec![
        ("OPENHANDS_PERSISTENCE_DIR", format!("{INSIDE}/state/persistence")),
        ("OPENHANDS_CONVERSATIONS_DIR", format!("{INSIDE}/state/run/conversations")),
        ("OPENHANDS_WORK_DIR", format!("{INSIDE}/workspace")),
        ("OPENHANDS_SUPPRESS_BANNER", "1".to_owned()),
        ("GIT_CONFIG_COUNT", "1".to_owned()),
        ("GIT_CONFIG_KEY_0", "url.file:///nowhere/.insteadOf".to_owned()),
        ("GIT_CONFIG_VALUE_0", "https://github.com/OpenHands/extensions".to_owned()),
    ]
}

fn main_variables() -> Vec<(&'static str, String)> {
    let own = [
        ("RUNTIME", "cli"),
        ("LLM_NATIVE_TOOL_CALLING", "true"),
        ("FILE_STORE", "local"),
        ("LOG_ALL_EVENTS", "true"),
        ("LOG_JSON", "true"),
        ("AGENT_ENABLE_BROWSING", "false"),
        ("AGENT_ENABLE_JUPYTER", "false"),
    ];
    let paths = [("FILE_STORE_PATH", "state"), ("CACHE_DIR", "tmp/cache")];
    let volumes = ("SANDBOX_VOLUMES", format!("{INSIDE}/workspace:/workspace:rw"));
    let own = own.map(|(name, value)| (name, value.to_owned()));
    let paths = paths.map(|(name, path)| (name, format!("{INSIDE}/{path}")));
    own.into_iter().chain(paths).chain([volumes]).collect()
}

/// The settings of the engine `cli`, which takes these from a file alone.
fn agent_settings() -> Value {
    let llm = |usage: &str| {
        json!({
            "model": MODEL,
            "usage_id": usage,
            "num_retries": RETRIES,
            "retry_min_wait": 1,
            "retry_max_wait": 1,
            "timeout": SECONDS_TO_ANSWER,
            "log_completions": true,
            "log_completions_folder": format!("{INSIDE}/state/run/completions"),
            "input_cost_per_token": INPUT_COST_PER_TOKEN.parse::<f64>().unwrap_or_default(),
            "output_cost_per_token": OUTPUT_COST_PER_TOKEN.parse::<f64>().unwrap_or_default(),
        })
    };
    json!({
        "kind": "Agent",
        "llm": llm("agent"),
        "system_prompt_kwargs": { "cli_mode": true },
        "condenser": { "kind": "LLMSummarizingCondenser", "llm": llm("condenser"), "max_size": 80, "keep_first": 4 },
    })
}
