//! From the events of a session to ours.

use std::collections::{BTreeSet, HashMap};

use punching_fist_protocol::{Event, Reason, State, Usage};
use serde_json::Value;

use crate::engine::openhands;
use crate::verdict_block;

/// What was read so far.
#[derive(Debug, Default)]
pub struct Events {
    /// Answers of the model that the agent acted on: its steps.
    steps: BTreeSet<String>,
    /// Which file a call edits: a refused edit doesn't say it again.
    paths: HashMap<u64, String>,
    usage: Usage,
}

impl Events {
    /// What an event says.
    pub fn read(&mut self, event: &Value) -> Vec<Event> {
        let is_agents = event["source"] == "agent";
        match (event["action"].as_str(), event["observation"].as_str()) {
            (Some(action), _) if is_agents => self.action(action, event),
            (None, Some(observation)) => self.observation(observation, event),
            _ => Vec::new(),
        }
    }

    fn action(&mut self, action: &str, event: &Value) -> Vec<Event> {
        let (id, arguments) = (number(&event["id"]), &event["args"]);
        let mut events = Vec::new();
        let thought = string(&arguments["thought"]);
        if !thought.is_empty() && action != "think" {
            events.push(Event::Thought { text: thought.to_owned() });
        }
        events.extend(match action {
            "run" => Some(command(id, string(&arguments["command"]).to_owned())),
            "run_ipython" => Some(command(id, string(&arguments["code"]).to_owned())),
            "read" | "edit" | "write" => Some(self.file(id, action, arguments)),
            "call_tool_mcp" => {
                Some(command(id, format!("{} {}", string(&arguments["name"]), arguments["arguments"])))
            }
            "think" => Some(Event::Thought { text: thought.to_owned() }),
            "message" => Some(Event::Message { text: string(&arguments["content"]).to_owned() }),
            "finish" => Some(Event::Finish(verdict_block::conclusion(last_words(event)))),
            "browse" | "browse_interactive" | "delegate" => {
                Some(command(id, format!("{action} {arguments}")))
            }
            _ => None,
        });
        events.extend(self.usage(event));
        events
    }

    fn file(&mut self, id: u64, action: &str, arguments: &Value) -> Event {
        let path = string(&arguments["path"]);
        self.paths.insert(id, path.to_owned());
        let what = arguments["command"].as_str().filter(|what| !what.is_empty()).unwrap_or(action);
        command(id, format!("{what} {path}"))
    }

    fn observation(&self, observation: &str, event: &Value) -> Vec<Event> {
        let (cause, extras) = (number(&event["cause"]), &event["extras"]);
        let (id, text) = (cause.to_string(), string(&event["content"]).to_owned());
        match observation {
            "agent_state_changed" => state(string(&extras["agent_state"]), string(&extras["reason"])),
            "run" => {
                // -1: it goes on in the background.
                let code = extras["metadata"]["exit_code"].as_i64().filter(|code| *code != -1);
                let exit_code = code.and_then(|code| i32::try_from(code).ok());
                vec![Event::Output { id, exit_code, text }]
            }
            "edit" | "write" => vec![self.edited(cause, string(&extras["path"]), !text.starts_with("ERROR"))],
            "error" if self.paths.contains_key(&cause) => {
                vec![self.edited(cause, "", false), tool_error(text)]
            }
            "error" => vec![tool_error(text)],
            "read" | "run_ipython" | "mcp" | "browse" | "delegate" => {
                vec![Event::Output { id, exit_code: None, text }]
            }
            _ => Vec::new(),
        }
    }

    fn edited(&self, cause: u64, path: &str, ok: bool) -> Event {
        let known = self.paths.get(&cause).map(String::as_str);
        let path = if path.is_empty() { known.unwrap_or_default() } else { path };
        Event::Edit { path: path.to_owned(), ok }
    }

