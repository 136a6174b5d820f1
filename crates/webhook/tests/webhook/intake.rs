//! From a body to etcd: what is made, what is merged, what is written and what is not, call by call.

use std::time::Duration;

use punching_fist_api::{AlertState, AlertTask, Phase, names, reasons};
use punching_fist_testkit::recording::{Fault, Times};
use punching_fist_webhook::TaskCache;
use serde_json::json;

use crate::common::*;

#[tokio::test]
async fn the_first_notification_makes_a_task() {
    let api = api();
    let hook = Hook::new(&api);
    let answer = hook.post(&body(&[firing("a"), alert("b", "resolved", 0)])).await;
    assert_eq!(answer.code, 200);
    assert_eq!(answer.outcomes(), ["created", "resolved"]);
    assert_eq!(asked(&api), ["list alerttasks", "create alerttasks", "apply alerttasks/status"]);

    let task = only(&api);
    let expected = json!({ "namespace": NAMESPACE, "name": name(&task), "outcome": "created" });
    assert_eq!(answer.body["tasks"], json!([expected]));
    assert_eq!(answer.body["alerts"][0], json!({ "alert": "a", "outcome": "created", "task": name(&task) }));
    assert!(name(&task).starts_with("kubepodcrashlooping-"));
    assert_eq!(task.metadata.labels.as_ref().unwrap()[KEY], task.spec.identity.as_ref().unwrap().key);
    assert_eq!(task.spec.task.prompt.as_deref(), Some("Look at it."));
    assert_eq!(task.spec.notification.alerts.len(), 2);
    let status = status(&task);
    assert_eq!(
        (status.alert_state, status.occurrences, status.alerts.len()),
        (Some(AlertState::Firing), 1, 2)
    );
    assert!(status.last_received_time.is_some() && status.resolved_time.is_none());
    assert_eq!(hook.count("punching_fist_alerts_total", &["created", "alertmanager"]), 1);
    assert_eq!(hook.count("punching_fist_alerts_total", &["resolved", "alertmanager"]), 1);
    assert_eq!(hook.count("punching_fist_alerts_total", &["refused", "alertmanager"]), 0);
    assert_eq!(hook.count("punching_fist_webhook_requests_total", &["200", "alertmanager"]), 1);
}

#[tokio::test]
async fn a_status_is_applied_with_our_fields_alone_and_under_what_was_read() {
    let api = api();
    let hook = Hook::new(&api);
    hook.post(&body(&[firing("a")])).await;
    let task = api.change::<AlertTask>(NAMESPACE, &name(&only(&api)), |task| {
        task.status.get_or_insert_default().task.phase = Some(Phase::Running);
    });
    api.forget();
    hook.post(&body(&[firing("a")])).await;
    let [write] = api.writes().try_into().unwrap();
    assert_eq!((write.verb, write.resource.as_str()), ("apply", "alerttasks/status"));
    assert_eq!(write.query["fieldManager"], names::MANAGER_WEBHOOK);
    assert_eq!(write.query["force"], "true");
    assert_eq!(write.body["metadata"], json!({ "resourceVersion": task.metadata.resource_version }));
    let mut fields: Vec<&String> = write.body["status"].as_object().unwrap().keys().collect();
    fields.sort();
    assert_eq!(fields, ["alertState", "alerts", "lastReceivedTime", "occurrences", "truncatedAlerts"]);
    let status = status(&only(&api));
    assert_eq!(status.task.phase, Some(Phase::Running), "the controller's field is untouched");
    assert_eq!(status.occurrences, 2);
}

#[tokio::test]
async fn repeats_merge_and_only_new_work_makes_a_successor() {
    let (api, hook, first) = with_a_task().await;
    finish(&api, &first, Phase::Succeeded, reasons::VERDICT_REACHED);
    for (alerts, outcomes, runs) in [
        (vec![firing("a")], vec!["merged"], 1),
        (vec![alert("a", "resolved", 0)], vec!["resolved"], 1),
        (vec![alert("a", "firing", 60)], vec!["created"], 2),
        (vec![alert("a", "firing", 60)], vec!["merged"], 2),
        (vec![alert("a", "firing", 60), firing("b")], vec!["merged", "merged"], 2),
    ] {
        let answer = hook.post(&body(&alerts)).await;
        assert_eq!(answer.outcomes(), outcomes, "{alerts:?}");
        assert_eq!(tasks(&api).len(), runs, "{alerts:?}");
    }
    let second = tasks(&api).pop().unwrap();
    assert_eq!(second.spec.identity.as_ref().unwrap().previous, Some(name(&first)));
    assert_eq!(status(&second).alerts.len(), 2);
    finish(&api, &second, Phase::Failed, reasons::BACKOFF_LIMIT_EXCEEDED);
    let answer = hook.post(&body(&[alert("a", "firing", 60)])).await;
    assert_eq!(answer.outcomes(), ["created"], "a fault handled nothing");
    assert_eq!(tasks(&api).len(), 3);
}

