//! The HTTP side: takes a request, notes it, and answers as the behaviour says.

use std::sync::{Arc, PoisonError};

use axum::extract::{DefaultBodyLimit, State as Shared};
use axum::http::header::{AUTHORIZATION, CONTENT_TYPE, RETRY_AFTER};
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse as _, Response};
use axum::routing::{get, post};
use axum::{Json, Router};
use serde_json::{Value, json};

use super::answer::{Answer, Reply};
use super::conversation::Conversation;
use super::{Behaviour, Request, State, Step, investigator};

pub(super) fn router(state: Arc<State>) -> Router {
    Router::new()
        .route("/v1/chat/completions", post(complete))
        .route("/v1/models", get(models))
        .layer(DefaultBodyLimit::disable())
        .with_state(state)
}

async fn models() -> Json<Value> {
    Json(json!({ "object": "list", "data": [{ "id": "scripted", "object": "model" }] }))
}

async fn complete(
    Shared(state): Shared<Arc<State>>,
    headers: HeaderMap,
    Json(body): Json<Value>,
) -> Response {
    let number = note(&state, &headers, &body);
    let behaviour = state.behaviour.lock().unwrap_or_else(PoisonError::into_inner).clone();
    let conversation = Conversation::read(&body);
    let mut step = step(&behaviour, &conversation, number);
    while let Step::Wait(time, next) = step {
        tokio::time::sleep(time).await;
        step = *next;
    }
    match Answer::to(step, &conversation) {
        Answer::Reply(reply) => reply_to(&reply, &body, number),
        Answer::Status(status) => error(status),
    }
}

/// Keeps the request; tells which one it is, from 1.
fn note(state: &State, headers: &HeaderMap, body: &Value) -> usize {
    let authorization = headers.get(AUTHORIZATION).and_then(|value| value.to_str().ok()).map(str::to_owned);
    let mut requests = state.requests.lock().unwrap_or_else(PoisonError::into_inner);
    requests.push(Request { authorization, body: body.clone() });
    requests.len()
}

fn step(behaviour: &Behaviour, conversation: &Conversation, number: usize) -> Step {
    match behaviour {
        Behaviour::Investigate => investigator::next(conversation),
        Behaviour::Steps(steps) => {
            steps.get(number - 1).or(steps.last()).cloned().unwrap_or(Step::Status(500))
        }
        Behaviour::Unauthorized => Step::Status(401),
        Behaviour::RateLimited => Step::Status(429),
        Behaviour::ServerError => Step::Status(500),
        // A command that is never the same: an agent that repeats itself is stopped for that.
        Behaviour::Loop => Step::Shell(format!("echo still looking, step {number}")),
        Behaviour::AsksQuestion => Step::Say("Which namespace should I look at?".to_owned()),
    }
}

fn reply_to(reply: &Reply, body: &Value, number: usize) -> Response {
    if body["stream"] == true {
        let events = reply.stream(body, number);
        return ([(CONTENT_TYPE, "text/event-stream")], events).into_response();
    }
    Json(reply.completion(body, number)).into_response()
}

fn error(status: u16) -> Response {
    let (kind, message) = match status {
        401 => ("invalid_request_error", "Incorrect API key provided."),
        429 => ("rate_limit_error", "Rate limit reached."),
        _ => ("server_error", "The scripted model fails, as it was told to."),
    };
    let status = StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    let body = Json(json!({ "error": { "message": message, "type": kind, "code": status.as_u16() } }));
    (status, [(RETRY_AFTER, "1")], body).into_response()
}
