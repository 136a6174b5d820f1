//! A controller that is killed at every write of a run, just before it and just after it, and one whose API server fails
//! in every way at every kind of call: the run comes to the same end, with one Job and one report.

use k8s_openapi::api::batch::v1::Job;
use punching_fist_api::{AlertTask, MaintenanceTask, Phase};
use punching_fist_protocol::Reason;
use punching_fist_testkit::recording::{Fault, RecordingApi, Times};
use serde_json::{Value, json};

use super::cluster::{Script, has_ended};
use super::ground::names_of;
use super::line::{self, Side};
use super::live::{self, Live, until};
use super::objects::{
    self, Object, alert, edit, fault, log_holds, long, maintenance, named, verdict, webhook_says,
};

/// What happens in a run.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Story {
    /// One attempt fails, the second comes to a verdict.
    Retried,
    /// No attempt comes to a verdict.
    Failed,
    /// Cancelled while the agent works.
    Cancelled,
    /// An alert joins while the agent works, so that a second run follows.
    Followed,
}

impl Story {
    fn script(self) -> Script {
        match self {
            Self::Retried => vec![(10, fault(Reason::ProviderFault)), (0, verdict(Some(&long())))],
            Self::Failed => vec![(12, fault(Reason::TimeLimit))],
            Self::Cancelled => Vec::new(),
            Self::Followed => vec![(0, verdict(Some(&long())))],
        }
    }

    fn begin(self, api: &RecordingApi) {
        match self {
            Self::Followed => drop(alert(api, "task", &json!({}))),
            _ => drop(maintenance(api, "task")),
        }
    }

    /// What others do while the run goes on.
    async fn meddle(self, api: RecordingApi) {
        match self {
            Self::Cancelled => {
                until("it runs", || objects::state::<MaintenanceTask>(&api, "task").0 == "Running").await;
                edit::<MaintenanceTask>(&api, "task", |task| task.spec.cancel = true);
            }
            Self::Followed => {
                until("its Job is made", || !api.all::<Job>().is_empty()).await;
                webhook_says(&api, "task", &[("f1", "firing"), ("f2", "firing")]);
            }
            Self::Retried | Self::Failed => {}
        }
    }

    fn runs(self) -> usize {
        if self == Self::Followed { 2 } else { 1 }
    }

    /// Whether everything is done, the Jobs' TTL included.
    fn is_over(self, api: &RecordingApi) -> bool {
        let mirrored =
            |job: &Job| has_ended(job) && job.spec.as_ref().unwrap().ttl_seconds_after_finished.is_some();
        let jobs = api.all::<Job>();
        let finished = statuses(api).iter().filter(|status| is_final(status)).count();
        finished == self.runs()
            && jobs.iter().all(mirrored)
            && (self == Self::Cancelled || jobs.len() == self.runs())
    }
}

fn is_final(status: &Value) -> bool {
    let phase = serde_json::from_value::<Phase>(status["phase"].clone());
    phase.is_ok_and(Phase::is_final)
}

fn statuses(api: &RecordingApi) -> Vec<Value> {
    fn of<K: Object>(api: &RecordingApi) -> Vec<Value> {
        let tasks = names_of::<K>(api).into_iter().map(|name| named::<K>(api, &name));
        tasks.map(|task| serde_json::to_value(task.task_status()).unwrap()).collect()
    }
    [of::<AlertTask>(api), of::<MaintenanceTask>(api)].concat()
}

/// The statuses without what the clock and the order of pods' last words decide.
fn ends(api: &RecordingApi, story: Story) -> Vec<Value> {
    let mut ends = statuses(api);
    for status in &mut ends {
        let members = status.as_object_mut().unwrap();
        members.retain(|name, _| !["startTime", "completionTime", "job"].contains(&name.as_str()));
        if story == Story::Cancelled {
            members.retain(|name, _| !["attempts", "usage", "lastError"].contains(&name.as_str()));
        }
        for condition in members["conditions"].as_array_mut().unwrap() {
            condition["lastTransitionTime"] = Value::Null;
        }
        for attempt in members.get_mut("attempts").and_then(Value::as_array_mut).into_iter().flatten() {
            (attempt["finishedAt"], attempt["podUID"], attempt["pod"]) =
                (Value::Null, Value::Null, Value::Null);
        }
    }
    ends
}

/// Tells the story to its end, with one controller that is killed at that write and one that takes over.
async fn told(story: Story, killed: Option<(usize, Side)>) -> RecordingApi {
    told_by(live::api(), &format!("{story:?}, killed at {killed:?}"), story, killed).await
}

