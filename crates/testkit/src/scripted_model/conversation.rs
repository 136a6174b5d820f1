//! What a request says: the prompt, the tools, and what the agent's commands have given so far.

use serde_json::Value;

/// A conversation up to a request.
#[derive(Clone, Debug, Default)]
pub(super) struct Conversation {
    /// The first thing that the user said.
    pub(super) prompt: String,
    /// Commands that were run, oldest first.
    pub(super) outcomes: Vec<Outcome>,
    /// The tools on offer: name and parameters.
    pub(super) tools: Vec<(String, Value)>,
}

/// A command and what it gave.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Outcome {
    /// The command.
    pub(super) command: String,
    /// What it printed, without what the tool adds.
    pub(super) output: String,
    /// Its exit code, where the tool told it.
    pub(super) exit_code: Option<i32>,
}

impl Conversation {
    pub(super) fn read(body: &Value) -> Self {
        let messages = body["messages"].as_array().cloned().unwrap_or_default();
        let prompt = messages.iter().find(|message| message["role"] == "user").map(text).unwrap_or_default();
        let tools = body["tools"].as_array().into_iter().flatten();
        let tools = tools.map(|tool| &tool["function"]);
        let tool =
            |function: &Value| Some((function["name"].as_str()?.to_owned(), function["parameters"].clone()));
        Self { prompt, outcomes: outcomes(&messages), tools: tools.filter_map(tool).collect() }
    }

    /// The tool that runs shell commands, whatever the engine calls it.
    pub(super) fn shell(&self) -> Option<&str> {
        let known = ["terminal", "execute_bash", "bash"];
        known.into_iter().find(|name| self.tools.iter().any(|(tool, _)| tool == name))
    }

    /// Whether the tool has a parameter of this name.
    pub(super) fn takes(&self, tool: &str, parameter: &str) -> bool {
        let parameters = self.tools.iter().find(|(name, _)| name == tool).map(|(_, parameters)| parameters);
        parameters.is_some_and(|parameters| parameters["properties"].get(parameter).is_some())
    }

    /// What the command gave, if it was run.
    pub(super) fn outcome(&self, command: &str) -> Option<&Outcome> {
        self.outcomes.iter().find(|outcome| outcome.command == command)
    }
}

/// The calls of the model, each with the tool's answer.
fn outcomes(messages: &[Value]) -> Vec<Outcome> {
    let calls = messages.iter().flat_map(|message| message["tool_calls"].as_array().into_iter().flatten());
    calls.filter_map(|call| outcome(call, messages)).collect()
}

fn outcome(call: &Value, messages: &[Value]) -> Option<Outcome> {
    let arguments: Value = serde_json::from_str(call["function"]["arguments"].as_str()?).ok()?;
    let command = arguments["command"].as_str()?.to_owned();
    let answer =
        messages.iter().find(|message| message["role"] == "tool" && message["tool_call_id"] == call["id"])?;
    let (output, exit_code) = split(&text(answer));
    Some(Outcome { command, output, exit_code })
}

/// The SDK's terminal adds lines in brackets, such as `[Command finished with exit code 1]`.
fn split(text: &str) -> (String, Option<i32>) {
    let added = |line: &&str| line.starts_with('[') && line.ends_with(']');
    let notes: Vec<&str> = text.lines().rev().take_while(added).collect();
    let exit_code = notes
        .iter()
        .find_map(|note| note.split_once("exit code ")?.1.trim_end_matches([']', '.']).parse().ok());
    let count = text.lines().count() - notes.len();
    let output: Vec<&str> = text.lines().take(count).collect();
    (output.join("\n").trim_end().to_owned(), exit_code)
}

fn text(message: &Value) -> String {
    if let Some(text) = message["content"].as_str() {
        return text.to_owned();
    }
    let parts = message["content"].as_array().into_iter().flatten();
    parts.filter_map(|part| part["text"].as_str()).collect::<Vec<_>>().join("\n")
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_request_of_the_sdk_is_read() {
        let notes = "[The command completed with exit code 1.]\n[Current working directory: /workspace]\n[Command finished with exit code 1]";
        let body = json!({
            "messages": [
                { "role": "system", "content": "You work alone." },
                { "role": "user", "content": [{ "type": "text", "text": "Look at shop." }] },
                { "role": "assistant", "tool_calls": [
                    { "id": "a", "function": { "name": "terminal", "arguments": "{\"command\":\"kubectl get pods\"}" } },
                    { "id": "b", "function": { "name": "terminal", "arguments": "{\"command\":\"unanswered\"}" } },
                    { "id": "c", "function": { "name": "terminal", "arguments": "no json" } },
                ] },
                { "role": "tool", "tool_call_id": "a", "content": [{ "type": "text", "text": format!("[a]\nno pods\n{notes}") }] },
                { "role": "user", "content": "Nobody can answer." },
            ],
            "tools": [{ "function": { "name": "terminal", "parameters": { "properties": { "security_risk": {} } } } }],
        });
        let conversation = Conversation::read(&body);
        assert_eq!(conversation.prompt, "Look at shop.");
        let outcome =
            Outcome { command: "kubectl get pods".into(), output: "[a]\nno pods".into(), exit_code: Some(1) };
        assert_eq!(conversation.outcomes, [outcome]);
        assert_eq!(conversation.shell(), Some("terminal"));
        assert!(
            conversation.takes("terminal", "security_risk") && !conversation.takes("terminal", "summary")
        );
    }

    #[test]
    fn anything_can_be_read() {
        for body in [json!(null), json!({ "messages": [7, {}] }), json!({ "messages": {}, "tools": [{}] })] {
            assert!(Conversation::read(&body).outcomes.is_empty());
        }
    }
}
