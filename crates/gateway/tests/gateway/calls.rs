//! Calls in one piece: what goes out, what comes back, what it cost, and what is refused.

use k8s_openapi::api::core::v1::Pod;
use punching_fist_api::{AlertTask, MaintenanceTask, Phase, names};
use serde_json::{Value, json};

use crate::common::{self, Ground, KEY, NAMESPACE, Script, TASK, TOKEN, request, send};

const OPENAI: &str = r#"{"choices":[{"message":{"content":"hi"}}],"usage":{"prompt_tokens":1000,"completion_tokens":100,"prompt_tokens_details":{"cached_tokens":400}}}"#;
const ANTHROPIC: &str = r#"{"content":[],"usage":{"input_tokens":500,"cache_read_input_tokens":400,"cache_creation_input_tokens":100,"output_tokens":100}}"#;

fn body() -> Value {
    json!({"model": "m", "messages": [{"role": "user", "content": "hello"}], "max_tokens": 50})
}

#[tokio::test]
async fn a_call_is_charged_sent_with_the_key_and_settled() {
    for (model, path, answer, cache_write, cost) in [
        ("openai/m", "/v1/chat/completions", OPENAI, 0, "0.00084"),
        ("anthropic/m", "/v1/messages", ANTHROPIC, 100, "0.00084"),
    ] {
        let ground = Ground::new(model).await;
        ground.provider.script([Script::Json(200, answer.to_owned())]);
        let got = ground.post(path, &body()).await;
        assert_eq!((got.status.as_u16(), got.text.as_deref()), (200, Some(answer)));
        assert_eq!(got.headers.get("x-request-id").unwrap(), "r1");
        assert!(!got.headers.contains_key("set-cookie"));

        let asked = ground.provider.asked().remove(0);
        assert_eq!((asked.uri.path(), asked.body), (path, body()));
        let headers = format!("{:?}", asked.headers);
        assert!(headers.contains(KEY) && !headers.contains(TOKEN), "{headers}");

        let usage = ground.usage();
        assert_eq!((usage.total.input_tokens, usage.total.output_tokens, usage.total.calls), (1000, 100, 1));
        assert_eq!((usage.total.cache_read_tokens, usage.total.cache_write_tokens), (400, cache_write));
        assert_eq!((usage.total.cost_usd.as_deref(), usage.total.iterations), (Some(cost), 3));
        assert!(usage.in_flight.is_empty());
        assert_charged_first(&ground);
        assert_metered(&ground);
    }
}

/// The charge was written before the call went out, and its cost after that.
fn assert_charged_first(ground: &Ground) {
    let writes = ground.api.calls_of("apply", "maintenancetasks/status");
    assert_eq!(writes.len(), 2);
    assert_eq!(writes[0].query["fieldManager"], names::MANAGER_GATEWAY);
    let charge = &writes[0].body["status"]["usage"]["inFlight"][0]["chargeUSD"];
    let expected = body().to_string().len() + 2 * 50;
    assert_eq!(charge, &format!("0.{expected:06}"), "a byte a token, and the longest answer");
}

fn assert_metered(ground: &Ground) {
    let metrics = ground.metrics();
    for line in [
        r#"punching_fist_gateway_calls_total{outcome="answered",profile="openhands"} 1"#,
        r#"punching_fist_gateway_tokens_total{direction="cache_read",profile="openhands"} 400"#,
        r#"punching_fist_gateway_cost_usd_total{profile="openhands"} 0.00084"#,
        "punching_fist_gateway_own_duration_seconds_count 1",
        "punching_fist_gateway_status_write_duration_seconds_count 2",
    ] {
        assert!(metrics.contains(line), "{line}: {metrics}");
    }
}

