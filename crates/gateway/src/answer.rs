//! The provider's answer on its way back: errors whole, JSON whole, streams piece by piece. Each way ends in what the call
//! cost.

use std::time::Duration;

use axum::body::Body;
use axum::response::Response;
use bytes::Bytes;
use futures::stream;
use http::StatusCode;
use http::header::CONTENT_TYPE;
use http_body_util::{BodyExt, LengthLimitError, Limited};
use hyper::body::Incoming;
use punching_fist_core::money::Money;
use punching_fist_protocol::Redactor;
use tokio::sync::mpsc;
use tokio::time::{Instant, timeout_at};
use tokio_util::task::TaskTracker;
use tracing::debug;

use crate::budget::{End, Rates, Tokens};
use crate::endpoint::Endpoint;
use crate::error::Refusal;
use crate::ledger::Reserved;
use crate::metrics::Metrics;
use crate::relay::Relay;
use crate::upstream::answer_headers;
use crate::usage;

/// A longer answer in one piece is none.
const ANSWER_MAX: usize = 32 << 20;
/// Of a longer error only so much is shown.
const ERROR_MAX: usize = 1 << 20;

/// How many pieces of a stream wait for the client.
const PIECES: usize = 16;

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
}

/// What stands for the proper end of a stream among its pieces.
const END: Bytes = Bytes::new();

/// A stream on its way.
struct Streaming {
    body: Incoming,
    relay: Relay,
    /// None once its end is told.
    out: Option<Out>,
}

impl Patience {
    /// When the next piece must have come, or gone.
    fn next(self) -> Instant {
        self.until.min(Instant::now() + self.piece)
    }
}

impl Out {
    /// Passes an answer on.
    pub(crate) async fn pass(
        self,
        response: http::Response<Incoming>,
        key: &str,
        redactor: &Redactor,
    ) -> Result<Response, Refusal> {
        let (parts, body) = response.into_parts();
        let mut back = Response::new(Body::empty());
        *back.status_mut() = parts.status;
        *back.headers_mut() = answer_headers(&parts.headers, key);
        let streams = parts
            .headers
            .get(CONTENT_TYPE)
            .is_some_and(|kind| kind.as_bytes().starts_with(b"text/event-stream"));
        if parts.status.is_redirection() || parts.status.is_informational() {
            self.settle(End::Free);
            let message =
                format!("the model's endpoint answers {}; the profile's baseURL is wrong", parts.status);
            return Err(Refusal::Unreachable(message));
        }
        *back.body_mut() = if !parts.status.is_success() {
            self.close_failed(parts.status, body, redactor).await
        } else if streams {
            self.stream(body)
        } else {
            self.whole(body).await?
        };
        Ok(back)
    }

    /// Some errors say the key that they don't like.
    async fn close_failed(self, status: StatusCode, body: Incoming, redactor: &Redactor) -> Body {
        let read =
            timeout_at(Instant::now() + self.patience.piece, Limited::new(body, ERROR_MAX).collect()).await;
        self.close(if gave_up(status) { End::Unknown } else { End::Free }, "upstream_error");
        let bytes =
            read.ok().and_then(Result::ok).map(http_body_util::Collected::to_bytes).unwrap_or_default();
        Body::from(redactor.redact(&String::from_utf8_lossy(&bytes)))
    }

    async fn whole(self, body: Incoming) -> Result<Body, Refusal> {
        let until = self.patience.until;
        let why = match timeout_at(until, Limited::new(body, ANSWER_MAX).collect()).await {
            Ok(Ok(body)) => {
                let bytes = body.to_bytes();
                let started = Instant::now();
                let tokens = usage::of_answer(self.endpoint, &bytes);
                self.meter.own(started.elapsed());
                self.close_told(tokens);
                return Ok(Body::from(bytes));
            }
            Ok(Err(error)) if error.is::<LengthLimitError>() => "the model's answer is too long",
            Ok(Err(_)) => "the model's answer broke off",
            Err(_) => "the model's answer took too long",
        };
        self.settle(End::Unknown);
        Err(Refusal::Unreachable(why.to_owned()))
    }

