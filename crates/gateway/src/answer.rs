//! The provider's answer on its way back: errors whole, JSON whole, streams piece by piece. Each way ends in what the call
//! cost.

use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use axum::response::Response;
use bytes::{Bytes, BytesMut};
use http::header::CONTENT_TYPE;
use http::{HeaderValue, StatusCode};
use http_body_util::{BodyExt, LengthLimitError, Limited};
use hyper::body::Incoming;
use tokio::time::{Instant, timeout_at};
use tokio_util::task::TaskTracker;
use tracing::debug;

use crate::budget::{End, Rates, Tokens};
use crate::client::{self, Client};
use crate::endpoint::Endpoint;
use crate::error::Refusal;
use crate::held::{Answers, Held, LONG_MAX};
use crate::keys::Key;
use crate::ledger::Reserved;
use crate::metrics::Metrics;
use crate::relay::Relay;
use crate::upstream::answer_headers;
use crate::usage;

const STREAM: &str = "text/event-stream";
/// A longer answer in one piece is none.
const ANSWER_MAX: usize = LONG_MAX / 2;
/// Of a longer error only so much is shown.
const ERROR_MAX: usize = 1 << 20;

/// How long an answer may take.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Patience {
    /// From one piece to the next.
    pub(crate) piece: Duration,
    /// When the last piece must be there.
    pub(crate) until: Instant,
}

/// Counts one call, once: by what is said of it, or as `broken` when its client goes away before anything can be said.
pub(crate) struct Meter {
    profile: String,
    metrics: Metrics,
    /// Time that the gateway itself took before the call went out.
    own: Duration,
    is_counted: bool,
}

/// A call that has gone out, and what its end needs.
pub(crate) struct Out {
    pub(crate) endpoint: Endpoint,
    pub(crate) hides_usage: bool,
    pub(crate) rates: Rates,
    /// None: it isn't charged.
    pub(crate) reserved: Option<Reserved>,
    pub(crate) meter: Meter,
    pub(crate) patience: Patience,
    /// What passes a stream on is awaited there.
    pub(crate) passing: TaskTracker,
    /// The task's UID.
    pub(crate) run: String,
    /// What no answer may say, though some providers and proxies repeat what they were sent.
    pub(crate) key: Arc<Key>,
    pub(crate) answers: Arc<Answers>,
}

/// A stream on its way.
struct Streaming {
    body: Incoming,
    relay: Relay,
    held: Held,
    /// None once its end is told.
    out: Option<Out>,
}

impl Patience {
    /// When the next piece must have come, or gone.
    pub(crate) fn next(self) -> Instant {
        self.until.min(Instant::now() + self.piece)
    }
}

impl Out {
    /// Passes an answer on.
    pub(crate) async fn pass(self, response: http::Response<Incoming>) -> Result<Response, Refusal> {
        let (parts, body) = response.into_parts();
        let mut back = Response::new(Body::empty());
        *back.status_mut() = parts.status;
        *back.headers_mut() = answer_headers(&parts.headers, &self.key);
        let streams = parts.headers.get(CONTENT_TYPE).is_some_and(is_stream);
        if parts.status.is_redirection() || parts.status.is_informational() {
            self.settle(End::Free);
            let message =
                format!("the model's endpoint answers {}; the profile's baseURL is wrong", parts.status);
            return Err(Refusal::Unreachable(message));
        }
        *back.body_mut() = if !parts.status.is_success() {
            self.close_failed(parts.status, body).await
        } else if streams {
            self.stream(body).await?
        } else {
            self.whole(body).await?
        };
        Ok(back)
    }

    /// Some errors say the key that they don't like.
    async fn close_failed(self, status: StatusCode, body: Incoming) -> Body {
        let key = self.key.clone();
        let read = self.read(body, ERROR_MAX, Instant::now() + self.patience.piece).await;
        self.close(if gave_up(status) { End::Unknown } else { End::Free }, "upstream_error");
        let Ok((bytes, held)) = read else { return Body::empty() };
        let shown = key.redactor().redact(&String::from_utf8_lossy(&bytes));
        Body::from(held.keep(shown.into()))
    }

    async fn whole(self, body: Incoming) -> Result<Body, Refusal> {
        let (bytes, held) = match self.read(body, ANSWER_MAX, self.patience.until).await {
            Ok(read) => read,
            Err(refusal) => {
                self.settle(End::Unknown);
                return Err(refusal);
            }
        };
        let started = Instant::now();
        let tokens = usage::of_answer(self.endpoint, &bytes);
        let shown = held.keep(self.key.out_of(bytes));
        self.meter.own(started.elapsed());
        self.close_told(tokens);
        Ok(Body::from(shown))
    }

    /// Reads an answer to its end.
    async fn read(&self, body: Incoming, most: usize, until: Instant) -> Result<(Bytes, Held), Refusal> {
        let mut held = self.answers.hold(&self.run).await?;
        let (mut body, mut whole) = (Limited::new(body, most), BytesMut::new());
        let why = loop {
            match timeout_at(until, body.frame()).await {
                Ok(Some(Ok(frame))) => {
                    let data = frame.into_data().unwrap_or_default();
                    // While it grows it is there twice.
                    held.fit(2 * (whole.len() + data.len())).await?;
                    whole.extend_from_slice(&data);
                }
                Ok(None) => {
                    held.fit(whole.capacity()).await?;
                    return Ok((whole.freeze(), held));
                }
                Ok(Some(Err(error))) if error.is::<LengthLimitError>() => break "is too long",
                Ok(Some(Err(_))) => break "broke off",
                Err(_) => break "took too long",
            }
        };
        Err(Refusal::Unreachable(format!("the model's answer {why}")))
    }

