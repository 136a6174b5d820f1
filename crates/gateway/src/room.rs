//! Memory for the bodies of requests and of answers: bounded over all of them, and for each run, so that no run takes what
//! others need.

use std::sync::{Arc, Mutex as Lock, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use tokio::sync::{AcquireError, OwnedSemaphorePermit, Semaphore};
use tokio::time::timeout;

use crate::bounded::Bounded;
use crate::error::Refusal;

/// How long a call waits for its place.
const WAIT: Duration = Duration::from_secs(30);
/// How many runs are remembered.
const RUNS_MAX: usize = 1024;

/// How much room there is.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Limits {
    /// For all, in KiB.
    all: usize,
    /// For those of one run, in KiB.
    one_run: usize,
    /// How many places one run may have.
    places: usize,
}

/// For requests, from their first byte to the first byte of the answer.
pub(crate) const REQUESTS: Limits = Limits { all: 128 << 10, one_run: 48 << 10, places: 16 };
/// For what of answers the gateway holds, from their first byte until the client has taken it.
pub(crate) const ANSWERS: Limits =
    Limits { all: 96 << 10, one_run: 32 << 10, places: crate::budget::CALLS_MAX };

/// The room that there is.
pub(crate) struct Room {
    limits: Limits,
    all: Arc<Semaphore>,
    runs: Lock<Bounded<String, Share>>,
}

/// What one run may take of it.
#[derive(Clone)]
struct Share {
    places: Arc<Semaphore>,
    bytes: Arc<Semaphore>,
}

/// A call's place, until it is dropped.
#[derive(Debug)]
pub(crate) struct Place {
    _own: OwnedSemaphorePermit,
    of_run: OwnedSemaphorePermit,
    of_all: OwnedSemaphorePermit,
}

/// Bytes and their place.
struct Kept {
    bytes: Bytes,
    _place: Place,
}

impl Room {
    pub(crate) fn new(limits: Limits) -> Self {
        let all = Arc::new(Semaphore::new(limits.all));
        Self { limits, all, runs: Lock::new(Bounded::new(RUNS_MAX)) }
    }

    /// A place for that many bytes, when there is one.
    pub(crate) async fn place(&self, run: &str, bytes: usize) -> Result<Place, Refusal> {
        let share = self.share(run);
        patiently(async {
            let mut place = Place {
                _own: take(&share.places, 1).await?,
                of_run: take(&share.bytes, 0).await?,
                of_all: take(&self.all, 0).await?,
            };
            place.resize(bytes).await?;
            Ok(place)
        })
        .await
    }

    fn share(&self, run: &str) -> Share {
        let mut runs = self.runs.lock().unwrap_or_else(PoisonError::into_inner);
        runs.get_or_put(run.to_owned(), || Share::new(self.limits))
    }
}

impl Share {
    fn new(limits: Limits) -> Self {
        let semaphore = |permits| Arc::new(Semaphore::new(permits));
        Self { places: semaphore(limits.places), bytes: semaphore(limits.one_run) }
    }
}

impl Place {
    /// Makes it a place for that many bytes: more when there is room for them, or fewer.
    pub(crate) async fn fit(&mut self, bytes: usize) -> Result<(), Refusal> {
        patiently(self.resize(bytes)).await
    }

    async fn resize(&mut self, bytes: usize) -> Result<(), AcquireError> {
        let size = bytes.div_ceil(1024);
        for permit in [&mut self.of_run, &mut self.of_all] {
            let taken = permit.num_permits();
            if size > taken {
                let more = take(permit.semaphore(), size - taken).await?;
                permit.merge(more);
            } else {
                drop(permit.split(taken - size));
            }
        }
        Ok(())
    }

    /// These bytes, which keep the place until nobody has them any more.
    pub(crate) fn keep(self, bytes: Bytes) -> Bytes {
        Bytes::from_owner(Kept { bytes, _place: self })
    }
}

impl AsRef<[u8]> for Kept {
    fn as_ref(&self) -> &[u8] {
        &self.bytes
    }
}

async fn take(semaphore: &Arc<Semaphore>, permits: usize) -> Result<OwnedSemaphorePermit, AcquireError> {
    let permits = u32::try_from(permits).unwrap_or(u32::MAX);
    semaphore.clone().acquire_many_owned(permits).await
}

async fn patiently<T>(taken: impl Future<Output = Result<T, AcquireError>>) -> Result<T, Refusal> {
    timeout(WAIT, taken).await.ok().and_then(Result::ok).ok_or_else(|| {
        let message = "too many or too long requests wait for the model, or answers for this run, at once";
        Refusal::Unavailable(message.to_owned())
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const MIB: usize = 1 << 20;

    #[tokio::test(start_paused = true)]
    async fn a_run_has_its_share_and_leaves_the_others_theirs() {
        let room = Room::new(REQUESTS);
        let mut places =
            vec![room.place("a", 24 * MIB).await.unwrap(), room.place("a", 24 * MIB).await.unwrap()];
        assert!(matches!(room.place("a", 1).await, Err(Refusal::Unavailable(_))), "its share is taken");
        places.push(room.place("b", 24 * MIB).await.unwrap());
        places.push(room.place("c", 24 * MIB).await.unwrap());
        places.push(room.place("d", 24 * MIB).await.unwrap());
        assert!(room.place("e", 24 * MIB).await.is_err(), "all is taken");
        places[0].fit(8 * MIB).await.unwrap();
        places[1].fit(8 * MIB).await.unwrap();
        assert!(room.place("e", 24 * MIB).await.is_ok(), "what waits has one copy");
        assert!(room.place("a", 24 * MIB).await.is_ok());
        drop(places);
        assert_eq!(room.all.available_permits(), REQUESTS.all);
    }

    #[tokio::test(start_paused = true)]
    async fn a_run_has_so_many_calls_without_an_answer() {
        let room = Arc::new(Room::new(REQUESTS));
        let mut places = Vec::new();
        for _ in 0..REQUESTS.places {
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

    #[tokio::test(start_paused = true)]
    async fn what_is_kept_holds_its_place_until_nobody_has_it() {
        let room = Room::new(ANSWERS);
        let mut place = room.place("a", 0).await.unwrap();
        place.fit(3 * MIB).await.unwrap();
        let bytes = place.keep(Bytes::from_static(b"said"));
        let (part, free) = (bytes.slice(1..2), room.all.available_permits());
        assert_eq!((&*bytes, free), (&b"said"[..], ANSWERS.all - (3 << 10)));
        drop(bytes);
        assert_eq!(room.all.available_permits(), free);
        drop(part);
        assert_eq!(room.all.available_permits(), ANSWERS.all);
        assert!(room.place("a", 33 * MIB).await.is_err(), "more than a run has");
        assert_eq!(room.all.available_permits(), ANSWERS.all, "nothing is left behind");
    }
}
