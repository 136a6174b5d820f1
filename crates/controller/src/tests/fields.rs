//! Who writes which field: nothing of another writer's is taken over, and nothing of it is lost.

use punching_fist_api::{AlertTask, reasons};
use punching_fist_core::conditions;
use punching_fist_testkit::recording::Call;
use serde_json::{Value, json};

use super::ground::Ground;
use super::objects::{NS, alert, log_holds, long, named, webhook_says};

/// The fields of the status that a field manager has applied, over all its applies.
fn fields_of(calls: &[Call], manager: &str) -> Vec<String> {
    let of_manager =
        calls.iter().filter(|call| call.query.get("fieldManager").is_some_and(|name| name == manager));
    let mut fields: Vec<_> = of_manager
        .filter(|call| call.resource.ends_with("/status"))
        .flat_map(|call| call.body["status"].as_object().cloned().unwrap_or_default())
        .flat_map(|(field, value)| match (field.as_str(), value) {
            ("result", Value::Object(result)) => {
                result.keys().map(|key| format!("result.{key}")).collect::<Vec<_>>()
            }
            _ => vec![field],
        })
        .collect();
    fields.sort();
    fields.dedup();
    fields
}

fn others_condition() -> Value {
    json!({"type": "Approved", "status": "True", "reason": "Approved", "message": "by someone", "lastTransitionTime": "2026-01-01T00:00:00Z"})
}

#[tokio::test(start_paused = true)]
async fn every_writer_keeps_to_its_own_fields() {
    let mut ground = Ground::new();
    alert(&ground.api, "at", &json!({}));
    webhook_says(&ground.api, "at", &[("f1", "firing")]);
    let (job, pod) = ground.running::<AlertTask>("at").await;
    ground.api.change::<AlertTask>(NS, "at", |task| {
        let condition = serde_json::from_value(others_condition()).unwrap();
        task.status.as_mut().unwrap().task.conditions.insert(0, condition);
    });
    webhook_says(&ground.api, "at", &[("f1", "firing"), ("f2", "resolved")]);
    log_holds(&ground.api, &long());
    ground.cluster.conclude(&job, &pod, Some(&long()));
    ground.drive::<AlertTask>("at").await;

    let calls = ground.api.writes();
    assert_eq!(fields_of(&calls, "punching-fist-report"), ["result.plan", "result.report"]);
    let webhooks =
        ["alertState", "alerts", "truncatedAlerts", "occurrences", "lastReceivedTime", "resolvedTime"];
    let ours = fields_of(&calls, "punching-fist-controller");
    for field in webhooks.iter().copied().chain(["result.report", "result.plan"]) {
        assert!(!ours.contains(&field.to_owned()), "{field} isn't the controller's");
    }
    assert!(ours.contains(&"promptedAlerts".to_owned()) && ours.contains(&"result.verdict".to_owned()));
    for call in calls.iter().filter(|call| call.resource.ends_with("/status")) {
        assert!(call.body["metadata"]["resourceVersion"].is_string(), "decided on one state of the object");
        let conditions = call.body["status"]["conditions"].as_array().cloned().unwrap_or_default();
        assert!(conditions.iter().all(|condition| condition["type"] != "Approved"));
    }
}

#[tokio::test(start_paused = true)]
async fn what_others_wrote_survives_every_write_of_ours() {
    let mut ground = Ground::new();
    alert(&ground.api, "at", &json!({}));
    webhook_says(&ground.api, "at", &[("f1", "firing")]);
    ground.api.change::<AlertTask>(NS, "at", |task| {
        let condition = serde_json::from_value(others_condition()).unwrap();
        task.status.as_mut().unwrap().task.conditions.push(condition);
    });
    let (job, pod) = ground.running::<AlertTask>("at").await;
    webhook_says(&ground.api, "at", &[("f1", "firing"), ("f2", "firing")]);
    ground.cluster.conclude(&job, &pod, None);
    ground.drive::<AlertTask>("at").await;
    let status = named::<AlertTask>(&ground.api, "at").status.unwrap();
    assert_eq!((status.occurrences, status.alerts.len(), status.prompted_alerts), (2, 2, Some(1)));
    let approved = conditions::holds(&status.task.conditions, "Approved").unwrap();
    assert_eq!(approved.message, "by someone");
    assert!(conditions::holds(&status.task.conditions, reasons::COMPLETE).is_some());
}

#[tokio::test(start_paused = true)]
async fn a_job_made_after_a_crash_has_the_prompt_of_its_admission() {
    let mut ground = Ground::new();
    alert(&ground.api, "at", &json!({}));
    ground.admit();
    ground.pass::<AlertTask>("at").await.unwrap();
    // Before the Job is made, another alert joins.
    webhook_says(&ground.api, "at", &[("f1", "firing"), ("f2", "firing")]);
    ground.drive::<AlertTask>("at").await;
    let body = &ground.api.calls_of("create", "jobs")[0].body;
    let prompt = &body["spec"]["template"]["metadata"]["annotations"]["punching-fist.io/prompt"];
    assert_eq!(prompt, "Broken and 1 in all");
}
