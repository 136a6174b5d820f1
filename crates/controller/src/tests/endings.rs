//! How runs end: what is mirrored, in which order it is written, and what is believed.

use k8s_openapi::api::batch::v1::Job;
use punching_fist_api::{MaintenanceTask, Phase, TaskStatus, Verdict, reasons};
use punching_fist_core::conditions;
use punching_fist_protocol::Reason;
use punching_fist_testkit::recording::{Fault, Times};
use serde_json::{Value, json};

use super::clock;
use super::ground::Ground;
use super::objects::{NS, Object, fault, log_holds, long, maintenance, named, state, verdict};

fn status(ground: &Ground) -> TaskStatus {
    named::<MaintenanceTask>(&ground.api, "mt").status.expect("a status").task
}

fn ttl(ground: &Ground, job: &str) -> Option<i32> {
    ground.cluster.job(job).spec.unwrap().ttl_seconds_after_finished
}

/// Verb, resource and field manager of what was written, but for Events.
fn writes(ground: &Ground) -> Vec<String> {
    let told = ground.api.writes().into_iter().filter(|call| !call.resource.starts_with("events"));
    told.map(|call| {
        let manager = call.query.get("fieldManager").map(|manager| format!(" {manager}")).unwrap_or_default();
        format!("{} {}{manager}", call.verb, call.resource)
    })
    .collect()
}

/// A run that has ended with a verdict in both forms, and its Job.
async fn with_a_verdict() -> (Ground, String) {
    let mut ground = Ground::new();
    maintenance(&ground.api, "mt");
    let (job, pod) = ground.running::<MaintenanceTask>("mt").await;
    log_holds(&ground.api, &long());
    ground.cluster.conclude(&job, &pod, Some(&long()));
    ground.api.forget();
    ground.drive::<MaintenanceTask>("mt").await;
    (ground, job)
}

#[tokio::test(start_paused = true)]
async fn the_end_has_an_order_report_then_status_then_ttl() {
    let (ground, job) = with_a_verdict().await;
    assert_eq!(
        writes(&ground),
        [
            "apply maintenancetasks/status punching-fist-report",
            "apply maintenancetasks/status punching-fist-controller",
            "patch jobs punching-fist-controller",
        ]
    );
    assert_eq!(ttl(&ground, &job), Some(3600));
}

#[tokio::test(start_paused = true)]
async fn a_verdict_is_mirrored_and_counted() {
    let (ground, _) = with_a_verdict().await;
    let status = status(&ground);
    let result = status.result.unwrap();
    assert_eq!((status.phase, status.reason.as_deref()), (Some(Phase::Succeeded), Some("VerdictReached")));
    assert_eq!(
        (result.verdict, result.summary.as_deref()),
        (Some(Verdict::Diagnosed), Some("The disk is full."))
    );
    assert_eq!((result.report, result.plan), (long().report, long().plan));
    assert!(status.start_time.unwrap().0 <= status.completion_time.unwrap().0);
    for (type_, holds) in [
        (reasons::COMPLETE, true),
        (reasons::FINISHED, true),
        (reasons::READY, true),
        (reasons::STALLED, false),
        (reasons::RECONCILING, false),
    ] {
        assert_eq!(conditions::holds(&status.conditions, type_).is_some(), holds, "{type_}");
    }
    assert_eq!(
        (ground.counted("openhands_tasks_total"), ground.counted("openhands_tasks_succeeded_total")),
        (1, 1)
    );
}

#[tokio::test(start_paused = true)]
async fn a_finished_and_mirrored_task_costs_no_call() {
    let mut ground = Ground::new();
    maintenance(&ground.api, "mt");
    let (job, pod) = ground.running::<MaintenanceTask>("mt").await;
    ground.cluster.conclude(&job, &pod, None);
    ground.drive::<MaintenanceTask>("mt").await;
    ground.api.forget();
    for _ in 0..3 {
        ground.pass::<MaintenanceTask>("mt").await.unwrap();
    }
    assert!(ground.api.calls().is_empty(), "{:?}", ground.api.calls());
    // Neither does one whose Job is gone.
    ground.api.remove::<Job>(NS, &job);
    ground.pass::<MaintenanceTask>("mt").await.unwrap();
    assert!(ground.api.calls().is_empty(), "{:?}", ground.api.calls());
}

#[tokio::test(start_paused = true)]
async fn a_run_that_goes_on_costs_no_write() {
    let mut ground = Ground::new();
    maintenance(&ground.api, "mt");
    ground.running::<MaintenanceTask>("mt").await;
    assert_eq!(
        state::<MaintenanceTask>(&ground.api, "mt"),
        ("Running".to_owned(), "AgentRunning".to_owned())
    );
    ground.api.forget();
    ground.pass::<MaintenanceTask>("mt").await.unwrap();
    assert!(ground.api.calls().is_empty(), "{:?}", ground.api.calls());
}

