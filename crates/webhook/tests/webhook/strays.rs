//! Objects that don't fit: one that can't be read, one without its label, one under a name that it should not have. None
//! of them stops more than its own incident, and who mends it is told what to do.

use std::time::Duration;

use punching_fist_api::{AlertTask, Phase, reasons};
use punching_fist_testkit::recording::RecordingApi;
use punching_fist_webhook::TaskCache;

use crate::common::*;

fn drop_label(api: &RecordingApi, task: &AlertTask) {
    api.change::<AlertTask>(NAMESPACE, &name(task), |task| {
        task.metadata.labels.get_or_insert_default().remove(KEY);
    });
}

fn key(task: &AlertTask) -> String {
    task.spec.identity.as_ref().unwrap().key.clone()
}

#[tokio::test]
async fn the_cache_follows_the_others_beside_one_that_cannot_be_read() {
    let api = api();
    poison(&api, "poison", &"0".repeat(40)).await;
    let (cache, watch) = TaskCache::new(api.client(), NAMESPACE);
    tokio::spawn(watch);
    let hook = Hook::with(&api, |webhook| webhook.with_cache(cache));
    assert_eq!(hook.post(&body(&[firing("a")])).await.outcomes(), ["created"]);
    poison(&api, "poison-later", &"1".repeat(40)).await;
    let merged_from_the_cache = async || {
        loop {
            api.forget();
            assert_eq!(hook.post(&body(&[firing("a")])).await.outcomes(), ["merged"]);
            if !asked(&api).contains(&"list alerttasks".to_owned()) {
                return;
            }
            tokio::task::yield_now().await;
        }
    };
    let within = tokio::time::timeout(Duration::from_secs(100), merged_from_the_cache()).await;
    within.expect("the cache knows the task that can be read");
}

#[tokio::test]
async fn a_member_of_the_chain_that_cannot_be_read_is_left_out() {
    let (api, hook, task) = with_a_task().await;
    poison(&api, "poison", &key(&task)).await;
    let answer = hook.post(&body(&[firing("a"), firing("b")])).await;
    assert_eq!((answer.code.as_u16(), answer.outcomes()), (200, vec!["merged", "merged"]));
    let merged = api.read::<AlertTask>(NAMESPACE, &name(&task)).unwrap();
    assert_eq!(status(&merged).alerts.len(), 2);
}

#[tokio::test]
async fn the_newest_that_cannot_be_read_is_named_and_stops_its_incident_alone() {
    let (api, hook, task) = with_a_task().await;
    api.remove::<AlertTask>(NAMESPACE, &name(&task));
    poison(&api, &name(&task), &key(&task)).await;
    let answer = hook.post(&body(&[firing("a")])).await;
    assert_eq!(answer.code, 503);
    let error = answer.body["error"].as_str().unwrap();
    assert!(error.contains(&name(&task)) && error.contains("delete it"), "{error}");
    let mut other = body(&[firing("a")]);
    other["groupKey"] = "another".into();
    assert_eq!(hook.post(&other).await.outcomes(), ["created"]);
}

#[tokio::test]
async fn a_task_that_lost_its_label_is_found_by_its_name() {
    let (api, hook, first) = with_a_task().await;
    drop_label(&api, &first);
    api.forget();
    let answer = hook.post(&body(&[firing("a"), firing("b")])).await;
    assert_eq!(answer.code, 200, "{answer:?}");
    assert_eq!(answer.outcomes(), ["merged", "merged"]);
    let calls = ["list", "create", "list", "get"].map(|verb| format!("{verb} alerttasks"));
    assert_eq!(asked(&api), [calls.as_slice(), &["apply alerttasks/status".to_owned()]].concat());
    assert_eq!(status(&only(&api)).alerts.len(), 2);

    finish(&api, &first, Phase::Succeeded, reasons::VERDICT_REACHED);
    assert_eq!(hook.post(&body(&[firing("c")])).await.outcomes(), ["created"]);
    let second = tasks(&api).remove(1);
    assert_eq!(second.spec.identity.as_ref().unwrap().previous.as_ref(), Some(&name(&first)));
    drop_label(&api, &second);
    finish(&api, &second, Phase::Succeeded, reasons::VERDICT_REACHED);
    assert_eq!(hook.post(&body(&[firing("d")])).await.code, 200);
    assert!(hook.post(&body(&[firing("d")])).await.code == 200 && tasks(&api).len() == 3);
}

#[tokio::test]
async fn another_object_under_the_name_is_told_and_not_touched() {
    let (api, hook, task) = with_a_task().await;
    drop_label(&api, &task);
    let foreign = api.change::<AlertTask>(NAMESPACE, &name(&task), |task| {
        task.spec.identity.as_mut().unwrap().key = "f".repeat(40);
    });
    let answer = hook.post(&body(&[firing("a")])).await;
    assert_eq!(answer.code, 503);
    let error = answer.body["error"].as_str().unwrap();
    assert!(
        error.contains(&format!("{NAMESPACE}/{}", name(&task))) && error.contains("identity.key"),
        "{error}"
    );
    assert_eq!(only(&api).metadata.resource_version, foreign.metadata.resource_version);
}
