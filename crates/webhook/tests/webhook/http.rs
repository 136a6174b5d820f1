//! At the door: credentials, sizes, times, and bodies that are none.

use std::time::{Duration, Instant};

use axum::body::{Body, Bytes};
use futures::stream;
use http::header::{AUTHORIZATION, CONTENT_LENGTH};
use http::{Method, Request};
use prometheus::Registry;
use punching_fist_testkit::recording::{Fault, Times};
use punching_fist_webhook::{Authentication, Limits, router};
use serde_json::json;

use crate::common::*;

#[tokio::test]
async fn without_the_token_nothing_is_read() {
    let api = api();
    let registry = Registry::new();
    let authentication = Authentication::BearerToken("s3cret".into());
    let hook = Hook { router: router(webhook(&api, &registry), authentication), registry };
    for (header, expected) in [
        (None, 401),
        (Some("Bearer wrong"), 401),
        (Some("Basic czNjcmV0"), 401),
        (Some("Bearer s3cret"), 200),
    ] {
        let mut request = request(body(&[firing("a")]).to_string());
        if let Some(header) = header {
            request.headers_mut().insert(AUTHORIZATION, header.parse().unwrap());
        }
        let answer = hook.send(request).await;
        assert_eq!(answer.code, expected, "{header:?}");
        assert_eq!(answer.headers.contains_key("www-authenticate"), expected == 401);
    }
    only(&api);
    let mut never = request(Body::from_stream(stream::pending::<Result<Bytes, std::io::Error>>()));
    never.headers_mut().insert(AUTHORIZATION, "Bearer wrong".parse().unwrap());
    assert_eq!(hook.send(never).await.code, 401, "before the body");
}

#[tokio::test]
async fn a_body_that_cannot_be_read_is_told_field_by_field() {
    let api = api();
    let hook = Hook::new(&api);
    let with = |field: &str, value: serde_json::Value| {
        let mut body = body(&[firing("a")]);
        body[field] = value;
        body.to_string()
    };
    for (text, field, message) in [
        (String::new(), "body", "EOF"),
        ("{".to_owned(), "body", "EOF"),
        ("[]".to_owned(), "body", "invalid"),
        ("null".to_owned(), "body", "invalid type"),
        ("\u{0}".to_owned(), "body", "expected value"),
        (format!("{} x", body(&[])), "body", "trailing characters"),
        (with("version", json!("3")), "version", "must be \"4\", not \"3\""),
        (with("version", json!(4)), "version", "expected a string"),
        ("{}".to_owned(), "version", "is missing"),
        (json!({ "version": "4" }).to_string(), "alerts", "is missing"),
        (with("alerts", json!({})), "alerts", "expected a sequence"),
        (with("truncatedAlerts", json!(-1)), "truncatedAlerts", "u64"),
        (with("groupKey", json!([])), "groupKey", "expected a string"),
        (with("groupLabels", json!({ "a": 1 })), "groupLabels.a", "expected a string"),
        (with("externalURL", json!(false)), "externalURL", "expected a string"),
    ] {
        let answer = hook.send(request(text.clone())).await;
        assert_eq!(answer.code, 400, "{text}");
        assert_eq!(answer.body["field"], field, "{text}: {}", answer.body);
        let error = answer.body["error"].as_str().unwrap();
        assert!(error.starts_with(field) && error.contains(message), "{text}: {error}");
    }
    assert!(api.calls().is_empty());
    assert_eq!(hook.count("punching_fist_webhook_requests_total", &["400", "alertmanager"]), 15);
}

#[tokio::test]
async fn a_body_that_is_too_long_is_not_read_to_its_end() {
    let api = api();
    let hook = Hook::new(&api);
    let limit = Limits::default().body;
    let mut announced = request(Body::from_stream(stream::pending::<Result<Bytes, std::io::Error>>()));
    announced.headers_mut().insert(CONTENT_LENGTH, (limit + 1).to_string().parse().unwrap());
    assert_eq!(hook.send(announced).await.code, 413);

    let endless = stream::repeat_with(|| Ok::<_, std::io::Error>(Bytes::from(vec![b' '; 1 << 16])));
    let answer = hook.send(request(Body::from_stream(endless))).await;
    assert_eq!(answer.code, 413);
    assert!(answer.body["error"].as_str().unwrap().contains("4194304 bytes"));

    let mut padded = body(&[firing("a")]).to_string();
    padded.push_str(&" ".repeat(limit - padded.len()));
    assert_eq!(hook.send(request(padded)).await.code, 200, "exactly the limit");
}

#[tokio::test]
async fn a_body_that_breaks_off_or_never_ends_is_sent_again() {
    let api = api();
    let hook = Hook::with(&api, |webhook| {
        webhook.with_limits(Limits { deadline: Duration::from_millis(100), ..Limits::default() })
    });
    let broken = stream::iter([Ok(Bytes::from("{")), Err(std::io::Error::other("gone"))]);
    assert_eq!(hook.send(request(Body::from_stream(broken))).await.code, 503);
    let never = Body::from_stream(stream::pending::<Result<Bytes, std::io::Error>>());
    let answer = hook.send(request(never)).await;
    assert_eq!(answer.code, 503);
    assert_eq!(answer.headers["retry-after"], "5");
    assert!(answer.body["error"].as_str().unwrap().contains("100ms"), "{}", answer.body);
}

