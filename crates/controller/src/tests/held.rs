//! Before there is a Job: what keeps a task from starting, what it says then, and that it goes on when that is mended.

use k8s_openapi::api::core::v1::ServiceAccount;
use punching_fist_api::{AlertTask, MaintenanceTask, Task, reasons};
use punching_fist_core::conditions;
use serde_json::{Value, json};

use super::ground::Ground;
use super::objects::{self, NS, Object, alert, edit, maintenance, named, said, state, webhook_says};

/// What a user does about it.
type Mend = fn(&mut MaintenanceTask);

fn stalled<K: Object>(task: &K) -> bool {
    let status = task.task_status().expect("a status");
    conditions::holds(&status.conditions, reasons::STALLED).is_some()
}

#[tokio::test(start_paused = true)]
async fn a_service_account_that_is_missing_is_waited_for_without_a_slot() {
    let mut ground = Ground::new();
    ground.api.remove::<ServiceAccount>(NS, "punching-fist-agent");
    maintenance(&ground.api, "mt");
    let task = ground.drive::<MaintenanceTask>("mt").await;
    assert_eq!(state::<MaintenanceTask>(&ground.api, "mt"), said("Pending", "ServiceAccountMissing"));
    let message = task.task_status().unwrap().message.clone().unwrap();
    assert!(message.contains("punching-fist-agent") && message.contains(NS), "{message}");
    assert!(stalled(&task) && !ground.has_slot(&task) && ground.taken() == 0);
    objects::service_account(&ground.api);
    let task = ground.drive::<MaintenanceTask>("mt").await;
    assert!(!stalled(&task));
    assert_eq!((state::<MaintenanceTask>(&ground.api, "mt").1.as_str(), ground.jobs_made()), ("Starting", 1));
}

#[tokio::test(start_paused = true)]
async fn a_slot_that_cannot_be_used_is_given_back_at_once() {
    let mut ground = Ground::new();
    ground.api.remove::<ServiceAccount>(NS, "punching-fist-agent");
    let task = maintenance(&ground.api, "mt");
    ground.admit();
    assert!(ground.has_slot(&task));
    ground.pass::<MaintenanceTask>("mt").await.unwrap();
    assert!(!ground.has_slot(&task));
}

#[tokio::test(start_paused = true)]
async fn slots_are_counted_although_no_cache_shows_them_yet() {
    let mut ground = Ground::new();
    let first = ["a", "b"].map(|name| maintenance(&ground.api, name));
    ground.admit();
    assert!(first.iter().all(|task| ground.has_slot(task)), "as many as the profile takes");
    // It would go first, had it been there.
    let late = alert(&ground.api, "at", &json!({}));
    ground.admit();
    assert!(!ground.has_slot(&late));
}

