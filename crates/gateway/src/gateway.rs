//! One call's way: who asks, what for, may it go out, out it goes, what did it cost.

use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::extract::{Request, State};
use axum::response::Response;
use bytes::Bytes;
use http::Method;
use http::request::Parts;
use http_body_util::Full;
use kube::Client;
use punching_fist_core::money::Money;
use punching_fist_core::profile::{AgentProfile, Prices, Protocol, Settings};
use tokio::time::Instant;

use crate::answer::{Meter, Out, Patience};
use crate::body;
use crate::budget::{End, Rates};
use crate::endpoint::{self, Endpoint};
use crate::error::Refusal;
use crate::held::Answers;
use crate::identity::{self, Caller, Callers};
use crate::keys::{Key, Keys};
use crate::ledger::{Ledger, Reserved, Wish};
use crate::metrics::Metrics;
use crate::request::{self, Outgoing};
use crate::room::{Place, Room};
use crate::tasks::Tasks;
use crate::upstream::{self, Upstream, UpstreamError};

/// While a body is read and rewritten it is there as it came, as it goes out, and in part once more.
const BODY_COPIES: usize = 3;
/// What is counted where no profile is known.
const NO_PROFILE: &str = "none";

/// How long the gateway waits for a provider.
#[derive(Clone, Copy, Debug)]
pub struct Timeouts {
    /// For an answer to begin.
    pub first_byte: Duration,
    /// From one piece of a stream to the next.
    pub piece: Duration,
    /// For a whole call.
    pub whole: Duration,
}

impl Default for Timeouts {
    fn default() -> Self {
        let minutes = |count: u64| Duration::from_secs(60 * count);
        Self { first_byte: minutes(10), piece: minutes(5), whole: minutes(60) }
    }
}

/// The agents' door to the model. Clones are the same one.
#[derive(Clone)]
pub struct Gateway {
    inner: Arc<Inner>,
}

struct Inner {
    settings: Arc<Settings>,
    keys: Keys,
    metrics: Metrics,
    callers: Callers,
    ledger: Ledger,
    upstream: Upstream,
    timeouts: Timeouts,
    requests: Room,
    answers: Arc<Answers>,
}

/// A call whose sender is known, with what its profile has for it.
struct Call<'a> {
    caller: &'a Arc<Caller>,
    profile: &'a AgentProfile,
    endpoint: Endpoint,
    key: Arc<Key>,
}

/// A call that is allowed, but for its budget, and ready to go out; and the memory that it takes.
struct Prepared {
    request: http::Request<Full<Bytes>>,
    hides_usage: bool,
    rates: Rates,
    charge: Money,
    place: Place,
    /// Time that the gateway itself took.
    own: Duration,
}

impl Gateway {
    /// A gateway with the default patience.
    ///
    /// # Errors
    /// TLS can't be set up.
    pub fn new(
        client: Client,
        settings: Arc<Settings>,
        keys: Keys,
        metrics: Metrics,
    ) -> Result<Self, rustls::Error> {
        Self::with_timeouts(client, settings, keys, metrics, Timeouts::default())
    }

    /// A gateway with a patience of one's own.
    ///
    /// # Errors
    /// TLS can't be set up.
    pub fn with_timeouts(
        client: Client,
        settings: Arc<Settings>,
        keys: Keys,
        metrics: Metrics,
        timeouts: Timeouts,
    ) -> Result<Self, rustls::Error> {
        let inner = Inner {
            settings,
            keys,
            callers: Callers::new(client.clone()),
            ledger: Ledger::new(Arc::new(Tasks::new(client)), metrics.clone()),
            metrics,
            upstream: Upstream::new(timeouts.first_byte)?,
            timeouts,
            requests: Room::new(),
            answers: Arc::new(Answers::new()),
        };
        Ok(Self { inner: Arc::new(inner) })
    }

    /// What is to be served. It answers every path itself.
    pub fn router(&self) -> Router {
        Router::new().fallback(serve).with_state(self.clone())
    }

