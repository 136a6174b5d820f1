//! What must hold whatever happens: random histories of alerts, of repeated, doubled, late and racing notifications, of
//! runs and of crashes. No firing alert is ever lost, and never are two tasks of one key open.

use std::collections::BTreeSet;

use punching_fist_api::{Alert, reasons};

use super::tests::{alerts, apply, at, notification, route};
use super::*;

const ALERTS: usize = 4;

/// xorshift64*: the histories are the same on every machine.
struct Dice(u64);

impl Dice {
    fn roll(&mut self, sides: usize) -> usize {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        let value = self.0.wrapping_mul(0x2545_F491_4F6C_DD1D) >> 33;
        usize::try_from(value).unwrap() % sides
    }
}

/// etcd, an Alertmanager and a controller, without the talking between them.
struct World {
    dice: Dice,
    clock: i64,
    /// Since when each alert fires; negative: until then.
    truth: [i64; ALERTS],
    tasks: Vec<AlertTask>,
    /// What others may still believe.
    views: Vec<Vec<AlertTask>>,
    /// Sent and not yet delivered, or delivered and sent again.
    outbox: Vec<String>,
    /// Fingerprint and start of what a run or a person has answered.
    answered: BTreeSet<(String, Option<Timestamp>)>,
    log: Vec<String>,
}

impl World {
    fn new(seed: u64) -> Self {
        Self {
            dice: Dice(seed),
            clock: 1,
            truth: [-1; ALERTS],
            tasks: Vec::new(),
            views: Vec::new(),
            outbox: Vec::new(),
            answered: BTreeSet::new(),
            log: Vec::new(),
        }
    }

    fn step(&mut self) {
        self.clock += 1;
        match self.dice.roll(10) {
            0..3 => self.flip(),
            3..7 => self.deliver_some(),
            7 => self.admit(),
            _ => self.end(),
        }
        let open = self.tasks.iter().filter(|task| is_open(task)).count();
        assert!(open <= 1, "{open} open tasks after\n{}", self.log.join("\n"));
        self.views.push(self.tasks.clone());
    }

    fn flip(&mut self) {
        let which = self.dice.roll(ALERTS);
        self.truth[which] = if self.truth[which] > 0 { -self.truth[which] } else { self.clock };
        let snapshot = self.snapshot();
        self.outbox.push(snapshot);
    }

    /// What Alertmanager would send now: all that fires, and what fired once.
    fn snapshot(&self) -> String {
        let words = self.truth.iter().enumerate().filter(|(_, start)| **start != -1);
        words
            .map(|(i, start)| format!("a{i}@{}{}", start.abs(), if *start < 0 { "-" } else { "" }))
            .collect::<Vec<_>>()
            .join(" ")
    }

    /// Any of the last three, and it may come once more: order is no promise.
    fn deliver_some(&mut self) {
        if self.outbox.is_empty() {
            return;
        }
        let newest = self.outbox.len() - 1;
        let which = newest - self.dice.roll(3.min(self.outbox.len()));
        let text = self.outbox[which].clone();
        if self.dice.roll(2) == 0 {
            self.outbox.remove(which);
        }
        let late = self.dice.roll(3);
        self.deliver(&text, late);
    }

    /// As the webhook does it: decided on what was seen `late` steps ago, and again on what is there when it collides.
    fn deliver(&mut self, text: &str, late: usize) {
        self.log.push(format!("{}: {text} seen {late} late", self.clock));
        let (route, notification) = (route(), notification(text));
        let incident = Incident::new(&route, &notification);
        let mut view = self.views.iter().rev().nth(late).unwrap_or(&self.tasks).clone();
        for _ in 0..4 {
            let chain = Chain::of(&view);
            let seen = chain.newest().and_then(|task| task.metadata.name.clone());
            let done = match decide(&incident, &chain, at(self.clock)) {
                Decision::Create(task) | Decision::Successor(task) => self.create(*task, Some(&notification)),
                Decision::Merge(status) => self.merge(chain.newest().unwrap(), *status),
                Decision::Nothing => true,
            };
            view.clone_from(&self.tasks);
            let newest = Chain::of(&view).newest().and_then(|task| task.metadata.name.clone());
            if done && (newest == seen || seen.is_none() || !notification.alerts.iter().any(is_over)) {
                return;
            }
        }
        panic!("no decision holds after\n{}", self.log.join("\n"));
    }

    /// The name is the lock. The status after it is sometimes lost in a crash.
    fn create(&mut self, mut task: AlertTask, notification: Option<&Notification>) -> bool {
        if self.tasks.iter().any(|other| other.metadata.name == task.metadata.name) {
            return false;
        }
        self.log.push(format!("{}: made {:?}", self.clock, task.metadata.name));
        task.metadata.uid = Some(format!("uid-{}", self.tasks.len()));
        task.metadata.resource_version = Some("0".into());
        if let Some(notification) = notification
            && self.dice.roll(10) > 0
            && let Some(merged) = WebhookStatus::of(&task).merged(notification, at(self.clock))
        {
            apply(&mut task, merged);
        }
        self.tasks.push(task);
        true
    }