#[tokio::test]
async fn what_is_over_never_makes_a_task() {
    let api = api();
    let hook = Hook::new(&api);
    let answer = hook.post(&body(&[alert("a", "resolved", 0)])).await;
    assert_eq!((answer.code.as_u16(), answer.outcomes()), (200, vec!["ignored"]));
    assert_eq!(asked(&api), ["list alerttasks"], "looked for once");
    assert!(api.writes().is_empty());
}

#[tokio::test]
async fn what_no_route_takes_costs_no_call() {
    let api = api();
    let hook = Hook::new(&api);
    let mut watchdog = firing("w");
    watchdog["labels"] = json!({ "alertname": "Watchdog", "severity": "none" });
    let answer = hook.post(&body(std::slice::from_ref(&watchdog))).await;
    assert_eq!((answer.code.as_u16(), answer.outcomes()), (200, vec!["unmatched"]));
    assert!(api.calls().is_empty());
    let answer = hook.post(&body(&[watchdog, firing("a")])).await;
    assert_eq!(answer.outcomes(), ["created", "unmatched"]);
    assert_eq!(only(&api).spec.notification.alerts.len(), 1);
    assert_eq!(hook.count("punching_fist_alerts_total", &["unmatched", "alertmanager"]), 2);
}

#[tokio::test]
async fn a_bad_alert_among_good_ones_is_named() {
    let api = api();
    let hook = Hook::new(&api);
    let mut bad = firing("bad");
    bad["startsAt"] = json!("yesterday");
    let answer = hook.post(&body(&[bad.clone(), firing("a")])).await;
    assert_eq!((answer.code.as_u16(), answer.outcomes()), (200, vec!["created", "refused"]));
    assert_eq!(answer.body["alerts"][1]["alert"], "alerts[0].startsAt");
    let answer = hook.post(&body(&[bad])).await;
    assert_eq!((answer.code.as_u16(), answer.outcomes()), (200, vec!["refused"]));
}

#[tokio::test]
async fn a_task_that_is_being_deleted_takes_nothing_in() {
    let (api, hook, first) = with_a_task().await;
    api.change::<AlertTask>(NAMESPACE, &name(&first), |task| {
        task.metadata.finalizers = Some(vec!["foregroundDeletion".into()]);
        task.metadata.deletion_timestamp = task.metadata.creation_timestamp.clone();
    });
    let answer = hook.post(&body(&[firing("a")])).await;
    assert_eq!(answer.outcomes(), ["created"]);
    assert_eq!(tasks(&api).len(), 2, "its name is still taken, the new one has another");
    let answer = hook.post(&body(&[firing("a")])).await;
    assert_eq!(answer.outcomes(), ["merged"]);
    api.remove::<AlertTask>(NAMESPACE, &name(&first));
    assert_eq!(hook.post(&body(&[firing("a")])).await.outcomes(), ["merged"]);
    assert_eq!(only(&api).spec.identity.as_ref().unwrap().run, 2);
}

#[tokio::test]
async fn what_the_api_server_refuses_for_good_is_told_and_counted() {
    for code in [400, 413, 422] {
        let api = api();
        let hook = Hook::new(&api);
        api.inject("create", "alerttasks", Fault::Status(code), Times::Always);
        let answer = hook.post(&body(&[firing("a"), firing("b")])).await;
        assert_eq!((answer.code.as_u16(), answer.outcomes()), (200, vec!["refused", "refused"]), "{code}");
        assert_eq!(answer.body["alerts"][0]["message"], "injected");
        assert_eq!(api.writes().len(), 1, "not sent round for ever");
        assert_eq!(hook.count("punching_fist_alerts_total", &["refused", "alertmanager"]), 2);
    }
}

