//! From the events that the CLI prints, one JSON object per line, to ours.

use std::collections::{BTreeSet, HashMap};

use punching_fist_protocol::{Event, Finish, Usage};
use serde_json::Value;

use crate::engine::openhands::{self, exit_code, string, tool_error};
use crate::verdict_block;

/// What was read so far.
#[derive(Debug, Default)]
pub struct Events {
    /// Answers of the model that the agent acted on: its steps.
    steps: BTreeSet<String>,
    /// Which file a call edits: its outcome doesn't always say it again.
    paths: HashMap<String, String>,
    /// Whether the agent's last action was to finish.
    has_finished: bool,
    /// The last that it said instead.
    words: Option<String>,
    /// What was told of the usage.
    told: Usage,
}

impl Events {
    /// What a line says; none if it is no event of the CLI's.
    pub fn read(&mut self, line: &str) -> Option<Vec<Event>> {
        let event: Value = serde_json::from_str(line).ok()?;
        let kind = event["kind"].as_str()?;
        let is_agents = event["source"] == "agent";
        if let Some(response) = event["llm_response_id"].as_str().filter(|_| is_agents) {
            self.steps.insert(response.to_owned());
        }
        Some(match kind {
            "ActionEvent" => self.action(&event),
            "ObservationEvent" => self.observation(&event),
            "MessageEvent" if is_agents => self.message(text(&event["llm_message"]["content"])),
            // The task itself.
            "MessageEvent" => Vec::new(),
            "AgentErrorEvent" => vec![tool_error(string(&event["error"]).to_owned())],
            "ConversationErrorEvent" => vec![error(&event)],
            _ => return None,
        })
    }

    /// Whether the agent's last word can be its end: a finish, or a message.
    pub fn can_end(&self) -> bool {
        self.has_finished || self.words.is_some()
    }

    /// What the agent's last message concludes; none if its last word is an action.
    pub fn concluding_words(&self) -> Option<Finish> {
        self.words.as_deref().filter(|_| !self.has_finished).map(verdict_block::conclusion)
    }

    /// What was used, if that is news: with the steps that were seen.
    pub fn usage(&mut self, usage: Usage) -> Option<Event> {
        let steps = self.steps.len() as u64;
        let usage = Usage { iterations: steps, calls: usage.calls.max(steps), ..usage };
        (usage != self.told).then(|| {
            self.told = usage.clone();
            Event::Usage(usage)
        })
    }

    fn message(&mut self, words: String) -> Vec<Event> {
        self.words = Some(words.clone());
        vec![Event::Message { text: words }]
    }

    fn action(&mut self, event: &Value) -> Vec<Event> {
        let (call, action) = (&event["tool_call_id"], &event["action"]);
        let id = call.as_str().unwrap_or_default().to_owned();
        let mut events: Vec<Event> = thought(event).map(|text| Event::Thought { text }).into_iter().collect();
        self.has_finished = action["kind"] == "FinishAction";
        self.words = None;
        events.extend(match action["kind"].as_str() {
            Some("FinishAction") => {
                vec![Event::Finish(verdict_block::conclusion(string(&action["message"])))]
            }
            Some("ThinkAction") => vec![Event::Thought { text: string(&action["thought"]).to_owned() }],
            Some("TerminalAction") => vec![command(id, string(&action["command"]).to_owned())],
            Some("FileEditorAction") => {
                self.paths.insert(id.clone(), string(&action["path"]).to_owned());
                vec![command(id, format!("{} {}", string(&action["command"]), string(&action["path"])))]
            }
            Some(_) => vec![command(id, format!("{} {}", string(&event["tool_name"]), arguments(action)))],
            None => Vec::new(),
        });
        events
    }

    fn observation(&self, event: &Value) -> Vec<Event> {
        let id = string(&event["tool_call_id"]).to_owned();
        let observation = &event["observation"];
        let text = text(&observation["content"]);
        match observation["kind"].as_str() {
            Some("FinishObservation" | "ThinkObservation") | None => Vec::new(),
            Some("TerminalObservation") => {
                vec![Event::Output { id, exit_code: exit_code(&observation["exit_code"]), text }]
            }
            Some("FileEditorObservation") if observation["command"] != "view" => {
                let path = observation["path"].as_str().or(self.paths.get(&id).map(String::as_str));
                vec![Event::Edit {
                    path: path.unwrap_or_default().to_owned(),
                    ok: observation["is_error"] == false,
                }]
            }
            Some("MCPToolObservation") => {
                let exit_code = observation["is_error"].as_bool().map(i32::from);
                vec![Event::Output { id, exit_code, text }]
            }
            Some(_) => vec![Event::Output { id, exit_code: None, text }],
        }
    }
}

fn command(id: String, command: String) -> Event {
    Event::Command { id, command }
}

fn error(event: &Value) -> Event {
    let code = string(&event["code"]);
    Event::Error {
        reason: Some(openhands::reason(code)),
        code: Some(code.to_owned()),
        text: string(&event["detail"]).to_owned(),
    }
}

