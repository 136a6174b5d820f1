//! AlertTask: one incident as it was notified; one object is one agent run, a chain of objects is one incident's story.

use std::collections::BTreeMap;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use kube::{CustomResource, KubeSchema};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{OnResolved, Task, TaskKind, TaskSpec, TaskStatus, rules};

/// The facts of the notification, the identity of the incident, and what its route asked for.
#[derive(CustomResource, KubeSchema, Clone, Debug, Default, Deserialize, Serialize, PartialEq)]
#[kube(
    group = "punching-fist.io",
    version = "v1alpha1",
    kind = "AlertTask",
    plural = "alerttasks",
    shortname = "at",
    category = "punching-fist",
    namespaced,
    status = "AlertTaskStatus",
    derive = "PartialEq",
    doc = "An alert, investigated by one agent run: made by the webhook, or by hand.",
    validation = Rule::new(rules::IDENTITY_STAYS).message(rules::IDENTITY_STAYS_MESSAGE).field_path(".spec.identity"),
    validation = Rule::new(rules::RUN_IS_IMMUTABLE).message(rules::RUN_IS_IMMUTABLE_MESSAGE).field_path(".spec"),
    selectable = ".status.phase",
    selectable = ".spec.severity",
    printcolumn(name = "Alert", type_ = "string", json_path = ".spec.alertName"),
    printcolumn(name = "Severity", type_ = "string", json_path = ".spec.severity"),
    printcolumn(name = "State", type_ = "string", json_path = ".status.alertState"),
    printcolumn(name = "Phase", type_ = "string", json_path = ".status.phase"),
    printcolumn(name = "Reason", type_ = "string", json_path = ".status.reason"),
    printcolumn(name = "Verdict", type_ = "string", json_path = ".status.result.verdict"),
    printcolumn(name = "Retries", type_ = "integer", json_path = ".status.retryCount"),
    printcolumn(name = "Age", type_ = "date", json_path = ".metadata.creationTimestamp"),
    printcolumn(name = "Job", type_ = "string", json_path = ".status.job.name", priority = 1),
    printcolumn(name = "Cost", type_ = "string", json_path = ".status.usage.costUSD", priority = 1),
    printcolumn(name = "Message", type_ = "string", json_path = ".status.message", priority = 1)
)]
#[serde(rename_all = "camelCase")]
pub struct AlertTaskSpec {
    /// How the agent is to run: the route's template, as it was when the task was made.
    #[serde(flatten)]
    pub task: TaskSpec,

    /// Hold the start back. A run under way goes on.
    #[serde(default)]
    pub suspend: bool,

    /// Stop for good: a waiting task is closed, a running one is ended.
    #[serde(default)]
    pub cancel: bool,

    /// Name of the alert, for people and columns: the common label `alertname`, else the first alert's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 256))]
    pub alert_name: Option<String>,

    /// Severity, for people and columns: the common label `severity`, else the first alert's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 256))]
    pub severity: Option<String>,

    /// What was notified.
    pub notification: Notification,

    /// Which incident this is, and the how-manieth run of it. None on a task written by hand.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub identity: Option<Identity>,

    /// The route that the alert took.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub route: Option<RouteRef>,

    /// What a running agent does when every alert of the task is resolved. A waiting task is closed in any case.
    #[serde(default)]
    pub on_resolved: OnResolved,
}

/// A notification as its sender wrote it, cut to what an object can hold. What is cut ends in a visible marker.
#[derive(KubeSchema, Clone, Debug, Default, Deserialize, Serialize, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct Notification {
    /// The sender's receiver that notified us.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 1024))]
    pub receiver: Option<String>,

    /// Whether the group fired.
    #[serde(default)]
    pub status: AlertState,

    /// The sender's own name of the group.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 8192))]
    pub group_key: Option<String>,

    /// Labels that the alerts were grouped by.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    #[schemars(schema_with = "crate::rules::text_map")]
    pub group_labels: BTreeMap<String, String>,

    /// Labels that all alerts have in common.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    #[schemars(schema_with = "crate::rules::text_map")]
    pub common_labels: BTreeMap<String, String>,

    /// Annotations that all alerts have in common.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    #[schemars(schema_with = "crate::rules::text_map")]
    pub common_annotations: BTreeMap<String, String>,

    /// The alerts, at most 50.
    #[schemars(length(min = 1, max = 50))]
    pub alerts: Vec<Alert>,

    /// The next alerts, at most 450: what identifies them, and no more. Never shown to the agent.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 450))]
    pub further_alerts: Vec<FurtherAlert>,

    /// How many alerts are not in `alerts`: left out by the sender or by us.
    #[serde(default)]
    #[schemars(range(min = 0))]
    pub truncated_alerts: i64,

    /// Where the sender's page is.
    #[serde(rename = "externalURL", default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 2048))]
    pub external_url: Option<String>,
}

