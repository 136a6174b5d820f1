//! How long to wait before the next try: of a container that ended, an image that is missing, a volume that is not ready.

use std::time::Duration;

/// No wait is longer, as in a kubelet.
const LONGEST: Duration = Duration::from_secs(300);

/// A container that ran so long starts again from the first step.
const FORGIVEN_AFTER: Duration = Duration::from_secs(600);

/// Waits that double.
#[derive(Debug)]
pub struct Backoff {
    first: Duration,
    longest: Duration,
    next: Option<Duration>,
}

impl Backoff {
    /// From `first` to the five minutes of a kubelet.
    pub fn new(first: Duration) -> Self {
        Self::up_to(first, LONGEST)
    }

    /// From `first` to `longest`.
    pub fn up_to(first: Duration, longest: Duration) -> Self {
        Self { first, longest, next: None }
    }

    /// How long to wait now.
    pub fn wait(&mut self) -> Duration {
        let wait = self.next.unwrap_or(self.first).min(self.longest);
        self.next = Some(wait * 2);
        wait
    }

    /// How long a container that ran for `ran` waits before it runs again. The first restart is immediate.
    pub fn after_run(&mut self, ran: Duration) -> Duration {
        if ran >= FORGIVEN_AFTER {
            self.next = None;
        }
        if self.next.is_none() {
            self.next = Some(self.first);
            return Duration::ZERO;
        }
        self.wait()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_crashing_container_waits_as_under_a_kubelet() {
        let mut backoff = Backoff::new(Duration::from_secs(10));
        let waits: Vec<_> = (0..8).map(|_| backoff.after_run(Duration::from_secs(1)).as_secs()).collect();
        assert_eq!(waits, [0, 10, 20, 40, 80, 160, 300, 300]);
        assert_eq!(backoff.after_run(Duration::from_secs(601)).as_secs(), 0);
        assert_eq!(backoff.after_run(Duration::from_secs(1)).as_secs(), 10);
    }

    #[test]
    fn other_waits_start_at_once() {
        let mut backoff = Backoff::up_to(Duration::from_secs(1), Duration::from_secs(5));
        let waits: Vec<_> = (0..5).map(|_| backoff.wait().as_secs()).collect();
        assert_eq!(waits, [1, 2, 4, 5, 5]);
    }
}
