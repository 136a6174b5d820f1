//! From a step to what a chat completion looks like, with the tokens that it takes.

use serde_json::{Map, Value, json};

use super::conversation::Conversation;
use super::{Conclusion, Step, Tokens};

/// A usual measure: a token is about four bytes.
const BYTES_PER_TOKEN: usize = 4;
/// The SDK's own parameter on every tool, beside the risk: what the call does, in a few words.
const SUMMARY: &str = "summary";

/// What goes back.
#[derive(Debug)]
pub(super) enum Answer {
    /// Words or a call.
    Reply(Reply),
    /// The first half of it.
    Half(Reply),
    /// An HTTP error, with a text where it isn't the usual one.
    Refusal(u16, Option<String>),
    /// Nothing, for ever.
    Silence,
}

/// Words or a call of a tool.
#[derive(Debug)]
pub(super) struct Reply {
    pub(super) said: Option<String>,
    pub(super) call: Option<(String, Value)>,
    usage: Usage,
}

/// The figures that an answer tells.
#[derive(Clone, Copy, Debug)]
enum Usage {
    /// What it really takes.
    Counted,
    /// These, or none.
    Told(Option<Tokens>),
}

impl Answer {
    pub(super) fn to(step: Step, conversation: &Conversation) -> Self {
        // A request without tools is no agent's: the engine wants a text summed up, or tries the key.
        let Some(shell) = conversation.shell() else { return Self::Reply(Reply::words("Noted.")) };
        match step {
            Step::Shell(command) => {
                Self::Reply(Reply::call(shell, &json!({ "command": command }), conversation))
            }
            Step::Call(tool, arguments) => Self::Reply(Reply::call(&tool, &arguments, conversation)),
            Step::Say(text) => Self::Reply(Reply::words(&text)),
            Step::Finish(conclusion) => {
                Self::Reply(Reply::call("finish", &arguments(conclusion, conversation), conversation))
            }
            Step::Status(status) => Self::Refusal(status, None),
            Step::Refuse(status, text) => Self::Refusal(status, Some(text)),
            Step::Metered(tokens, next) => Self::to(*next, conversation).telling(tokens),
            Step::Stall(next) => match Self::to(*next, conversation) {
                Self::Reply(reply) => Self::Half(reply),
                other => other,
            },
            Step::Silence => Self::Silence,
            Step::Wait(_, next) => Self::to(*next, conversation),
        }
    }

    fn telling(self, tokens: Option<Tokens>) -> Self {
        let told = |reply| Reply { usage: Usage::Told(tokens), ..reply };
        match self {
            Self::Reply(reply) => Self::Reply(told(reply)),
            Self::Half(reply) => Self::Half(told(reply)),
            other @ (Self::Refusal(..) | Self::Silence) => other,
        }
    }
}

/// What the tool `finish` is called with: our fields where it takes them, else a block of JSON at the end of the message.
fn arguments(conclusion: Conclusion, conversation: &Conversation) -> Value {
    let Conclusion { verdict, confidence, summary, report, plan } = conclusion;
    if conversation.takes("finish", "verdict") {
        return json!({
            "message": summary, "verdict": verdict, "confidence": confidence, "report": report, "plan": plan,
        });
    }
    let fields = json!({
        "verdict": verdict, "confidence": confidence, "summary": summary, "report": report, "plan": plan,
    });
    let mut arguments = json!({ "message": format!("{summary}\n\n```json\n{fields:#}\n```") });
    // OpenHands asked for it from 0.28 to 0.51.
    if conversation.takes("finish", "task_completed") {
        arguments["task_completed"] = "true".into();
    }
    arguments
}

impl Reply {
    fn words(text: &str) -> Self {
        Self { said: Some(text.to_owned()), call: None, usage: Usage::Counted }
    }

    /// A call with what the engine's schema of the tool asks for besides.
    fn call(tool: &str, arguments: &Value, conversation: &Conversation) -> Self {
        let mut all = Map::new();
        for (parameter, value) in [("security_risk", "LOW"), (SUMMARY, "As the script says")] {
            if conversation.takes(tool, parameter) {
                all.insert(parameter.to_owned(), value.into());
            }
        }
        all.extend(arguments.as_object().cloned().unwrap_or_default());
        Self { said: None, call: Some((tool.to_owned(), Value::Object(all))), usage: Usage::Counted }
    }

    /// The whole answer.
    pub(super) fn completion(&self, request: &Value, number: usize) -> Value {
        let choice = json!({ "index": 0, "message": self.message(number), "finish_reason": self.reason() });
        let mut completion = frame("chat.completion", request, number);
        completion["choices"] = json!([choice]);
        if let Some(usage) = self.usage(request, number) {
            completion["usage"] = openai(usage);
        }
        completion
    }

    /// The answer as server-sent events.
    pub(super) fn stream(&self, request: &Value, number: usize) -> String {
        let mut delta = self.message(number);
        for (index, call) in delta["tool_calls"].as_array_mut().into_iter().flatten().enumerate() {
            call["index"] = index.into();
        }
        let chunk = |choices: Value, usage: Value| {
            let mut chunk = frame("chat.completion.chunk", request, number);
            chunk["choices"] = choices;
            chunk["usage"] = usage;
            format!("data: {chunk}\n\n")
        };
        let first = chunk(json!([{ "index": 0, "delta": delta, "finish_reason": null }]), Value::Null);
        let last = chunk(json!([{ "index": 0, "delta": {}, "finish_reason": self.reason() }]), Value::Null);
        let usage = self.usage(request, number).map(|usage| chunk(json!([]), openai(usage)));
        format!("{first}{last}{}data: [DONE]\n\n", usage.unwrap_or_default())
    }

