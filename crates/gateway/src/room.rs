//! Memory for the bodies of requests: bounded over all of them, and for each run, so that no run takes what others need.

use std::sync::{Arc, Mutex as Lock, PoisonError};
use std::time::Duration;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::{Instant, timeout_at};

use crate::bounded::Bounded;
use crate::error::Refusal;

/// All bodies together, in KiB.
const ALL: u32 = 128 << 10;
/// Those of one run, in KiB.
const ONE_RUN: u32 = 48 << 10;
/// How many calls of one run may be without an answer.
const CALLS: usize = 16;
/// While a body is read and rewritten it is there as it came, as it goes out, and in part once more.
const COPIES: u32 = 3;
/// How long a call waits for its place.
const WAIT: Duration = Duration::from_secs(30);
/// How many runs are remembered.
const RUNS_MAX: usize = 1024;

/// The room that there is.
pub(crate) struct Room {
    all: Arc<Semaphore>,
    runs: Lock<Bounded<String, Share>>,
}

/// What one run may take of it.
#[derive(Clone)]
struct Share {
    calls: Arc<Semaphore>,
    bytes: Arc<Semaphore>,
}

/// A call's place, until it is dropped.
#[derive(Debug)]
pub(crate) struct Place {
    _call: OwnedSemaphorePermit,
    of_run: OwnedSemaphorePermit,
    of_all: OwnedSemaphorePermit,
}

impl Room {
    pub(crate) fn new() -> Self {
        Self { all: Arc::new(Semaphore::new(ALL as usize)), runs: Lock::new(Bounded::new(RUNS_MAX)) }
    }

    /// A place for a body of at most that many bytes, when there is one.
    pub(crate) async fn place(&self, run: &str, bytes: usize) -> Result<Place, Refusal> {
        let share =
            self.runs.lock().unwrap_or_else(PoisonError::into_inner).get_or_put(run.to_owned(), Share::new);
        let size = kib(bytes) * COPIES;
        let taken = async {
            let call = share.calls.acquire_owned().await?;
            let of_run = share.bytes.acquire_many_owned(size).await?;
            let of_all = self.all.clone().acquire_many_owned(size).await?;
            Ok::<_, tokio::sync::AcquireError>(Place { _call: call, of_run, of_all })
        };
        let taken = timeout_at(Instant::now() + WAIT, taken).await;
        taken.ok().and_then(Result::ok).ok_or_else(|| {
            Refusal::Unavailable("too many or too long requests wait for the model at once".to_owned())
        })
    }
}

impl Share {
    fn new() -> Self {
        Self { calls: Arc::new(Semaphore::new(CALLS)), bytes: Arc::new(Semaphore::new(ONE_RUN as usize)) }
    }
}

impl Place {
    /// Gives back what one copy of that many bytes doesn't need.
    pub(crate) fn shrink(&mut self, bytes: usize) {
        for permit in [&mut self.of_run, &mut self.of_all] {
            drop(permit.split(permit.num_permits().saturating_sub(kib(bytes) as usize)));
        }
    }
}

fn kib(bytes: usize) -> u32 {
    u32::try_from(bytes.div_ceil(1024)).unwrap_or(u32::MAX / COPIES)
}

#[cfg(test)]
mod tests {
    use super::*;

    const MIB: usize = 1 << 20;

    #[tokio::test(start_paused = true)]
    async fn a_run_has_its_share_and_leaves_the_others_theirs() {
        let room = Room::new();
        let mut places =
            vec![room.place("a", 8 * MIB).await.unwrap(), room.place("a", 8 * MIB).await.unwrap()];
        assert!(matches!(room.place("a", 1).await, Err(Refusal::Unavailable(_))), "its share is taken");
        places.push(room.place("b", 8 * MIB).await.unwrap());
        places.push(room.place("c", 8 * MIB).await.unwrap());
        places.push(room.place("d", 8 * MIB).await.unwrap());
        assert!(room.place("e", 8 * MIB).await.is_err(), "all is taken");
        places[0].shrink(8 * MIB);
        places[1].shrink(8 * MIB);
        assert!(room.place("e", 8 * MIB).await.is_ok(), "what waits has one copy");
        assert!(room.place("a", 8 * MIB).await.is_ok());
        drop(places);
        assert_eq!(room.all.available_permits(), ALL as usize);
    }

    #[tokio::test(start_paused = true)]
    async fn a_run_has_so_many_calls_without_an_answer() {
        let room = Arc::new(Room::new());
        let mut places = Vec::new();
        for _ in 0..CALLS {
            places.push(room.place("a", 1).await.unwrap());
        }
        assert!(room.place("a", 1).await.is_err());
        let waiting = tokio::spawn({
            let room = room.clone();
            async move { room.place("a", 1).await.is_ok() }
        });
        tokio::task::yield_now().await;
        places.pop();
        assert!(waiting.await.unwrap(), "it gets the place of one that has ended");
    }
}
