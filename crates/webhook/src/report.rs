//! The answer to a notification that was taken in: what became of each of its alerts.

use serde::Serialize;

/// What became of an alert.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Outcome {
    /// A task was made for it.
    Created,
    /// A task that is there has taken it in.
    Merged,
    /// It is over, and the incident's task was told.
    Resolved,
    /// It is over, and no task has to know.
    Ignored,
    /// No route takes it.
    Unmatched,
    /// It can't be read, or the API server refuses its task for good; sending it again won't help.
    Refused,
}

impl Outcome {
    /// All of them.
    pub const ALL: [Self; 6] =
        [Self::Created, Self::Merged, Self::Resolved, Self::Ignored, Self::Unmatched, Self::Refused];

    /// As in the answer and in metrics.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Created => "created",
            Self::Merged => "merged",
            Self::Resolved => "resolved",
            Self::Ignored => "ignored",
            Self::Unmatched => "unmatched",
            Self::Refused => "refused",
        }
    }
}

/// The body of a 200.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Report {
    /// The tasks that were made or changed.
    pub tasks: Vec<TaskReport>,
    /// Every alert of the body.
    pub alerts: Vec<AlertReport>,
}

/// A task that was made or changed.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct TaskReport {
    /// Its namespace.
    pub namespace: String,
    /// Its name.
    pub name: String,
    /// Created, or merged into.
    pub outcome: Outcome,
}

/// One alert of the body.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct AlertReport {
    /// The sender's fingerprint, or its place in the body if it can't be read.
    pub alert: String,
    /// What became of it.
    pub outcome: Outcome,
    /// The task that has it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub task: Option<String>,
    /// Why, if it was refused.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub message: Option<String>,
}