fn thought(event: &Value) -> Option<String> {
    let parts = [string(&event["reasoning_content"]).to_owned(), text(&event["thought"])];
    let parts: Vec<String> = parts.into_iter().filter(|part| !part.is_empty()).collect();
    (!parts.is_empty()).then(|| parts.join("\n"))
}

/// A call's arguments, less what says which kind they are.
fn arguments(action: &Value) -> Value {
    let mut arguments = action.clone();
    arguments.as_object_mut().map(|fields| fields.remove("kind"));
    arguments
}

/// The text of a message's parts.
fn text(content: &Value) -> String {
    let parts = content.as_array().into_iter().flatten().filter_map(|part| part["text"].as_str());
    parts.filter(|part| !part.is_empty()).collect::<Vec<_>>().join("\n")
}

#[cfg(test)]
mod tests {
    use punching_fist_protocol::Verdict;
    use serde_json::json;

    use super::*;

    fn action(response: &str, call: &str, action: &Value) -> String {
        json!({
            "kind": "ActionEvent", "source": "agent", "llm_response_id": response, "tool_call_id": call,
            "tool_name": "tool", "thought": [{ "text": "Hm." }], "action": action,
        })
        .to_string()
    }

    fn observation(call: &str, observation: &Value) -> String {
        json!({ "kind": "ObservationEvent", "source": "environment", "tool_call_id": call, "observation": observation })
            .to_string()
    }

    fn said(words: &str) -> String {
        let message = json!({ "role": "assistant", "content": [{ "type": "text", "text": words }] });
        json!({ "kind": "MessageEvent", "source": "agent", "llm_response_id": "m", "llm_message": message })
            .to_string()
    }

    #[test]
    fn tools_become_commands_outputs_and_edits() {
        let mut events = Events::default();
        let mut read = |line: String| events.read(&line).expect("an event");
        let edit = json!({ "kind": "FileEditorAction", "command": "create", "path": "/a" });
        let thought = Event::Thought { text: "Hm.".to_owned() };
        assert_eq!(
            read(action("1", "c1", &edit)),
            [thought.clone(), command("c1".into(), "create /a".into())]
        );
        let refused = json!({ "kind": "FileEditorObservation", "command": "create", "is_error": true });
        assert_eq!(read(observation("c1", &refused)), [Event::Edit { path: "/a".into(), ok: false }]);
        let other = json!({ "kind": "MCPToolAction", "data": { "a": 1 } });
        assert_eq!(
            read(action("1", "c2", &other)),
            [thought, command("c2".into(), r#"tool {"data":{"a":1}}"#.into())]
        );
        let running =
            json!({ "kind": "TerminalObservation", "exit_code": -1, "content": [{ "text": "on" }] });
        let output = Event::Output { id: "c3".into(), exit_code: None, text: "on".into() };
        assert_eq!(read(observation("c3", &running)), [output]);
        for (is_error, exit_code) in [(json!(false), Some(0)), (json!(true), Some(1)), (json!(null), None)] {
            let called = json!({ "kind": "MCPToolObservation", "is_error": is_error, "content": [] });
            let output = Event::Output { id: "c4".into(), exit_code, text: String::new() };
            assert_eq!(read(observation("c4", &called)), [output]);
        }
        let told = events.usage(Usage::default());
        assert!(matches!(told, Some(Event::Usage(usage)) if usage.iterations == 1));
        assert_eq!(events.usage(Usage::default()), None, "nothing new");
    }

    #[test]
    fn the_last_action_says_whether_it_has_finished() {
        let mut events = Events::default();
        let finish = json!({ "kind": "FinishAction", "message": "Done." });
        events.read(&action("1", "a", &finish));
        assert!(events.can_end());
        events.read(&said("Bye."));
        assert!(events.can_end() && events.concluding_words().is_none(), "it has concluded already");
        events.read(&action("2", "b", &json!({ "kind": "TerminalAction", "command": "ls" })));
        assert!(!events.can_end());
    }

    #[test]
    fn last_words_conclude_with_a_block_or_without() {
        for (words, verdict, summary) in [
            ("Which namespace?", Verdict::Inconclusive, "Which namespace?"),
            ("```json\n{\"verdict\":\"NeedsHuman\",\"summary\":\"s\"}\n```", Verdict::NeedsHuman, "s"),
        ] {
            let mut events = Events::default();
            events.read(&said(words));
            let finish = events.concluding_words().unwrap();
            assert!(events.can_end());
            assert_eq!((finish.verdict, finish.summary.as_str()), (verdict, summary));
            events.read(&action("1", "a", &json!({ "kind": "TerminalAction", "command": "ls" })));
            assert_eq!(events.concluding_words(), None, "it went on");
        }
    }

    #[test]
    fn other_lines_are_no_events() {
        for line in ["", "Agent is working", "{}", "[]", "{\"kind\":7}", "{\"kind\":\"finish\"}"] {
            assert_eq!(Events::default().read(line), None, "{line}");
        }
        for line in ["{\"kind\":\"ActionEvent\"}", "{\"kind\":\"ObservationEvent\",\"observation\":[]}"] {
            assert_eq!(Events::default().read(line), Some(Vec::new()), "{line}");
        }
    }
}
