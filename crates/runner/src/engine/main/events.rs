//! From the events of a session to ours.

use std::collections::{BTreeSet, HashMap};

use punching_fist_protocol::{Event, Reason, State, Usage};
use serde_json::Value;

use crate::engine::openhands::{self, exit_code, string, tool_error};
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
                vec![Event::Output { id, exit_code: exit_code(&extras["metadata"]["exit_code"]), text }]
            }
            "edit" | "write" => vec![self.edited(cause, string(&extras["path"]), !text.starts_with("ERROR"))],
            "error" if self.paths.contains_key(&cause) => {
                vec![self.edited(cause, "", false), tool_error(text)]
            }
            "error" => vec![tool_error(text)],
            "mcp" => vec![Event::Output { id, exit_code: mcp_code(&text), text }],
            "read" | "run_ipython" | "browse" | "delegate" => {
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
        let cost = metrics["accumulated_cost"].as_f64().and_then(openhands::cost);
        let usage = Usage {
            input_tokens: at_least("prompt_tokens", known.input_tokens),
            output_tokens: at_least("completion_tokens", known.output_tokens),
            cache_read_tokens: at_least("cache_read_tokens", known.cache_read_tokens),
            cache_write_tokens: at_least("cache_write_tokens", known.cache_write_tokens),
            calls: steps,
            iterations: steps,
            cost_usd: cost.or(known.cost_usd.clone()),
        };
        (usage != self.usage).then(|| {
            self.usage = usage.clone();
            Event::Usage(usage)
        })
    }
}

/// An MCP server's answer as an exit code: the content is the answer itself, as JSON.
fn mcp_code(content: &str) -> Option<i32> {
    let answer: Value = serde_json::from_str(content).ok()?;
    answer["isError"].as_bool().map(i32::from)
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
    let error = (!why.is_empty()).then(|| {
        let words = STATUSES.iter().find(|(status, ..)| *status == why).map(|(_, _, words)| *words);
        let code = words.map(|_| why.to_owned());
        Event::Error { reason: Some(reason), code, text: words.unwrap_or(why).to_owned() }
    });
    error.into_iter().chain([Event::State { state }]).collect()
}

/// The controller has words of its own for some errors: the log alone says more.
const STATUSES: [(&str, Reason, &str); 6] = [
    ("STATUS$ERROR_LLM_AUTHENTICATION", Reason::CredentialsRefused, "the model's provider refuses the key"),
    ("STATUS$ERROR_LLM_SERVICE_UNAVAILABLE", Reason::ProviderFault, "the model's provider is away"),
    ("STATUS$ERROR_LLM_INTERNAL_SERVER_ERROR", Reason::ProviderFault, "the model's provider failed"),
    ("STATUS$ERROR_LLM_OUT_OF_CREDITS", Reason::BudgetExceeded, "the model's provider gives no more credit"),
    (
        "STATUS$ERROR_LLM_CONTENT_POLICY_VIOLATION",
        Reason::NoVerdict,
        "the model's provider refuses what was said, by its content policy",
    ),
    (
        "CHAT_INTERFACE$AGENT_RATE_LIMITED_STOPPED_MESSAGE",
        Reason::ProviderFault,
        "the model's provider takes no more calls for a while",
    ),
];