#[tokio::test]
async fn a_crash_after_the_create_is_mended_by_the_next_notification() {
    for fault in [Fault::Status(500), Fault::DoneThenStatus(504), Fault::Disconnect] {
        let api = api();
        let hook = Hook::new(&api);
        api.inject("apply", "alerttasks/status", fault.clone(), Times::Once);
        let answer = hook.post(&body(&[firing("a")])).await;
        assert_eq!(answer.code, 503, "{fault:?}");
        assert_eq!(answer.headers["retry-after"], "5");
        let answer = hook.post(&body(&[firing("a")])).await;
        assert_eq!(answer.outcomes(), ["merged"]);
        let status = status(&only(&api));
        assert_eq!((status.alert_state, status.alerts.len()), (Some(AlertState::Firing), 1));
    }
}

#[tokio::test]
async fn an_answer_that_was_lost_makes_no_second_task() {
    for fault in [Fault::DoneThenStatus(500), Fault::DoneThenHang] {
        let api = api();
        let hook = Hook::new(&api);
        api.inject("create", "alerttasks", fault.clone(), Times::Once);
        assert_eq!(hook.post(&body(&[firing("a")])).await.code, 503, "{fault:?}");
        assert_eq!(status(&only(&api)).occurrences, 0);
        assert_eq!(hook.post(&body(&[firing("a")])).await.outcomes(), ["merged"]);
        assert_eq!(status(&only(&api)).occurrences, 1);
    }
}

#[tokio::test]
async fn what_can_be_mended_meanwhile_is_a_503() {
    for (verb, resource) in [("list", "alerttasks"), ("create", "alerttasks"), ("apply", "alerttasks/status")]
    {
        for fault in [
            Fault::Status(401),
            Fault::Status(403),
            Fault::Status(429),
            Fault::Status(500),
            Fault::Status(503),
            Fault::Disconnect,
            Fault::Answer(200, "no JSON".into()),
        ] {
            let api = api();
            let hook = Hook::new(&api);
            api.inject(verb, resource, fault.clone(), Times::Always);
            let answer = hook.post(&body(&[firing("a")])).await;
            assert_eq!(answer.code, 503, "{verb} {fault:?}");
            assert_eq!(answer.headers["retry-after"], "5");
            assert!(answer.body["error"].is_string());
            api.heal();
            assert_eq!(hook.post(&body(&[firing("a")])).await.code, 200);
            only(&api);
        }
    }
    let api = api();
    let hook = Hook::new(&api);
    api.inject("create", "alerttasks", Fault::Status(404), Times::Always);
    assert_eq!(hook.post(&body(&[firing("a")])).await.code, 503, "the namespace can still be made");
}

#[tokio::test]
async fn a_conflict_means_to_look_again() {
    let api = api();
    let hook = Hook::new(&api);
    hook.post(&body(&[firing("a")])).await;
    api.forget();
    api.inject("apply", "alerttasks/status", Fault::Status(409), Times::Count(3));
    assert_eq!(hook.post(&body(&[firing("a")])).await.outcomes(), ["merged"]);
    assert_eq!(api.calls_of("list", "alerttasks").len(), 4);
    api.inject("apply", "alerttasks/status", Fault::Status(409), Times::Always);
    let answer = hook.post(&body(&[firing("a")])).await;
    assert_eq!(answer.code, 503, "not for ever");
    assert!(answer.body["error"].as_str().unwrap().contains("8 times"));
}

#[tokio::test]
async fn a_successor_made_meanwhile_hears_that_alerts_are_over() {
    let (api, hook, first) = with_a_task().await;
    finish(&api, &first, Phase::Succeeded, reasons::VERDICT_REACHED);
    // Another replica makes the successor between our list and our write.
    let slow = Fault::Slow(Duration::from_millis(300));
    api.inject("apply", "alerttasks/status", slow, Times::Once);
    let (ours, other) = (hook.clone(), Hook::new(&api));
    let ended = tokio::spawn(async move { ours.post(&body(&[alert("a", "resolved", 0)])).await });
    while api.calls_of("apply", "alerttasks/status").len() < 2 {
        tokio::task::yield_now().await;
    }
    other.post(&body(&[firing("a"), firing("b")])).await;
    assert_eq!(tasks(&api).len(), 2);
    assert_eq!(ended.await.unwrap().code, 200);
    let known = status(&tasks(&api).pop().unwrap()).alerts;
    let a = known.iter().find(|record| record.fingerprint == "a").unwrap();
    assert_eq!(a.state, AlertState::Resolved);
}