    /// Ends when what calls have cost is written down. To be awaited when the last connection has ended.
    pub async fn drained(&self) {
        self.inner.ledger.drained().await;
    }
}

async fn serve(State(gateway): State<Gateway>, request: Request) -> Response {
    let inner = &gateway.inner;
    let endpoint = Endpoint::of(request.uri().path()).filter(|_| request.method() == Method::POST);
    let protocol = endpoint.map_or_else(|| endpoint::guess(request.headers()), Endpoint::protocol);
    let (head, mut body) = request.into_parts();
    let (profile, answer) = match endpoint {
        Some(endpoint) => inner.answer(endpoint, &head, &mut body).await,
        None => (None, Err(Refusal::NoSuchPath)),
    };
    answer.unwrap_or_else(|refusal| {
        let profile = profile.as_deref().unwrap_or(NO_PROFILE);
        inner.metrics.call(profile, refusal.outcome());
        tracing::debug!(%refusal, profile, "a call is not passed on");
        if !refusal.closes() {
            body::drain(body);
        }
        refusal.response(protocol)
    })
}

impl Inner {
    /// The profile that asks, if it is known, and what it is answered.
    async fn answer(
        &self,
        endpoint: Endpoint,
        head: &Parts,
        body: &mut Body,
    ) -> (Option<String>, Result<Response, Refusal>) {
        let caller = match self.caller(head).await {
            Ok(caller) => caller,
            Err(refusal) => return (None, Err(refusal)),
        };
        let profile = match self.profile(&caller) {
            Ok(profile) => profile,
            Err(refusal) => return (None, Err(refusal)),
        };
        let answer = self.pass(endpoint, &caller, profile, head, body).await;
        (Some(caller.profile.clone()), answer)
    }

    async fn caller(&self, head: &Parts) -> Result<Arc<Caller>, Refusal> {
        self.callers.find(identity::token(&head.headers)?).await
    }

    async fn pass(
        &self,
        endpoint: Endpoint,
        caller: &Arc<Caller>,
        profile: &AgentProfile,
        head: &Parts,
        body: &mut Body,
    ) -> Result<Response, Refusal> {
        let key = self.keys.read(&caller.profile).ok_or_else(|| no_key(&caller.profile))?;
        let call = Call { caller, profile, endpoint, key };
        let prepared = self.prepare(&call, head, body).await?;
        self.send(&call, prepared).await
    }

    /// Reads a request and makes what goes out of it. What waits after that keeps one copy of the body.
    async fn prepare(&self, call: &Call<'_>, head: &Parts, body: &mut Body) -> Result<Prepared, Refusal> {
        let Call { caller, profile, endpoint, ref key } = *call;
        let mut place = self.requests.place(&caller.task_uid, body::length(body)? * BODY_COPIES).await?;
        let body = body::read(body).await?;
        let started = Instant::now();
        let usual = Protocol::of(&caller.model).map_or(&*caller.model, |(_, name)| name);
        let asked = request::Request::read(endpoint, &body, usual, &profile.passed_fields)?;
        let (rates, prices) = call.prices(&asked.model)?;
        let Outgoing { body: out, hides_usage } =
            asked.outgoing(endpoint, profile.redact.then_some(key.redactor()));
        let bytes = out.len();
        let charge = call.charge(&asked, bytes, &rates, prices);
        let url = endpoint.url(profile, head.uri.query());
        let request = upstream::request(endpoint.protocol(), &url, &head.headers, key, Bytes::from(out));
        let request = request.map_err(|error| no_way(&caller.profile, &error))?;
        drop(body);
        place.shrink(bytes);
        Ok(Prepared { request, hides_usage, rates, charge, place, own: started.elapsed() })
    }