#[tokio::test]
async fn an_alerts_run_is_charged_alike() {
    let ground = Ground::new("openai/m").await;
    let mut pod = serde_json::to_value(common::pod("openai/m")).unwrap();
    pod["metadata"]["labels"][names::LABEL_KIND] = "AlertTask".into();
    ground.api.seed::<Pod>(&serde_json::from_value(pod).unwrap());
    let mut task = serde_json::to_value(common::task()).unwrap();
    task["kind"] = "AlertTask".into();
    task["spec"]["notification"] = json!({"alerts": [{"labels": {"alertname": "A"}}]});
    task["status"]["occurrences"] = 7.into();
    ground.api.remove::<MaintenanceTask>(NAMESPACE, TASK);
    ground.api.seed::<AlertTask>(&serde_json::from_value(task).unwrap());
    ground.provider.script([Script::Json(200, OPENAI.to_owned())]);
    assert_eq!(ground.post("/v1/chat/completions", &body()).await.status, 200);
    let status = ground.api.read::<AlertTask>(NAMESPACE, TASK).unwrap().status.unwrap();
    let usage = status.task.usage.unwrap();
    assert_eq!((usage.total.calls, usage.total.iterations, usage.in_flight.len()), (1, 3, 0));
    assert_eq!((status.occurrences, status.task.phase), (7, Some(Phase::Running)));
}

#[tokio::test]
async fn the_token_comes_in_either_header_and_the_key_goes_where_the_provider_wants_it() {
    let ground = Ground::new("anthropic/m").await;
    ground.provider.script([Script::Json(200, ANTHROPIC.to_owned())]);
    let mut request = request("/messages?beta=true", &body());
    let headers = request.headers_mut();
    headers.remove("x-api-key");
    headers.insert("authorization", format!("bearer {TOKEN}").parse().unwrap());
    for (name, value) in [
        ("anthropic-version", "2023-06-01"),
        ("anthropic-beta", "some"),
        ("accept-encoding", "gzip"),
        ("cookie", "a=b"),
        ("openai-organization", "another"),
        ("x-forwarded-for", "10.0.0.1"),
    ] {
        headers.insert(name, value.parse().unwrap());
    }
    assert_eq!(send(&ground.router(), request).await.status, 200);
    let asked = ground.provider.asked().remove(0);
    assert_eq!(asked.uri, "/v1/messages?beta=true");
    assert_eq!(asked.headers["x-api-key"], KEY);
    assert_eq!(
        (&asked.headers["anthropic-version"], &asked.headers["anthropic-beta"]),
        (&"2023-06-01".parse().unwrap(), &"some".parse().unwrap())
    );
    assert_eq!(asked.headers["accept-encoding"], "identity", "or its usage can't be read");
    for name in ["authorization", "cookie", "openai-organization", "x-forwarded-for"] {
        assert!(!asked.headers.contains_key(name), "{name}");
    }
}

