//! Turns AlertTasks and MaintenanceTasks into Jobs, and what becomes of them into status.
//!
//! A pass over one object is a pipeline, the same for both kinds: observe (from caches), decide (pure, in the core),
//! build, apply, status. One loop admits, for both kinds. Nothing that matters is held in memory: a controller that is
//! killed between any two calls is replaced by one that goes on from what stands in etcd.

mod backoff;
mod context;
mod error;
mod events;
mod fleet;
mod gate;
mod jobs;
mod ledger;
mod metrics;
mod pass;
mod preflight;
mod queue;
mod report;
mod run;
mod successor;
mod watch;
mod write;

pub use error::Error;
pub use metrics::Metrics;
pub use run::{HasKey, Replica, run};

#[cfg(test)]
mod tests;