#[tokio::test(start_paused = true)]
async fn what_its_user_has_to_mend_is_said_and_an_edit_mends_it() {
    let long = "{% for i in range(9000) %}0123456789{% endfor %}";
    let rows: [(Value, &str, &str, Mend); 3] = [
        (json!({"prompt": "a\n{{ nobody }}"}), "InvalidPrompt", "line 2", |task| {
            task.spec.task.prompt = Some("a".to_owned());
        }),
        (json!({"prompt": long}), "InvalidPrompt", "65536", |task| {
            task.spec.task.prompt = Some("a".to_owned());
        }),
        (
            json!({"prompt": "a", "agent": {"profile": "nobody"}}),
            "UnknownProfile",
            "openhands, other",
            |task| {
                task.spec.task.agent.profile = "other".to_owned();
            },
        ),
    ];
    for (spec, reason, part, mend) in rows {
        let mut ground = Ground::new();
        MaintenanceTask::seeded(&ground.api, "mt", &spec, &Value::Null);
        let task = ground.drive::<MaintenanceTask>("mt").await;
        assert_eq!(state::<MaintenanceTask>(&ground.api, "mt"), said("Pending", reason));
        assert!(stalled(&task) && !ground.has_slot(&task), "{reason}");
        let message = task.task_status().unwrap().message.clone().unwrap();
        assert!(message.contains(part), "{message}");
        assert_eq!(ground.jobs_made(), 0);
        edit::<MaintenanceTask>(&ground.api, "mt", mend);
        let task = ground.drive::<MaintenanceTask>("mt").await;
        assert_eq!((task.task_status().unwrap().observed_generation, ground.jobs_made()), (2, 1), "{reason}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_suspended_task_takes_no_slot_until_it_is_resumed() {
    let mut ground = Ground::new();
    MaintenanceTask::seeded(&ground.api, "mt", &json!({"prompt": "p", "suspend": true}), &Value::Null);
    let task = ground.drive::<MaintenanceTask>("mt").await;
    assert_eq!(state::<MaintenanceTask>(&ground.api, "mt"), said("Pending", "Suspended"));
    assert!(!ground.has_slot(&task));
    edit::<MaintenanceTask>(&ground.api, "mt", |task| task.spec.suspend = false);
    ground.drive::<MaintenanceTask>("mt").await;
    assert_eq!(ground.jobs_made(), 1);
    // A run under way goes on.
    edit::<MaintenanceTask>(&ground.api, "mt", |task| task.spec.suspend = true);
    ground.drive::<MaintenanceTask>("mt").await;
    assert_eq!(state::<MaintenanceTask>(&ground.api, "mt"), said("Pending", "Starting"));
}

#[tokio::test(start_paused = true)]
async fn a_task_that_waits_for_a_slot_says_so_and_costs_no_call() {
    let mut ground = Ground::new();
    maintenance(&ground.api, "mt");
    ground.pass::<MaintenanceTask>("mt").await.unwrap();
    assert_eq!(state::<MaintenanceTask>(&ground.api, "mt"), said("Pending", "Queued"));
    ground.api.forget();
    ground.pass::<MaintenanceTask>("mt").await.unwrap();
    assert!(ground.api.calls().is_empty(), "{:?}", ground.api.calls());
}

#[tokio::test(start_paused = true)]
async fn a_waiting_task_is_closed_without_a_job() {
    let mut ground = Ground::new();
    maintenance(&ground.api, "cancelled");
    alert(&ground.api, "resolved", &json!({}));
    ground.pass::<MaintenanceTask>("cancelled").await.unwrap();
    ground.pass::<AlertTask>("resolved").await.unwrap();
    edit::<MaintenanceTask>(&ground.api, "cancelled", |task| task.spec.cancel = true);
    webhook_says(&ground.api, "resolved", &[("f1", "resolved")]);
    ground.drive::<MaintenanceTask>("cancelled").await;
    ground.drive::<AlertTask>("resolved").await;
    assert_eq!(state::<MaintenanceTask>(&ground.api, "cancelled"), said("Failed", "Cancelled"));
    assert_eq!(state::<AlertTask>(&ground.api, "resolved"), said("Succeeded", "AlertResolved"));
    assert_eq!((ground.jobs_made(), ground.taken()), (0, 0));
    let finished = named::<AlertTask>(&ground.api, "resolved").status.unwrap().task;
    assert!(finished.completion_time.is_some() && finished.start_time.is_none());
    for type_ in [reasons::FINISHED, reasons::COMPLETE, reasons::READY] {
        assert!(conditions::holds(&finished.conditions, type_).is_some(), "{type_}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_task_that_is_being_deleted_is_left_alone() {
    let mut ground = Ground::new();
    maintenance(&ground.api, "mt");
    ground.admit();
    let task = ground.api.change::<MaintenanceTask>(NS, "mt", |task| {
        task.metadata.finalizers = Some(vec!["someone.example/else".to_owned()]);
        task.metadata.deletion_timestamp = task.metadata.creation_timestamp.clone();
    });
    assert!(ground.has_slot(&task));
    ground.pass::<MaintenanceTask>("mt").await.unwrap();
    assert!(ground.api.calls().is_empty() && !ground.has_slot(&task));
    ground.admit();
    assert!(!ground.has_slot(&task));
}