#[tokio::test]
async fn one_notification_makes_one_task_at_most() {
    let api = api();
    let hook = Hook::new(&api);
    // The run has failed before our status is written: new work, for a later notification.
    api.inject("apply", "alerttasks/status", Fault::Slow(Duration::from_millis(200)), Times::Once);
    let sent = tokio::spawn(async move { hook.post(&body(&[firing("a")])).await });
    while api.calls_of("apply", "alerttasks/status").is_empty() {
        tokio::task::yield_now().await;
    }
    finish(&api, &only(&api), Phase::Failed, reasons::BACKOFF_LIMIT_EXCEEDED);
    assert_eq!(sent.await.unwrap().outcomes(), ["created"]);
    only(&api);
}

#[tokio::test]
async fn a_cache_that_is_late_hides_no_successor() {
    let api = api();
    let other = Hook::new(&api);
    other.post(&body(&[firing("a")])).await;
    finish(&api, &only(&api), Phase::Succeeded, reasons::VERDICT_REACHED);
    let (cache, watch) = TaskCache::new(api.client(), NAMESPACE);
    let hook = Hook::with(&api, |webhook| webhook.with_cache(cache));
    let watch = tokio::spawn(watch);
    while api.calls_of("watch", "alerttasks").is_empty() {
        tokio::task::yield_now().await;
    }
    // From here on it shows the first task alone, finished.
    watch.abort();
    assert!(watch.await.is_err());
    other.post(&body(&[firing("a"), firing("b")])).await;
    assert_eq!(tasks(&api).len(), 2);
    assert_eq!(hook.post(&body(&[alert("a", "resolved", 0)])).await.outcomes(), ["resolved"]);
    let known = status(&tasks(&api)[1]).alerts;
    let a = known.iter().find(|record| record.fingerprint == "a").unwrap();
    assert_eq!(a.state, AlertState::Resolved);
}

/// Waits until the cache shows the task: until a repeat needs no list.
async fn until_cached(hook: &Hook, api: &punching_fist_testkit::recording::RecordingApi) {
    loop {
        let lists = api.calls_of("list", "alerttasks").len();
        hook.post(&body(&[firing("a")])).await;
        if api.calls_of("list", "alerttasks").len() == lists {
            return;
        }
        tokio::task::yield_now().await;
    }
}

#[tokio::test]
async fn a_task_under_way_is_found_in_the_cache_and_everything_else_is_asked() {
    let api = api();
    let hook = Hook::cached(&api);
    hook.post(&body(&[firing("a")])).await;
    until_cached(&hook, &api).await;
    api.forget();
    let before = status(&only(&api)).occurrences;
    assert_eq!(hook.post(&body(&[firing("a"), firing("b")])).await.outcomes(), ["merged", "merged"]);
    let after = status(&only(&api));
    assert_eq!((after.occurrences, after.alerts.len()), (before + 1, 2));
    let writes = api.writes().len();
    assert!((1..=2).contains(&writes), "one write, or two if the cache was a step late: {writes}");

    api.forget();
    let unknown = hook.post(&body(&[alert("x", "resolved", 0)])).await;
    assert_eq!(unknown.outcomes(), ["ignored"], "asked, as the cache may be late");
    assert_eq!(api.calls_of("list", "alerttasks").len(), 1);

    finish(&api, &only(&api), Phase::Succeeded, reasons::VERDICT_REACHED);
    assert_eq!(hook.post(&body(&[firing("a"), firing("c")])).await.outcomes(), ["created", "created"]);
    assert_eq!(tasks(&api).len(), 2, "an old cache is no harm");
}

#[tokio::test]
async fn a_cache_that_never_fills_is_no_harm() {
    let api = api();
    api.inject("watch", "alerttasks", Fault::Hang, Times::Always);
    let hook = Hook::with(&api, |webhook| {
        let (cache, _never_polled) = TaskCache::new(api.client(), NAMESPACE);
        webhook.with_cache(cache)
    });
    for outcome in ["created", "merged"] {
        assert_eq!(hook.post(&body(&[firing("a")])).await.outcomes(), [outcome]);
    }
}
