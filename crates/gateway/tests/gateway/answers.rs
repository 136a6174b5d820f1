//! Answers on their way back: none says the key, and what nobody reads is bounded.

use axum::body::Body;
use futures::StreamExt;
use futures::future::join_all;
use http::{Request, header};
use punching_fist_testkit::wait::PATIENCE;
use serde_json::{Value, json};
use tower::ServiceExt;

use crate::common::{CHAT, Ground, KEY, Script, request};

const DONE: &str = "data: [DONE]\n\n";

fn body(streams: bool) -> Value {
    json!({"model": "m", "stream": streams, "max_tokens": 50})
}

#[tokio::test]
async fn an_answer_that_repeats_the_key_comes_without_it() {
    let ground = Ground::new("openai/m").await;
    let whole = format!(r#"{{"sent":"Bearer {KEY}","usage":{{"prompt_tokens":1,"completion_tokens":1}}}}"#);
    let event = format!("data: {{\"error\":\"Incorrect API key provided: {KEY}\"}}\n\n");
    for (script, streams) in [
        (Script::Json(200, whole), false),
        (Script::Stream(vec![event.clone(), DONE.to_owned()]), true),
        (Script::Stream(vec![event.trim_end().to_owned()]), true),
        (Script::Json(401, format!("Incorrect API key provided: {KEY}")), false),
    ] {
        ground.provider.script([script.clone()]);
        let text = ground.post(CHAT, &body(streams)).await.text.unwrap();
        assert!(!text.contains(KEY) && text.contains("[redacted]"), "{script:?}: {text}");
    }
    let calls = ground.usage().total.calls;
    assert_eq!(calls, 3, "the answer's usage is read all the same");
}

#[tokio::test]
async fn a_run_holds_only_so_much_that_it_does_not_read() {
    let ground = Ground::with("openai/m", |profile| profile["maxCostUSD"] = "100".into()).await;
    let text = "y".repeat(3 << 20);
    let answer = json!({"text": text, "usage": {"prompt_tokens": 1, "completion_tokens": 1}}).to_string();
    ground.provider.script([Script::Json(200, answer.clone())]);
    let ask = || ground.router().oneshot(request(CHAT, &body(false)));
    let mut unread = Vec::new();
    for _ in 0..4 {
        unread.push(ask().await.unwrap());
    }
    let next = tokio::spawn(ask());
    ground.provider.wait_for_calls(5).await;
    ground.provider.script([Script::Json(200, answer.replace(&text, "short"))]);
    assert_eq!(ask().await.unwrap().status(), 200, "a short one passes");
    assert!(!next.is_finished(), "there was room for a fifth");
    unread.pop();
    assert_eq!(next.await.unwrap().unwrap().status(), 200);
}

#[tokio::test]
async fn long_events_of_many_streams_pass_one_after_the_other() {
    let ground = Ground::with("openai/m", |profile| profile["maxCostUSD"] = "100".into()).await;
    let event = format!("data: {{\"x\":\"{}\"}}\n\n", "y".repeat(3_900_000));
    ground.provider.script([Script::Stream(vec![event.clone(), DONE.to_owned()])]);
    let read = async |_| {
        let response = ground.router().oneshot(request(CHAT, &body(true))).await.unwrap();
        // What has been read isn't kept: it would keep its place.
        let pieces = Body::into_data_stream(response.into_body());
        pieces.fold(0, async |read, piece| read + piece.unwrap().len()).await
    };
    let read = tokio::time::timeout(PATIENCE, join_all((0..12).map(read))).await.unwrap();
    assert_eq!(read, vec![event.len() + DONE.len(); 12]);
}

#[tokio::test]
async fn who_is_unknown_keeps_no_connection() {
    let ground = Ground::new("openai/m").await;
    let stranger = || Request::post(CHAT).body(body(false).to_string().into()).unwrap();
    for (asked, status) in [(request("/v1/models", &body(false)), 404), (stranger(), 401)] {
        let answer = ground.router().oneshot(asked).await.unwrap();
        assert_eq!(
            (answer.status().as_u16(), &answer.headers()[header::CONNECTION]),
            (status, &"close".parse().unwrap())
        );
    }
}
