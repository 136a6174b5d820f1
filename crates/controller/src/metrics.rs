//! The metrics about tasks: only the leader counts, so that replicas add up.

use std::time::Instant;

use prometheus::{
    Histogram, HistogramOpts, HistogramVec, IntCounter, IntCounterVec, IntGauge, Opts, Registry,
    exponential_buckets,
};
use punching_fist_api::{Phase, TaskKind};
use punching_fist_core::status::ControllerStatus;

use crate::Error;

/// What the controller counts.
#[derive(Clone, Debug)]
pub struct Metrics {
    total: IntCounter,
    running: IntGauge,
    waiting: IntGauge,
    succeeded: IntCounter,
    failed: IntCounter,
    duration: Histogram,
    passes: HistogramVec,
    errors: IntCounterVec,
}

impl Metrics {
    /// Registers them.
    ///
    /// # Errors
    /// One of the names is registered already.
    pub fn register(registry: &Registry) -> prometheus::Result<Self> {
        let from_seconds_to_hours = exponential_buckets(5.0, 2.0, 12)?;
        let from_milliseconds = exponential_buckets(0.002, 3.0, 9)?;
        let duration = HistogramOpts::new(
            "openhands_task_duration_seconds",
            "Duration of tasks, from the start of the Job to its end",
        );
        let passes = HistogramOpts::new(
            "punching_fist_reconcile_duration_seconds",
            "Duration of passes over an object",
        );
        let errors = Opts::new("punching_fist_reconcile_errors_total", "Passes that failed, by what failed");
        let metrics = Self {
            total: IntCounter::new("openhands_tasks_total", "Tasks seen for the first time")?,
            running: IntGauge::new("openhands_tasks_running", "Tasks whose run holds a slot")?,
            waiting: IntGauge::new("punching_fist_tasks_waiting", "Tasks that wait for a slot")?,
            succeeded: IntCounter::new("openhands_tasks_succeeded_total", "Tasks that ended as Succeeded")?,
            failed: IntCounter::new("openhands_tasks_failed_total", "Tasks that ended as Failed")?,
            duration: Histogram::with_opts(duration.buckets(from_seconds_to_hours))?,
            passes: HistogramVec::new(passes.buckets(from_milliseconds), &["kind"])?,
            errors: IntCounterVec::new(errors, &["kind", "error"])?,
        };
        metrics.register_all(registry)?;
        Ok(metrics)
    }

    fn register_all(&self, registry: &Registry) -> prometheus::Result<()> {
        let Self { total, running, waiting, succeeded, failed, duration, passes, errors } = self.clone();
        registry.register(Box::new(total))?;
        registry.register(Box::new(running))?;
        registry.register(Box::new(waiting))?;
        registry.register(Box::new(succeeded))?;
        registry.register(Box::new(failed))?;
        registry.register(Box::new(duration))?;
        registry.register(Box::new(passes))?;
        registry.register(Box::new(errors))
    }

    /// A status was written.
    pub(crate) fn written(&self, old: &ControllerStatus, new: &ControllerStatus) {
        if old.phase().is_none() {
            self.total.inc();
        }
        match new.phase() {
            phase if phase == old.phase() => return,
            Some(Phase::Succeeded) => self.succeeded.inc(),
            Some(Phase::Failed) => self.failed.inc(),
            _ => return,
        }
        if let Some(seconds) = new.duration_seconds() {
            #[expect(clippy::cast_precision_loss, reason = "seconds of a run are far below 2^52")]
            self.duration.observe(seconds as f64);
        }
    }

    /// The queue was looked at.
    pub(crate) fn queue(&self, running: usize, waiting: usize) {
        self.running.set(i64::try_from(running).unwrap_or(i64::MAX));
        self.waiting.set(i64::try_from(waiting).unwrap_or(i64::MAX));
    }

    /// A pass begins; it is measured until what is returned is dropped.
    pub(crate) fn pass(&self, kind: TaskKind) -> impl Drop + use<> {
        Measured { passes: self.passes.with_label_values(&[kind.as_str()]), since: Instant::now() }
    }

    /// A pass failed.
    pub(crate) fn failure(&self, kind: TaskKind, error: &Error) {
        self.errors.with_label_values(&[kind.as_str(), error.category()]).inc();
    }
}

struct Measured {
    passes: Histogram,
    since: Instant,
}

impl Drop for Measured {
    fn drop(&mut self) {
        self.passes.observe(self.since.elapsed().as_secs_f64());
    }
}