    /// What was used, if that is news. Several actions can come of one answer.
    fn usage(&mut self, event: &Value) -> Option<Event> {
        let metrics = &event["llm_metrics"];
        let response = event["tool_call_metadata"]["model_response"]["id"].as_str();
        if metrics.is_object() || response.is_some() {
            self.steps.insert(response.map_or_else(|| event["id"].to_string(), str::to_owned));
        }
        let tokens = &metrics["accumulated_token_usage"];
        let at_least = |field: &str, known: u64| tokens[field].as_u64().unwrap_or_default().max(known);
        let (steps, known) = (self.steps.len() as u64, &self.usage);
        let cost = metrics["accumulated_cost"].as_f64().filter(|cost| *cost > 0.0);
        let usage = Usage {
            input_tokens: at_least("prompt_tokens", known.input_tokens),
            output_tokens: at_least("completion_tokens", known.output_tokens),
            cache_read_tokens: at_least("cache_read_tokens", known.cache_read_tokens),
            cache_write_tokens: at_least("cache_write_tokens", known.cache_write_tokens),
            calls: steps,
            iterations: steps,
            // No price is known where nothing was charged.
            cost_usd: cost.map(|cost| format!("{cost:.6}")).or(known.cost_usd.clone()),
        };
        (usage != self.usage).then(|| {
            self.usage = usage.clone();
            Event::Usage(usage)
        })
    }
}

/// A state, and the error that led there.
fn state(word: &str, why: &str) -> Vec<Event> {
    let state = match word {
        "running" => State::Running,
        "finished" => State::Finished,
        "awaiting_user_input" => State::AwaitingInput,
        "awaiting_user_confirmation" => State::AwaitingConfirmation,
        "rate_limited" => State::RateLimited,
        "error" | "rejected" => State::Error,
        "paused" | "stopped" => State::Stopped,
        _ => return Vec::new(),
    };
    let reason = reason(why);
    let state = if reason == Reason::Stuck { State::Stuck } else { state };
    let error = (!why.is_empty()).then(|| Event::Error {
        reason: Some(reason),
        code: why.starts_with("STATUS$").then(|| why.to_owned()),
        text: why.to_owned(),
    });
    error.into_iter().chain([Event::State { state }]).collect()
}

/// Which end of a run it is: the controller has words of its own for some errors, and else says their class first.
fn reason(why: &str) -> Reason {
    match why {
        "STATUS$ERROR_LLM_AUTHENTICATION" => Reason::CredentialsRefused,
        "STATUS$ERROR_LLM_OUT_OF_CREDITS" => Reason::BudgetExceeded,
        "STATUS$ERROR_LLM_CONTENT_POLICY_VIOLATION" => Reason::NoVerdict,
        _ if why.starts_with("STATUS$ERROR_LLM_") || why.contains("RATE_LIMITED") => Reason::ProviderFault,
        _ if why.contains("reached maximum iteration") => Reason::IterationLimit,
        _ if why.contains("reached maximum budget") || why.contains("maximum budget for") => {
            Reason::BudgetExceeded
        }
        _ => {
            let said =
                why.strip_prefix("RuntimeError: There was an unexpected error while running the agent: ");
            let class = said.unwrap_or(why).split([':', '.']).next().unwrap_or_default();
            openhands::reason(class)
        }
    }
}

/// What a finish says: its last thought, or, where that is empty, what goes with it.
fn last_words(event: &Value) -> &str {
    let arguments = &event["args"];
    let last = string(&arguments["final_thought"]);
    if last.is_empty() { string(&arguments["thought"]) } else { last }
}

fn command(id: u64, command: String) -> Event {
    Event::Command { id: id.to_string(), command }
}

/// A tool that couldn't do what the agent wanted: nothing that ends the run.
fn tool_error(text: String) -> Event {
    Event::Error { reason: None, code: Some("ToolCallRefused".to_owned()), text }
}

fn string(value: &Value) -> &str {
    value.as_str().unwrap_or_default()
}

fn number(value: &Value) -> u64 {
    value.as_u64().unwrap_or_default()
}