    /// The resourceVersion is the lock.
    fn merge(&mut self, seen: &AlertTask, merged: WebhookStatus) -> bool {
        let place = self.tasks.iter().position(|task| task.metadata.uid == seen.metadata.uid).unwrap();
        if self.tasks[place].metadata.resource_version != seen.metadata.resource_version {
            return false;
        }
        apply(&mut self.tasks[place], merged);
        self.touch(place);
        true
    }

    fn touch(&mut self, place: usize) {
        let metadata = &mut self.tasks[place].metadata;
        let version: u64 = metadata.resource_version.as_deref().unwrap().parse().unwrap();
        metadata.resource_version = Some((version + 1).to_string());
    }

    fn open(&self) -> Option<usize> {
        self.tasks.iter().position(is_open)
    }

    /// The controller: closes what nothing fires for, else the prompt is made.
    fn admit(&mut self) {
        let Some(place) = self.open() else { return };
        let task = &mut self.tasks[place];
        if task.status.as_ref().is_some_and(|status| status.prompted_alerts.is_some()) {
            return;
        }
        let known = records(task).len();
        let fires = is_firing(task);
        let status = task.status.get_or_insert_default();
        if fires {
            status.prompted_alerts = Some(i64::try_from(known).unwrap());
            status.task.phase = Some(Phase::Running);
            self.touch(place);
        } else {
            self.end_with(place, Phase::Succeeded, reasons::ALERT_RESOLVED);
        }
    }

    fn end(&mut self) {
        let Some(place) = self.open() else { return };
        let runs = self.tasks[place].status.as_ref().is_some_and(|status| status.prompted_alerts.is_some());
        let stops = !is_firing(&self.tasks[place]);
        match self.dice.roll(6) {
            0 => self.end_with(place, Phase::Failed, reasons::CANCELLED),
            1 if runs => self.end_with(place, Phase::Failed, reasons::BACKOFF_LIMIT_EXCEEDED),
            2 if runs && stops => self.end_with(place, Phase::Succeeded, reasons::ALERT_RESOLVED),
            _ if runs => self.end_with(place, Phase::Succeeded, reasons::VERDICT_REACHED),
            _ => {}
        }
    }

    fn end_with(&mut self, place: usize, phase: Phase, reason: &str) {
        self.log.push(format!("{}: {:?} ends: {reason}", self.clock, self.tasks[place].metadata.name));
        let status = self.tasks[place].status.get_or_insert_default();
        status.task.phase = Some(phase);
        status.task.reason = Some(reason.to_owned());
        self.touch(place);
        self.note_answers(place, reason);
        if let Some(next) = follow_up(&self.tasks[place]) {
            self.create(next, None);
        }
    }

    fn note_answers(&mut self, place: usize, reason: &str) {
        let task = &self.tasks[place];
        let known = records(task);
        let prompted = task.status.as_ref().and_then(|status| status.prompted_alerts);
        let about = prompted.map_or(known.len(), |count| usize::try_from(count).unwrap());
        if reason == reasons::VERDICT_REACHED || reason == reasons::CANCELLED {
            let answered = known.iter().take(about);
            self.answered
                .extend(answered.map(|record| {
                    (record.fingerprint.clone(), record.starts_at.as_ref().map(|time| time.0))
                }));
        }
    }

    /// Alertmanager repeats, runs succeed: until nothing is left to do.
    fn settle(&mut self) {
        for _ in 0..10 {
            self.clock += 1;
            let last = self.snapshot();
            self.deliver(&last, 0);
            self.admit();
            while let Some(place) = self.open() {
                self.admit();
                if self.open() == Some(place) {
                    self.end_with(place, Phase::Succeeded, reasons::VERDICT_REACHED);
                }
            }
        }
    }

    fn check_nothing_is_lost(&self) {
        let chain = Chain::of(&self.tasks);
        for alert in alerts(&self.snapshot()).iter().filter(|alert| !is_over(alert)) {
            let lost = format!("{} is lost after\n{}", alert.fingerprint, self.log.join("\n"));
            let known = chain.newest().map(records).unwrap_or_default();
            let record = known.iter().find(|record| record.fingerprint == alert.fingerprint).expect(&lost);
            assert_eq!(record.state, AlertState::Firing, "{lost}");
            let start = alert.starts_at.as_ref().map(|time| time.0);
            assert!(self.answered.contains(&(alert.fingerprint.clone(), start)), "{lost}");
        }
    }
}

fn is_over(alert: &Alert) -> bool {
    alert.status == AlertState::Resolved
}

#[test]
fn nothing_is_lost_and_no_two_tasks_are_open() {
    for seed in 1..=150 {
        let mut world = World::new(seed);
        for _ in 0..120 {
            world.step();
        }
        world.settle();
        let before = world.tasks.len();
        world.check_nothing_is_lost();
        world.settle();
        assert_eq!(world.tasks.len(), before, "repeats alone make no work:\n{}", world.log.join("\n"));
    }
}