    /// It is passed on by a task of its own, whose time runs even while the client doesn't read.
    async fn stream(self, body: Incoming) -> Result<Body, Refusal> {
        let held = match self.answers.hold(&self.run).await {
            Ok(held) => held,
            Err(refusal) => {
                self.settle(End::Unknown);
                return Err(refusal);
            }
        };
        self.meter.own(Duration::ZERO);
        let relay = Relay::new(self.endpoint, self.hides_usage);
        let (client, shown) = client::open();
        let passing = self.passing.clone();
        passing.spawn(Streaming { body, relay, held, out: Some(self) }.pass(client));
        Ok(shown)
    }

    fn close_told(self, tokens: Option<Tokens>) {
        match tokens {
            Some(tokens) => {
                let cost = self.rates.cost(&tokens);
                self.close(End::Used(tokens, cost), "answered");
            }
            None if self.reserved.is_none() => self.close(End::Free, "answered"),
            None => self.close(End::Unknown, "no_usage"),
        }
    }

    /// Settles the call and counts it.
    fn close(mut self, end: End, outcome: &str) {
        self.meter.count(outcome);
        self.settle(end);
    }

    /// Settles a call that ends in a refusal, which is counted where it is answered.
    pub(crate) fn settle(mut self, end: End) {
        self.meter.is_counted = true;
        if let Some(reserved) = self.reserved {
            reserved.close(end);
        }
    }
}

/// Types have no case.
fn is_stream(kind: &HeaderValue) -> bool {
    let start = kind.as_bytes().get(..STREAM.len());
    start.is_some_and(|start| start.eq_ignore_ascii_case(STREAM.as_bytes()))
}

/// Whether that is the word of a proxy that didn't wait any longer, while the model may go on: 408 is LiteLLM's, 499
/// nginx's, 520 and 524 are Cloudflare's. Other errors are the provider's own, which takes no money for them.
fn gave_up(status: StatusCode) -> bool {
    matches!(status.as_u16(), 408 | 499 | 502 | 504 | 520 | 524)
}

impl Meter {
    pub(crate) fn new(profile: &str, metrics: &Metrics, own: Duration) -> Self {
        Self { profile: profile.to_owned(), metrics: metrics.clone(), own, is_counted: false }
    }

    fn count(&mut self, outcome: &str) {
        self.is_counted = true;
        self.metrics.call(&self.profile, outcome);
    }

    /// `more`: what the gateway itself took after the answer had come.
    fn own(&self, more: Duration) {
        self.metrics.own(self.own + more);
    }
}

impl Drop for Meter {
    fn drop(&mut self) {
        if !self.is_counted {
            self.count("broken");
        }
    }
}

impl Streaming {
    /// Passes every piece on, until the stream ends or one of the three is too slow or gone.
    async fn pass(mut self, client: Client) {
        while let Some(patience) = self.out.as_ref().map(|out| out.patience) {
            let next = tokio::select! {
                () = client.gone() => return,
                next = self.next(patience.next()) => next,
            };
            let piece = match next {
                Ok(Some(piece)) => piece,
                Ok(None) => return self.end(&client, patience).await,
                Err(why) => return debug!(why, "a stream is cut"),
            };
            if !client.send(patience, piece).await || self.hold(self.relay.held()).await.is_err() {
                return;
            }
        }
    }

    async fn end(mut self, client: &Client, patience: Patience) {
        let rest = self.relay.rest();
        let rest = self.without_key(rest);
        self.close(true);
        if client.send(patience, rest).await {
            client.end(patience).await;
        }
    }

    /// The next piece of the provider's answer, perhaps with nothing for the client; none at its end.
    async fn next(&mut self, until: Instant) -> Result<Option<Bytes>, &'static str> {
        match timeout_at(until, self.body.frame()).await {
            Ok(Some(Ok(frame))) => {
                let data = frame.into_data().unwrap_or_default();
                self.hold(self.relay.held() + data.len()).await?;
                let piece = self.relay.pass(&data);
                Ok(Some(self.without_key(piece)))
            }
            Ok(None) => Ok(None),
            Ok(Some(Err(_))) => Err("the model's answer broke off"),
            Err(_) => Err("the model's answer took too long"),
        }
    }

    async fn hold(&mut self, bytes: usize) -> Result<(), &'static str> {
        self.held.fit(bytes).await.map_err(|_| "there is no room for the model's answer")
    }

    fn without_key(&self, piece: Bytes) -> Bytes {
        match &self.out {
            Some(out) => out.key.out_of(piece),
            None => piece,
        }
    }

    fn close(&mut self, ended: bool) {
        let Some(out) = self.out.take() else { return };
        match self.relay.tokens(ended) {
            None if !ended => out.close(End::Unknown, "broken"),
            tokens => out.close_told(tokens),
        }
    }
}

/// A client that goes away, or reads no more, lets its stream drop.
impl Drop for Streaming {
    fn drop(&mut self) {
        self.close(false);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stream_is_one_however_its_type_is_written() {
        for (kind, expected) in [
            ("text/event-stream", true),
            ("Text/Event-Stream;charset=UTF-8", true),
            ("application/json", false),
            ("text", false),
        ] {
            assert_eq!(is_stream(&HeaderValue::from_static(kind)), expected, "{kind}");
        }
    }
}
