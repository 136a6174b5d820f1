//! What the webhook counts: every alert by what became of it, so that nothing that is left out goes unseen.

use http::StatusCode;
use prometheus::{IntCounterVec, Opts, Registry};

use crate::Outcome;

/// The counters.
#[derive(Clone, Debug)]
pub(crate) struct Metrics {
    alerts: IntCounterVec,
    requests: IntCounterVec,
}

impl Metrics {
    pub(crate) fn register(registry: &Registry) -> prometheus::Result<Self> {
        let alerts =
            Opts::new("punching_fist_alerts_total", "Alerts received, by receiver and what became of them");
        let requests = Opts::new(
            "punching_fist_webhook_requests_total",
            "Requests of the webhook, by receiver and code",
        );
        let metrics = Self {
            alerts: IntCounterVec::new(alerts, &["receiver", "outcome"])?,
            requests: IntCounterVec::new(requests, &["receiver", "code"])?,
        };
        registry.register(Box::new(metrics.alerts.clone()))?;
        registry.register(Box::new(metrics.requests.clone()))?;
        Ok(metrics)
    }

    /// Shows every outcome of a receiver from the start: a rate needs a zero to start from.
    pub(crate) fn announce(&self, receiver: &str) {
        for outcome in Outcome::ALL {
            self.alerts.with_label_values(&[receiver, outcome.as_str()]);
        }
    }

    pub(crate) fn alert(&self, receiver: &str, outcome: Outcome) {
        self.alerts.with_label_values(&[receiver, outcome.as_str()]).inc();
    }

    pub(crate) fn request(&self, receiver: &str, code: StatusCode) {
        self.requests.with_label_values(&[receiver, code.as_str()]).inc();
    }
}
