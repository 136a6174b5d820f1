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
use tokio::time::{Instant, timeout_at};

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
}

/// A stream on its way.
struct Streaming {
    body: Incoming,
    relay: Relay,
    /// None once its end is told.
    out: Option<Out>,
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

    fn stream(self, body: Incoming) -> Body {
        self.meter.own(Duration::ZERO);
        let relay = Relay::new(self.endpoint, self.hides_usage);
        Body::from_stream(stream::unfold(Streaming { body, relay, out: Some(self) }, Streaming::next))
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
    /// The next piece for the client; none when nothing follows.
    async fn next(mut self) -> Option<(Result<Bytes, &'static str>, Self)> {
        loop {
            let out = self.out.as_ref()?;
            let until = out.patience.until.min(Instant::now() + out.patience.piece);
            let piece = match timeout_at(until, self.body.frame()).await {
                Ok(Some(Ok(frame))) => {
                    frame.into_data().map(|data| self.relay.pass(&data)).unwrap_or_default()
                }
                Ok(None) => {
                    let rest = self.relay.rest();
                    self.close(true);
                    return (!rest.is_empty()).then_some((Ok(rest), self));
                }
                Ok(Some(Err(_))) => return Some(self.broken("the model's answer broke off")),
                Err(_) => return Some(self.broken("the model's answer took too long")),
            };
            if !piece.is_empty() {
                return Some((Ok(piece), self));
            }
        }
    }

    /// The client is told by a connection that ends in the middle, as the provider's did.
    fn broken(mut self, why: &'static str) -> (Result<Bytes, &'static str>, Self) {
        self.close(false);
        (Err(why), self)
    }

    fn close(&mut self, ended: bool) {
        let Some(out) = self.out.take() else { return };
        match self.relay.tokens(ended) {
            None if !ended => out.close(End::Unknown, "broken"),
            tokens => out.close_told(tokens),
        }
    }
}

/// A client that goes away lets its stream drop.
impl Drop for Streaming {
    fn drop(&mut self) {
        self.close(false);
    }
}
