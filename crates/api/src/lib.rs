//! The custom resources of Punching Fist (group `punching-fist.io`, version `v1alpha1`) and the types they share.
//! Shapes, defaults and validation live here; no decision, no client, no I/O. One file per kind.

mod alert_route;
mod alert_task;
mod maintenance_task;
pub mod names;
mod quantity;
pub mod reasons;
mod status;
mod task;

pub use alert_route::{AlertRouteSpec, OnResolved};
pub use alert_task::{
    Alert, AlertRecord, AlertState, AlertTask, AlertTaskSpec, AlertTaskStatus, Identity, Notification, RouteRef,
};
pub use maintenance_task::{MaintenanceTask, MaintenanceTaskSpec, MaintenanceTaskStatus};
pub use quantity::Quantity;
pub use status::{Attempt, Confidence, Finding, JobRef, Phase, TaskStatus, Usage, Verdict};
pub use task::{AgentSpec, EnvVar, EnvVarSource, KeySelector, Resources, Task, TaskKind, TaskSpec};
