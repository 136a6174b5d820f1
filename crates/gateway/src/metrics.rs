//! What the gateway counts: calls, tokens and money by profile, and the time that it adds to a call.

use std::time::Duration;

use prometheus::{CounterVec, Histogram, HistogramOpts, IntCounterVec, Opts, Registry};
use punching_fist_core::money::Money;

use crate::budget::{End, Tokens};

const OWN_BUCKETS: [f64; 10] = [0.0001, 0.000_25, 0.0005, 0.001, 0.002, 0.005, 0.01, 0.05, 0.25, 1.0];
const WRITE_BUCKETS: [f64; 10] = [0.001, 0.002, 0.005, 0.01, 0.025, 0.05, 0.1, 0.5, 1.0, 5.0];

/// The counters.
#[derive(Clone, Debug)]
pub struct Metrics {
    calls: IntCounterVec,
    tokens: IntCounterVec,
    cost: CounterVec,
    own: Histogram,
    status_write: Histogram,
}

impl Metrics {
    /// Registers them.
    ///
    /// # Errors
    /// One of the names is taken.
    pub fn register(registry: &Registry) -> prometheus::Result<Self> {
        let calls = Opts::new(
            "punching_fist_gateway_calls_total",
            "Calls of the model by agents, by what became of them",
        );
        let tokens = Opts::new("punching_fist_gateway_tokens_total", "Tokens, by direction");
        let cost = Opts::new(
            "punching_fist_gateway_cost_usd_total",
            "What calls of the model have cost, in US dollars",
        );
        let own = HistogramOpts::new(
            "punching_fist_gateway_own_duration_seconds",
            "Time that the gateway itself adds to a call, without the API server's",
        );
        let status_write = HistogramOpts::new(
            "punching_fist_gateway_status_write_duration_seconds",
            "Time that a write of a task's usage takes; two a call",
        );
        let metrics = Self {
            calls: IntCounterVec::new(calls, &["profile", "outcome"])?,
            tokens: IntCounterVec::new(tokens, &["profile", "direction"])?,
            cost: CounterVec::new(cost, &["profile"])?,
            own: Histogram::with_opts(own.buckets(OWN_BUCKETS.to_vec()))?,
            status_write: Histogram::with_opts(status_write.buckets(WRITE_BUCKETS.to_vec()))?,
        };
        registry.register(Box::new(metrics.calls.clone()))?;
        registry.register(Box::new(metrics.tokens.clone()))?;
        registry.register(Box::new(metrics.cost.clone()))?;
        registry.register(Box::new(metrics.own.clone()))?;
        registry.register(Box::new(metrics.status_write.clone()))?;
        Ok(metrics)
    }

    pub(crate) fn call(&self, profile: &str, outcome: &str) {
        self.calls.with_label_values(&[profile, outcome]).inc();
    }

    /// What a call has come to that was charged so much.
    pub(crate) fn ended(&self, profile: &str, end: End, charge: Money) {
        match end {
            End::Free => {}
            End::Unknown => self.spent(profile, charge),
            End::Used(tokens, cost) => {
                self.used(profile, &tokens);
                self.spent(profile, cost);
            }
        }
    }

    /// For a graph; what is exact stands in the tasks.
    fn spent(&self, profile: &str, cost: Money) {
        let cost = cost.to_string().parse().unwrap_or_default();
        self.cost.with_label_values(&[profile]).inc_by(cost);
    }

    fn used(&self, profile: &str, tokens: &Tokens) {
        let Tokens { input, output, cache_read, cache_write } = *tokens;
        let counts =
            [("input", input), ("output", output), ("cache_read", cache_read), ("cache_write", cache_write)];
        for (direction, count) in counts {
            self.tokens.with_label_values(&[profile, direction]).inc_by(count);
        }
    }

    pub(crate) fn own(&self, time: Duration) {
        self.own.observe(time.as_secs_f64());
    }

    pub(crate) fn status_write(&self, time: Duration) {
        self.status_write.observe(time.as_secs_f64());
    }
}
