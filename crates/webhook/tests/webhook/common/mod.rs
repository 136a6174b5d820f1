//! A webhook over an API server in memory, and a sender that looks at the answers.

use axum::Router;
use axum::body::Body;
use http::{Request, StatusCode, header};
use http_body_util::BodyExt;
use k8s_openapi::jiff::Timestamp;
use kube::Api;
use kube::api::PostParams;
use kube::core::{ApiResource, DynamicObject};
use prometheus::Registry;
use punching_fist_api::{AlertTask, AlertTaskStatus, Phase, TaskSpec, names};
use punching_fist_core::route::{DEFAULT, Route, default_spec};
use punching_fist_testkit::recording::RecordingApi;
use punching_fist_webhook::{Authentication, Limits, TaskCache, Webhook, router};
use serde_json::{Value, json};
use tower::ServiceExt;

pub const NAMESPACE: &str = "agents";

/// One replica.
#[derive(Clone)]
pub struct Hook {
    pub router: Router,
    pub registry: Registry,
}

/// An answer.
#[derive(Debug)]
pub struct Answer {
    pub code: StatusCode,
    pub headers: http::HeaderMap,
    pub body: Value,
}

pub fn api() -> RecordingApi {
    RecordingApi::with_crds(&punching_fist_api::crds())
}

/// A webhook that has made a task of one alert, `a`.
pub async fn with_a_task() -> (RecordingApi, Hook, AlertTask) {
    let api = api();
    let hook = Hook::new(&api);
    hook.post(&body(&[firing("a")])).await;
    let task = only(&api);
    (api, hook, task)
}

pub fn webhook(api: &RecordingApi, registry: &Registry) -> Webhook {
    let mut spec = default_spec();
    spec.template = TaskSpec { prompt: Some("Look at it.".into()), ..TaskSpec::default() };
    let route = Route::new(NAMESPACE, DEFAULT, spec).unwrap();
    Webhook::new(api.client(), route, registry).unwrap()
}

impl Hook {
    /// Without a cache, open to everybody, with short patience.
    pub fn new(api: &RecordingApi) -> Self {
        let patience = std::time::Duration::from_secs(2);
        Self::with(api, |webhook| webhook.with_limits(Limits { deadline: patience, ..Limits::default() }))
    }

    pub fn with(api: &RecordingApi, change: impl FnOnce(Webhook) -> Webhook) -> Self {
        let registry = Registry::new();
        let webhook = change(webhook(api, &registry));
        Self { router: router(webhook, Authentication::None), registry }
    }

    /// With a cache that follows the API server.
    pub fn cached(api: &RecordingApi) -> Self {
        Self::with(api, |webhook| {
            let (cache, watch) = TaskCache::new(api.client(), NAMESPACE);
            tokio::spawn(watch);
            webhook.with_cache(cache)
        })
    }

    pub async fn post(&self, body: &Value) -> Answer {
        self.send(request(body.to_string())).await
    }

    pub async fn send(&self, request: Request<Body>) -> Answer {
        let response = self.router.clone().oneshot(request).await.unwrap();
        let (parts, body) = response.into_parts();
        let bytes = body.collect().await.unwrap().to_bytes();
        let body = serde_json::from_slice(&bytes).unwrap_or(Value::Null);
        Answer { code: parts.status, headers: parts.headers, body }
    }

    /// A counter, with its labels in the order of their names.
    pub fn count(&self, name: &str, labels: &[&str]) -> u64 {
        let family = self.registry.gather().into_iter().find(|family| family.name() == name).unwrap();
        let has = |metric: &&prometheus::proto::Metric| {
            metric.get_label().iter().map(prometheus::proto::LabelPair::value).eq(labels.iter().copied())
        };
        let value =
            family.get_metric().iter().find(has).map_or(0.0, |metric| metric.get_counter().get_value());
        value.to_string().parse().expect("a counter of events is whole")
    }
}

