//! Memory for what of answers the gateway holds. Most answers, and most events of streams, are short: each may be held, and
//! a run has only so many. The long ones wait for one of few places, which they get at once or in no part, so that nobody
//! holds what somebody else waits for.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use tokio::sync::{AcquireError, OwnedSemaphorePermit, Semaphore};
use tokio::time::timeout;

use crate::bounded::Shared;
use crate::budget::CALLS_MAX;
use crate::error::Refusal;

/// The most that is held of one answer.
pub(crate) const LONG_MAX: usize = 8 << 20;
/// What is held of an answer without a place among the long ones.
const SHORT_MAX: usize = 256 << 10;
/// How many long ones are held of all runs, and of one run.
const LONG: usize = 12;
const LONG_OF_RUN: usize = 4;
/// How long a call waits for its place.
const WAIT: Duration = Duration::from_secs(30);
/// How many runs are remembered.
const RUNS_MAX: usize = 1024;

/// The places that there are.
pub(crate) struct Answers {
    long: Arc<Semaphore>,
    runs: Shared<String, Share>,
}

/// The places of one run.
#[derive(Clone)]
struct Share {
    answers: Arc<Semaphore>,
    long: Arc<Semaphore>,
}

/// An answer's place, until it is dropped.
pub(crate) struct Held {
    _own: OwnedSemaphorePermit,
    of_run: Arc<Semaphore>,
    of_all: Arc<Semaphore>,
    long: Option<[OwnedSemaphorePermit; 2]>,
}

/// Bytes and their place.
struct Kept {
    bytes: Bytes,
    _held: Held,
}

impl Answers {
    pub(crate) fn new() -> Self {
        Self { long: Arc::new(Semaphore::new(LONG)), runs: Shared::new(RUNS_MAX) }
    }

    /// A place for an answer, when there is one.
    pub(crate) async fn hold(&self, run: &str) -> Result<Held, Refusal> {
        let share = self.runs.lock().get_or_put(run.to_owned(), Share::new);
        let own = patiently(share.answers.acquire_owned()).await?;
        Ok(Held { _own: own, of_run: share.long, of_all: self.long.clone(), long: None })
    }
}

impl Share {
    fn new() -> Self {
        Self { answers: Arc::new(Semaphore::new(CALLS_MAX)), long: Arc::new(Semaphore::new(LONG_OF_RUN)) }
    }
}

impl Held {
    /// Makes it a place for that many bytes.
    pub(crate) async fn fit(&mut self, bytes: usize) -> Result<(), Refusal> {
        if bytes <= SHORT_MAX {
            self.long = None;
        } else if self.long.is_none() {
            let (of_run, of_all) = (self.of_run.clone(), self.of_all.clone());
            let both = async { Ok([of_run.acquire_owned().await?, of_all.acquire_owned().await?]) };
            self.long = Some(patiently(both).await?);
        }
        Ok(())
    }

    /// These bytes, which keep the place until nobody has them any more.
    pub(crate) fn keep(self, bytes: Bytes) -> Bytes {
        Bytes::from_owner(Kept { bytes, _held: self })
    }
}

impl AsRef<[u8]> for Kept {
    fn as_ref(&self) -> &[u8] {
        &self.bytes
    }
}

/// Waits for a place, for a while.
pub(crate) async fn patiently<T>(taken: impl Future<Output = Result<T, AcquireError>>) -> Result<T, Refusal> {
    timeout(WAIT, taken).await.ok().and_then(Result::ok).ok_or_else(|| {
        let message = "too many or too long requests wait for the model, or answers for this run, at once";
        Refusal::Unavailable(message.to_owned())
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const LONGER: usize = SHORT_MAX + 1;

    #[tokio::test(start_paused = true)]
    async fn a_run_has_its_share_and_short_answers_are_in_nobodys_way() {
        let answers = Answers::new();
        let mut held = Vec::new();
        for run in ["a", "b", "c"] {
            for _ in 0..LONG_OF_RUN {
                let mut long = answers.hold(run).await.unwrap();
                long.fit(LONGER).await.unwrap();
                long.fit(LONG_MAX).await.unwrap();
                held.push(long);
            }
        }
        for run in ["a", "d"] {
            let mut other = answers.hold(run).await.unwrap();
            other.fit(SHORT_MAX).await.unwrap();
            assert!(other.fit(LONGER).await.is_err(), "all long ones are taken");
        }
        held[0].fit(0).await.unwrap();
        answers.hold("d").await.unwrap().fit(LONGER).await.unwrap();
    }

    #[tokio::test(start_paused = true)]
    async fn what_is_kept_holds_its_place_until_nobody_has_it() {
        let answers = Answers::new();
        let mut held = answers.hold("a").await.unwrap();
        held.fit(LONGER).await.unwrap();
        let bytes = held.keep(Bytes::from_static(b"said"));
        let part = bytes.slice(1..2);
        assert_eq!(&*bytes, b"said");
        drop(bytes);
        assert_eq!(answers.long.available_permits(), LONG - 1);
        drop(part);
        assert_eq!(answers.long.available_permits(), LONG);
        assert_eq!(answers.runs.lock().get(&"a".to_owned()).unwrap().answers.available_permits(), CALLS_MAX);
    }
}
