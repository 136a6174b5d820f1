//! The run that follows: alerts that joined while the agent worked get a task of their own, once, and no other does.

use kube::ResourceExt;
use punching_fist_api::{AlertTask, Task};
use punching_fist_core::incident;
use punching_fist_testkit::recording::{Fault, Times};
use serde_json::json;

use super::clock;
use super::ground::{Ground, names_of};
use super::objects::{NS, alert, edit, named, state, webhook_says};

/// A run that has ended while an alert waits that joined too late; no pass has seen the end yet.
async fn ended_with_a_late_alert(ground: &mut Ground) -> String {
    alert(&ground.api, "at", &json!({}));
    webhook_says(&ground.api, "at", &[("f1", "firing")]);
    let (job, pod) = ground.running::<AlertTask>("at").await;
    webhook_says(&ground.api, "at", &[("f1", "firing"), ("f2", "firing")]);
    ground.cluster.conclude(&job, &pod, None);
    job
}

fn followers(ground: &Ground) -> Vec<String> {
    names_of::<AlertTask>(&ground.api).into_iter().filter(|name| name != "at").collect()
}

fn ttl(ground: &Ground, job: &str) -> Option<i32> {
    ground.cluster.job(job).spec.unwrap().ttl_seconds_after_finished
}

#[tokio::test(start_paused = true)]
async fn a_late_alert_is_followed_once_when_the_run_ends() {
    let mut ground = Ground::new();
    let job = ended_with_a_late_alert(&mut ground).await;
    assert!(followers(&ground).is_empty());
    ground.drive::<AlertTask>("at").await;
    let names = followers(&ground);
    assert_eq!(names.len(), 1);
    let follower = named::<AlertTask>(&ground.api, &names[0]);
    let identity = follower.spec.identity.clone().unwrap();
    assert_eq!((identity.run, identity.previous.as_deref()), (2, Some("at")));
    assert!(follower.spec.notification.alerts.iter().any(|alert| alert.labels["alertname"] == "Brokenf2"));
    assert_eq!(ttl(&ground, &job), Some(3600));
    ground.drive::<AlertTask>("at").await;
    ground.drive::<AlertTask>(&names[0]).await;
    assert_eq!((followers(&ground), ground.api.calls_of("create", "alerttasks").len()), (names, 1));
    assert_eq!(ground.jobs_made(), 2);
}

#[tokio::test(start_paused = true)]
async fn nothing_follows_where_nothing_is_left() {
    for late in [&[("f1", "firing")][..], &[("f1", "firing"), ("f2", "resolved")]] {
        let mut ground = Ground::new();
        alert(&ground.api, "at", &json!({}));
        webhook_says(&ground.api, "at", &[("f1", "firing")]);
        let (job, pod) = ground.running::<AlertTask>("at").await;
        webhook_says(&ground.api, "at", late);
        ground.cluster.conclude(&job, &pod, None);
        ground.drive::<AlertTask>("at").await;
        assert!(followers(&ground).is_empty(), "{late:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn the_webhook_may_have_been_first() {
    for seen in [false, true] {
        let mut ground = Ground::new();
        let job = ended_with_a_late_alert(&mut ground).await;
        ground.pass::<AlertTask>("at").await.unwrap();
        assert_eq!(state::<AlertTask>(&ground.api, "at").0, "Succeeded");
        let finished = named::<AlertTask>(&ground.api, "at");
        ground.observe();
        let theirs = ground.api.seed(&incident::follow_up(&finished).unwrap());
        if seen {
            ground.observe();
        }
        ground.stale_pass(finished).await.unwrap();
        assert_eq!(followers(&ground), [theirs.name_any()]);
        assert_eq!(named::<AlertTask>(&ground.api, &theirs.name_any()), theirs, "it is left as it is");
        assert_eq!(ground.api.calls_of("create", "alerttasks").len(), usize::from(!seen));
        assert_eq!(ttl(&ground, &job), Some(3600));
    }
}

#[tokio::test(start_paused = true)]
async fn a_follower_that_was_deleted_does_not_come_back() {
    let mut ground = Ground::new();
    ended_with_a_late_alert(&mut ground).await;
    ground.drive::<AlertTask>("at").await;
    ground.api.remove::<AlertTask>(NS, &followers(&ground)[0]);
    ground.drive::<AlertTask>("at").await;
    assert!(followers(&ground).is_empty());
}

#[tokio::test(start_paused = true)]
async fn a_follower_that_cannot_be_made_now_is_made_later_and_one_that_is_refused_keeps_no_job() {
    let mut ground = Ground::new();
    let job = ended_with_a_late_alert(&mut ground).await;
    ground.pass::<AlertTask>("at").await.unwrap();
    ground.api.inject("create", "alerttasks", Fault::Status(503), Times::Once);
    ground.pass::<AlertTask>("at").await.unwrap_err();
    assert_eq!(ttl(&ground, &job), None, "its end isn't seen to yet");
    ground.drive::<AlertTask>("at").await;
    assert_eq!((followers(&ground).len(), ttl(&ground, &job)), (1, Some(3600)));

    let mut ground = Ground::new();
    let job = ended_with_a_late_alert(&mut ground).await;
    ground.api.inject("create", "alerttasks", Fault::Status(422), Times::Always);
    ground.drive::<AlertTask>("at").await;
    assert_eq!((followers(&ground).len(), ttl(&ground, &job)), (0, Some(3600)));
}

#[tokio::test(start_paused = true)]
async fn an_end_without_a_job_is_followed_only_while_it_is_fresh() {
    for (seconds, expected) in [(0, 1), (700, 0)] {
        let mut ground = Ground::new();
        alert(&ground.api, "at", &json!({"onResolved": "Cancel"}));
        let (job, _) = ground.running::<AlertTask>("at").await;
        webhook_says(&ground.api, "at", &[("f1", "resolved")]);
        ground.drive::<AlertTask>("at").await;
        // It fires again while its run is being stopped.
        webhook_says(&ground.api, "at", &[("f1", "firing")]);
        ground.cluster.remove(&job);
        ground.pass::<AlertTask>("at").await.unwrap();
        assert_eq!(state::<AlertTask>(&ground.api, "at").1, "AlertResolved");
        clock::pass(seconds).await;
        ground.drive::<AlertTask>("at").await;
        assert_eq!(followers(&ground).len(), expected, "{seconds} s after its end");
    }
}

#[tokio::test(start_paused = true)]
async fn the_prompt_of_a_follower_names_what_was_found_before() {
    let mut ground = Ground::new();
    ended_with_a_late_alert(&mut ground).await;
    ground.drive::<AlertTask>("at").await;
    let name = followers(&ground).remove(0);
    edit::<AlertTask>(&ground.api, &name, |task| {
        task.spec.task.prompt = Some("{{ previous.name }}: {{ previous.summary }}".to_owned());
    });
    let follower = ground.drive::<AlertTask>(&name).await;
    assert!(follower.task_status().unwrap().job.is_some());
    let body = &ground.api.calls_of("create", "jobs")[1].body;
    let prompt = &body["spec"]["template"]["metadata"]["annotations"]["punching-fist.io/prompt"];
    assert_eq!(prompt, "at: The disk is full.");
}
