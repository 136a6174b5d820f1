//! What would be spent without being metered: it isn't passed on, or its charge covers it, or the answer tells of it.

use punching_fist_core::money::Money;
use serde_json::{Value, json};

use crate::common::{CHAT, Ground, Script};

const MESSAGES: &str = "/v1/messages";
const RESPONSES: &str = "/v1/responses";

const ANSWER: &str =
    r#"{"usage":{"prompt_tokens":1,"completion_tokens":1,"input_tokens":1,"output_tokens":1}}"#;

async fn ground(path: &str) -> Ground {
    let ground = Ground::new(if path == MESSAGES { "anthropic/m" } else { "openai/m" }).await;
    ground.provider.script([Script::Json(200, ANSWER.to_owned())]);
    ground
}

/// That body with its model.
fn body(fields: &str) -> Value {
    let mut body: Value = serde_json::from_str(fields).unwrap();
    body["model"] = "m".into();
    body
}

#[tokio::test]
async fn what_has_no_bound_is_refused_by_name() {
    let cases: [(&str, &[(&str, &str)]); 3] = [
        (
            CHAT,
            &[
                (r#"{"Model":"dear"}"#, "Model"),
                (r#"{"MAX_TOKENS":99999}"#, "MAX_TOKENS"),
                (r#"{"serviceTier":"priority"}"#, "serviceTier"),
                (r#"{"extra_body":{"google":{"cached_content":"cachedContents/1"}}}"#, "extra_body"),
                (r#"{"num_retries":99}"#, "num_retries"),
                (r#"{"context_window_fallback_dict":{"m":"dear"}}"#, "context_window_fallback_dict"),
                (r#"{"user_config":{}}"#, "user_config"),
                (r#"{"modalities":["text","image"]}"#, "modalities"),
                (r#"{"web_search_options":{}}"#, "web_search_options"),
                (r#"{"tools":[{"google_search":{}}]}"#, "google_search"),
                (r#"{"messages":[{"content":[{"type":"video","video":["http://evil/x"]}]}]}"#, "video"),
            ],
        ),
        (
            MESSAGES,
            &[
                (r#"{"context_management":{"edits":[{"type":"compact_20260112"}]}}"#, "compact_20260112"),
                (r#"{"compaction":{"type":"summarize"}}"#, "compaction"),
                (r#"{"fallbacks":[{"model":"dear"}]}"#, "fallbacks"),
                (r#"{"thread":{"id":"t"}}"#, "thread"),
                (r#"{"tools":[{"type":"advisor_20260301","name":"advisor","model":"dear"}]}"#, "advisor"),
            ],
        ),
        (
            RESPONSES,
            &[
                (r#"{"context_management":[{"type":"compaction"}]}"#, "context_management"),
                (r#"{"input":[{"type":"compaction_trigger"}]}"#, "compaction_trigger"),
                (r#"{"previous_response_id":"r"}"#, "previous_response_id"),
            ],
        ),
    ];
    for (path, bodies) in cases {
        let ground = ground(path).await;
        for (fields, name) in bodies {
            let answer = ground.post(path, &body(fields)).await;
            let error = answer.error();
            assert!(answer.status == 400 && error.contains("Refused") && error.contains(name), "{error}");
        }
        assert!(ground.provider.asked().is_empty());
    }
}

#[tokio::test]
async fn what_engines_and_their_libraries_send_is_passed_on() {
    for (path, fields) in [
        (
            CHAT,
            r#"{"messages":[],"tools":[{"type":"function","function":{"name":"f","parameters":{}}}],"tool_choice":"auto",
                "parallel_tool_calls":false,"temperature":0.5,"top_p":0.9,"top_k":4,"seed":1,"user":"u","metadata":{"a":"b"},
                "stop":["x"],"n":1,"response_format":{"type":"json_object"},"reasoning_effort":"high",
                "max_completion_tokens":9,"prompt_cache_key":"k","prompt_cache_retention":"24h","safety_identifier":"s",
                "store":true,"verbosity":"low","logprobs":true,"top_logprobs":3,"service_tier":"auto","prediction":null,
                "thinking":{"type":"disabled"},"safety_settings":[],"cache_control":{"type":"ephemeral"}}"#,
        ),
        (
            MESSAGES,
            r#"{"messages":[],"system":[],"max_tokens":9,"tools":[{"name":"f","input_schema":{},"type":"custom"}],
                "tool_choice":{"type":"auto"},"stop_sequences":["x"],"temperature":1,"top_k":4,"top_p":0.9,
                "metadata":{"user_id":"x"},"thinking":{"type":"adaptive","display":"summarized"},
                "output_config":{"effort":"low"},"output_format":{"type":"json_schema","schema":{}},
                "cache_control":{"type":"ephemeral"},"diagnostics":{"previous_message_id":null},
                "context_management":{"edits":[{"type":"clear_thinking_20251015","keep":"all"}]}}"#,
        ),
        (
            RESPONSES,
            r#"{"input":[],"instructions":"i","include":["reasoning.encrypted_content"],"max_output_tokens":16,
                "metadata":{"a":"b"},"prompt_cache_key":"p","prompt_cache_retention":"24h","reasoning":{"effort":"low"},
                "store":false,"temperature":1,"tool_choice":"auto","tools":[{"type":"function","name":"f","parameters":{}}],
                "text":{"verbosity":"low"},"truncation":"auto","background":false}"#,
        ),
    ] {
        let ground = ground(path).await;
        let answer = ground.post(path, &body(fields)).await;
        assert_eq!(answer.status, 200, "{answer:?}");
        assert_eq!(ground.provider.asked()[0].body, body(fields));
    }
}

#[tokio::test]
async fn a_profile_may_name_more() {
    let ground = Ground::with("openai/m", |profile| profile["passedFields"] = json!(["keep_alive"])).await;
    ground.provider.script([Script::Json(200, ANSWER.to_owned())]);
    assert_eq!(ground.post(CHAT, &body(r#"{"keep_alive":"5m"}"#)).await.status, 200);
    assert_eq!(ground.post(CHAT, &body(r#"{"keep_alive":"5m","options":{}}"#)).await.status, 400);
}

#[tokio::test]
async fn a_document_is_charged_as_all_that_the_model_takes_in() {
    let source = json!({"type": "base64", "media_type": "application/pdf", "data": "J".repeat(2000)});
    let content = json!([{"type": "document", "source": source}]);
    let body = json!({"model": "m", "max_tokens": 1, "messages": [{"role": "user", "content": content}]});
    for (window, charge) in [(json!(300_000), "0.300002"), (Value::Null, "1.000002"), (json!(1), "")] {
        let ground = Ground::with("anthropic/m", |profile| {
            if !window.is_null() {
                profile["prices"]["maxInputTokens"] = window.clone();
            }
        })
        .await;
        ground.provider.script([Script::Json(200, ANSWER.to_owned())]);
        assert_eq!(ground.post(MESSAGES, &body).await.status, 200);
        let bytes = format!("0.{:06}", body.to_string().len() + 2);
        let writes = ground.api.calls_of("apply", "maintenancetasks/status");
        let charged = &writes[0].body["status"]["usage"]["inFlight"][0]["chargeUSD"];
        assert_eq!(charged, if charge.is_empty() { &bytes } else { charge }, "{window}");
        ground.settled().await;
    }
}

#[tokio::test]
async fn rounds_that_stand_in_no_sum_are_spent() {
    let rounds = r#"[{"type":"compaction","input_tokens":180000,"output_tokens":3500},
        {"type":"message","input_tokens":23,"output_tokens":10}]"#;
    let usage =
        format!(r#"{{"input_tokens":23,"output_tokens":10,"iterations":{}}}"#, rounds.replace('\n', ""));
    let stream = vec![
        r#"data: {"type":"message_start","message":{"usage":{"input_tokens":23,"output_tokens":1}}}"#
            .to_owned(),
        format!(r#"data: {{"type":"message_delta","usage":{usage}}}"#),
        r#"data: {"type":"message_stop"}"#.to_owned(),
    ];
    let stream = stream.into_iter().map(|event| event + "\n\n").collect();
    for script in [Script::Json(200, format!(r#"{{"usage":{usage}}}"#)), Script::Stream(stream)] {
        let ground = ground(MESSAGES).await;
        let streams = matches!(script, Script::Stream(_));
        ground.provider.script([script]);
        let body = json!({"model": "m", "max_tokens": 10, "stream": streams});
        assert_eq!(ground.post(MESSAGES, &body).await.status, 200);
        ground.settled().await;
        let total = ground.usage().total;
        assert_eq!((total.input_tokens, total.output_tokens), (180_023, 3510), "{streams}");
        assert_eq!(Money::parse(&total.cost_usd.unwrap()), Money::parse("0.187043"));
    }
}
