//! The body of a request: how long it may be, how it is read, and what becomes of one that nobody reads.

use std::time::Duration;

use axum::body::Body;
use bytes::{Bytes, BytesMut};
use http_body::Body as _;
use http_body_util::{BodyExt, LengthLimitError, Limited};
use tokio::time::timeout;

use crate::error::Refusal;
use crate::surrogates;

/// The longest request; a longer one is answered 413.
pub(crate) const BODY_MAX: usize = 8 << 20;
/// How long a client may take to send it.
const BODY_TIMEOUT: Duration = Duration::from_secs(60);
/// How much of a body that is refused is taken off the wire, and for how long.
const DRAINED_BYTES: usize = 64 << 20;
const DRAINED_FOR: Duration = Duration::from_secs(5);

/// How long a body may be: as long as it says, else as any may.
pub(crate) fn length(body: &Body) -> Result<usize, Refusal> {
    let said = body.size_hint().exact().map(usize::try_from);
    said.unwrap_or(Ok(BODY_MAX)).ok().filter(|bytes| *bytes <= BODY_MAX).ok_or(Refusal::TooLarge(BODY_MAX))
}

/// Reads it to its end, as JSON that can be read.
pub(crate) async fn read(body: &mut Body) -> Result<Bytes, Refusal> {
    match timeout(BODY_TIMEOUT, Limited::new(body, BODY_MAX).collect()).await {
        Ok(Ok(body)) => Ok(mended(body.to_bytes())),
        Ok(Err(error)) if error.is::<LengthLimitError>() => Err(Refusal::TooLarge(BODY_MAX)),
        Ok(Err(_)) => Err(Refusal::BodyBroken("the request's body broke off")),
        Err(_) => Err(Refusal::BodyBroken("the request's body took too long")),
    }
}

fn mended(body: Bytes) -> Bytes {
    let mut body = BytesMut::from(body);
    surrogates::mend(&mut body);
    body.freeze()
}

/// Takes the rest of a body off the wire while its refusal is on the way. A connection that is closed with bytes unread
/// is reset, and the engine may never see the answer: it would ask again, and not learn why that is in vain.
pub(crate) fn drain(mut body: Body) {
    if body.is_end_stream() {
        return;
    }
    tokio::spawn(timeout(DRAINED_FOR, async move {
        let mut left = DRAINED_BYTES;
        while let Some(Ok(frame)) = body.frame().await {
            left = left.saturating_sub(frame.data_ref().map_or(0, Bytes::len));
            if left == 0 {
                return;
            }
        }
    }));
}
