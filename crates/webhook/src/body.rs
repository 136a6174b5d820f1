//! The bytes of a request: as many as are allowed, and what becomes of the others.

use std::time::Duration;

use axum::body::BodyDataStream;
use futures::StreamExt;
use http::HeaderMap;
use http::header::CONTENT_LENGTH;
use tokio::time::timeout;

use crate::Error;

/// How much of a body that was refused is read all the same, and for how long.
const DRAINED_BYTES: usize = 64 * 1024 * 1024;
const DRAINED_FOR: Duration = Duration::from_secs(5);

/// All of a body that has at most `limit` bytes.
pub(crate) async fn read(
    headers: &HeaderMap,
    body: &mut BodyDataStream,
    limit: usize,
) -> Result<Vec<u8>, Error> {
    let announced = headers.get(CONTENT_LENGTH).and_then(|value| value.to_str().ok()?.parse().ok());
    if announced.is_some_and(|length: usize| length > limit) {
        return Err(Error::TooLarge(limit));
    }
    let mut read = Vec::new();
    while let Some(piece) = body.next().await {
        let piece = piece.map_err(Error::BrokenBody)?;
        if read.len() + piece.len() > limit {
            return Err(Error::TooLarge(limit));
        }
        read.extend_from_slice(&piece);
    }
    Ok(read)
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