    /// Sends a call once there is room for it in the budget.
    async fn send(&self, call: &Call<'_>, prepared: Prepared) -> Result<Response, Refusal> {
        let Prepared { request, hides_usage, rates, charge, place, own } = prepared;
        let mut reserved = self.reserve(call, charge).await?;
        if let Some(reserved) = &mut reserved {
            reserved.goes_out();
        }
        let out = Out {
            endpoint: call.endpoint,
            hides_usage,
            rates,
            reserved,
            meter: Meter::new(&call.caller.profile, &self.metrics, own),
            patience: self.patience(),
            passing: self.ledger.tracker(),
            run: call.caller.task_uid.clone(),
            key: call.key.clone(),
            answers: self.answers.clone(),
        };
        let answer = self.upstream.call(request).await;
        drop(place);
        match answer {
            Ok(response) => out.pass(response).await,
            Err(error) => Err(unanswered(out, &error)),
        }
    }

    fn profile(&self, caller: &Caller) -> Result<&AgentProfile, Refusal> {
        let profile = self.settings.profile(&caller.profile).filter(|profile| profile.gateway);
        profile.ok_or_else(|| {
            let name = &caller.profile;
            Refusal::Refused(format!(
                "the agent profile {name:?} doesn't use the gateway (agents.{name}.gateway)"
            ))
        })
    }

    /// Asks for the call's place in the budget; what isn't charged needs none.
    async fn reserve(&self, call: &Call<'_>, charge: Money) -> Result<Option<Reserved>, Refusal> {
        if !call.endpoint.is_charged() {
            return self.ledger.check(call.caller).await.map(|()| None);
        }
        self.ledger.reserve(&Wish { caller: call.caller, profile: call.profile, charge }).await.map(Some)
    }

    fn patience(&self) -> Patience {
        Patience { piece: self.timeouts.piece, until: Instant::now() + self.timeouts.whole }
    }
}

impl<'a> Call<'a> {
    /// What that model charges, if it is the one that the agent was told.
    fn prices(&self, model: &str) -> Result<(Rates, &'a Prices), Refusal> {
        let (Self { caller, profile, .. }, prefix) = (self, self.endpoint.protocol().prefix());
        let model = format!("{prefix}{model}");
        if model != caller.model {
            return Err(another_model(&caller.model, &model));
        }
        let prices = profile.prices_of(&model);
        let rates = prices.and_then(|prices| Some((Rates::of(prices)?, prices)));
        rates.ok_or_else(|| not_offered(&caller.profile, &model))
    }

    fn charge(&self, asked: &request::Request<'_>, bytes: usize, rates: &Rates, prices: &Prices) -> Money {
        let is_openais = self.profile.base_url.is_none();
        let input = asked.input_max(bytes as u64, prices.max_input_tokens);
        rates.charge(input, asked.output_max(prices.max_output_tokens, is_openais))
    }
}

fn another_model(told: &str, named: &str) -> Refusal {
    Refusal::Refused(format!(
        "this run's model is {told:?} (agent.model of its task, or its profile's), not {named:?}"
    ))
}

fn not_offered(profile: &str, model: &str) -> Refusal {
    Refusal::Refused(format!(
        "the agent profile {profile:?} has no price for the model {model:?} (agents.{profile}.prices, agents.{profile}.otherModels)"
    ))
}

fn no_key(profile: &str) -> Refusal {
    Refusal::Unavailable(format!(
        "the operator has no key for the model of agent profile {profile:?}: set the variable or file that agents.{profile}.key names"
    ))
}

/// The profile's address is none.
fn no_way(profile: &str, error: &http::Error) -> Refusal {
    Refusal::Unreachable(format!("agents.{profile}.baseURL leads nowhere: {error}"))
}

/// What was sent may have been taken, and costs its charge.
fn unanswered(out: Out, error: &UpstreamError) -> Refusal {
    let message = format!("the model's endpoint: {error}");
    tracing::warn!(%error, "the model's endpoint doesn't answer");
    let end = if matches!(error, UpstreamError::Unreachable(_)) { End::Free } else { End::Unknown };
    out.settle(end);
    match error {
        UpstreamError::TooSlow(_) => Refusal::TooSlow(message),
        UpstreamError::Unreachable(_) | UpstreamError::Broken(_) => Refusal::Unreachable(message),
    }
}