#[tokio::test]
async fn an_api_server_that_hangs_costs_no_more_than_the_deadline() {
    for (verb, resource) in [("list", "alerttasks"), ("create", "alerttasks"), ("apply", "alerttasks/status")]
    {
        let api = api();
        let hook = Hook::with(&api, |webhook| {
            webhook.with_limits(Limits { deadline: Duration::from_millis(200), ..Limits::default() })
        });
        api.inject(verb, resource, Fault::Hang, Times::Once);
        let start = Instant::now();
        assert_eq!(hook.post(&body(&[firing("a")])).await.code, 503, "{verb}");
        assert!(start.elapsed() < Duration::from_secs(20));
        assert_eq!(hook.post(&body(&[firing("a")])).await.code, 200, "{verb}: nothing is held any more");
        only(&api);
    }
}

#[tokio::test]
async fn too_many_at_once_are_sent_away_at_once() {
    let api = api();
    let hook = Hook::with(&api, |webhook| {
        webhook.with_limits(Limits { requests: 1, deadline: Duration::from_secs(30), ..Limits::default() })
    });
    api.inject("list", "alerttasks", Fault::Hang, Times::Once);
    let first = tokio::spawn({
        let hook = hook.clone();
        async move { hook.post(&body(&[firing("a")])).await }
    });
    while api.calls().is_empty() {
        tokio::task::yield_now().await;
    }
    let answer = hook.post(&body(&[firing("a")])).await;
    assert_eq!(answer.code, 503, "never 429: Alertmanager drops every 4xx");
    assert_eq!(answer.headers["retry-after"], "5");
    first.abort();
    assert!(first.await.is_err());
    assert_eq!(hook.post(&body(&[firing("a")])).await.code, 200);
}

#[tokio::test]
async fn bodies_under_way_have_so_much_room_and_no_more() {
    let api = api();
    let text = body(&[firing("a")]).to_string();
    let room = text.len() + 10;
    let hook = Hook::with(&api, |webhook| {
        let limits =
            Limits { body: room, bytes: room, deadline: Duration::from_secs(30), ..Limits::default() };
        webhook.with_limits(limits)
    });
    let announced = |length: usize, body: Body| {
        let mut request = request(body);
        request.headers_mut().insert(CONTENT_LENGTH, length.to_string().parse().unwrap());
        request
    };
    api.inject("list", "alerttasks", Fault::Hang, Times::Once);
    let first = tokio::spawn({
        let (hook, request) = (hook.clone(), announced(text.len(), text.clone().into()));
        async move { hook.send(request).await }
    });
    while api.calls().is_empty() {
        tokio::task::yield_now().await;
    }
    let never = || Body::from_stream(stream::pending::<Result<Bytes, std::io::Error>>());
    for request in [announced(11, never()), request("{          ")] {
        let answer = hook.send(request).await;
        assert_eq!((answer.code.as_u16(), &answer.headers["retry-after"]), (503, &"5".parse().unwrap()));
    }
    assert_eq!(hook.send(announced(10, "{".into())).await.code, 400, "there is room for ten bytes");
    first.abort();
    assert!(first.await.is_err());
    assert_eq!(hook.send(announced(text.len(), text.into())).await.code, 200);
}

#[tokio::test]
async fn more_alerts_than_fit_a_body_are_not_gathered() {
    let api = api();
    let hook = Hook::new(&api);
    for (count, code) in [(20_000, 200), (20_001, 400)] {
        let answer = hook.post(&body(&vec![json!({}); count])).await;
        assert_eq!(answer.code, code, "{count}");
        assert!(code == 200 || answer.body["error"].as_str().unwrap().contains("more than 20000 alerts"));
    }
}

#[tokio::test]
async fn a_token_that_cannot_be_read_is_our_fault() {
    let api = api();
    let registry = Registry::new();
    let authentication = Authentication::BearerTokenFile("/nonexistent/token".into());
    let hook = Hook { router: router(webhook(&api, &registry), authentication), registry };
    let mut request = request(body(&[firing("a")]).to_string());
    request.headers_mut().insert(AUTHORIZATION, "Bearer x".parse().unwrap());
    let answer = hook.send(request).await;
    assert_eq!(answer.code, 503);
    assert!(answer.body["error"].as_str().unwrap().contains("/nonexistent/token"));
}

#[tokio::test]
async fn there_is_one_path_and_one_method() {
    let api = api();
    let hook = Hook::new(&api);
    for (method, path, code) in [
        (Method::GET, "/webhook/alertmanager", 405),
        (Method::PUT, "/webhook/alertmanager", 405),
        (Method::POST, "/webhook", 404),
        (Method::POST, "/webhook/prometheus", 404),
        (Method::POST, "/", 404),
    ] {
        let request = Request::builder().method(method).uri(path).body(Body::empty()).unwrap();
        assert_eq!(hook.send(request).await.code, code, "{path}");
    }
}
