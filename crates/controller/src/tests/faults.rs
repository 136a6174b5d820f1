//! An API server that conflicts, hangs or answers nonsense: a pass ends, tells why, and the next one goes on.

use std::time::Duration;

use punching_fist_api::MaintenanceTask;
use punching_fist_testkit::recording::{Fault, Times};

use super::clock;
use super::ground::Ground;
use super::objects::{edit, maintenance, named, state, webhook_says};
use crate::Error;

const ERRORS: &str = "punching_fist_reconcile_errors_total";

#[tokio::test(start_paused = true)]
async fn a_conflict_means_look_again_and_is_no_error() {
    let mut ground = Ground::new();
    let stale = maintenance(&ground.api, "mt");
    edit::<MaintenanceTask>(&ground.api, "mt", |task| task.spec.suspend = true);
    ground.observe();
    let error = ground.stale_pass(stale).await.unwrap_err();
    assert!(matches!(error, Error::Conflict), "{error}");
    assert_eq!(ground.counted(ERRORS), 0);
    assert_eq!(state::<MaintenanceTask>(&ground.api, "mt").1, "", "nothing was decided on what is past");
    ground.drive::<MaintenanceTask>("mt").await;
    assert_eq!(state::<MaintenanceTask>(&ground.api, "mt").1, "Suspended");
}

#[tokio::test(start_paused = true)]
async fn the_end_is_not_written_on_a_status_that_moved_on() {
    use super::objects::{alert, log_holds, long};
    use punching_fist_api::AlertTask;
    let mut ground = Ground::new();
    alert(&ground.api, "at", &serde_json::json!({}));
    let (job, pod) = ground.running::<AlertTask>("at").await;
    ground.cluster.conclude(&job, &pod, Some(&long()));
    log_holds(&ground.api, &long());
    ground.observe();
    let stale = named::<AlertTask>(&ground.api, "at");
    webhook_says(&ground.api, "at", &[("f1", "firing"), ("f2", "firing")]);
    assert!(matches!(ground.stale_pass(stale).await, Err(Error::Conflict)));
    assert_eq!(state::<AlertTask>(&ground.api, "at").0, "Running");
    ground.drive::<AlertTask>("at").await;
    assert_eq!(state::<AlertTask>(&ground.api, "at").0, "Succeeded");
}

#[tokio::test(start_paused = true)]
async fn a_pass_that_hangs_ends_at_its_deadline() {
    let mut ground = Ground::new();
    maintenance(&ground.api, "mt");
    ground.api.inject("*", "*", Fault::Hang, Times::Always);
    let since = tokio::time::Instant::now();
    let error = ground.pass::<MaintenanceTask>("mt").await.unwrap_err();
    assert!(matches!(error, Error::TimedOut(30)), "{error}");
    assert_eq!(since.elapsed(), Duration::from_secs(30));
    assert_eq!(ground.counted(ERRORS), 1);
    ground.api.heal();
    ground.drive::<MaintenanceTask>("mt").await;
    assert_eq!(state::<MaintenanceTask>(&ground.api, "mt").1, "Starting");
}

#[tokio::test(start_paused = true)]
async fn a_status_that_was_written_although_the_answer_lied_is_not_written_twice() {
    for fault in [Fault::DoneThenStatus(500), Fault::DoneThenHang] {
        let mut ground = Ground::new();
        maintenance(&ground.api, "mt");
        ground.api.inject("apply", "maintenancetasks/status", fault, Times::Once);
        ground.pass::<MaintenanceTask>("mt").await.unwrap_err();
        assert_eq!(state::<MaintenanceTask>(&ground.api, "mt").1, "Queued");
        ground.api.forget();
        ground.pass::<MaintenanceTask>("mt").await.unwrap();
        assert!(ground.api.writes().is_empty());
    }
}

#[tokio::test(start_paused = true)]
async fn events_that_cannot_be_published_change_nothing_about_the_run() {
    for fault in [Fault::Status(403), Fault::Hang] {
        let mut ground = Ground::new();
        maintenance(&ground.api, "mt");
        ground.api.inject("create", "events", fault, Times::Always);
        ground.drive::<MaintenanceTask>("mt").await;
        assert_eq!(state::<MaintenanceTask>(&ground.api, "mt").1, "Starting");
    }
}

#[tokio::test(start_paused = true)]
async fn each_failure_in_a_row_waits_longer_and_a_success_starts_anew() {
    let mut ground = Ground::new();
    maintenance(&ground.api, "mt");
    ground.api.inject("apply", "*", Fault::Status(500), Times::Count(3));
    for _ in 0..3 {
        ground.pass::<MaintenanceTask>("mt").await.unwrap_err();
    }
    clock::pass(1).await;
    ground.drive::<MaintenanceTask>("mt").await;
    assert_eq!(state::<MaintenanceTask>(&ground.api, "mt").1, "Starting");
    assert_eq!(ground.counted(ERRORS), 3);
}
