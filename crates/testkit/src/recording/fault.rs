//! What is to go wrong, where, and how often.

use std::time::Duration;

use super::Call;

/// What goes wrong with a request.
#[derive(Clone, Debug)]
pub enum Fault {
    /// Nothing is done; this code is answered, with the reason that goes with it.
    Status(u16),
    /// Nothing is done; this code and body are answered.
    Answer(u16, String),
    /// Nothing is done, nothing is ever answered.
    Hang,
    /// Nothing is done; the connection breaks.
    Disconnect,
    /// It is done, but this code is answered: the caller can't know.
    DoneThenStatus(u16),
    /// It is done, but nothing is ever answered.
    DoneThenHang,
    /// It is done so much later.
    Slow(Duration),
}

/// How often.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Times {
    /// For the next request that fits.
    Once,
    /// For so many.
    Count(u32),
    /// Until [`super::RecordingApi::heal`].
    Always,
}

/// One fault and the requests that it is for.
#[derive(Debug)]
pub(super) struct Rule {
    verb: String,
    resource: String,
    fault: Fault,
    left: Option<u32>,
}

impl Rule {
    pub(super) fn new(verb: &str, resource: &str, fault: Fault, times: Times) -> Self {
        let left = match times {
            Times::Once => Some(1),
            Times::Count(count) => Some(count),
            Times::Always => None,
        };
        Self { verb: verb.into(), resource: resource.into(), fault, left }
    }

    fn take(&mut self, call: &Call) -> Option<Fault> {
        if !call.is(&self.verb, &self.resource) || self.left == Some(0) {
            return None;
        }
        self.left = self.left.map(|left| left - 1);
        Some(self.fault.clone())
    }
}

/// The fault that this request meets.
pub(super) fn of(rules: &mut [Rule], call: &Call) -> Option<Fault> {
    rules.iter_mut().rev().find_map(|rule| rule.take(call))
}
