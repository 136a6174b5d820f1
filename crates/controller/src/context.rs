//! What every pass is given: nothing is global.

use std::sync::Arc;

use jiff::Timestamp;
use k8s_controller::events::EventRecorder;
use k8s_openapi::api::batch::v1::Job;
use kube::Client;
use kube::runtime::reflector::Store;
use punching_fist_api::AlertTask;
use punching_fist_core::profile::Settings;

use crate::Metrics;
use crate::backoff::Backoff;
use crate::gate::Gate;
use crate::ledger::Ledger;
use crate::queue::Queue;
use crate::run::HasKey;

/// The context of one kind's controller.
pub(crate) struct Context {
    pub(crate) client: Client,
    /// The operator's own namespace.
    pub(crate) namespace: String,
    pub(crate) settings: Arc<Settings>,
    pub(crate) has_key: HasKey,
    /// Open when every cache has been filled once.
    pub(crate) filled: Gate,
    /// The Jobs of this kind's tasks.
    pub(crate) jobs: Store<Job>,
    /// The pods of this kind's tasks.
    pub(crate) pods: Ledger,
    /// All AlertTasks: the prompt of one names what the one before it found.
    pub(crate) alerts: Store<AlertTask>,
    pub(crate) queue: Queue,
    pub(crate) recorder: EventRecorder,
    pub(crate) metrics: Metrics,
    pub(crate) backoff: Backoff,
    pub(crate) clock: fn() -> Timestamp,
    /// Since when this controller works.
    pub(crate) started: Timestamp,
}
