//! Alerts in over HTTP, AlertTasks out: one file per receiver, one way from there to etcd.
//!
//! A body is authenticated and read ([`router`]), understood by its receiver ([`AlertReceiver`], [`Alertmanager`]) and
//! brought to the tasks of its incident ([`Intake`]), which is decided in `punching_fist_core::incident`. The answer is
//! 200 only when etcd has everything; what can't be done now is a 503, as Alertmanager drops what gets a 4xx. Nothing
//! is kept here that matters: a replica can die at any moment, and any number of them can run.

mod alertmanager;
mod authentication;
mod body;
mod cache;
mod error;
mod intake;
mod metrics;
mod receiver;
mod report;
mod router;
mod tasks;
mod turns;

pub use alertmanager::{Alertmanager, AlertmanagerBody};
pub use authentication::Authentication;
pub use cache::TaskCache;
pub use error::Error;
pub use intake::Intake;
pub use receiver::{AlertReceiver, Received, RefusedAlert};
pub use report::{AlertReport, Outcome, Report, TaskReport};
pub use router::{Limits, Webhook, router};