#[tokio::test(start_paused = true)]
async fn a_log_that_cannot_be_read_is_tried_for_a_minute_and_no_longer() {
    for answer in
        [Fault::Status(500), Fault::Hang, Fault::Answer(200, "nothing of the runner's\n".to_owned())]
    {
        let mut ground = Ground::new();
        maintenance(&ground.api, "mt");
        let (job, pod) = ground.running::<MaintenanceTask>("mt").await;
        ground.api.inject("get", "pods/log", answer.clone(), Times::Always);
        ground.cluster.conclude(&job, &pod, Some(&long()));
        let since = clock::now();
        while status(&ground).phase != Some(Phase::Succeeded) {
            ground.pass::<MaintenanceTask>("mt").await.unwrap();
            clock::pass(1).await;
            assert!(clock::now().duration_since(since).as_secs() < 200, "{answer:?} is waited for too long");
        }
        let took = clock::now().duration_since(since).as_secs();
        assert!((60..=82).contains(&took), "{answer:?}: {took} s");
        let result = status(&ground).result.unwrap();
        assert_eq!((result.verdict, result.report), (Some(Verdict::Diagnosed), None), "{answer:?}");
        ground.drive::<MaintenanceTask>("mt").await;
        assert_eq!(ttl(&ground, &job), Some(3600), "{answer:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_retry_counts_and_what_all_attempts_used_is_summed() {
    let mut ground = Ground::new();
    maintenance(&ground.api, "mt");
    let (job, first) = ground.running::<MaintenanceTask>("mt").await;
    ground.cluster.end_container(&first, 10, &fault(Reason::ProviderFault));
    ground.cluster.job_status(&job, &json!({"active": null, "failed": 1}));
    ground.drive::<MaintenanceTask>("mt").await;
    let between = status(&ground);
    assert_eq!((between.phase, between.retry_count), (Some(Phase::Retrying), 1));
    assert_eq!(between.last_error.as_deref(), Some("ProviderFault: the model is away"));
    let second = ground.cluster.make_pod(&job);
    ground.cluster.container(&second, &json!({"running": {}}));
    ground.drive::<MaintenanceTask>("mt").await;
    assert!(status(&ground).message.unwrap().starts_with("attempt 2 of 4 works"));
    ground.cluster.conclude(&job, &second, None);
    ground.drive::<MaintenanceTask>("mt").await;
    let ended = status(&ground);
    assert_eq!((ended.phase, ended.retry_count), (Some(Phase::Succeeded), 1));
    let codes: Vec<_> = ended.attempts.iter().map(|attempt| attempt.exit_code).collect();
    assert_eq!(codes, [Some(10), Some(0)]);
    let usage = ended.usage.unwrap().total;
    assert_eq!((usage.input_tokens, usage.calls, usage.cost_usd.as_deref()), (200, 4, Some("0.03")));
}

#[tokio::test(start_paused = true)]
async fn a_job_that_failed_says_why_in_the_best_words() {
    let rows = [
        ("PodFailurePolicy", 12, fault(Reason::IterationLimit), "IterationLimit"),
        ("PodFailurePolicy", 11, fault(Reason::CredentialsRefused), "CredentialsRefused"),
        ("BackoffLimitExceeded", 10, fault(Reason::ProviderFault), "BackoffLimitExceeded"),
        ("DeadlineExceeded", 137, String::new(), "DeadlineExceeded"),
    ];
    for (end, code, message, reason) in rows {
        let mut ground = Ground::new();
        maintenance(&ground.api, "mt");
        let (job, pod) = ground.running::<MaintenanceTask>("mt").await;
        ground.cluster.end_container(&pod, code, &message);
        ground.cluster.fail(&job, end, 1);
        ground.drive::<MaintenanceTask>("mt").await;
        let status = status(&ground);
        assert_eq!((status.phase, status.reason.as_deref()), (Some(Phase::Failed), Some(reason)));
        assert_eq!((status.retry_count, status.attempts.len()), (0, 1), "{reason}");
        assert!(conditions::holds(&status.conditions, reasons::FAILED).is_some());
        assert!(conditions::holds(&status.conditions, reasons::STALLED).is_some());
        assert_eq!(ttl(&ground, &job), Some(3600), "{reason}");
        assert_eq!(ground.counted("openhands_tasks_failed_total"), 1);
    }
}

#[tokio::test(start_paused = true)]
async fn a_success_without_a_believable_result_is_none_after_a_while() {
    for message in [String::new(), "done!".to_owned(), fault(Reason::ProviderFault)] {
        let mut ground = Ground::new();
        maintenance(&ground.api, "mt");
        let (job, pod) = ground.running::<MaintenanceTask>("mt").await;
        ground.cluster.end_container(&pod, 0, &message);
        ground.cluster.complete(&job);
        ground.pass::<MaintenanceTask>("mt").await.unwrap();
        assert_eq!(status(&ground).phase, Some(Phase::Running), "its pod may still be heard of");
        clock::pass(61).await;
        ground.drive::<MaintenanceTask>("mt").await;
        assert_eq!(state::<MaintenanceTask>(&ground.api, "mt"), ("Failed".to_owned(), "NoResult".to_owned()));
    }
}

#[tokio::test(start_paused = true)]
async fn the_jobs_end_may_be_seen_before_its_pods() {
    let mut ground = Ground::new();
    maintenance(&ground.api, "mt");
    let (job, pod) = ground.running::<MaintenanceTask>("mt").await;
    ground.cluster.complete(&job);
    ground.pass::<MaintenanceTask>("mt").await.unwrap();
    assert_eq!(status(&ground).phase, Some(Phase::Running));
    ground.cluster.end_container(&pod, 0, &verdict(None));
    ground.drive::<MaintenanceTask>("mt").await;
    assert_eq!(status(&ground).reason.as_deref(), Some("VerdictReached"));
}

#[tokio::test(start_paused = true)]
async fn a_pod_that_was_deleted_with_its_last_word_is_still_heard() {
    let mut ground = Ground::new();
    maintenance(&ground.api, "mt");
    let (job, pod) = ground.running::<MaintenanceTask>("mt").await;
    ground.cluster.end_container(&pod, 0, &verdict(None));
    ground.observe();
    ground.api.remove::<k8s_openapi::api::core::v1::Pod>(NS, &pod);
    ground.observe();
    ground.cluster.complete(&job);
    ground.drive::<MaintenanceTask>("mt").await;
    assert_eq!(status(&ground).reason.as_deref(), Some("VerdictReached"));
}

#[tokio::test(start_paused = true)]
async fn an_edit_of_a_finished_task_is_seen_and_changes_nothing_else() {
    let mut ground = Ground::new();
    MaintenanceTask::seeded(&ground.api, "mt", &json!({"prompt": "p", "cancel": true}), &Value::Null);
    ground.drive::<MaintenanceTask>("mt").await;
    let before = status(&ground);
    super::objects::edit::<MaintenanceTask>(&ground.api, "mt", |task| task.spec.cancel = false);
    ground.drive::<MaintenanceTask>("mt").await;
    let after = status(&ground);
    assert_eq!((before.observed_generation, after.observed_generation), (1, 2));
    assert_eq!((after.phase, after.completion_time), (before.phase, before.completion_time));
}

#[tokio::test(start_paused = true)]
async fn a_run_that_has_spent_its_money_is_stopped_before_its_next_attempt() {
    let mut ground = Ground::new();
    let spec = json!({"prompt": "p", "agent": {"maxCostUSD": "0.03"}});
    MaintenanceTask::seeded(&ground.api, "mt", &spec, &Value::Null);
    let (job, first) = ground.running::<MaintenanceTask>("mt").await;
    ground.cluster.end_container(&first, 10, &fault(Reason::ProviderFault));
    ground.cluster.job_status(&job, &json!({"active": null, "ready": null, "failed": 1}));
    ground.drive::<MaintenanceTask>("mt").await;
    assert_eq!(state::<MaintenanceTask>(&ground.api, "mt").0, "Retrying", "half of it is left");
    let second = ground.cluster.make_pod(&job);
    ground.cluster.end_container(&second, 10, &fault(Reason::ProviderFault));
    ground.drive::<MaintenanceTask>("mt").await;
    assert_eq!(ground.api.calls_of("delete", "jobs").len(), 1);
    ground.cluster.remove(&job);
    ground.drive::<MaintenanceTask>("mt").await;
    let status = status(&ground);
    assert_eq!((status.phase, status.reason.as_deref()), (Some(Phase::Failed), Some("BudgetExceeded")));
    assert_eq!((status.attempts.len(), status.usage.unwrap().total.cost_usd.as_deref()), (2, Some("0.03")));
    let error = status.last_error.unwrap();
    assert!(error.contains("0.03 of 0.03 US dollars") && error.contains("the model is away"), "{error}");
}
