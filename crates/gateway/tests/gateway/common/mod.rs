//! A gateway between an API server in memory and a provider that does what it is told.

pub mod provider;

use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use http::{Request, StatusCode};
use http_body_util::BodyExt;
use k8s_openapi::api::core::v1::Pod;
use prometheus::{Registry, TextEncoder};
use punching_fist_api::{MaintenanceTask, RunUsage, names};
use punching_fist_core::profile::Settings;
use punching_fist_gateway::{Gateway, Keys, Metrics, Timeouts};
use punching_fist_protocol::pod::variables;
use punching_fist_testkit::recording::{Fault, RecordingApi, Times};
use punching_fist_testkit::wait::until;
use serde_json::{Value, json};
use tower::ServiceExt;

pub use provider::{Provider, Script};

pub const CHAT: &str = "/v1/chat/completions";
pub const NAMESPACE: &str = "agents";
pub const TASK: &str = "checkout";
pub const TASK_UID: &str = "11111111-0000-4000-8000-000000000001";
pub const JOB_UID: &str = "22222222-0000-4000-8000-000000000001";
/// As the Job controller names it.
pub const POD: &str = "openhands-task-11111111-0000-4000-8000-000000000001-abcde";
pub const POD_UID: &str = "33333333-0000-4000-8000-000000000001";
pub const TOKEN: &str = "eyJhbGciOiJub25lIn0.eyJhdWQiOiJwdW5jaGluZy1maXN0In0.c2lnbmF0dXJl";
pub const KEY: &str = "key-of-the-provider-0123456789";

/// How long a gateway waits for its provider where that isn't what is tested.
const PATIENCE: Duration = Duration::from_secs(30);

/// Input costs a dollar for a million tokens, output two, what is read from the cache a tenth.
pub fn profile(provider: &Provider, model: &str, key: &std::path::Path) -> Value {
    json!({
        "image": "i", "gateway": true, "model": model, "baseURL": provider.url, "maxCostUSD": "1",
        "prices": {"input": "1", "output": "2", "cacheRead": "0.1", "cacheWrite": "1", "maxOutputTokens": 1000},
        "key": {"file": key},
    })
}

pub fn settings(profile: Value) -> Settings {
    Settings {
        profiles: [("openhands".to_owned(), serde_json::from_value(profile).unwrap())].into(),
        ..Settings::default()
    }
}

/// What the API server says of the token.
pub fn review() -> Value {
    json!({
        "apiVersion": "authentication.k8s.io/v1", "kind": "TokenReview", "metadata": {}, "spec": {},
        "status": {
            "authenticated": true,
            "audiences": [names::AUDIENCE_GATEWAY],
            "user": {
                "username": format!("system:serviceaccount:{NAMESPACE}:punching-fist-agent"),
                "extra": {
                    "authentication.kubernetes.io/pod-name": [POD],
                    "authentication.kubernetes.io/pod-uid": [POD_UID],
                },
            },
        },
    })
}

pub fn task() -> MaintenanceTask {
    serde_json::from_value(json!({
        "apiVersion": "punching-fist.io/v1alpha1", "kind": "MaintenanceTask",
        "metadata": {"name": TASK, "namespace": NAMESPACE, "uid": TASK_UID},
        "spec": {"prompt": "p"},
        "status": {"phase": "Running", "job": {"name": "j", "uid": JOB_UID, "generation": 1},
                   "usage": {"iterations": 3}},
    }))
    .unwrap()
}

/// A pod whose agent was told that model.
pub fn pod(model: &str) -> Pod {
    serde_json::from_value(json!({
        "apiVersion": "v1", "kind": "Pod",
        "metadata": {
            "name": POD, "namespace": NAMESPACE, "uid": POD_UID,
            "labels": {
                names::LABEL_APP: names::APP, names::LABEL_COMPONENT: names::COMPONENT_AGENT,
                names::LABEL_TASK_ID: TASK_UID, names::LABEL_KIND: "MaintenanceTask",
                names::LABEL_PROFILE: "openhands",
            },
            "annotations": {names::ANNOTATION_TASK: TASK},
            "ownerReferences": [
                {"apiVersion": "batch/v1", "kind": "Job", "name": "j", "uid": JOB_UID, "controller": true},
            ],
        },
        "spec": {"serviceAccountName": "punching-fist-agent", "containers": [
            {"name": names::AGENT_CONTAINER, "env": [{"name": variables::LLM_MODEL, "value": model}]},
        ]},
        "status": {"phase": "Running"},
    }))
    .unwrap()
}

/// An API server with one run of that model under way.
pub fn api(model: &str) -> RecordingApi {
    let api = RecordingApi::with_crds(&punching_fist_api::crds());
    api.seed(&task());
    api.seed(&pod(model));
    vouch(&api);
    api
}

