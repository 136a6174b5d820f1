//! The recording API is only worth something if it behaves as the real one where it says so.

use std::time::Duration;

use futures::StreamExt;
use k8s_openapi::api::core::v1::ConfigMap;
use kube::api::{
    Api, DeleteParams, ListParams, Patch, PatchParams, PostParams, Preconditions, WatchEvent, WatchParams,
};
use punching_fist_api::{AlertTask, AlertTaskSpec, Phase};
use serde_json::json;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;

use super::*;

fn task(name: &str) -> AlertTask {
    let mut task = AlertTask::new(name, AlertTaskSpec::default());
    task.metadata.labels = Some([("key".to_owned(), name.to_owned())].into());
    task
}

fn tasks(api: &RecordingApi) -> Api<AlertTask> {
    Api::namespaced(api.client(), "ns")
}

fn apply(version: Option<&str>, status: &Value) -> Patch<Value> {
    Patch::Apply(json!({
        "apiVersion": "punching-fist.io/v1alpha1",
        "kind": "AlertTask",
        "metadata": { "resourceVersion": version },
        "status": status,
    }))
}

fn code<T: std::fmt::Debug>(result: kube::Result<T>) -> (u16, String) {
    match result {
        Err(kube::Error::Api(status)) => (status.code, status.reason.clone()),
        other => panic!("expected a refusal, got {other:?}"),
    }
}

#[tokio::test]
async fn a_name_is_taken_once() {
    let api = RecordingApi::new();
    let made = tasks(&api).create(&PostParams::default(), &task("a")).await.unwrap();
    assert!(made.metadata.uid.is_some() && made.metadata.resource_version.is_some());
    assert_eq!(made.metadata.generation, Some(1));
    let again = tasks(&api).create(&PostParams::default(), &task("a")).await;
    assert_eq!(code(again), (409, "AlreadyExists".into()));
    let codes: Vec<_> = api.writes().iter().map(|call| call.code).collect();
    assert_eq!(codes, [Some(201), Some(409)]);
}

#[tokio::test]
async fn lists_select_by_label_and_field() {
    let api = RecordingApi::new();
    for name in ["a", "b"] {
        api.seed(&AlertTask {
            metadata: ObjectMeta { namespace: Some("ns".into()), ..task(name).metadata },
            ..task(name)
        });
    }
    let names = async |params: ListParams| -> Vec<String> {
        let list = tasks(&api).list(&params).await.unwrap();
        list.items.into_iter().map(|task| task.metadata.name.unwrap()).collect()
    };
    assert_eq!(names(ListParams::default()).await, ["a", "b"]);
    assert_eq!(names(ListParams::default().labels("key=b")).await, ["b"]);
    assert_eq!(names(ListParams::default().labels("key!=b")).await, ["a"]);
    assert_eq!(names(ListParams::default().labels("key in (a, b),!other")).await, ["a", "b"]);
    assert_eq!(names(ListParams::default().labels("other")).await, [""; 0]);
    assert_eq!(names(ListParams::default().fields("metadata.name=a")).await, ["a"]);
}

#[tokio::test]
async fn an_apply_keeps_the_others_fields_and_loses_its_own_when_left_out() {
    let api = RecordingApi::new();
    let first = tasks(&api).create(&PostParams::default(), &task("a")).await.unwrap();
    let version = first.metadata.resource_version.as_deref();
    let one = PatchParams::apply("one").force();
    let two = PatchParams::apply("two").force();
    let conditions = json!([{ "type": "A", "status": "True", "reason": "R", "message": "", "lastTransitionTime": "2026-01-01T00:00:00Z" }]);
    tasks(&api)
        .patch_status(
            "a",
            &one,
            &apply(version, &json!({ "phase": "Pending", "reason": "Queued", "conditions": conditions })),
        )
        .await
        .unwrap();
    let stale = tasks(&api).patch_status("a", &two, &apply(version, &json!({ "occurrences": 1 }))).await;
    assert_eq!(code(stale), (409, "Conflict".into()));
    tasks(&api).patch_status("a", &two, &apply(None, &json!({ "occurrences": 1 }))).await.unwrap();
    let last =
        tasks(&api).patch_status("a", &one, &apply(None, &json!({ "phase": "Running" }))).await.unwrap();
    let status = last.status.unwrap();
    assert_eq!(status.task.phase, Some(Phase::Running));
    assert_eq!((status.task.reason, status.occurrences, status.task.conditions.len()), (None, 1, 0));
    let same =
        tasks(&api).patch_status("a", &one, &apply(None, &json!({ "phase": "Running" }))).await.unwrap();
    assert_eq!(
        same.metadata.resource_version, last.metadata.resource_version,
        "an apply of nothing new is no write"
    );
    let missing = tasks(&api).patch_status("b", &one, &apply(None, &json!({ "phase": "Running" }))).await;
    assert_eq!(code(missing), (404, "NotFound".into()));
}

#[tokio::test]
async fn status_and_spec_are_written_apart() {
    let api = RecordingApi::new();
    let mut object = task("a");
    object.status = Some(punching_fist_api::AlertTaskStatus { occurrences: 7, ..Default::default() });
    let mut made = tasks(&api).create(&PostParams::default(), &object).await.unwrap();
    assert_eq!(made.status, None, "a create drops the status");
    made.spec.cancel = true;
    made.status = object.status;
    let made = tasks(&api).replace("a", &PostParams::default(), &made).await.unwrap();
    assert_eq!((made.status, made.metadata.generation), (None, Some(2)));
    let merged = tasks(&api)
        .patch("a", &PatchParams::default(), &Patch::Merge(json!({ "spec": { "suspend": true } })))
        .await
        .unwrap();
    assert!(merged.spec.suspend && merged.spec.cancel);
}

