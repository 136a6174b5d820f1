//! Anthropic's messages: a request read as a chat completion's, and an answer in their form.

use serde_json::{Value, json};

use super::answer::Reply;

/// The request as OpenAI's would be, as far as the script looks at it.
pub(super) fn translated(body: &Value) -> Value {
    let messages = body["messages"].as_array().into_iter().flatten().flat_map(messages);
    let tools = body["tools"]
        .as_array()
        .into_iter()
        .flatten()
        .map(|tool| json!({ "function": { "name": tool["name"], "parameters": tool["input_schema"] } }));
    json!({ "messages": messages.collect::<Vec<_>>(), "tools": tools.collect::<Vec<_>>() })
}

/// The results of tools stand apart there; calls are a field and no part of the content.
fn messages(message: &Value) -> Vec<Value> {
    let blocks: Vec<&Value> = message["content"].as_array().into_iter().flatten().collect();
    let of = |kind: &'static str| blocks.iter().filter(move |block| block["type"] == kind);
    let result = |block: &&Value| json!({ "role": "tool", "tool_call_id": block["tool_use_id"], "content": block["content"] });
    let call = |block: &&Value| {
        let function = json!({ "name": block["name"], "arguments": block["input"].to_string() });
        json!({ "id": block["id"], "function": function })
    };
    let mut all: Vec<Value> = of("tool_result").map(result).collect();
    if all.is_empty() {
        let calls: Vec<Value> = of("tool_use").map(call).collect();
        all.push(json!({ "role": message["role"], "content": message["content"], "tool_calls": calls }));
    }
    all
}

/// The whole answer.
pub(super) fn message(reply: &Reply, request: &Value, number: usize) -> Value {
    let content: Vec<Value> = text(reply).into_iter().chain(tool_use(reply, number)).collect();
    let mut message = frame(reply, request, number);
    message["content"] = content.into();
    message["stop_reason"] = stop_reason(reply).into();
    message
}

/// The answer as server-sent events.
pub(super) fn stream(reply: &Reply, request: &Value, number: usize) -> String {
    let mut events = vec![json!({ "type": "message_start", "message": frame(reply, request, number) })];
    for (index, block) in text(reply).into_iter().chain(tool_use(reply, number)).enumerate() {
        let (begun, delta) = parts(&block);
        events.push(json!({ "type": "content_block_start", "index": index, "content_block": begun }));
        events.push(json!({ "type": "content_block_delta", "index": index, "delta": delta }));
        events.push(json!({ "type": "content_block_stop", "index": index }));
    }
    let usage = reply.usage(request, number).map(|usage| json!({ "output_tokens": usage.output }));
    let delta = json!({ "stop_reason": stop_reason(reply), "stop_sequence": null });
    events.push(json!({ "type": "message_delta", "delta": delta, "usage": usage }));
    events.push(json!({ "type": "message_stop" }));
    let written = events.iter().map(|event| {
        let kind = event["type"].as_str().unwrap_or_default();
        format!("event: {kind}\ndata: {event}\n\n")
    });
    written.collect()
}

/// A block as a stream begins it, and all the rest of it.
fn parts(block: &Value) -> (Value, Value) {
    if block["type"] == "text" {
        let delta = json!({ "type": "text_delta", "text": block["text"] });
        return (json!({ "type": "text", "text": "" }), delta);
    }
    let mut begun = block.clone();
    begun["input"] = json!({});
    (begun, json!({ "type": "input_json_delta", "partial_json": block["input"].to_string() }))
}

fn frame(reply: &Reply, request: &Value, number: usize) -> Value {
    let usage = reply.usage(request, number).map(|tokens| {
        json!({
            "input_tokens": tokens.input - tokens.cached,
            "cache_read_input_tokens": tokens.cached,
            "cache_creation_input_tokens": 0,
            "output_tokens": tokens.output,
        })
    });
    json!({
        "id": format!("msg_{number}"), "type": "message", "role": "assistant", "model": request["model"],
        "content": [], "stop_reason": null, "stop_sequence": null, "usage": usage,
    })
}

fn text(reply: &Reply) -> Option<Value> {
    reply.said.as_ref().map(|text| json!({ "type": "text", "text": text }))
}

fn tool_use(reply: &Reply, number: usize) -> Option<Value> {
    let (name, input) = reply.call.as_ref()?;
    Some(json!({ "type": "tool_use", "id": format!("toolu_{number}"), "name": name, "input": input }))
}

fn stop_reason(reply: &Reply) -> &'static str {
    if reply.call.is_some() { "tool_use" } else { "end_turn" }
}

#[cfg(test)]
mod tests {
    use super::super::answer::Answer;
    use super::super::conversation::Conversation;
    use super::super::{Step, Tokens};
    use super::*;

    fn request() -> Value {
        json!({
            "model": "scripted",
            "messages": [
                { "role": "user", "content": [{ "type": "text", "text": "Look at shop." }] },
                { "role": "assistant", "content": [{ "type": "tool_use", "id": "t", "name": "terminal", "input": { "command": "date" } }] },
                { "role": "user", "content": [{ "type": "tool_result", "tool_use_id": "t", "content": [{ "type": "text", "text": "today" }] }] },
            ],
            "tools": [{ "name": "terminal", "input_schema": { "properties": { "security_risk": {} } } }],
        })
    }

    fn reply(step: Step) -> Reply {
        match Answer::to(step, &Conversation::read(&translated(&request()))) {
            Answer::Reply(reply) => reply,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn a_request_is_read() {
        let conversation = Conversation::read(&translated(&request()));
        assert_eq!((conversation.prompt.as_str(), conversation.shell()), ("Look at shop.", Some("terminal")));
        assert_eq!(conversation.outcome("date").map(|outcome| outcome.output.as_str()), Some("today"));
    }

    #[test]
    fn an_answer_has_its_call_and_its_usage() {
        let tokens = Tokens { input: 100, cached: 40, output: 7 };
        let step = Step::Metered(Some(tokens), Box::new(Step::Shell("date".to_owned())));
        let message = message(&reply(step), &request(), 2);
        assert_eq!(message["content"][0]["input"], json!({ "command": "date", "security_risk": "LOW" }));
        assert_eq!(message["stop_reason"], "tool_use");
        assert_eq!(
            (&message["usage"]["input_tokens"], &message["usage"]["cache_read_input_tokens"]),
            (&json!(60), &json!(40))
        );
    }

    #[test]
    fn a_stream_says_the_same() {
        let stream = stream(&reply(Step::Say("Hm.".to_owned())), &request(), 1);
        let data = stream.lines().filter_map(|line| line.strip_prefix("data: "));
        let events: Vec<Value> = data.map(|event| serde_json::from_str(event).unwrap()).collect();
        let kinds: Vec<&str> = events.iter().filter_map(|event| event["type"].as_str()).collect();
        assert_eq!(
            kinds,
            [
                "message_start",
                "content_block_start",
                "content_block_delta",
                "content_block_stop",
                "message_delta",
                "message_stop"
            ]
        );
        assert_eq!(events[2]["delta"]["text"], "Hm.");
        assert!(events[4]["usage"]["output_tokens"].as_u64() > Some(0));
    }
}
