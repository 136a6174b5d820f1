//! Memory for the bodies of requests: bounded over all of them, and for each run, so that no run takes what others need.

use std::sync::Arc;

use tokio::sync::{AcquireError, OwnedSemaphorePermit, Semaphore};

use crate::bounded::Shared;
use crate::error::Refusal;
use crate::held::patiently;

/// For all, in KiB.
const ALL: usize = 128 << 10;
/// For those of one run, in KiB.
const ONE_RUN: usize = 48 << 10;
/// How many calls of one run may be without an answer.
const CALLS: usize = 16;
/// How many runs are remembered.
const RUNS_MAX: usize = 1024;

/// The room that there is.
pub(crate) struct Room {
    all: Arc<Semaphore>,
    runs: Shared<String, Share>,
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
        Self { all: Arc::new(Semaphore::new(ALL)), runs: Shared::new(RUNS_MAX) }
    }

    /// A place for a body of at most that many bytes, when there is one.
    pub(crate) async fn place(&self, run: &str, bytes: usize) -> Result<Place, Refusal> {
        let share = self.runs.lock().get_or_put(run.to_owned(), Share::new);
        let size = bytes.div_ceil(1024);
        patiently(async {
            Ok(Place {
                _call: take(&share.calls, 1).await?,
                of_run: take(&share.bytes, size).await?,
                of_all: take(&self.all, size).await?,
            })
        })
        .await
    }
}

impl Share {
    fn new() -> Self {
        Self { calls: Arc::new(Semaphore::new(CALLS)), bytes: Arc::new(Semaphore::new(ONE_RUN)) }
    }
}

impl Place {
    /// Gives back what that many bytes don't need.
    pub(crate) fn shrink(&mut self, bytes: usize) {
        for permit in [&mut self.of_run, &mut self.of_all] {
            drop(permit.split(permit.num_permits().saturating_sub(bytes.div_ceil(1024))));
        }
    }
}

async fn take(semaphore: &Arc<Semaphore>, permits: usize) -> Result<OwnedSemaphorePermit, AcquireError> {
    let permits = u32::try_from(permits).unwrap_or(u32::MAX);
    semaphore.clone().acquire_many_owned(permits).await
}

#[cfg(test)]
mod tests {
    use super::*;

    const MIB: usize = 1 << 20;

    #[tokio::test(start_paused = true)]
    async fn a_run_has_its_share_and_leaves_the_others_theirs() {
        let room = Room::new();
        let mut places =
            vec![room.place("a", 24 * MIB).await.unwrap(), room.place("a", 24 * MIB).await.unwrap()];
        assert!(matches!(room.place("a", 1).await, Err(Refusal::Unavailable(_))), "its share is taken");
        places.push(room.place("b", 24 * MIB).await.unwrap());
        places.push(room.place("c", 24 * MIB).await.unwrap());
        places.push(room.place("d", 24 * MIB).await.unwrap());
        assert!(room.place("e", 24 * MIB).await.is_err(), "all is taken");
        places[0].shrink(8 * MIB);
        places[1].shrink(8 * MIB);
        assert!(room.place("e", 24 * MIB).await.is_ok(), "what waits has one copy");
        assert!(room.place("a", 24 * MIB).await.is_ok());
        drop(places);
        assert_eq!(room.all.available_permits(), ALL);
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
