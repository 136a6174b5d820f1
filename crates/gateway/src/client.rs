//! The way to the client of a stream: what it hasn't read yet waits here, and it is little.

use std::sync::Arc;

use axum::body::Body;
use bytes::Bytes;
use futures::stream;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc};
use tokio::time::timeout_at;

use crate::answer::Patience;

/// How many bytes wait.
const WINDOW: usize = 64 << 10;
/// How many pieces wait.
const PIECES: usize = 64;
/// What stands for the proper end of a stream among its pieces.
const END: Bytes = Bytes::new();

/// Whoever reads the stream.
pub(crate) struct Client {
    pieces: mpsc::Sender<Bytes>,
    window: Arc<Semaphore>,
}

/// A piece on its way, and its part of the window until it is written to the connection.
struct Piece {
    bytes: Bytes,
    _part: OwnedSemaphorePermit,
}

impl AsRef<[u8]> for Piece {
    fn as_ref(&self) -> &[u8] {
        &self.bytes
    }
}

/// A client, and what it is answered with.
pub(crate) fn open() -> (Client, Body) {
    let (pieces, receiver) = mpsc::channel(PIECES);
    let client = Client { pieces, window: Arc::new(Semaphore::new(WINDOW)) };
    (client, Body::from_stream(stream::unfold(Some(receiver), next)))
}

impl Client {
    /// Ends when nobody reads any more.
    pub(crate) async fn gone(&self) {
        self.pieces.closed().await;
    }

    /// Whether the client took it, but for what the window holds.
    pub(crate) async fn send(&self, patience: Patience, bytes: Bytes) -> bool {
        if bytes.len() <= WINDOW {
            return bytes.is_empty() || self.send_one(patience, bytes).await;
        }
        for part in bytes.chunks(WINDOW) {
            // A part of the whole would keep all of it.
            if !self.send_one(patience, Bytes::copy_from_slice(part)).await {
                return false;
            }
        }
        true
    }

    async fn send_one(&self, patience: Patience, bytes: Bytes) -> bool {
        let size = u32::try_from(bytes.len()).unwrap_or(u32::MAX);
        let sent = async {
            let part = self.window.clone().acquire_many_owned(size).await.ok()?;
            self.pieces.send(Bytes::from_owner(Piece { bytes, _part: part })).await.ok()
        };
        matches!(timeout_at(patience.next(), sent).await, Ok(Some(())))
    }

    /// Says that nothing follows.
    pub(crate) async fn end(&self, patience: Patience) {
        let _ = timeout_at(patience.next(), self.pieces.send(END)).await;
    }
}

/// The next of the pieces. What ends without a proper end is told by a connection that ends in the middle, as the
/// provider's did.
async fn next(
    pieces: Option<mpsc::Receiver<Bytes>>,
) -> Option<(Result<Bytes, &'static str>, Option<mpsc::Receiver<Bytes>>)> {
    let mut pieces = pieces?;
    match pieces.recv().await {
        Some(piece) if piece.is_empty() => None,
        Some(piece) => Some((Ok(piece), Some(pieces))),
        None => Some((Err("the model's answer broke off or took too long"), None)),
    }
}
