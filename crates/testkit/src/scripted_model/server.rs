//! The HTTP side: takes a request, notes it, and answers as the behaviour says.

use std::convert::Infallible;
use std::future;
use std::sync::atomic::Ordering;
use std::sync::{Arc, PoisonError};

use axum::body::{Body, Bytes};
use axum::extract::{DefaultBodyLimit, State as Shared};
use axum::http::header::{AUTHORIZATION, CONTENT_TYPE, RETRY_AFTER};
use axum::http::{HeaderMap, HeaderValue, StatusCode};
use axum::response::{IntoResponse as _, Response};
use axum::routing::{get, post};
use axum::{Json, Router};
use futures::{StreamExt as _, stream};
use serde_json::{Value, json};

use super::answer::{Answer, Reply};
use super::conversation::Conversation;
use super::{Behaviour, Request, State, Step, anthropic, investigator, runbook};

/// The two ways to talk to a model.
#[derive(Clone, Copy)]
enum Dialect {
    OpenAi,
    Anthropic,
}

pub(super) fn router(state: Arc<State>) -> Router {
    Router::new()
        .route("/v1/chat/completions", post(complete))
        .route("/v1/messages", post(message))
        .route("/v1/models", get(models))
        .layer(DefaultBodyLimit::disable())
        .with_state(state)
}

async fn models() -> Json<Value> {
    Json(json!({ "object": "list", "data": [{ "id": "scripted", "object": "model" }] }))
}

async fn complete(state: Shared<Arc<State>>, headers: HeaderMap, Json(body): Json<Value>) -> Response {
    let conversation = Conversation::read(&body);
    answer(Dialect::OpenAi, &state, &headers, &body, &conversation).await
}

async fn message(state: Shared<Arc<State>>, headers: HeaderMap, Json(body): Json<Value>) -> Response {
    let conversation = Conversation::read(&anthropic::translated(&body));
    answer(Dialect::Anthropic, &state, &headers, &body, &conversation).await
}

async fn answer(
    dialect: Dialect,
    state: &State,
    headers: &HeaderMap,
    body: &Value,
    conversation: &Conversation,
) -> Response {
    let number = note(state, headers, body);
    let steps = &state.steps;
    let done = if conversation.shell().is_some() { steps.fetch_add(1, Ordering::SeqCst) } else { 0 };
    let mut step = step(&state.behaviour, conversation, done);
    while let Step::Wait(time, next) = step {
        tokio::time::sleep(time).await;
        step = *next;
    }
    match Answer::to(step, conversation) {
        Answer::Reply(reply) => dialect.whole(&reply, body, number),
        Answer::Half(reply) => dialect.half(&reply, body, number),
        Answer::Refusal(status, text) => dialect.error(status, text),
        Answer::Silence => future::pending().await,
    }
}

/// Keeps the request; tells which one it is, from 1.
fn note(state: &State, headers: &HeaderMap, body: &Value) -> usize {
    let key = headers.get(AUTHORIZATION).or_else(|| headers.get("x-api-key"));
    let authorization = key.and_then(|value| value.to_str().ok()).map(str::to_owned);
    let mut requests = state.requests.lock().unwrap_or_else(PoisonError::into_inner);
    requests.push(Request { authorization, body: body.clone() });
    requests.len()
}

/// What to do after so many steps.
fn step(behaviour: &Behaviour, conversation: &Conversation, done: usize) -> Step {
    let nth = |steps: &[Step], number| steps.get(number).or(steps.last()).cloned();
    match behaviour {
        Behaviour::Investigate => investigator::next(conversation),
        Behaviour::FollowRunbook => runbook::next(conversation),
        Behaviour::Steps(steps) => nth(steps, done).unwrap_or(Step::Status(500)),
        Behaviour::EachTime(steps) => nth(steps, conversation.outcomes.len()).unwrap_or(Step::Status(500)),
        Behaviour::Unauthorized => Step::Status(401),
        Behaviour::RateLimited => Step::Status(429),
        Behaviour::ServerError => Step::Status(500),
        // A command that is never the same: an agent that repeats itself is stopped for that.
        Behaviour::Loop => Step::Shell(format!("echo still looking, step {}", done + 1)),
        Behaviour::AsksQuestion => Step::Say("Which namespace should I look at?".to_owned()),
    }
}

impl Dialect {
    fn whole(self, reply: &Reply, body: &Value, number: usize) -> Response {
        let (kind, text) = self.written(reply, body, number);
        ([(CONTENT_TYPE, kind)], text).into_response()
    }

    /// The first half; the connection stays open.
    fn half(self, reply: &Reply, body: &Value, number: usize) -> Response {
        let (kind, text) = self.written(reply, body, number);
        let begun = Bytes::copy_from_slice(&text.as_bytes()[..text.len() / 2]);
        let begun = stream::once(future::ready(Ok::<_, Infallible>(begun)));
        let mut response = Response::new(Body::from_stream(begun.chain(stream::pending())));
        response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(kind));
        response
    }

    /// Content type and body.
    fn written(self, reply: &Reply, body: &Value, number: usize) -> (&'static str, String) {
        let streamed = body["stream"] == true;
        let text = match self {
            Self::OpenAi if streamed => reply.stream(body, number),
            Self::OpenAi => reply.completion(body, number).to_string(),
            Self::Anthropic if streamed => anthropic::stream(reply, body, number),
            Self::Anthropic => anthropic::message(reply, body, number).to_string(),
        };
        (if streamed { "text/event-stream" } else { "application/json" }, text)
    }

    fn error(self, status: u16, text: Option<String>) -> Response {
        let (kind, usual) = match status {
            401 => ("invalid_request_error", "Incorrect API key provided."),
            429 => ("rate_limit_error", "Rate limit reached."),
            400..500 => ("invalid_request_error", "The scripted model refuses, as it was told to."),
            _ => ("server_error", "The scripted model fails, as it was told to."),
        };
        let status = StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        let message = text.unwrap_or_else(|| usual.to_owned());
        let body = match self {
            Self::OpenAi => {
                json!({ "error": { "message": message, "type": kind, "code": status.as_u16() } })
            }
            Self::Anthropic => json!({ "type": "error", "error": { "type": kind, "message": message } }),
        };
        (status, [(RETRY_AFTER, "1")], Json(body)).into_response()
    }
}
