//! From a notification to the tasks of its incident: observe, decide, write; and again, when somebody was faster.

use std::collections::BTreeSet;
use std::time::Duration;

use jiff::Timestamp;
use kube::ResourceExt;
use punching_fist_api::{Alert, AlertState, AlertTask};
use punching_fist_core::incident::{self, Chain, Decision, Incident};
use punching_fist_core::notification::Notification;
use punching_fist_core::route::Route;
use tokio::sync::Semaphore;
use tokio::time::sleep;
use tracing::{debug, info, warn};

use crate::metrics::Metrics;
use crate::tasks::{Tasks, Written};
use crate::turns::Turns;
use crate::{AlertReport, Error, Outcome, Received, Report, TaskCache, TaskReport};

/// How often a notification is decided anew before the sender has to send it again.
const ATTEMPTS: usize = 8;
/// Before the third attempt; doubled before each further one: 630 ms in all, well within the deadline.
const FIRST_PAUSE: Duration = Duration::from_millis(10);

/// What all receivers hand their notifications to.
pub struct Intake {
    route: Route,
    tasks: Tasks,
    turns: Turns,
    /// How many notifications write at once.
    writers: Semaphore,
    metrics: Metrics,
    clock: fn() -> Timestamp,
}

/// What was decided for a notification and is in etcd.
#[derive(Debug)]
enum Placed {
    /// A task was made, or has taken the alerts in.
    In(String, Outcome),
    /// Nothing had to be written.
    Nowhere,
    /// The API server refuses for good.
    Refused(String),
}

/// What came of one look at an incident.
enum Step {
    Done(Placed),
    /// What was seen was not so, or is no longer so.
    Again,
}

/// One notification on its way.
struct Errand<'a> {
    incident: Incident<'a>,
    notification: &'a Notification,
    /// The task that this errand has made; it makes one at most.
    made: Option<String>,
    /// Names that were taken when this errand wanted them: tasks of the incident, whether they have its label or not.
    taken: BTreeSet<String>,
}

impl Intake {
    pub(crate) fn new(route: Route, tasks: Tasks, writers: usize, metrics: Metrics) -> Self {
        let (turns, writers) = (Turns::default(), Semaphore::new(writers));
        Self { route, tasks, turns, writers, metrics, clock: Timestamp::now }
    }

    pub(crate) fn use_cache(&mut self, cache: TaskCache) {
        self.tasks.use_cache(cache);
    }

    pub(crate) fn limit_writers(&mut self, writers: usize) {
        self.writers = Semaphore::new(writers);
    }

    /// The namespace in which tasks are made.
    pub fn namespace(&self) -> &str {
        self.route.namespace()
    }

    /// Brings a notification to its tasks. Returns when all of it is in etcd.
    pub async fn take(&self, from: &str, received: Received) -> Result<Report, Error> {
        let (taken, unmatched) = self.route.split(received.notification);
        let placed = if taken.alerts.is_empty() { Placed::Nowhere } else { self.place(&taken).await? };
        let mut report = Report { tasks: self.task_report(&placed), alerts: Vec::new() };
        report.alerts.extend(taken.alerts.iter().map(|alert| alert_report(alert, &placed)));
        report
            .alerts
            .extend(unmatched.iter().map(|alert| plain(&alert.fingerprint, Outcome::Unmatched, None)));
        let unreadable = received.refused.into_iter();
        report
            .alerts
            .extend(unreadable.map(|alert| plain(&alert.place, Outcome::Refused, Some(alert.message))));
        for alert in &report.alerts {
            self.metrics.alert(from, alert.outcome);
        }
        Ok(report)
    }

    async fn place(&self, notification: &Notification) -> Result<Placed, Error> {
        let incident = Incident::new(&self.route, notification);
        let _turn = self.turns.take(incident.key()).await;
        let _slot = self.writers.acquire().await.map_err(|_| Error::Overloaded)?;
        let mut errand = Errand { incident, notification, made: None, taken: BTreeSet::new() };
        if let Some(open) = self.tasks.known_open(errand.incident.key())
            && let Step::Done(placed) = self.merge_known(&errand, &open).await?
        {
            return Ok(placed);
        }
        for attempt in 0..ATTEMPTS {
            pause(attempt).await;
            if let Step::Done(placed) = self.act(&mut errand).await? {
                return Ok(placed);
            }
        }
        warn!(
            key = errand.incident.key(),
            "no decision held: others change the incident's tasks all the time"
        );
        Err(Error::Contended(ATTEMPTS))
    }

    /// The short way: a task that the cache knows to be under way. Anything but a merge is looked up first.
    async fn merge_known(&self, errand: &Errand<'_>, open: &AlertTask) -> Result<Step, Error> {
        let Decision::Merge(status) = incident::decide(&errand.incident, &Chain::of([open]), (self.clock)())
        else {
            return Ok(Step::Again);
        };
        self.note(errand, open, &status).await
    }