async fn told_by(api: RecordingApi, what: &str, story: Story, killed: Option<(usize, Side)>) -> RecordingApi {
    log_holds(&api, &long());
    story.begin(&api);
    let cluster = live::play(&api, story.script());
    let others = tokio::spawn(story.meddle(api.clone()));
    if let Some((at, side)) = killed {
        let (client, cut) = line::severed(api.client(), at, side);
        let first = Live::start(client);
        until("the line is cut", || *cut.borrow() || story.is_over(&api)).await;
        first.kill().await;
    }
    let last = Live::start(api.client());
    until(&format!("it is over: {what}"), || story.is_over(&api)).await;
    others.await.unwrap();
    last.stop().await;
    cluster.abort();
    api
}

fn jobs_made(api: &RecordingApi) -> usize {
    api.calls_of("create", "jobs").iter().filter(|call| call.code == Some(201)).count()
}

/// The reports that were written, each counted once however often it was said again.
fn reports(api: &RecordingApi) -> usize {
    let all = api.writes();
    let mut reports: Vec<_> = all
        .iter()
        .filter(|call| call.query.get("fieldManager").is_some_and(|name| name == "punching-fist-report"))
        .filter(|call| call.code == Some(200))
        .map(|call| (call.name.clone(), call.body["status"].to_string()))
        .collect();
    reports.sort();
    reports.dedup();
    reports.len()
}

/// An API server that fails once, with this call in this way.
fn failing(verb: &str, resource: &str, fault: &Fault) -> RecordingApi {
    let api = live::api();
    api.inject(verb, resource, fault.clone(), Times::Once);
    api
}

/// The calls that a run is made of, and more than one run makes.
const CALLS: [(&str, &str); 11] = [
    ("apply", "maintenancetasks/status"),
    ("apply", "alerttasks/status"),
    ("create", "jobs"),
    ("create", "alerttasks"),
    ("create", "events"),
    ("patch", "jobs"),
    ("delete", "jobs"),
    ("get", "serviceaccounts"),
    ("get", "jobs"),
    ("get", "pods/log"),
    ("watch", "*"),
];

async fn faulty_in_every_call(story: Story) {
    let faults = [
        Fault::Status(409),
        Fault::Status(500),
        Fault::Disconnect,
        Fault::DoneThenStatus(500),
        Fault::Hang,
        Fault::DoneThenHang,
    ];
    let undisturbed = told(story, None).await;
    let called = |(verb, resource): &(&str, &str)| !undisturbed.calls_of(verb, resource).is_empty();
    for (verb, resource) in CALLS.into_iter().filter(called) {
        // How long an answer may take to begin is the client's business: a watch that never begins is nobody's event.
        let hangs = |fault: &&Fault| matches!(fault, Fault::Hang | Fault::DoneThenHang);
        for fault in faults.iter().filter(|fault| verb != "watch" || !hangs(fault)) {
            let what = format!("{story:?}, {verb} {resource}: {fault:?}");
            let api = told_by(failing(verb, resource, fault), &what, story, None).await;
            assert_eq!(ends(&api, story), ends(&undisturbed, story), "{what}");
            assert_eq!(
                (api.all::<Job>().len(), reports(&api)),
                (undisturbed.all::<Job>().len(), reports(&undisturbed)),
                "{what}"
            );
        }
    }
}

async fn killed_at_every_write(story: Story) {
    let undisturbed = told(story, None).await;
    let expected = ends(&undisturbed, story);
    let (jobs, reported) = (jobs_made(&undisturbed), reports(&undisturbed));
    assert_eq!(jobs, story.runs());
    for at in 0..undisturbed.writes().len() {
        for side in [Side::Before, Side::After] {
            let api = told(story, Some((at, side))).await;
            let what = format!("{story:?}, killed {side:?} write {at}");
            assert_eq!(ends(&api, story), expected, "{what}");
            assert_eq!((jobs_made(&api), reports(&api)), (jobs, reported), "{what}");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_run_with_a_retry_killed_at_every_write() {
    killed_at_every_write(Story::Retried).await;
}

#[tokio::test(start_paused = true)]
async fn a_run_with_a_retry_faulty_in_every_call() {
    faulty_in_every_call(Story::Retried).await;
}

#[tokio::test(start_paused = true)]
async fn a_run_that_fails_killed_at_every_write() {
    killed_at_every_write(Story::Failed).await;
}

#[tokio::test(start_paused = true)]
async fn a_run_that_is_cancelled_killed_at_every_write() {
    killed_at_every_write(Story::Cancelled).await;
}

#[tokio::test(start_paused = true)]
async fn a_run_that_is_cancelled_faulty_in_every_call() {
    faulty_in_every_call(Story::Cancelled).await;
}

#[tokio::test(start_paused = true)]
async fn a_run_that_another_one_follows_killed_at_every_write() {
    killed_at_every_write(Story::Followed).await;
}

#[tokio::test(start_paused = true)]
async fn a_run_that_another_one_follows_faulty_in_every_call() {
    faulty_in_every_call(Story::Followed).await;
}
