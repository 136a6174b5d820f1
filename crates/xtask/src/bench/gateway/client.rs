//! An engine's side of a call: one connection that is kept, and a clock.

use std::error::Error;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use axum::body::Bytes;
use http::header::{AUTHORIZATION, CONTENT_TYPE, HOST};
use http::{Method, Request};
use http_body_util::{BodyExt as _, Full};
use hyper::body::Incoming;
use hyper::client::conn::http1::{self, SendRequest};
use hyper_util::rt::TokioIo;
use serde_json::json;
use tokio::net::TcpStream;

/// What goes wrong with a call: a figure of a call that failed is none.
pub type Failure = Box<dyn Error>;

/// How long a conversation is: an agent's that has looked at a few things.
pub const PROMPT_BYTES: usize = 32 * 1024;
const LINE: &str = "2026-01-01T00:00:00Z INFO checkout: took 12 ms to answer GET /cart, status 200\n";

/// A connection to the gateway, or to the upstream.
pub struct Client {
    sender: SendRequest<Full<Bytes>>,
    address: SocketAddr,
    token: String,
}

/// How long a call took.
#[derive(Clone, Copy, Debug)]
pub struct Times {
    /// To the first byte of the answer's body.
    pub first: Duration,
    /// To the last one.
    pub whole: Duration,
}

/// An answer of which the first part has been read.
pub struct Begun {
    started: Instant,
    first: Duration,
    body: Incoming,
}

impl Client {
    /// Connects.
    pub async fn connect(address: SocketAddr, token: &str) -> Result<Self, Failure> {
        let socket = TcpStream::connect(address).await?;
        socket.set_nodelay(true)?;
        let (sender, connection) = http1::handshake(TokioIo::new(socket)).await?;
        tokio::spawn(connection);
        Ok(Self { sender, address, token: token.to_owned() })
    }

    /// Calls, and reads the first part of the answer.
    pub async fn begin(&mut self, body: &Bytes) -> Result<Begun, Failure> {
        let request = Request::builder()
            .method(Method::POST)
            .uri("/v1/chat/completions")
            .header(HOST, self.address.to_string())
            .header(AUTHORIZATION, format!("Bearer {}", self.token))
            .header(CONTENT_TYPE, "application/json")
            .body(Full::new(body.clone()))?;
        self.sender.ready().await?;
        let started = Instant::now();
        let (head, mut body) = self.sender.send_request(request).await?.into_parts();
        if !head.status.is_success() {
            let text = body.collect().await?.to_bytes();
            return Err(format!("{}: {}", head.status, String::from_utf8_lossy(&text)).into());
        }
        body.frame().await.ok_or("an answer without a body")??;
        Ok(Begun { started, first: started.elapsed(), body })
    }
}

impl Begun {
    /// Reads the rest.
    pub async fn end(mut self) -> Result<Times, Failure> {
        while let Some(frame) = self.body.frame().await {
            frame?;
        }
        Ok(Times { first: self.first, whole: self.started.elapsed() })
    }
}

/// The body of a call.
pub fn request(stream: bool) -> Bytes {
    let prompt = LINE.repeat(PROMPT_BYTES / LINE.len());
    let messages = json!([{ "role": "user", "content": prompt }]);
    json!({ "model": "scripted", "stream": stream, "max_tokens": 100, "messages": messages })
        .to_string()
        .into()
}