    /// It is passed on by a task of its own, whose time runs even while the client doesn't read.
    fn stream(self, body: Incoming) -> Body {
        self.meter.own(Duration::ZERO);
        let relay = Relay::new(self.endpoint, self.hides_usage);
        let (client, pieces) = mpsc::channel(PIECES);
        let passing = self.passing.clone();
        passing.spawn(Streaming { body, relay, out: Some(self) }.pass(client));
        Body::from_stream(stream::unfold(Some(pieces), shown))
    }

    fn close_told(self, tokens: Option<Tokens>) {
        match tokens {
            Some(tokens) => {
                let cost = self.rates.cost(&tokens);
                self.meter.used(&tokens, cost);
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

/// Whether that is the word of a proxy that didn't wait any longer, while the model may go on. 520 and 524 are
/// Cloudflare's. Other errors are the provider's own, which takes no money for them.
fn gave_up(status: StatusCode) -> bool {
    matches!(status.as_u16(), 502 | 504 | 520 | 524)
}

impl Meter {
    pub(crate) fn new(profile: &str, metrics: &Metrics, own: Duration) -> Self {
        Self { profile: profile.to_owned(), metrics: metrics.clone(), own, is_counted: false }
    }

    fn count(&mut self, outcome: &str) {
        self.is_counted = true;
        self.metrics.call(&self.profile, outcome);
    }

    fn used(&self, tokens: &Tokens, cost: Money) {
        self.metrics.used(&self.profile, tokens, cost.to_string().parse().unwrap_or_default());
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
    async fn pass(mut self, client: mpsc::Sender<Bytes>) {
        while let Some(patience) = self.out.as_ref().map(|out| out.patience) {
            let next = tokio::select! {
                () = client.closed() => return,
                next = self.next(patience.next()) => next,
            };
            let piece = match next {
                Ok(Some(piece)) => piece,
                Ok(None) => return self.end(&client, patience).await,
                Err(why) => return debug!(why, "a stream is cut"),
            };
            if !send(&client, patience, piece).await {
                return;
            }
        }
    }

    async fn end(mut self, client: &mpsc::Sender<Bytes>, patience: Patience) {
        let rest = self.relay.rest();
        self.close(true);
        if send(client, patience, rest).await {
            let _ = timeout_at(patience.next(), client.send(END)).await;
        }
    }

    /// The next piece of the provider's answer, perhaps with nothing for the client; none at its end.
    async fn next(&mut self, until: Instant) -> Result<Option<Bytes>, &'static str> {
        match timeout_at(until, self.body.frame()).await {
            Ok(Some(Ok(frame))) => {
                Ok(Some(frame.into_data().map(|data| self.relay.pass(&data)).unwrap_or_default()))
            }
            Ok(None) => Ok(None),
            Ok(Some(Err(_))) => Err("the model's answer broke off"),
            Err(_) => Err("the model's answer took too long"),
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

/// Whether the client took it, if it is anything.
async fn send(client: &mpsc::Sender<Bytes>, patience: Patience, piece: Bytes) -> bool {
    piece.is_empty() || matches!(timeout_at(patience.next(), client.send(piece)).await, Ok(Ok(())))
}

/// The next of the pieces for the client. What ends without a proper end is told by a connection that ends in the middle,
/// as the provider's did.
async fn shown(
    pieces: Option<mpsc::Receiver<Bytes>>,
) -> Option<(Result<Bytes, &'static str>, Option<mpsc::Receiver<Bytes>>)> {
    let mut pieces = pieces?;
    match pieces.recv().await {
        Some(piece) if piece.is_empty() => None,
        Some(piece) => Some((Ok(piece), Some(pieces))),
        None => Some((Err("the model's answer broke off or took too long"), None)),
    }
}

/// A client that goes away, or reads no more, lets its stream drop.
impl Drop for Streaming {
    fn drop(&mut self) {
        self.close(false);
    }
}