/// Lets the API server know the token.
fn vouch(api: &RecordingApi) {
    api.inject("create", "tokenreviews", Fault::Answer(201, review().to_string()), Times::Always);
}

/// Nothing fails any more.
pub fn heal(api: &RecordingApi) {
    api.heal();
    vouch(api);
}

/// One replica, and what is around it.
pub struct Ground {
    pub api: RecordingApi,
    pub provider: Provider,
    pub settings: Settings,
    pub gateway: Gateway,
    pub registry: Registry,
    pub key: tempfile::NamedTempFile,
}

impl Ground {
    /// For OpenAI's form, or Anthropic's.
    pub async fn new(model: &str) -> Self {
        Self::with(model, |_| {}).await
    }

    /// With a gateway that waits for its provider for a second.
    pub async fn impatient(model: &str) -> Self {
        let mut ground = Self::new(model).await;
        ground.registry = Registry::new();
        ground.gateway = replica(&ground.api, &ground.settings, &ground.registry, Duration::from_secs(1));
        ground
    }

    pub async fn with(model: &str, change: impl FnOnce(&mut Value)) -> Self {
        let key = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(key.path(), KEY).unwrap();
        let provider = Provider::start().await;
        let mut profile = profile(&provider, model, key.path());
        change(&mut profile);
        let (api, registry, settings) = (api(model), Registry::new(), settings(profile));
        let gateway = replica(&api, &settings, &registry, PATIENCE);
        Self { api, provider, settings, gateway, registry, key }
    }

    /// Another replica of the same operator.
    pub fn replica(&self) -> Gateway {
        replica(&self.api, &self.settings, &Registry::new(), PATIENCE)
    }

    pub fn router(&self) -> Router {
        self.gateway.router()
    }

    /// Sends a body; waits until its cost is written down.
    pub async fn post(&self, path: &str, body: &Value) -> Answer {
        let answer = send(&self.router(), request(path, body)).await;
        self.settled().await;
        answer
    }

    pub async fn settled(&self) {
        self.gateway.drained().await;
    }

    pub fn usage(&self) -> RunUsage {
        usage(&self.api)
    }

    pub fn metrics(&self) -> String {
        TextEncoder::new().encode_to_string(&self.registry.gather()).unwrap()
    }
}

/// A replica with a patience of its own.
pub fn replica(api: &RecordingApi, settings: &Settings, registry: &Registry, patience: Duration) -> Gateway {
    let timeouts = Timeouts { first_byte: patience, piece: patience, whole: patience * 20 };
    let metrics = Metrics::register(registry).unwrap();
    let settings = Arc::new(settings.clone());
    let keys = Keys::new(&settings);
    Gateway::with_timeouts(api.client(), settings, keys, metrics, timeouts).unwrap()
}

pub fn usage(api: &RecordingApi) -> RunUsage {
    let task = api.read::<MaintenanceTask>(NAMESPACE, TASK).unwrap();
    task.status.unwrap().task.usage.unwrap_or_default()
}

/// Waits until no call is under way, whoever settles it.
pub async fn nothing_in_flight(api: &RecordingApi) -> RunUsage {
    let look = async || Some(usage(api)).filter(|usage| usage.in_flight.is_empty());
    until("every call is settled", look).await.unwrap()
}

pub fn request(path: &str, body: &Value) -> Request<Body> {
    let request = Request::post(path).header("content-type", "application/json");
    let request = if path.contains("messages") {
        request.header("x-api-key", TOKEN)
    } else {
        request.header("authorization", format!("Bearer {TOKEN}"))
    };
    request.body(Body::from(body.to_string())).unwrap()
}

#[derive(Debug)]
pub struct Answer {
    pub status: StatusCode,
    pub headers: http::HeaderMap,
    /// None: it broke off.
    pub text: Option<String>,
}

impl Answer {
    pub fn json(&self) -> Value {
        serde_json::from_str(self.text.as_deref().unwrap()).unwrap()
    }

    /// The gateway's own word for why it refuses.
    pub fn word(&self) -> String {
        let message = self.error();
        let rest = message.strip_prefix("punching-fist-gateway: ").unwrap_or_default();
        rest.split_once(": ").map(|(word, _)| word.to_owned()).unwrap_or(message)
    }

    /// The message of an error, in either form.
    pub fn error(&self) -> String {
        self.json()["error"]["message"].as_str().unwrap_or_default().to_owned()
    }
}

pub async fn send(router: &Router, request: Request<Body>) -> Answer {
    let response = router.clone().oneshot(request).await.unwrap();
    let (parts, body) = response.into_parts();
    let text = body.collect().await.ok().map(|body| String::from_utf8(body.to_bytes().to_vec()).unwrap());
    Answer { status: parts.status, headers: parts.headers, text }
}