/// Which end of a run it is. Where the controller has no word of its own, the error's class stands first.
fn reason(why: &str) -> Reason {
    if let Some((_, reason, _)) = STATUSES.iter().find(|(status, ..)| *status == why) {
        return *reason;
    }
    if why.contains("reached maximum iteration") {
        return Reason::IterationLimit;
    }
    if why.contains("reached maximum budget") || why.contains("maximum budget for") {
        return Reason::BudgetExceeded;
    }
    let said = why.strip_prefix("RuntimeError: There was an unexpected error while running the agent: ");
    openhands::reason(said.unwrap_or(why).split([':', '.']).next().unwrap_or_default())
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

fn number(value: &Value) -> u64 {
    value.as_u64().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    /// Why the controller says that it failed, what that means, and what is told of it.
    const ERRORS: [(&str, Reason, &str); 9] = [
        ("STATUS$ERROR_LLM_AUTHENTICATION", Reason::CredentialsRefused, "refuses the key"),
        ("STATUS$ERROR_LLM_SERVICE_UNAVAILABLE", Reason::ProviderFault, "away"),
        ("BadRequestError: litellm.BadRequestError: no", Reason::ConfigurationRefused, "litellm"),
        ("Timeout: litellm.Timeout: late", Reason::ProviderFault, "late"),
        ("RuntimeError: Agent reached maximum iteration. Current iteration: 4", Reason::IterationLimit, "4"),
        ("RuntimeError: Agent reached maximum iteration in headless mode.", Reason::IterationLimit, "mode"),
        ("RuntimeError: Agent reached maximum budget for conversation.", Reason::BudgetExceeded, "budget"),
        (
            "RuntimeError: There was an unexpected error while running the agent: PermissionDeniedError. You can",
            Reason::CredentialsRefused,
            "Permission",
        ),
        ("ValueError: x", Reason::AgentFault, "x"),
    ];

    #[test]
    fn every_error_has_its_reason() {
        for (why, expected, told) in ERRORS {
            let events = state("error", why);
            let [Event::Error { reason, text, .. }, Event::State { state: State::Error }] = events.as_slice()
            else {
                panic!("{events:?}")
            };
            assert!(*reason == Some(expected) && text.contains(told), "{why}: {reason:?} {text}");
        }
    }

    #[test]
    fn a_loop_is_told_from_other_errors() {
        let events = state("error", "AgentStuckInLoopError: Agent got stuck in a loop");
        assert_eq!(events.last(), Some(&Event::State { state: State::Stuck }));
    }

    #[test]
    fn states_have_their_words() {
        for (word, expected) in [
            ("running", State::Running),
            ("finished", State::Finished),
            ("awaiting_user_input", State::AwaitingInput),
            ("awaiting_user_confirmation", State::AwaitingConfirmation),
            ("rate_limited", State::RateLimited),
            ("error", State::Error),
            ("rejected", State::Error),
            ("paused", State::Stopped),
            ("stopped", State::Stopped),
        ] {
            assert_eq!(state(word, ""), [Event::State { state: expected }], "{word}");
        }
        assert_eq!(state("loading", ""), []);
    }

    #[test]
    fn a_refused_edit_names_its_file() {
        let mut events = Events::default();
        let edit = json!({ "id": 4, "source": "agent", "action": "edit", "args": { "path": "/a", "command": "create" } });
        assert_eq!(events.read(&edit), [command(4, "create /a".to_owned())]);
        let refused =
            json!({ "id": 5, "source": "environment", "observation": "error", "cause": 4, "content": "No." });
        assert_eq!(events.read(&refused)[0], Event::Edit { path: "/a".to_owned(), ok: false });
        let done = json!({ "id": 6, "cause": 4, "observation": "edit", "content": "ok", "extras": { "path": "/a" } });
        assert_eq!(events.read(&done), [Event::Edit { path: "/a".to_owned(), ok: true }]);
    }

    #[test]
    fn an_mcp_servers_answer_says_whether_it_worked() {
        for (content, expected) in [
            (r#"{"meta":null,"content":[{"type":"text","text":"x"}],"isError":false}"#, Some(0)),
            (r#"{"isError":true,"error":"late","content":[]}"#, Some(1)),
            ("{}", None),
            ("x", None),
        ] {
            let event = json!({ "id": 5, "cause": 4, "observation": "mcp", "content": content });
            let read = Events::default().read(&event);
            assert!(
                matches!(read.as_slice(), [Event::Output { exit_code, .. }] if *exit_code == expected),
                "{content}: {read:?}"
            );
        }
    }

    #[test]
    fn one_answer_with_two_calls_is_one_step() {
        let mut events = Events::default();
        let run = |id: u64, response: &str, cost: f64| {
            json!({
                "id": id, "source": "agent", "action": "run", "args": { "command": "ls" },
                "tool_call_metadata": { "model_response": { "id": response } },
                "llm_metrics": { "accumulated_cost": cost, "accumulated_token_usage": { "prompt_tokens": id } },
            })
        };
        let mut steps = |event: Value| match events.read(&event).pop() {
            Some(Event::Usage(usage)) => usage.iterations,
            other => panic!("{other:?}"),
        };
        assert_eq!([steps(run(1, "a", 0.1)), steps(run(2, "a", 0.1)), steps(run(3, "b", 0.2))], [1, 1, 2]);
    }

    #[test]
    fn what_others_say_is_no_message_of_the_agents() {
        let nudge =
            json!({ "id": 1, "source": "user", "action": "message", "args": { "content": "Go on." } });
        for event in [nudge, json!({}), json!([]), json!({ "action": "system", "source": "agent" })] {
            assert_eq!(Events::default().read(&event), [], "{event}");
        }
    }
}
