//! The engine `cli`: `openhands --headless --json`, from PyPI's `openhands` 1.16. It prints its events, keeps its state in
//! a file, and exits with 0 whatever happened.

mod completions;
mod events;
mod state;

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::time::Duration;

use nix::sys::signal::Signal;
use punching_fist_protocol::pod::variables::{LLM_INPUT_COST_PER_TOKEN, LLM_OUTPUT_COST_PER_TOKEN};
use punching_fist_protocol::{Event, Finish, State, Usage};
use serde_json::{Map, Value, json};

use super::mcp;
use super::openhands::{self, RETRIES, RETRY_MAX_WAIT, RETRY_MIN_WAIT, TIMEOUT};
use super::untrusted::{self, Look};
use super::{Engine, ExitCodes, Launch, Reader, Reading};
use crate::judge::{Fault, ProcessEnd};
use crate::task::Task;
use crate::verdict_block;
use completions::Completions;
use events::Events;
use state::BaseState;

/// When the conversation is summed up, and how much of its beginning is kept: as the CLI has it without a settings file.
const CONDENSE_AFTER: u32 = 80;
const KEEP_FIRST: u32 = 4;

/// Settings that keep it quiet and off the network. The instructions that it fetches from GitHub at every start are pinned
/// by nobody, and where the network drops packets it waits two minutes for them: git finds that one address nowhere.
const QUIET: [(&str, &str); 6] = [
    // Its events would stay in a buffer until it ends.
    ("PYTHONUNBUFFERED", "1"),
    ("OPENHANDS_SUPPRESS_BANNER", "1"),
    ("LITELLM_LOCAL_MODEL_COST_MAP", "True"),
    ("GIT_CONFIG_COUNT", "1"),
    ("GIT_CONFIG_KEY_0", "url.file:///nowhere/.insteadOf"),
    ("GIT_CONFIG_VALUE_0", "https://github.com/OpenHands/extensions"),
];

/// The command line `openhands`.
pub struct Cli;

impl Engine for Cli {
    fn launch(&self, task: &Task) -> Result<Launch, Fault> {
        let flags = ["--headless", "--json", "--override-with-envs", "-f"].map(OsString::from);
        let prompt = openhands::prompt_file(&task.state_directory).into();
        Ok(Launch {
            program: "openhands".into(),
            arguments: flags.into_iter().chain([prompt]).collect(),
            set: variables(task),
            files: files(task, &mcp::servers(task, &mcp::environment(task))?),
            watched: Some(written(task)),
            ..Launch::default()
        })
    }

    fn reader(&self, task: &Task) -> Box<dyn Reader> {
        Box::new(Conversation::of(task))
    }

    fn exit_codes(&self) -> ExitCodes {
        ExitCodes::Meaningless
    }

    /// While the model is called it does nothing about SIGINT. What it has printed by then is with us already.
    fn stop_signal(&self) -> Signal {
        Signal::SIGTERM
    }

    fn most_silence(&self) -> Option<Duration> {
        Some(openhands::most_silence())
    }
}

fn persistence(task: &Task) -> PathBuf {
    task.state_directory.join("persistence")
}

/// Where it writes while it runs.
fn written(task: &Task) -> PathBuf {
    task.state_directory.join("run")
}

fn conversations(task: &Task) -> PathBuf {
    written(task).join("conversations")
}

fn completions(task: &Task) -> PathBuf {
    written(task).join("completions")
}

fn variables(task: &Task) -> Vec<(OsString, OsString)> {
    let directories = [
        ("OPENHANDS_PERSISTENCE_DIR", persistence(task)),
        ("OPENHANDS_CONVERSATIONS_DIR", conversations(task)),
        ("OPENHANDS_WORK_DIR", task.workspace.clone()),
    ];
    let directories = directories.into_iter().map(|(name, path)| (name.into(), path.into()));
    let shield = openhands::shield_path(&task.state_directory);
    openhands::unless_set(&QUIET).into_iter().chain(directories).chain([shield]).collect()
}

fn files(task: &Task, servers: &Map<String, Value>) -> Vec<(PathBuf, String)> {
    let persistence = persistence(task);
    let mut files = vec![
        (openhands::prompt_file(&task.state_directory), verdict_block::prompt(&task.prompt, task.mode)),
        (persistence.join("agent_settings.json"), agent_settings(task).to_string()),
        openhands::shield(&task.state_directory),
    ];
    files.extend(openhands::instructions(&task.skills).map(|text| (task.workspace.join("AGENTS.md"), text)));
    let place = task.workspace.join(".agents/skills");
    let skills = openhands::skills(&task.skills.documents).into_iter();
    files.extend(skills.map(|(name, text)| (place.join(name).join("SKILL.md"), text)));
    if !servers.is_empty() {
        let servers = json!({ "mcpServers": servers });
        files.push((persistence.join("mcp.json"), servers.to_string()));
    }
    files
}

