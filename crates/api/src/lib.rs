//! The custom resources of Punching Fist (group `punching-fist.io`, version `v1alpha1`) and the types they share.
//! Shapes, defaults and validation live here; no decision, no client, no I/O. One file per kind.

#![allow(
    clippy::duplicated_attributes,
    reason = "every printer column of a kind repeats `type_` and `priority`"
)]

mod alert_route;
mod alert_task;
mod crds;
mod maintenance_task;
pub mod names;
mod quantity;
pub mod reasons;
mod rules;
mod status;
mod task;

pub use alert_route::{AlertRouteSpec, OnResolved};
pub use alert_task::{
    Alert, AlertRecord, AlertState, AlertTask, AlertTaskSpec, AlertTaskStatus, FurtherAlert, Identity,
    Notification, RouteRef,
};
pub use crds::crds;
pub use maintenance_task::{MaintenanceTask, MaintenanceTaskSpec, MaintenanceTaskStatus};
pub use quantity::Quantity;
pub use status::{
    Attempt, Confidence, Finding, JobRef, Phase, Reservation, RunUsage, TaskStatus, Usage, Verdict,
};
pub use task::{
    AgentSpec, EnvVar, EnvVarSource, KeySelector, MAX_ITERATIONS, MAX_PROMPT, MAX_TIMEOUT_SECONDS, Mode,
    OBJECT_NAME, Resources, Skill, Task, TaskKind, TaskSpec,
};
