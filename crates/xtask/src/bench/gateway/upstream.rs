//! A model that answers at once when it is let: each request is shown to who measures, who lets it be answered. Streams
//! can be held after their first word.

use std::convert::Infallible;
use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::time::{Duration, Instant};

use axum::body::{Body, Bytes};
use axum::extract::{DefaultBodyLimit, State};
use axum::http::header::CONTENT_TYPE;
use axum::response::{IntoResponse as _, Response};
use axum::routing::post;
use axum::serve::ListenerExt as _;
use axum::{Json, Router};
use futures::{StreamExt as _, stream};
use serde::Deserialize;
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio::sync::{mpsc, oneshot, watch};

/// Words of an answer.
const WORDS: usize = 40;
/// Requests that nobody has looked at.
const QUEUE: usize = 1024;

/// A running one.
pub struct Upstream {
    /// Where it listens.
    pub address: SocketAddr,
    arrivals: mpsc::Receiver<Arrival>,
    held: watch::Sender<bool>,
}

/// A request that waits to be answered.
pub struct Arrival {
    since: Instant,
    go: oneshot::Sender<()>,
}

impl Arrival {
    /// Lets it be answered; gives how long it has waited.
    pub fn answer(self) -> Duration {
        let waited = self.since.elapsed();
        // If the request is gone, its client has told why.
        let _ = self.go.send(());
        waited
    }
}

#[derive(Clone)]
struct Shared {
    arrivals: mpsc::Sender<Arrival>,
    held: watch::Receiver<bool>,
}

#[derive(Deserialize)]
struct Request {
    #[serde(default)]
    stream: bool,
}

impl Upstream {
    /// Starts it; it ends with this process.
    pub async fn start() -> io::Result<Self> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
        let address = listener.local_addr()?;
        let (held, holds) = watch::channel(false);
        let (sender, arrivals) = mpsc::channel(QUEUE);
        let router = Router::new()
            .route("/v1/chat/completions", post(complete))
            .layer(DefaultBodyLimit::disable())
            .with_state(Shared { arrivals: sender, held: holds });
        // A socket that can't do it is as good, only slower.
        let listener = listener.tap_io(|socket| drop(socket.set_nodelay(true)));
        tokio::spawn(axum::serve(listener, router).into_future());
        Ok(Self { address, arrivals, held })
    }

    /// The next request.
    pub async fn arrival(&mut self) -> Option<Arrival> {
        self.arrivals.recv().await
    }

    /// Whether streams stop after their first word.
    pub fn hold(&self, hold: bool) {
        self.held.send_replace(hold);
    }
}

async fn complete(State(shared): State<Shared>, Json(request): Json<Request>) -> Response {
    let (go, wait) = oneshot::channel();
    // When nobody measures any more nobody waits for the answer either.
    let _ = shared.arrivals.send(Arrival { since: Instant::now(), go }).await;
    let _ = wait.await;
    if request.stream {
        return ([(CONTENT_TYPE, "text/event-stream")], streamed(shared.held)).into_response();
    }
    let message = json!({ "role": "assistant", "content": "word ".repeat(WORDS) });
    let choice = json!({ "index": 0, "message": message, "finish_reason": "stop" });
    Json(answer("chat.completion", &json!([choice]), &usage())).into_response()
}

fn streamed(mut held: watch::Receiver<bool>) -> Body {
    let first = stream::iter([Ok::<_, Infallible>(word())]);
    let released = async move {
        // If the sender is gone nobody waits for the rest.
        let _ = held.wait_for(|held| !held).await;
        stream::iter((1..WORDS).map(|_| word()).chain(ending()).map(Ok))
    };
    Body::from_stream(first.chain(stream::once(released).flatten()))
}

fn word() -> Bytes {
    let choice = json!({ "index": 0, "delta": { "content": "word " } });
    event(&answer("chat.completion.chunk", &json!([choice]), &Value::Null))
}

fn ending() -> [Bytes; 3] {
    let choice = json!({ "index": 0, "delta": {}, "finish_reason": "stop" });
    let stop = event(&answer("chat.completion.chunk", &json!([choice]), &Value::Null));
    let usage = event(&answer("chat.completion.chunk", &json!([]), &usage()));
    [stop, usage, Bytes::from_static(b"data: [DONE]\n\n")]
}

fn event(value: &Value) -> Bytes {
    format!("data: {value}\n\n").into()
}

fn usage() -> Value {
    json!({ "prompt_tokens": 8000, "completion_tokens": WORDS, "total_tokens": 8000 + WORDS })
}

fn answer(object: &str, choices: &Value, usage: &Value) -> Value {
    json!({
        "id": "chatcmpl-1", "object": object, "created": 1, "model": "scripted", "choices": choices, "usage": usage,
    })
}
