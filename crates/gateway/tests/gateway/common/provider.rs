//! A provider on loopback that answers what it is told, and keeps what it was asked.

use std::collections::VecDeque;
use std::convert::Infallible;
use std::future::pending;
use std::sync::{Arc, Mutex};

use axum::Router;
use axum::body::Body;
use axum::extract::{Request, State};
use axum::response::Response;
use bytes::Bytes;
use futures::stream::{self, StreamExt};
use http::{HeaderMap, Uri};
use http_body_util::BodyExt;
use punching_fist_testkit::wait::until;
use serde_json::Value;
use tokio::net::TcpListener;
use tokio::sync::Notify;

/// An answer.
#[derive(Clone, Debug)]
pub enum Script {
    /// In one piece.
    Json(u16, String),
    /// Events, and then the end.
    Stream(Vec<String>),
    /// Events, and then a broken connection.
    Break(Vec<String>),
    /// Events, and then nothing for ever.
    Hang(Vec<String>),
    /// Not even a head.
    Silence,
    /// In one piece, but only when [`Provider::go`] is told.
    Held(String),
    /// With a header.
    Header(u16, &'static str, String),
}

/// What the provider was asked.
#[derive(Clone, Debug)]
pub struct Asked {
    pub uri: Uri,
    pub headers: HeaderMap,
    pub body: Value,
}

#[derive(Clone)]
pub struct Provider {
    pub url: String,
    pub go: Arc<Notify>,
    scripts: Arc<Mutex<VecDeque<Script>>>,
    asked: Arc<Mutex<Vec<Asked>>>,
}

impl Provider {
    pub async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}/v1", listener.local_addr().unwrap());
        let provider = Self { url, go: Arc::default(), scripts: Arc::default(), asked: Arc::default() };
        let router = Router::new().fallback(answer).with_state(provider.clone());
        tokio::spawn(async { axum::serve(listener, router).await });
        provider
    }

    /// What is answered next; the last one is answered from then on.
    pub fn script(&self, scripts: impl IntoIterator<Item = Script>) {
        *self.scripts.lock().unwrap() = scripts.into_iter().collect();
    }

    /// Waits until it has been asked so many times.
    pub async fn wait_for_calls(&self, times: usize) {
        let asked = async || (self.asked().len() == times).then_some(());
        until("the calls of the model", asked).await.unwrap();
    }

    pub fn asked(&self) -> Vec<Asked> {
        self.asked.lock().unwrap().clone()
    }
}

async fn answer(State(provider): State<Provider>, request: Request) -> Response {
    let (head, body) = request.into_parts();
    let body = body.collect().await.unwrap().to_bytes();
    let body = serde_json::from_slice(&body).unwrap();
    provider.asked.lock().unwrap().push(Asked { uri: head.uri, headers: head.headers, body });
    let script = {
        let mut scripts = provider.scripts.lock().unwrap();
        if scripts.len() > 1 { scripts.pop_front() } else { scripts.front().cloned() }
    };
    let json = |status: u16, text: String| {
        let response = Response::builder().status(status).header("content-type", "application/json");
        response.header("set-cookie", "a=b").header("x-request-id", "r1").body(Body::from(text)).unwrap()
    };
    match script.unwrap() {
        Script::Json(status, text) => json(status, text),
        Script::Header(status, name, value) => {
            Response::builder().status(status).header(name, value).body(Body::empty()).unwrap()
        }
        Script::Silence => pending().await,
        Script::Held(text) => {
            provider.go.notified().await;
            json(200, text)
        }
        Script::Stream(events) => events_of(stream::iter(events)),
        Script::Hang(events) => events_of(stream::iter(events).chain(stream::pending())),
        Script::Break(events) => {
            let events = stream::iter(events).map(|event| Ok(Bytes::from(event)));
            streaming(Body::from_stream(events.chain(stream::once(breaking()))))
        }
    }
}

/// The end of a connection that breaks.
async fn breaking() -> std::io::Result<Bytes> {
    // hyper writes what it has as soon as nothing more is there for the moment, and would else drop it.
    tokio::task::yield_now().await;
    Err(std::io::Error::other("told to break"))
}

fn events_of(events: impl futures::Stream<Item = String> + Send + 'static) -> Response {
    streaming(Body::from_stream(events.map(Ok::<_, Infallible>)))
}

fn streaming(body: Body) -> Response {
    Response::builder().header("content-type", "text/event-stream; charset=utf-8").body(body).unwrap()
}
