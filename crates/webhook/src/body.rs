//! The bytes of a request: as many as are allowed, and what becomes of the others.

use std::time::Duration;

use axum::body::BodyDataStream;
use futures::StreamExt;
use http::HeaderMap;
use http::header::CONTENT_LENGTH;
use tokio::sync::{Semaphore, SemaphorePermit};
use tokio::time::timeout;

use crate::Error;

/// How much of a body that was refused is read all the same, and for how long.
const DRAINED_BYTES: usize = 64 * 1024 * 1024;
const DRAINED_FOR: Duration = Duration::from_secs(5);

/// A body, and the room that it takes of what all bodies may take together.
pub(crate) struct Whole<'a> {
    pub(crate) bytes: Vec<u8>,
    room: SemaphorePermit<'a>,
}

/// All of a body that has at most `limit` bytes, if there is `room` for them: for what is announced at once, and for
/// each piece beyond.
pub(crate) async fn read<'a>(
    headers: &HeaderMap,
    body: &mut BodyDataStream,
    limit: usize,
    room: &'a Semaphore,
) -> Result<Whole<'a>, Error> {
    let announced = headers.get(CONTENT_LENGTH).and_then(|value| value.to_str().ok()?.parse().ok());
    let announced: usize = announced.unwrap_or_default();
    if announced > limit {
        return Err(Error::TooLarge(limit));
    }
    let mut whole = Whole { bytes: Vec::with_capacity(announced), room: reserve(room, announced)? };
    while let Some(piece) = body.next().await {
        let piece = piece.map_err(Error::BrokenBody)?;
        let length = whole.bytes.len() + piece.len();
        if length > limit {
            return Err(Error::TooLarge(limit));
        }
        let beyond = length.saturating_sub(whole.room.num_permits());
        whole.room.merge(reserve(room, beyond)?);
        whole.bytes.extend_from_slice(&piece);
    }
    Ok(whole)
}

fn reserve(room: &Semaphore, bytes: usize) -> Result<SemaphorePermit<'_>, Error> {
    let bytes = u32::try_from(bytes).map_err(|_| Error::Overloaded)?;
    room.try_acquire_many(bytes).map_err(|_| Error::Overloaded)
}

/// Takes the rest of a body off the wire while its refusal is on the way. A connection that is closed with bytes unread
/// is reset, and the sender may never see the answer: Alertmanager would take a 413 for a fault, and send it again.
pub(crate) fn drain(mut body: BodyDataStream) {
    tokio::spawn(timeout(DRAINED_FOR, async move {
        let mut left = DRAINED_BYTES;
        while let Some(Ok(piece)) = body.next().await {
            left = left.saturating_sub(piece.len());
            if left == 0 {
                return;
            }
        }
    }));
}
