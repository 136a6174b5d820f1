//! How long an object waits after a pass over it failed: each object for itself, as kube's Controller doesn't do it.

use std::collections::HashMap;
use std::sync::Mutex;
use std::time::Duration;

/// After the first failure.
const FIRST: Duration = Duration::from_millis(500);
/// At most.
const MOST: Duration = Duration::from_secs(300);
/// So many objects are known at most: those that are deleted while they fail are never heard of again. Past it all start
/// anew.
const KEPT: usize = 10_000;

/// Failures in a row, by UID of the object.
#[derive(Debug, Default)]
pub(crate) struct Backoff {
    failures: Mutex<HashMap<String, u32>>,
}

impl Backoff {
    /// A pass failed; how long to wait.
    pub(crate) fn failed(&self, uid: &str) -> Duration {
        let mut failures = self.failures.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        if failures.len() >= KEPT {
            failures.clear();
        }
        let count = failures.entry(uid.to_owned()).or_default();
        *count += 1;
        FIRST.saturating_mul(1 << (*count - 1).min(16)).min(MOST)
    }

    /// A pass went through.
    pub(crate) fn forget(&self, uid: &str) {
        self.failures.lock().unwrap_or_else(std::sync::PoisonError::into_inner).remove(uid);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn doubles_for_each_object_apart_and_starts_anew_after_success() {
        let backoff = Backoff::default();
        assert_eq!(backoff.failed("a"), FIRST);
        assert_eq!(backoff.failed("a"), FIRST * 2);
        assert_eq!(backoff.failed("b"), FIRST);
        backoff.forget("a");
        assert_eq!(backoff.failed("a"), FIRST);
        let last = (0..100).map(|_| backoff.failed("c")).last();
        assert_eq!(last, Some(MOST));
    }
}
