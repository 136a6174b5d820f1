//! Who gets through: the pod of a run that goes on, with a token for this gateway.

use std::time::Duration;

use k8s_openapi::api::core::v1::Pod;
use punching_fist_api::{MaintenanceTask, Phase, names};
use punching_fist_testkit::recording::{Fault, Times};
use serde_json::{Value, json};

use crate::common::{self, Ground, NAMESPACE, Script, TASK, request, send};

const ANSWER: &str = r#"{"usage":{"prompt_tokens":1000,"completion_tokens":100}}"#;

fn body() -> Value {
    json!({"model": "m", "messages": [{"role": "user", "content": "hello"}], "max_tokens": 50})
}

/// What is wrong with an object, by name.
type Wrongs<const N: usize> = [(&'static str, fn(&mut Value)); N];

#[tokio::test]
async fn a_run_that_is_over_or_another_ones_is_found_out_at_each_call() {
    type Change = fn(&mut MaintenanceTask);
    let table: [(&str, Change); 6] = [
        ("RunOver", |task| task.status.as_mut().unwrap().task.phase = Some(Phase::Succeeded)),
        ("RunOver", |task| {
            let stopping = json!([{"type": "Stopping", "status": "True", "reason": "Cancelled", "message": "",
                                   "lastTransitionTime": "2026-01-01T00:00:00Z"}]);
            task.status.as_mut().unwrap().task.conditions = serde_json::from_value(stopping).unwrap();
        }),
        ("RunOver", |task| task.metadata.uid = Some("another".to_owned())),
        ("RunOver", |task| {
            task.metadata.deletion_timestamp = serde_json::from_value(json!("2026-01-01T00:00:00Z")).unwrap();
        }),
        ("Refused", |task| {
            task.status.as_mut().unwrap().task.job.as_mut().unwrap().uid = Some("another".to_owned());
        }),
        ("Unavailable", |task| task.status.as_mut().unwrap().task.job.as_mut().unwrap().uid = None),
    ];
    for (expected, change) in table {
        let ground = Ground::new("openai/m").await;
        ground.provider.script([Script::Json(200, ANSWER.to_owned())]);
        let first = send(&ground.router(), request("/v1/chat/completions", &body())).await;
        assert_eq!(first.status, 200);
        common::nothing_in_flight(&ground.api).await;
        ground.api.change::<MaintenanceTask>(NAMESPACE, TASK, change);
        let second = ground.post("/v1/chat/completions", &body()).await;
        let status = if expected == "Unavailable" { 503 } else { 400 };
        assert_eq!((second.word().as_str(), second.status.as_u16()), (expected, status));
        assert_eq!(ground.provider.asked().len(), 1);
        assert!(ground.usage().in_flight.is_empty());
    }
}

#[tokio::test]
async fn only_an_agents_pod_gets_through() {
    let pods: Wrongs<10> = [
        ("another pod", |pod| pod["metadata"]["uid"] = "another".into()),
        ("another account", |pod| pod["spec"]["serviceAccountName"] = "default".into()),
        ("no agent", |pod| pod["metadata"]["labels"][names::LABEL_COMPONENT] = "web".into()),
        ("has ended", |pod| pod["status"]["phase"] = "Failed".into()),
        ("no Job", |pod| pod["metadata"]["ownerReferences"][0]["controller"] = false.into()),
        ("another owner", |pod| pod["metadata"]["ownerReferences"][0]["kind"] = "ReplicaSet".into()),
        ("another kind", |pod| pod["metadata"]["labels"][names::LABEL_KIND] = "Pod".into()),
        ("no model", |pod| pod["spec"]["containers"][0]["env"] = json!([])),
        ("another container", |pod| pod["spec"]["containers"][0]["name"] = "web".into()),
        ("another profile", |pod| pod["metadata"]["labels"][names::LABEL_PROFILE] = "dear".into()),
    ];
    for (what, change) in pods {
        let ground = Ground::new("openai/m").await;
        let mut pod = serde_json::to_value(common::pod("openai/m")).unwrap();
        change(&mut pod);
        let pod: Pod = serde_json::from_value(pod).unwrap();
        ground.api.seed(&pod);
        let answer = ground.post("/v1/chat/completions", &body()).await;
        assert_eq!((answer.word().as_str(), answer.status.as_u16()), ("Refused", 400), "{what}");
        assert!(ground.provider.asked().is_empty() && ground.api.calls_of("apply", "*").is_empty());
    }
}

/// The Job controller adopts any pod that has its label.
#[tokio::test]
async fn a_pod_that_the_job_has_adopted_does_not_get_through() {
    let ground = Ground::new("openai/m").await;
    let mut pod = common::pod("openai/m");
    pod.metadata.name = Some("anything".to_owned());
    ground.api.seed(&pod);
    let mut review = common::review();
    review["status"]["user"]["extra"]["authentication.kubernetes.io/pod-name"] = json!(["anything"]);
    ground.api.inject("create", "tokenreviews", Fault::Answer(201, review.to_string()), Times::Always);
    let answer = ground.post("/v1/chat/completions", &body()).await;
    assert_eq!((answer.word().as_str(), answer.status.as_u16()), ("Refused", 400));
    assert!(ground.provider.asked().is_empty() && ground.api.calls_of("apply", "*").is_empty());
}

#[tokio::test]
async fn only_a_token_for_this_gateway_gets_through() {
    let reviews: Wrongs<5> = [
        ("not known", |status| status["authenticated"] = false.into()),
        ("for another audience", |status| status["audiences"] = json!(["https://kubernetes.default.svc"])),
        ("no audience", |status| status["audiences"] = Value::Null),
        ("a user's", |status| status["user"]["username"] = "admin".into()),
        ("bound to no pod", |status| status["user"]["extra"] = json!({})),
    ];
    for (what, change) in reviews {
        let ground = Ground::new("openai/m").await;
        let mut review = common::review();
        change(&mut review["status"]);
        ground.api.inject("create", "tokenreviews", Fault::Answer(201, review.to_string()), Times::Always);
        let answer = ground.post("/v1/chat/completions", &body()).await;
        assert_eq!((answer.word().as_str(), answer.status.as_u16()), ("Unauthenticated", 401), "{what}");
    }
    let ground = Ground::new("openai/m").await;
    let mut review = common::review();
    review["status"] = json!({"authenticated": false, "error": "[invalid bearer token, i/o timeout]"});
    ground.api.inject("create", "tokenreviews", Fault::Answer(201, review.to_string()), Times::Always);
    for asked in 1..=2 {
        let answer = ground.post("/v1/chat/completions", &body()).await;
        assert_eq!((answer.word().as_str(), answer.status.as_u16()), ("Unavailable", 503));
        assert_eq!(ground.api.calls_of("create", "tokenreviews").len(), asked, "that isn't remembered");
    }
    let ground = Ground::new("openai/m").await;
    for token in ["", "sk-something", "a.b", "..", &"x".repeat(9000)] {
        let mut request = request("/v1/chat/completions", &body());
        request.headers_mut().insert("authorization", format!("Bearer {token}").parse().unwrap());
        let answer = send(&ground.router(), request).await;
        assert_eq!((answer.word().as_str(), answer.status.as_u16()), ("Unauthenticated", 401), "{token}");
    }
    assert!(ground.api.calls().is_empty(), "what is no token is not asked about");
}

/// A minute passes for the gateway, and nothing else does: a clock that stands still would run ahead of the sockets.
async fn a_minute_later() {
    tokio::time::pause();
    tokio::time::advance(Duration::from_secs(61)).await;
    tokio::time::resume();
}

#[tokio::test]
async fn a_token_whose_pod_is_gone_is_believed_for_a_minute() {
    let ground = Ground::new("openai/m").await;
    ground.provider.script([Script::Json(200, ANSWER.to_owned())]);
    let reviews = || ground.api.calls_of("create", "tokenreviews").len();
    for expected in 1..=2 {
        assert_eq!(ground.post("/v1/chat/completions", &body()).await.status, 200);
        assert_eq!((reviews(), ground.api.calls_of("get", "pods").len()), (expected, expected));
        a_minute_later().await;
    }
    assert_eq!(ground.post("/v1/chat/completions", &body()).await.status, 200);
    let mut review = common::review();
    review["status"] =
        json!({"authenticated": false, "error": "[invalid bearer token, Token has been invalidated]"});
    ground.api.inject("create", "tokenreviews", Fault::Answer(201, review.to_string()), Times::Always);
    assert_eq!(ground.post("/v1/chat/completions", &body()).await.status, 200, "nobody asks yet");
    a_minute_later().await;
    let answer = ground.post("/v1/chat/completions", &body()).await;
    assert_eq!((answer.word().as_str(), answer.status.as_u16()), ("Unauthenticated", 401));
    assert_eq!((reviews(), ground.provider.asked().len(), ground.usage().total.calls), (4, 4, 4));
}

#[tokio::test]
async fn a_token_is_asked_about_once_a_minute_whoever_asks() {
    let ground = Ground::new("openai/m").await;
    ground.provider.script([Script::Json(200, ANSWER.to_owned())]);
    let calls = (0..8).map(|_| {
        let router = ground.router();
        async move { send(&router, request("/v1/chat/completions", &body())).await.status }
    });
    assert!(futures::future::join_all(calls).await.iter().all(|status| *status == 200));
    assert_eq!(ground.api.calls_of("create", "tokenreviews").len(), 1);
    assert_eq!(ground.api.calls_of("get", "pods").len(), 1);
    ground.settled().await;
    assert_eq!((ground.usage().total.calls, ground.usage().in_flight.len()), (8, 0));
}

/// It gets SIGTERM in a moment: a final word before that would end the run and not the attempt.
#[tokio::test]
async fn a_pod_that_is_being_deleted_is_not_told_that_its_run_is_over() {
    let ground = Ground::new("openai/m").await;
    let mut pod = common::pod("openai/m");
    pod.metadata.deletion_timestamp = serde_json::from_value(json!("2026-01-01T00:00:00Z")).unwrap();
    ground.api.seed(&pod);
    for asked in 1..=2 {
        let answer = ground.post("/v1/chat/completions", &body()).await;
        assert_eq!((answer.word().as_str(), answer.status.as_u16()), ("Unavailable", 503));
        assert_eq!(ground.api.calls_of("get", "pods").len(), asked, "that isn't remembered");
    }
    assert!(ground.provider.asked().is_empty());
}