/// One alert.
#[derive(KubeSchema, Clone, Debug, Default, Deserialize, Serialize, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct Alert {
    /// Whether it fires.
    #[serde(default)]
    pub status: AlertState,

    /// What identifies it.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    #[schemars(schema_with = "crate::rules::text_map")]
    pub labels: BTreeMap<String, String>,

    /// What was said about it.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    #[schemars(schema_with = "crate::rules::text_map")]
    pub annotations: BTreeMap<String, String>,

    /// The sender's hash of the labels.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    #[schemars(length(max = 128))]
    pub fingerprint: String,

    /// Since when it fires.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub starts_at: Option<Time>,

    /// When it stopped.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ends_at: Option<Time>,

    /// Where the rule that made it can be looked at.
    #[serde(rename = "generatorURL", default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 4096))]
    pub generator_url: Option<String>,
}

/// An alert that was notified and that `alerts` has no room for.
#[derive(KubeSchema, Clone, Debug, Default, Deserialize, Serialize, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct FurtherAlert {
    /// The sender's hash of the labels.
    #[schemars(length(max = 128))]
    pub fingerprint: String,
    /// Whether it fired.
    #[serde(default)]
    pub status: AlertState,
    /// Since when.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub starts_at: Option<Time>,
}

/// Whether an alert fires.
#[derive(Clone, Copy, Debug, Default, Deserialize, Serialize, JsonSchema, PartialEq, Eq, Hash)]
#[serde(rename_all = "lowercase")]
pub enum AlertState {
    /// It fires.
    #[default]
    Firing,
    /// It has stopped.
    Resolved,
}

/// Which incident a task belongs to.
#[derive(KubeSchema, Clone, Debug, Default, Deserialize, Serialize, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
pub struct Identity {
    /// The incident: 40 hex digits, also on the label `punching-fist.io/key`.
    #[schemars(regex(pattern = "^[0-9a-f]{40}$"))]
    pub key: String,
    /// The how-manieth run of the incident, from 1.
    #[schemars(range(min = 1))]
    pub run: i64,
    /// Name of the task that this one follows.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 253))]
    pub previous: Option<String>,
}

/// A route by name.
#[derive(KubeSchema, Clone, Debug, Default, Deserialize, Serialize, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
pub struct RouteRef {
    /// Its namespace: the task's own.
    #[schemars(length(max = 63))]
    pub namespace: String,
    /// Its name.
    #[schemars(length(max = 253))]
    pub name: String,
}

/// Where an AlertTask stands: what both kinds have, and what became of the alerts since.
#[derive(KubeSchema, Clone, Debug, Default, Deserialize, Serialize, PartialEq)]
#[serde(rename_all = "camelCase")]
#[x_kube(validation = Rule::new(rules::TERMINAL_IS_FINAL).message(rules::TERMINAL_IS_FINAL_MESSAGE).field_path(".phase"))]
pub struct AlertTaskStatus {
    /// What both kinds have. Written by the controller.
    #[serde(flatten)]
    pub task: TaskStatus,

    /// How many of `alerts` the agent's prompt knew. Written by the controller with the admission.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub prompted_alerts: Option<i64>,

    /// `firing` while any alert of the task fires. This and what follows is written by the webhook.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub alert_state: Option<AlertState>,

    /// The alerts of the spec in their order, then those that joined; one entry a fingerprint.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 500))]
    pub alerts: Vec<AlertRecord>,

    /// How many alerts joined beyond what `alerts` can hold.
    #[serde(default)]
    pub truncated_alerts: i64,

    /// How many notifications named this task.
    #[serde(default)]
    pub occurrences: i64,

    /// When the last notification came.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_received_time: Option<Time>,

    /// When the last alert of the task was resolved.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub resolved_time: Option<Time>,
}

/// What is known of one alert since the task was made.
#[derive(KubeSchema, Clone, Debug, Default, Deserialize, Serialize, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct AlertRecord {
    /// The sender's hash of the labels.
    #[schemars(length(max = 128))]
    pub fingerprint: String,
    /// Whether it fires.
    pub state: AlertState,
    /// Since when it fires; the latest that was heard of.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub starts_at: Option<Time>,
    /// Its labels, if `spec` doesn't hold them.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    #[schemars(schema_with = "crate::rules::text_map")]
    pub labels: BTreeMap<String, String>,
    /// Its annotations, if `spec` doesn't hold them.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    #[schemars(schema_with = "crate::rules::text_map")]
    pub annotations: BTreeMap<String, String>,
}

impl Task for AlertTask {
    const KIND: TaskKind = TaskKind::AlertTask;

    fn task_spec(&self) -> &TaskSpec {
        &self.spec.task
    }

    fn is_suspended(&self) -> bool {
        self.spec.suspend
    }

    fn is_cancelled(&self) -> bool {
        self.spec.cancel
    }

    fn task_status(&self) -> Option<&TaskStatus> {
        self.status.as_ref().map(|status| &status.task)
    }

    fn task_status_mut(&mut self) -> Option<&mut TaskStatus> {
        self.status.as_mut().map(|status| &mut status.task)
    }

    fn as_alert(&self) -> Option<&AlertTask> {
        Some(self)
    }
}