/// What the CLI takes from its settings file alone: how long it bears a model that doesn't answer, and what calls cost.
/// Model, key and address come from the environment all the same. There is no setting for the number of steps.
fn agent_settings(task: &Task) -> Value {
    let llm = |usage: &str| {
        json!({
            "model": task.model,
            "base_url": task.base_url,
            "usage_id": usage,
            "num_retries": openhands::number(RETRIES),
            "retry_min_wait": openhands::number(RETRY_MIN_WAIT),
            "retry_max_wait": openhands::number(RETRY_MAX_WAIT),
            "timeout": openhands::number(TIMEOUT),
            "log_completions": true,
            "log_completions_folder": completions(task),
            "input_cost_per_token": openhands::set::<f64>(LLM_INPUT_COST_PER_TOKEN),
            "output_cost_per_token": openhands::set::<f64>(LLM_OUTPUT_COST_PER_TOKEN),
        })
    };
    let condenser = json!({
        "kind": "LLMSummarizingCondenser",
        "llm": llm("condenser"),
        "max_size": CONDENSE_AFTER,
        "keep_first": KEEP_FIRST,
    });
    json!({
        "kind": "Agent",
        "llm": llm("agent"),
        "system_prompt_kwargs": { "cli_mode": true },
        "condenser": condenser,
    })
}

/// What one conversation has shown so far.
struct Conversation {
    directory: PathBuf,
    events: Events,
    completions: Completions,
    /// As the file says it.
    state: Option<BaseState>,
    /// What was told of it.
    told: Option<State>,
    /// What its agent's last words came to, as it was told.
    concluded: Option<Finish>,
}

impl Conversation {
    fn of(task: &Task) -> Self {
        let completions = Completions::new(completions(task));
        Self {
            directory: conversations(task),
            events: Events::default(),
            completions,
            state: None,
            told: None,
            concluded: None,
        }
    }

    /// What was used: whichever of the two knows more.
    fn usage(&self) -> Usage {
        let of_calls = self.completions.usage();
        let of_state = self.state.as_ref().map(|state| &state.usage);
        of_state.filter(|usage| usage.calls >= of_calls.calls).cloned().unwrap_or(of_calls)
    }

    fn is_over(&self) -> bool {
        self.state.as_ref().is_some_and(|state| state.status == Some(State::Finished))
    }

    /// An agent that only says something has ended for the CLI: these words are its conclusion, if that is news.
    fn conclusion(&mut self) -> Option<Event> {
        let finish = self.is_over().then(|| self.events.concluding_words()).flatten()?;
        let news = self.concluded.replace(finish.clone()).as_ref() != Some(&finish);
        news.then_some(Event::Finish(finish))
    }

    /// The state, if it is another one than was told. That it has finished is told only after the event that says so,
    /// which comes another way.
    fn state(&mut self) -> Option<Event> {
        let state = self.state.as_ref()?.status?;
        let is_known = state != State::Finished || self.events.can_end();
        let news = is_known && self.told.replace(state) != Some(state);
        news.then_some(Event::State { state })
    }

    /// Events with what follows from them.
    fn readings(&mut self, mut events: Vec<Event>) -> Vec<Reading> {
        events.extend(self.events.usage(self.usage()));
        events.extend(self.conclusion());
        events.extend(self.state());
        events.into_iter().map(Reading::Event).collect()
    }
}

impl Reader for Conversation {
    fn line(&mut self, line: &str) -> Option<Vec<Reading>> {
        let events = self.events.read(line)?;
        Some(self.readings(events))
    }

    fn look(&mut self) -> Vec<Reading> {
        self.completions.look();
        let state = state_file(&self.directory).and_then(|text| BaseState::read(&text));
        self.state = state.or(self.state.take());
        self.readings(Vec::new())
    }

    /// It is over for the CLI, and the agent hasn't said a word.
    fn at_end(&mut self, _: ProcessEnd) -> Vec<Reading> {
        let is_open = self.is_over() && !self.events.can_end();
        is_open.then_some(Reading::Event(Event::State { state: State::AwaitingInput })).into_iter().collect()
    }
}

/// The conversation's state as its file has it: there is one conversation in a run.
fn state_file(conversations: &Path) -> Option<Vec<u8>> {
    let mut look = Look::new();
    untrusted::entries(conversations).find_map(|path| look.read(&path.join("base_state.json")))
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    #[test]
    fn a_state_that_is_no_plain_file_is_none() {
        let directory = tempfile::tempdir().expect("a directory");
        let place = |name: &str| {
            let conversation = directory.path().join(name);
            fs::create_dir(&conversation).expect("our own directory");
            conversation.join("base_state.json")
        };
        untrusted::traps::set(place);
        assert_eq!(state_file(directory.path()), None);
        fs::write(place("own"), "{}").expect("our own directory");
        assert_eq!(state_file(directory.path()).as_deref(), Some(b"{}".as_slice()));
    }
}
