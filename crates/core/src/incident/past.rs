//! A run that is over: what it was about, and so what would be new work.

use std::collections::HashMap;

use punching_fist_api::{Alert, AlertRecord, AlertState, AlertTask, Phase, reasons};

use super::{phase, records};
use crate::notification::MAX_KNOWN_ALERTS;

/// What a finished run leaves behind.
#[derive(Debug)]
pub(super) struct Past {
    known: HashMap<String, (usize, AlertRecord)>,
    /// The run was about so many of the records, from the first.
    handled: usize,
    failed_by_fault: bool,
    /// There were more alerts than a status can hold.
    overflowed: bool,
}

impl Past {
    pub(super) fn of(task: &AlertTask) -> Self {
        let records = records(task);
        let status = task.status.as_ref();
        Self {
            handled: handled(task, records.len()),
            failed_by_fault: failed_by_fault(task),
            overflowed: records.len() >= MAX_KNOWN_ALERTS
                || status.is_some_and(|status| status.truncated_alerts > 0),
            known: records
                .into_iter()
                .enumerate()
                .map(|(index, record)| (record.fingerprint.clone(), (index, record)))
                .collect(),
        }
    }

    /// Whether an alert that fires is work that the run has not done.
    pub(super) fn is_new(&self, alert: &Alert) -> bool {
        match self.known.get(&alert.fingerprint) {
            _ if self.failed_by_fault => true,
            // Past what a status can hold, an unknown alert may well be known: else each repeat would make a task.
            None => !self.overflowed,
            Some((index, record)) => *index >= self.handled || came_back(alert, record),
        }
    }

    /// Whether an alert joined after the prompt was made.
    pub(super) fn joined_late(&self, alert: &Alert) -> bool {
        self.known.get(&alert.fingerprint).is_some_and(|(index, _)| *index >= self.handled)
    }

    /// Whether one that joined late still fires.
    pub(super) fn left_open(&self) -> bool {
        self.known
            .values()
            .any(|(index, record)| *index >= self.handled && record.state == AlertState::Firing)
    }
}

/// It stopped and fires again. Alertmanager keeps the earliest start while an alert goes on, so an earlier one is the
/// same episode.
fn came_back(alert: &Alert, record: &AlertRecord) -> bool {
    match (&alert.starts_at, &record.starts_at) {
        (Some(new), Some(known)) => new.0 > known.0,
        _ => false,
    }
}

fn ended_with(task: &AlertTask, reason: &str) -> bool {
    task.status.as_ref().and_then(|status| status.task.reason.as_deref()) == Some(reason)
}

/// A person's cancel is an answer, and so is the end of the alerts.
fn failed_by_fault(task: &AlertTask) -> bool {
    let answered = ended_with(task, reasons::CANCELLED) || ended_with(task, reasons::ALERT_RESOLVED);
    phase(task) == Some(Phase::Failed) && !answered
}

fn handled(task: &AlertTask, known: usize) -> usize {
    if ended_with(task, reasons::ALERT_RESOLVED) {
        // Stopped or never started because nothing fired: what fires now was never looked at.
        return 0;
    }
    let prompted = task.status.as_ref().and_then(|status| status.prompted_alerts);
    prompted.and_then(|count| usize::try_from(count).ok()).unwrap_or(known)
}