    /// One look at etcd, and what follows from it.
    async fn act(&self, errand: &mut Errand<'_>) -> Result<Step, Error> {
        let incident = &errand.incident;
        let tasks = self.chain(errand).await?;
        let chain = Chain::of(&tasks);
        match incident::decide(incident, &chain, (self.clock)()) {
            Decision::Create(task) | Decision::Successor(task) => match errand.made.clone() {
                Some(made) => Ok(Step::Done(Placed::In(made, Outcome::Created))),
                None => self.make(errand, &task).await,
            },
            Decision::Nothing => Ok(Step::Done(Placed::Nowhere)),
            Decision::Merge(status) => {
                let Some(newest) = chain.newest() else { return Ok(Step::Again) };
                let step = self.note(errand, newest, &status).await?;
                if matches!(step, Step::Done(_)) && self.was_followed(errand, newest).await? {
                    return Ok(Step::Again);
                }
                Ok(step)
            }
        }
    }

    /// The incident's tasks. Most are found by their label; one that somebody took it from holds a name still.
    async fn chain(&self, errand: &Errand<'_>) -> Result<Vec<AlertTask>, Error> {
        let (namespace, key) = (errand.incident.namespace(), errand.incident.key());
        let mut tasks = self.tasks.chain(namespace, key).await?;
        for name in &errand.taken {
            if !tasks.iter().any(|task| task.name_any() == *name) {
                tasks.extend(self.tasks.of_incident(namespace, name, key).await?);
            }
        }
        Ok(tasks)
    }

    /// Makes a task, and writes down at once what the notification said: a crash in between is mended by the next
    /// notification, as the spec holds the same.
    async fn make(&self, errand: &mut Errand<'_>, task: &AlertTask) -> Result<Step, Error> {
        let made = match self.tasks.create(errand.incident.namespace(), task).await? {
            Written::Done(made) => made,
            Written::Overtaken => {
                errand.taken.insert(task.name_any());
                return Ok(Step::Again);
            }
            Written::Refused(message) => return Ok(self.refused(errand, message)),
        };
        self.audit(&made);
        errand.made = Some(made.name_any());
        match incident::decide(&errand.incident, &Chain::of([&made]), (self.clock)()) {
            Decision::Merge(status) => self.note(errand, &made, &status).await,
            _ => Ok(Step::Again),
        }
    }

    async fn note(
        &self,
        errand: &Errand<'_>,
        task: &AlertTask,
        status: &incident::WebhookStatus,
    ) -> Result<Step, Error> {
        match self.tasks.note(errand.incident.namespace(), task, status).await? {
            Written::Done(()) => {
                let (name, outcome) = match &errand.made {
                    Some(made) => (made.clone(), Outcome::Created),
                    None => (task.name_any(), Outcome::Merged),
                };
                debug!(task = name, outcome = outcome.as_str(), "noted");
                Ok(Step::Done(Placed::In(name, outcome)))
            }
            Written::Overtaken => Ok(Step::Again),
            Written::Refused(message) => Ok(self.refused(errand, message)),
        }
    }

    /// Whether a finished task was followed just before it was told that alerts are over: its successor, which another
    /// replica made, has to know as well.
    async fn was_followed(&self, errand: &Errand<'_>, told: &AlertTask) -> Result<bool, Error> {
        let tells_an_end =
            errand.notification.alerts.iter().any(|alert| alert.status == AlertState::Resolved);
        if incident::is_open(told) || !tells_an_end {
            return Ok(false);
        }
        let tasks = self.chain(errand).await?;
        Ok(Chain::of(&tasks).newest().is_some_and(|newest| newest.metadata.uid != told.metadata.uid))
    }

    fn refused(&self, errand: &Errand<'_>, message: String) -> Step {
        let (namespace, key) = (self.route.namespace(), errand.incident.key());
        warn!(target: "audit", namespace, key, message, "the API server refuses the task of an alert");
        Step::Done(Placed::Refused(message))
    }

    fn audit(&self, task: &AlertTask) {
        let identity = task.spec.identity.as_ref();
        info!(
            target: "audit",
            namespace = self.route.namespace(),
            task = task.name_any(),
            route = self.route.name(),
            run = identity.map(|identity| identity.run),
            previous = identity.and_then(|identity| identity.previous.as_deref()),
            "made a task for an alert"
        );
    }

    fn task_report(&self, placed: &Placed) -> Vec<TaskReport> {
        match placed {
            Placed::In(name, outcome) => {
                let namespace = self.route.namespace().to_owned();
                vec![TaskReport { namespace, name: name.clone(), outcome: *outcome }]
            }
            Placed::Nowhere | Placed::Refused(_) => Vec::new(),
        }
    }
}

/// Nothing before the first attempts, then longer each time: whoever collides twice is one of many.
async fn pause(attempt: usize) {
    if attempt > 1 {
        sleep(FIRST_PAUSE * (1 << (attempt - 2))).await;
    }
}

fn alert_report(alert: &Alert, placed: &Placed) -> AlertReport {
    match placed {
        Placed::Nowhere => plain(&alert.fingerprint, Outcome::Ignored, None),
        Placed::Refused(message) => plain(&alert.fingerprint, Outcome::Refused, Some(message.clone())),
        Placed::In(task, outcome) => {
            let outcome = if alert.status == AlertState::Resolved { Outcome::Resolved } else { *outcome };
            AlertReport { task: Some(task.clone()), ..plain(&alert.fingerprint, outcome, None) }
        }
    }
}

fn plain(alert: &str, outcome: Outcome, message: Option<String>) -> AlertReport {
    AlertReport { alert: alert.to_owned(), outcome, task: None, message }
}