impl Answer {
    /// What became of the alerts, in order.
    pub fn outcomes(&self) -> Vec<&str> {
        let alerts = self.body["alerts"].as_array().unwrap_or_else(|| panic!("no alerts in {self:?}"));
        alerts.iter().map(|alert| alert["outcome"].as_str().unwrap()).collect()
    }
}

pub fn request(body: impl Into<Body>) -> Request<Body> {
    let builder = Request::post("/webhook/alertmanager").header(header::CONTENT_TYPE, "application/json");
    builder.body(body.into()).unwrap()
}

/// `firing` or `resolved`, since that second.
pub fn alert(name: &str, status: &str, second: i64) -> Value {
    let start = Timestamp::from_second(1_790_000_000 + second).unwrap();
    json!({
        "status": status,
        "labels": { "alertname": "KubePodCrashLooping", "pod": name },
        "annotations": { "summary": format!("{name} crashes") },
        "startsAt": start.to_string(),
        "endsAt": "0001-01-01T00:00:00Z",
        "generatorURL": "http://prometheus.example/graph",
        "fingerprint": name,
    })
}

pub fn body(alerts: &[Value]) -> Value {
    json!({
        "version": "4",
        "groupKey": "{}:{alertname=\"KubePodCrashLooping\"}",
        "truncatedAlerts": 0,
        "status": "firing",
        "receiver": "punching-fist",
        "groupLabels": { "alertname": "KubePodCrashLooping" },
        "commonLabels": { "alertname": "KubePodCrashLooping" },
        "commonAnnotations": {},
        "externalURL": "http://alertmanager.example",
        "alerts": alerts,
    })
}

pub fn firing(name: &str) -> Value {
    alert(name, "firing", 0)
}

/// The tasks, the first run first.
pub fn tasks(api: &RecordingApi) -> Vec<AlertTask> {
    let mut tasks = api.all::<AlertTask>();
    tasks.sort_by_key(|task| task.spec.identity.as_ref().map(|identity| identity.run));
    tasks
}

pub fn only(api: &RecordingApi) -> AlertTask {
    let mut tasks = tasks(api);
    assert_eq!(tasks.len(), 1, "{:?}", tasks.iter().map(name).collect::<Vec<_>>());
    tasks.remove(0)
}

pub fn name(task: &AlertTask) -> String {
    task.metadata.name.clone().unwrap()
}

pub fn status(task: &AlertTask) -> AlertTaskStatus {
    task.status.clone().unwrap_or_default()
}

/// As the controller does when the run is over.
pub fn finish(api: &RecordingApi, task: &AlertTask, phase: Phase, reason: &str) {
    api.change::<AlertTask>(NAMESPACE, &name(task), |task| {
        let known = punching_fist_core::incident::records(task).len();
        let status = task.status.get_or_insert_default();
        status.prompted_alerts = Some(i64::try_from(known).unwrap());
        status.task.phase = Some(phase);
        status.task.reason = Some(reason.to_owned());
    });
}

/// Puts an AlertTask in that the schema takes and our types don't: of a key, or with a label only.
pub async fn poison(api: &RecordingApi, name: &str, key: &str) {
    let task = json!({
        "apiVersion": "punching-fist.io/v1alpha1",
        "kind": "AlertTask",
        "metadata": { "name": name, "labels": { KEY: key } },
        "spec": { "notification": { "alerts": [{ "startsAt": "2026-01-01T00:00:00+99:00" }] } },
    });
    assert!(serde_json::from_value::<AlertTask>(task.clone()).is_err(), "it is poison");
    let kind = ApiResource::erase::<AlertTask>(&());
    let tasks = Api::<DynamicObject>::namespaced_with(api.client(), NAMESPACE, &kind);
    tasks.create(&PostParams::default(), &serde_json::from_value(task).unwrap()).await.unwrap();
    api.forget();
}

/// What was asked of the API server, as words.
pub fn asked(api: &RecordingApi) -> Vec<String> {
    api.calls().iter().map(|call| format!("{} {}", call.verb, call.resource)).collect()
}

pub const KEY: &str = names::LABEL_KEY;