#[tokio::test]
async fn a_foreground_deletion_keeps_the_name_taken() {
    let api = RecordingApi::new();
    let made = tasks(&api).create(&PostParams::default(), &task("a")).await.unwrap();
    let wrong = Preconditions { uid: Some("other".into()), resource_version: None };
    let refused = tasks(&api).delete("a", &DeleteParams::foreground().preconditions(wrong)).await;
    assert!(refused.unwrap_err().to_string().contains("precondition"));
    let right = Preconditions { uid: made.metadata.uid, resource_version: None };
    tasks(&api).delete("a", &DeleteParams::foreground().preconditions(right)).await.unwrap();
    assert!(tasks(&api).get("a").await.unwrap().metadata.deletion_timestamp.is_some());
    let again = tasks(&api).create(&PostParams::default(), &task("a")).await;
    assert_eq!(code(again).1, "AlreadyExists");
    api.remove::<AlertTask>("ns", "a");
    assert_eq!(code(tasks(&api).get("a").await).0, 404);
}

#[tokio::test]
async fn a_watch_tells_every_change() {
    let api = RecordingApi::new();
    let made = tasks(&api).create(&PostParams::default(), &task("a")).await.unwrap();
    let version = made.metadata.resource_version.unwrap();
    let mut events =
        std::pin::pin!(tasks(&api).watch(&WatchParams::default().labels("key=a"), &version).await.unwrap());
    api.seed(&ConfigMap::default());
    api.change::<AlertTask>("ns", "a", |task| task.spec.cancel = true);
    api.remove::<AlertTask>("ns", "a");
    assert!(matches!(events.next().await, Some(Ok(WatchEvent::Modified(task))) if task.spec.cancel));
    assert!(matches!(events.next().await, Some(Ok(WatchEvent::Deleted(_)))));
}

#[tokio::test]
async fn faults_are_met_as_often_as_asked() {
    let api = RecordingApi::new();
    api.inject("create", "alerttasks", Fault::Status(503), Times::Once);
    assert_eq!(code(tasks(&api).create(&PostParams::default(), &task("a")).await).0, 503);
    assert!(api.all::<AlertTask>().is_empty());
    api.inject("create", "*", Fault::DoneThenStatus(500), Times::Once);
    assert_eq!(code(tasks(&api).create(&PostParams::default(), &task("a")).await).0, 500);
    assert_eq!(api.all::<AlertTask>().len(), 1, "done in spite of the answer");
    api.inject("*", "*", Fault::Hang, Times::Always);
    let hung = tokio::time::timeout(Duration::from_millis(50), tasks(&api).get("a")).await;
    assert!(hung.is_err());
    api.heal();
    assert!(tasks(&api).get("a").await.is_ok());
    api.inject("get", "alerttasks", Fault::Disconnect, Times::Once);
    assert!(!matches!(tasks(&api).get("a").await, Err(kube::Error::Api(_)) | Ok(_)));
}

#[tokio::test]
async fn with_definitions_a_schema_counts() {
    let api = RecordingApi::with_crds(&punching_fist_api::crds());
    let raw: Api<kube::core::DynamicObject> =
        Api::namespaced_with(api.client(), "ns", &kube::core::ApiResource::erase::<AlertTask>(&()));
    let object = |spec: Value| -> kube::core::DynamicObject {
        let object = json!({ "apiVersion": "punching-fist.io/v1alpha1", "kind": "AlertTask", "metadata": { "name": "a" }, "spec": spec });
        serde_json::from_value(object).unwrap()
    };
    for (spec, field) in [
        (json!({ "notification": { "alerts": [] } }), ".spec.notification.alerts: Invalid value: Items 0"),
        (
            json!({ "notification": { "alerts": [{ "status": "on" }] } }),
            ".spec.notification.alerts[0].status",
        ),
        (json!({ "notification": { "alerts": [{}] }, "timeoutSeconds": -1 }), ".spec.timeoutSeconds"),
        (json!({ "notification": { "alerts": [{}] }, "alertName": "n".repeat(257) }), ".spec.alertName"),
        (
            json!({ "notification": { "alerts": [{}] }, "identity": { "key": "x", "run": 1 } }),
            ".spec.identity.key",
        ),
        (json!({}), ".spec: Invalid value: notification is required"),
    ] {
        match raw.create(&PostParams::default(), &object(spec)).await {
            Err(kube::Error::Api(status)) if status.code == 422 => {
                assert!(status.message.contains(field), "{status:?}");
            }
            other => panic!("{field}: {other:?}"),
        }
    }
    let good = json!({ "notification": { "alerts": [{ "unknown": 1 }] }, "unknown": true });
    let made = raw.create(&PostParams::default(), &object(good)).await.unwrap();
    assert_eq!(made.data["spec"]["unknown"], Value::Null, "pruned");
    assert_eq!(made.data["spec"]["notification"]["alerts"][0], json!({ "status": "firing" }));
    assert_eq!(made.data["spec"]["maxRetries"], 3, "filled in");
}
