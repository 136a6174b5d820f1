//! MaintenanceTask: a piece of work that a user applies; one object is one agent run.

use kube::{CustomResource, KubeSchema};
use serde::{Deserialize, Serialize};

use crate::{Task, TaskKind, TaskSpec, TaskStatus, rules};

/// What is to be done, and how.
#[derive(CustomResource, KubeSchema, Clone, Debug, Default, Deserialize, Serialize, PartialEq)]
#[kube(
    group = "punching-fist.io",
    version = "v1alpha1",
    kind = "MaintenanceTask",
    plural = "maintenancetasks",
    shortname = "mt",
    category = "punching-fist",
    namespaced,
    status = "MaintenanceTaskStatus",
    derive = "PartialEq",
    doc = "A piece of work for an agent: the object is one run, its status says what the agent found.",
    validation = Rule::new(rules::RUN_IS_IMMUTABLE).message(rules::RUN_IS_IMMUTABLE_MESSAGE).field_path(".spec"),
    selectable = ".status.phase",
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
#[x_kube(validation = Rule::new("has(self.prompt)").message("say what the agent is to do").reason(Reason::FieldValueRequired).field_path(".prompt"))]
pub struct MaintenanceTaskSpec {
    /// How the agent is to run.
    #[serde(flatten)]
    pub task: TaskSpec,

    /// Hold the start back. A run under way goes on, as with a CronJob.
    #[serde(default)]
    pub suspend: bool,

    /// Stop for good: a waiting task is closed, a running one is ended.
    #[serde(default)]
    pub cancel: bool,
}

/// Where a MaintenanceTask stands.
#[derive(KubeSchema, Clone, Debug, Default, Deserialize, Serialize, PartialEq)]
#[serde(rename_all = "camelCase")]
#[x_kube(validation = Rule::new(rules::TERMINAL_IS_FINAL).message(rules::TERMINAL_IS_FINAL_MESSAGE).field_path(".phase"))]
pub struct MaintenanceTaskStatus {
    /// What both kinds have.
    #[serde(flatten)]
    pub task: TaskStatus,
}

impl Task for MaintenanceTask {
    const KIND: TaskKind = TaskKind::MaintenanceTask;

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

    fn as_alert(&self) -> Option<&crate::AlertTask> {
        None
    }
}
