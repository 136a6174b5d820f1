//! The engine `main`: `python -m openhands.core.main`, of OpenHands 0.39 to 1.6. Its events are files; its exit code says
//! nothing; where the provider refuses more calls, or somebody should answer, it waits for ever.

mod config;
mod events;
mod sessions;

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::time::Duration;

use nix::sys::signal::Signal;
use punching_fist_protocol::pod::{Runtime, paths};

use super::mcp;
use super::openhands::{self, RETRIES, RETRY_MAX_WAIT, RETRY_MIN_WAIT, RETRY_MULTIPLIER, TIMEOUT};
use super::{Engine, ExitCodes, Launch, Reader, Reading};
use crate::judge::{Fault, ProcessEnd};
use crate::task::Task;
use crate::verdict_block;
use events::Events;
use sessions::Sessions;

/// `openhands.core.main`.
pub struct Main;

impl Engine for Main {
    fn launch(&self, task: &Task) -> Result<Launch, Fault> {
        let servers = config::mcp(&mcp::servers(task, &mcp::environment(task))?)?;
        Ok(Launch {
            program: "python".into(),
            arguments: arguments(task, servers.is_some()),
            set: variables(task),
            files: files(task, servers),
            watched: Some(sessions(task)),
            ..Launch::default()
        })
    }

    fn reader(&self, task: &Task) -> Box<dyn Reader> {
        Box::new(Session { sessions: Sessions::new(sessions(task)), events: Events::default() })
    }

    fn exit_codes(&self) -> ExitCodes {
        ExitCodes::Meaningless
    }

    /// While the model is called it does nothing about SIGINT. What it has done by then is in its files already.
    fn stop_signal(&self) -> Signal {
        Signal::SIGTERM
    }

    fn most_silence(&self) -> Option<Duration> {
        Some(openhands::most_silence())
    }
}

fn state(task: &Task) -> PathBuf {
    match task.runtime {
        Runtime::Cli => task.state_directory.join("state"),
        // Where 0.39 keeps it, and the pod of that generation has a volume.
        Runtime::Docker => paths::OPENHANDS_STATE.into(),
    }
}

fn sessions(task: &Task) -> PathBuf {
    state(task).join("sessions")
}

fn config_file(task: &Task) -> PathBuf {
    task.state_directory.join("config.toml")
}

/// 0.39 takes the number of steps from nowhere else, and doesn't look at the budget while it works: the runner does.
fn arguments(task: &Task, is_configured: bool) -> Vec<OsString> {
    let mut arguments: Vec<OsString> = ["-m", "openhands.core.main", "-f"].map(OsString::from).to_vec();
    arguments.push(openhands::prompt_file(&task.state_directory).into());
    arguments.extend(["-i".into(), task.max_iterations.to_string().into()]);
    if let Some(cost) = &task.max_cost {
        arguments.extend(["-b".into(), cost.into()]);
    }
    if is_configured {
        arguments.extend(["--config-file".into(), config_file(task).into()]);
    }
    arguments
}

fn variables(task: &Task) -> Vec<(OsString, OsString)> {
    let numbers = [RETRIES, RETRY_MIN_WAIT, RETRY_MAX_WAIT, RETRY_MULTIPLIER, TIMEOUT]
        .map(|(name, number)| (name, number.to_string()));
    let mut variables: Vec<(OsString, OsString)> =
        numbers.iter().flat_map(|(name, number)| openhands::unless_set(&[(name, number)])).collect();
    variables.extend(openhands::unless_set(&[
        ("LITELLM_LOCAL_MODEL_COST_MAP", "True"),
        // Models that are younger than the engine aren't in its list, and would be asked to write calls as text.
        ("LLM_NATIVE_TOOL_CALLING", "true"),
    ]));
    // Half of its code knows no other way to write it.
    variables.extend(
        [("LOG_ALL_EVENTS", "true"), ("FILE_STORE", "local")]
            .map(|(name, value)| (name.into(), value.into())),
    );
    variables.push(("FILE_STORE_PATH".into(), state(task).into()));
    if task.runtime == Runtime::Cli {
        variables.extend(variables_without_docker(task));
    }
    variables
}

/// The agent's commands run in its own container: it is the sandbox.
fn variables_without_docker(task: &Task) -> Vec<(OsString, OsString)> {
    let set = [("RUNTIME", "cli"), ("LOG_JSON", "true")].map(|(name, value)| (name.into(), value.into()));
    let off = openhands::unless_set(&[("AGENT_ENABLE_BROWSING", "false"), ("AGENT_ENABLE_JUPYTER", "false")]);
    let mut volumes = task.workspace.clone().into_os_string();
    volumes.push(":/workspace:rw");
    let paths = [
        ("SANDBOX_VOLUMES".into(), volumes),
        ("CACHE_DIR".into(), task.state_directory.join("cache").into()),
    ];
    set.into_iter().chain(off).chain(paths).collect()
}

/// Every version reads the microagents of the workspace; `AGENTS.md` only those from 0.56 on.
fn files(task: &Task, servers: Option<String>) -> Vec<(PathBuf, String)> {
    let prompt = verdict_block::prompt(&task.prompt, task.mode);
    let mut files = vec![(openhands::prompt_file(&task.state_directory), prompt)];
    let place = task.workspace.join(".openhands/microagents");
    files.extend(openhands::instructions(&task.skills).map(|text| (place.join("instructions.md"), text)));
    let documents = task.skills.documents.iter();
    files.extend(documents.map(|document| (named(&place, &document.name), document.text.clone())));
    files.extend(servers.map(|text| (config_file(task), text)));
    files
}

fn named(place: &Path, name: &str) -> PathBuf {
    place.join(format!("{name}.md"))
}

/// What one session has shown so far.
struct Session {
    sessions: Sessions,
    events: Events,
}

impl Session {
    fn readings(&mut self, files: &[serde_json::Value]) -> Vec<Reading> {
        files.iter().flat_map(|event| self.events.read(event)).map(Reading::Event).collect()
    }
}

impl Reader for Session {
    /// The lines say what the files say, for people.
    fn line(&mut self, _: &str) -> Option<Vec<Reading>> {
        None
    }

    fn look(&mut self) -> Vec<Reading> {
        let files = self.sessions.next();
        self.readings(&files)
    }

    fn at_end(&mut self, _: ProcessEnd) -> Vec<Reading> {
        let text = match self.sessions.unread() {
            0 => return Vec::new(),
            1 => "one event of the engine's can't be read".to_owned(),
            count => format!("{count} events of the engine's can't be read"),
        };
        vec![Reading::Remark(text)]
    }
}