#[tokio::test]
async fn what_the_provider_refuses_costs_nothing_and_passes_through() {
    let ground = Ground::new("openai/m").await;
    for code in [400, 401, 403, 404, 422, 429, 500, 501, 503, 521, 529] {
        let text = format!(r#"{{"error":"{code} for {KEY}"}}"#);
        ground.provider.script([Script::Json(code, text)]);
        let answer = ground.post("/v1/chat/completions", &body()).await;
        assert_eq!(answer.status, code);
        assert_eq!(answer.text.unwrap(), format!(r#"{{"error":"{code} for [redacted]"}}"#));
        let usage = ground.usage();
        assert_eq!(
            (usage.total.calls, usage.total.cost_usd.as_deref(), usage.in_flight.len()),
            (0, Some("0"), 0)
        );
    }
    assert_eq!(ground.provider.asked().len(), 11, "nothing is tried again");
    ground.provider.script([Script::Header(302, "location", "http://elsewhere".to_owned())]);
    let answer = ground.post("/v1/chat/completions", &body()).await;
    assert_eq!((answer.status.as_u16(), answer.word().as_str()), (502, "Unavailable"));
    assert!(ground.usage().in_flight.is_empty());
}

#[tokio::test]
async fn what_may_have_been_answered_stays_charged() {
    for (script, code) in [
        (Script::Json(200, r#"{"choices":[]}"#.to_owned()), 200),
        (Script::Json(200, "<html>".to_owned()), 200),
        (Script::Json(200, r#"{"usage":{"prompt_tokens":0,"completion_tokens":0}}"#.to_owned()), 200),
        (Script::Json(408, "{}".to_owned()), 408),
        (Script::Json(499, "{}".to_owned()), 499),
        (Script::Json(502, "{}".to_owned()), 502),
        (Script::Json(504, "{}".to_owned()), 504),
        (Script::Json(524, "{}".to_owned()), 524),
        (Script::Silence, 504),
    ] {
        let ground = Ground::impatient("openai/m").await;
        ground.provider.script([script.clone()]);
        let answer = ground.post("/v1/chat/completions", &body()).await;
        assert_eq!(answer.status, code, "{script:?}");
        let usage = ground.usage();
        let charge = format!("0.{:06}", body().to_string().len() + 2 * 50);
        let counted = format!("cost_usd_total{{profile=\"openhands\"}} {charge}");
        assert!(ground.metrics().contains(&counted), "{counted}: {}", ground.metrics());
        assert_eq!((usage.total.calls, usage.total.cost_usd), (1, Some(charge)), "{script:?}");
        assert!(usage.in_flight.is_empty());
    }
}

#[tokio::test]
async fn a_provider_that_is_not_there_costs_nothing() {
    let ground =
        Ground::with("openai/m", |profile| profile["baseURL"] = "http://127.0.0.1:1/v1".into()).await;
    let answer = ground.post("/v1/chat/completions", &body()).await;
    assert_eq!((answer.status.as_u16(), answer.word().as_str()), (502, "Unavailable"));
    assert!(answer.headers.contains_key("retry-after"));
    assert_eq!((ground.usage().total.calls, ground.usage().in_flight.len()), (0, 0));
}

#[tokio::test]
async fn counting_tokens_is_free() {
    let ground = Ground::new("anthropic/m").await;
    ground.provider.script([Script::Json(200, r#"{"input_tokens":5}"#.to_owned())]);
    assert_eq!(ground.post("/v1/messages/count_tokens", &body()).await.status, 200);
    assert!(ground.api.calls_of("apply", "*").is_empty());
    assert!(ground.metrics().contains(r#"calls_total{outcome="answered",profile="openhands"} 1"#));
    ground.api.change::<MaintenanceTask>(NAMESPACE, TASK, |task| {
        task.status.as_mut().unwrap().task.phase = Some(Phase::Failed);
    });
    assert_eq!(ground.post("/v1/messages/count_tokens", &body()).await.word(), "RunOver");
}

#[tokio::test]
async fn other_models_paths_and_forms_are_refused() {
    let ground = Ground::with("openai/m", |profile| {
        let prices = json!({"input": "1", "output": "1"});
        profile["otherModels"] = json!({"openai/dear": prices, "anthropic/m": prices});
    })
    .await;
    for (path, model, word_, status) in [
        ("/v1/chat/completions", "dear", "Refused", 400),
        ("/v1/chat/completions", "openai/m", "Refused", 400),
        ("/v1/messages", "m", "Refused", 400),
        ("/v1/models", "m", "Refused", 404),
        ("/v1/files", "m", "Refused", 404),
        ("/metrics", "m", "Refused", 404),
    ] {
        let answer = ground.post(path, &json!({"model": model})).await;
        assert_eq!((answer.word().as_str(), answer.status.as_u16()), (word_, status), "{path} {model}");
    }
    let get = http::Request::get("/v1/chat/completions").body(axum::body::Body::empty()).unwrap();
    assert_eq!(send(&ground.router(), get).await.status, 404);
    assert!(ground.provider.asked().is_empty() && ground.api.calls_of("apply", "*").is_empty());
}

#[tokio::test]
async fn a_run_keeps_the_model_that_its_pod_was_told() {
    let prices = json!({"input": "1", "output": "1"});
    for (others, model, expected) in [
        (json!({"openai/old": prices}), "old", None),
        (json!({"openai/old": prices}), "m", Some("this run's model is \"openai/old\"")),
        (
            json!({}),
            "old",
            Some(
                "no price for the model \"openai/old\" (agents.openhands.prices, agents.openhands.otherModels)",
            ),
        ),
    ] {
        let ground = Ground::with("openai/m", |profile| profile["otherModels"] = others).await;
        ground.api.seed(&common::pod("openai/old"));
        ground.provider.script([Script::Json(200, OPENAI.to_owned())]);
        let answer = ground.post("/v1/chat/completions", &json!({"model": model})).await;
        let Some(why) = expected else {
            assert_eq!(
                (answer.status.as_u16(), ground.usage().total.cost_usd.as_deref()),
                (200, Some("0.0011"))
            );
            continue;
        };
        assert_eq!((answer.word().as_str(), answer.status.as_u16()), ("Refused", 400));
        assert!(answer.error().contains(why), "{}", answer.error());
    }
}

#[tokio::test]
async fn errors_have_the_form_of_the_api() {
    let ground = Ground::new("openai/m").await;
    let openai = ground.post("/v1/chat/completions", &json!({"model": "x"})).await.json();
    assert_eq!(openai["error"]["code"], "Refused");
    let anthropic = ground.post("/v1/messages", &json!({"model": "x"})).await.json();
    assert_eq!(
        (&anthropic["type"], &anthropic["error"]["type"]),
        (&json!("error"), &json!("invalid_request_error"))
    );
}

#[tokio::test]
async fn without_a_key_it_is_said_what_to_set() {
    let ground = Ground::new("openai/m").await;
    std::fs::write(ground.key.path(), "").unwrap();
    let answer = ground.post("/v1/chat/completions", &body()).await;
    assert_eq!((answer.word().as_str(), answer.status.as_u16()), ("Unavailable", 503));
    assert!(answer.error().contains("agents.openhands.key"), "{}", answer.error());
    assert!(ground.api.calls_of("apply", "*").is_empty());
}

#[tokio::test]
async fn secrets_stay_here_unless_the_profile_says_otherwise() {
    let text = format!("{KEY} and ghp_abcdefghijklmnopqrstuvwx0123 and {TOKEN}");
    let body = json!({"model": "m", "messages": [{"content": text, "signature": "ghpabcd"}]});
    for (redact, expected) in [(true, "[redacted] and [redacted] and [redacted]"), (false, text.as_str())] {
        let ground = Ground::with("openai/m", |profile| profile["redact"] = redact.into()).await;
        ground.provider.script([Script::Json(200, OPENAI.to_owned())]);
        ground.post("/v1/chat/completions", &body).await;
        assert_eq!(ground.provider.asked()[0].body["messages"][0]["content"], expected);
    }
}

/// As Python's JSON has bytes that are no text.
#[tokio::test]
async fn half_characters_stop_no_call_and_hide_no_secret() {
    let ground = Ground::new("openai/m").await;
    ground.provider.script([Script::Json(200, OPENAI.to_owned())]);
    let text = format!(r#""half \udc80 and {KEY}""#);
    let call = format!(r#"{{"function":{{"name":"run","arguments":{text}}}}}"#);
    let message = format!(r#"{{"content":{text},"tool_calls":[{call}]}}"#);
    let sent = format!(r#"{{"model":"m","max_tokens":50,"messages":[{message}]}}"#);
    let (parts, _) = request("/v1/chat/completions", &body()).into_parts();
    let answer = send(&ground.router(), http::Request::from_parts(parts, sent.into())).await;
    assert_eq!(answer.status, 200, "{answer:?}");
    let message = ground.provider.asked()[0].body["messages"][0].clone();
    let expected = "half \u{fffd} and [redacted]";
    assert_eq!(message["content"], expected);
    assert_eq!(message["tool_calls"][0]["function"]["arguments"], expected);
}

#[tokio::test]
async fn a_body_that_is_too_long_is_refused() {
    let ground = Ground::new("openai/m").await;
    let long = json!({"model": "m", "messages": "x".repeat(9 << 20)});
    assert_eq!(ground.post("/v1/chat/completions", &long).await.status, 413);
    let pieces = futures::stream::iter((0..9).map(|_| Ok::<_, std::io::Error>(vec![b' '; 1 << 20])));
    let (parts, _) = request("/v1/chat/completions", &body()).into_parts();
    let unsaid = http::Request::from_parts(parts, axum::body::Body::from_stream(pieces));
    assert_eq!(send(&ground.router(), unsaid).await.status, 413);
}

#[tokio::test]
async fn a_body_that_breaks_off_is_worth_another_try() {
    let ground = Ground::new("openai/m").await;
    let pieces = [Ok("{"), Err(std::io::Error::other("told to break"))];
    let (parts, _) = request("/v1/chat/completions", &body()).into_parts();
    let broken = axum::body::Body::from_stream(futures::stream::iter(pieces));
    let answer = send(&ground.router(), http::Request::from_parts(parts, broken)).await;
    assert_eq!((answer.word().as_str(), answer.status.as_u16()), ("Unavailable", 408));
}
