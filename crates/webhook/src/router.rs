//! HTTP: who may send, how much and how long; one path per receiver.

use std::sync::Arc;
use std::time::Duration;

use axum::Json;
use axum::Router;
use axum::body::BodyDataStream;
use axum::extract::{Request, State};
use axum::response::{IntoResponse, Response};
use axum::routing::post;
use http::HeaderMap;
use kube::Client;
use prometheus::Registry;
use punching_fist_core::route::Route;
use serde::de::DeserializeOwned;
use tokio::sync::Semaphore;
use tokio::time::timeout;
use tracing::warn;

use crate::body;
use crate::metrics::Metrics;
use crate::tasks::Tasks;
use crate::{AlertReceiver, Alertmanager, Authentication, Error, Intake, Report, TaskCache};

/// What the webhook takes on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Most bytes of a body.
    pub body: usize,
    /// From the request's head to the answer, reading the body and all writes included.
    pub deadline: Duration,
    /// Bytes of all bodies under way; what is beyond is sent away at once, with a 503.
    pub bytes: usize,
    /// Requests under way at once; what is beyond is sent away at once, with a 503.
    pub requests: usize,
    /// Notifications that talk to the API server at once; the others wait, until their deadline.
    pub writers: usize,
}

impl Default for Limits {
    fn default() -> Self {
        // What is made of a body takes a few times its size: with these 32 MiB it fits the 512 MiB of `deploy/`.
        let (body, bytes) = (4 * 1024 * 1024, 32 * 1024 * 1024);
        Self { body, bytes, deadline: Duration::from_secs(5), requests: 64, writers: 16 }
    }
}

/// The webhook of one replica.
pub struct Webhook {
    intake: Intake,
    limits: Limits,
    requests: Semaphore,
    bytes: Semaphore,
    metrics: Metrics,
}

impl Webhook {
    /// A webhook that makes AlertTasks by this route. Its metrics are registered.
    pub fn new(client: Client, route: Route, registry: &Registry) -> prometheus::Result<Self> {
        let (metrics, limits) = (Metrics::register(registry)?, Limits::default());
        let intake = Intake::new(route, Tasks::new(client), limits.writers, metrics.clone());
        let (requests, bytes) = (Semaphore::new(limits.requests), Semaphore::new(limits.bytes));
        Ok(Self { intake, limits, requests, bytes, metrics })
    }

    /// Finds tasks that are under way in a cache. Without one each notification lists its incident's tasks.
    #[must_use]
    pub fn with_cache(mut self, cache: TaskCache) -> Self {
        self.intake.use_cache(cache);
        self
    }

    /// Other limits.
    #[must_use]
    pub fn with_limits(mut self, limits: Limits) -> Self {
        self.requests = Semaphore::new(limits.requests);
        self.bytes = Semaphore::new(limits.bytes);
        self.intake.limit_writers(limits.writers);
        self.limits = limits;
        self
    }
}

/// What one path needs.
struct Door<R> {
    webhook: Arc<Webhook>,
    authentication: Authentication,
    receiver: R,
}

/// `POST /webhook/alertmanager`.
pub fn router(webhook: Webhook, authentication: Authentication) -> Router {
    let webhook = Arc::new(webhook);
    door(webhook, authentication, Alertmanager)
}

fn door<R: AlertReceiver>(webhook: Arc<Webhook>, authentication: Authentication, receiver: R) -> Router {
    webhook.metrics.announce(R::NAME);
    let door = Arc::new(Door { webhook, authentication, receiver });
    Router::new().route(&format!("/webhook/{}", R::NAME), post(answer::<R>)).with_state(door)
}

async fn answer<R: AlertReceiver>(State(door): State<Arc<Door<R>>>, request: Request) -> Response {
    let deadline = door.webhook.limits.deadline;
    let (head, body) = request.into_parts();
    let mut body = body.into_data_stream();
    let taken = timeout(deadline, door.take(&head.headers, &mut body)).await;
    let response = match taken.unwrap_or(Err(Error::Deadline(deadline))) {
        Ok(report) => Json(report).into_response(),
        Err(error) => {
            warn!(receiver = R::NAME, %error, "a notification was not taken in");
            body::drain(body);
            error.into_response()
        }
    };
    door.webhook.metrics.request(R::NAME, response.status());
    response
}

impl<R: AlertReceiver> Door<R> {
    async fn take(&self, headers: &HeaderMap, body: &mut BodyDataStream) -> Result<Report, Error> {
        self.authentication.check(headers).await?;
        let _under_way = self.webhook.requests.try_acquire().map_err(|_| Error::Overloaded)?;
        let Webhook { limits, bytes, intake, .. } = self.webhook.as_ref();
        // It is kept to the end, as what is made of it is: so the room bounds both.
        let whole = body::read(headers, body, limits.body, bytes).await?;
        self.receiver.handle_alert(parse(&whole.bytes)?, intake).await
    }
}

/// The field at the end of a path, as far as the reading came; none for the whole.
pub(crate) fn field(path: &serde_path_to_error::Path) -> Option<String> {
    let path = path.to_string();
    let known = path.trim_end_matches(['?', '.']);
    (!known.is_empty()).then(|| known.to_owned())
}

/// The body, or which field can't be read and why.
fn parse<B: DeserializeOwned>(bytes: &[u8]) -> Result<B, Error> {
    let mut json = serde_json::Deserializer::from_slice(bytes);
    let body = serde_path_to_error::deserialize(&mut json).map_err(|error| {
        let field = field(error.path());
        Error::invalid(field.unwrap_or_else(|| "body".to_owned()), error.into_inner().to_string())
    })?;
    json.end().map_err(|error| Error::invalid("body", error.to_string()))?;
    Ok(body)
}