    fn message(&self, number: usize) -> Value {
        let mut message = json!({ "role": "assistant", "content": self.said });
        if let Some((name, arguments)) = &self.call {
            let function = json!({ "name": name, "arguments": arguments.to_string() });
            let call = json!({ "id": format!("call_{number}"), "type": "function", "function": function });
            message["tool_calls"] = json!([call]);
        }
        message
    }

    fn reason(&self) -> &'static str {
        if self.call.is_some() { "tool_calls" } else { "stop" }
    }

    /// The figures that it tells.
    pub(super) fn usage(&self, request: &Value, number: usize) -> Option<Tokens> {
        match self.usage {
            Usage::Told(tokens) => tokens,
            Usage::Counted => {
                let input = tokens(&request["messages"]) + tokens(&request["tools"]);
                Some(Tokens { input, cached: 0, output: tokens(&self.message(number)) })
            }
        }
    }
}

fn tokens(value: &Value) -> u64 {
    value.to_string().len().div_ceil(BYTES_PER_TOKEN) as u64
}

fn openai(usage: Tokens) -> Value {
    json!({
        "prompt_tokens": usage.input,
        "prompt_tokens_details": { "cached_tokens": usage.cached },
        "completion_tokens": usage.output,
        "total_tokens": usage.input + usage.output,
    })
}

fn frame(object: &str, request: &Value, number: usize) -> Value {
    json!({ "id": format!("chatcmpl-{number}"), "object": object, "created": 0, "model": request["model"] })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn request(text: &str) -> Value {
        let properties = json!({ "command": {}, "security_risk": {} });
        json!({
            "model": "scripted",
            "messages": [{ "role": "user", "content": text }],
            "tools": [{ "function": { "name": "terminal", "parameters": { "properties": properties } } }],
        })
    }

    fn reply(step: Step, request: &Value) -> Reply {
        match Answer::to(step, &Conversation::read(request)) {
            Answer::Reply(reply) => reply,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn a_call_has_what_the_schema_asks_for_and_no_more() {
        let request = request("look");
        let completion = reply(Step::Shell("kubectl get pods".to_owned()), &request).completion(&request, 3);
        let function = &completion["choices"][0]["message"]["tool_calls"][0]["function"];
        let arguments: Value = serde_json::from_str(function["arguments"].as_str().unwrap()).unwrap();
        assert_eq!(arguments, json!({ "command": "kubectl get pods", "security_risk": "LOW" }));
        assert_eq!(completion["choices"][0]["finish_reason"], "tool_calls");
    }

    #[test]
    fn a_conclusion_fits_the_finish_tool() {
        let conclusion = || Conclusion {
            verdict: "Diagnosed",
            confidence: "High",
            summary: "s".to_owned(),
            report: "r".to_owned(),
            plan: None,
        };
        for (properties, expected) in [
            (json!({ "message": {}, "verdict": {} }), r#""verdict":"Diagnosed""#),
            (json!({ "message": {} }), "```json"),
            (json!({ "message": {}, "task_completed": {} }), r#""task_completed":"true""#),
        ] {
            let mut request = request("look");
            let finish =
                json!({ "function": { "name": "finish", "parameters": { "properties": properties } } });
            request["tools"].as_array_mut().unwrap().push(finish);
            let (_, arguments) = reply(Step::Finish(conclusion()), &request).call.unwrap();
            assert!(arguments.to_string().contains(expected), "{arguments}");
        }
    }

    #[test]
    fn figures_are_told_as_the_script_says() {
        let request = request("look");
        let metered = |tokens| Step::Metered(tokens, Box::new(Step::Say("Hm.".to_owned())));
        let tokens = Tokens { input: 100, cached: 60, output: 5 };
        let told = reply(metered(Some(tokens)), &request).completion(&request, 1);
        assert_eq!(told["usage"]["prompt_tokens_details"]["cached_tokens"], 60);
        let silent = reply(metered(None), &request);
        assert_eq!(silent.completion(&request, 1).get("usage"), None);
        assert_eq!(silent.stream(&request, 1).matches("data: ").count(), 3);
    }

    #[test]
    fn tokens_grow_with_the_conversation() {
        let tokens = |text: &str| {
            let request = request(text);
            reply(Step::Say("Hm.".to_owned()), &request).completion(&request, 1)["usage"]["prompt_tokens"]
                .as_u64()
        };
        assert!(tokens(&"x".repeat(4000)) >= tokens("x").map(|tokens| tokens + 999));
    }

    #[test]
    fn a_stream_says_the_same() {
        let request = request("look");
        let stream = reply(Step::Shell("date".to_owned()), &request).stream(&request, 1);
        let events: Vec<&str> =
            stream.split("\n\n").filter_map(|event| event.strip_prefix("data: ")).collect();
        assert_eq!((events.len(), events[3]), (4, "[DONE]"));
        let first: Value = serde_json::from_str(events[0]).unwrap();
        assert_eq!(first["choices"][0]["delta"]["tool_calls"][0]["index"], 0);
        let usage: Value = serde_json::from_str(events[2]).unwrap();
        assert!(usage["usage"]["total_tokens"].as_u64() > Some(0));
    }
}
