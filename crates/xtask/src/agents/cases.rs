//! The ends that a run can come to.

use std::time::Duration;

use punching_fist_testkit::scripted_model::{Behaviour, scripts};

/// A run to be recorded.
pub struct Case {
    /// The fixture's directory.
    pub name: &'static str,
    /// What the model does.
    pub behaviour: fn() -> Behaviour,
    /// What ends it.
    pub end: End,
}

/// What ends a run.
#[derive(Clone, Copy)]
pub enum End {
    /// The engine, or nothing after this time: then it is killed, and that is recorded.
    Itself(Duration),
    /// The stop signal of the runner, some time after this many calls of the model.
    Stopped {
        /// Calls that come first.
        calls: usize,
    },
    /// It is killed some time after this many calls, which is as far as the script goes.
    Killed {
        /// Calls that come first.
        calls: usize,
    },
}

/// What an engine may take to start, work and end.
const PATIENCE: End = End::Itself(Duration::from_secs(150));
/// Engines that never end are given this much, which is long enough for two retries.
const SHORT: End = End::Itself(Duration::from_secs(60));

/// All of them.
pub const CASES: [Case; 16] = [
    Case { name: "ok", behaviour: scripts::ok, end: PATIENCE },
    Case { name: "no-block", behaviour: scripts::no_block, end: PATIENCE },
    Case { name: "no-usage", behaviour: scripts::no_usage, end: PATIENCE },
    Case { name: "unauthorized", behaviour: || Behaviour::Unauthorized, end: PATIENCE },
    Case { name: "rate-limited", behaviour: || Behaviour::RateLimited, end: SHORT },
    Case { name: "server-error", behaviour: || Behaviour::ServerError, end: SHORT },
    Case { name: "bad-request", behaviour: scripts::refused, end: PATIENCE },
    Case { name: "gateway-budget", behaviour: scripts::refused_for_budget, end: PATIENCE },
    Case { name: "question", behaviour: || Behaviour::AsksQuestion, end: PATIENCE },
    Case { name: "loop", behaviour: scripts::goes_on, end: End::Killed { calls: 7 } },
    Case { name: "budget", behaviour: scripts::expensive, end: End::Killed { calls: 7 } },
    Case { name: "key-leak", behaviour: scripts::key_leak, end: PATIENCE },
    Case { name: "forged-verdict", behaviour: scripts::forged_verdict, end: PATIENCE },
    Case { name: "stopped", behaviour: scripts::slow, end: End::Stopped { calls: 2 } },
    Case { name: "hangs", behaviour: scripts::hangs_in_mid_stream, end: PATIENCE },
    Case { name: "no-answer", behaviour: scripts::never_answers, end: PATIENCE },
];
