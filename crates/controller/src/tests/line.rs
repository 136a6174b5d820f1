//! Clients whose line to the API server fails: cut at a write, or with watches that end all at once.

use std::future::pending;
use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;
use futures::StreamExt;
use http::{Method, Request, Response};
use http_body::Frame;
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt, StreamBody};
use kube::Client;
use kube::client::Body;
use tokio::sync::{Notify, watch};

type BoxError = Box<dyn std::error::Error + Send + Sync>;

/// A client that hands every request to `call`.
fn client<C, F, B>(call: C) -> Client
where
    C: FnMut(Request<Body>) -> F + Send + 'static,
    F: Future<Output = Result<Response<B>, BoxError>> + Send + 'static,
    B: http_body::Body<Data = Bytes> + Send + 'static,
    B::Error: Into<BoxError>,
{
    Client::new(tower::service_fn(call), "default")
}

/// On which side of the write the line is cut.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Side {
    /// The write never arrives.
    Before,
    /// It is done, and nobody hears of it.
    After,
}

/// A client that is cut at its write number `at` (from 0), just before or just after it, and what tells when it is: what a
/// controller sees of the API server when it is killed there.
pub(super) fn severed(inner: Client, at: usize, side: Side) -> (Client, watch::Receiver<bool>) {
    let (cut, heard) = watch::channel(false);
    let (cut, left) = (Arc::new(cut), Arc::new(Mutex::new(at)));
    let call = move |request: Request<Body>| {
        let (inner, cut, left) = (inner.clone(), cut.clone(), left.clone());
        async move {
            let last = !*cut.borrow() && is_last(&left, request.method());
            if last && side == Side::Before {
                cut.send_replace(true);
            }
            if *cut.borrow() {
                pending::<()>().await;
            }
            let response = inner.send(request).await;
            if last {
                cut.send_replace(true);
            }
            if *cut.borrow() {
                pending::<()>().await;
            }
            response.map_err(BoxError::from)
        }
    };
    (client(call), heard)
}

/// Whether this is the write at which the line is cut.
fn is_last(left: &Mutex<usize>, method: &Method) -> bool {
    if method == Method::GET {
        return false;
    }
    let mut left = left.lock().unwrap_or_else(PoisonError::into_inner);
    let last = *left == 0;
    *left = left.saturating_sub(1);
    last
}

/// A client, and what ends its watches: what a controller sees of an API server that is replaced, or of a proxy that has
/// had enough.
pub(super) fn blinking(inner: Client) -> (Client, Arc<Notify>) {
    let end = Arc::new(Notify::new());
    let ends = end.clone();
    let call = move |request: Request<Body>| {
        let (inner, end) = (inner.clone(), ends.clone());
        async move {
            let watches = request.uri().query().is_some_and(|query| query.contains("watch=true"));
            let response = inner.send(request).await?;
            Ok(response.map(|body| until(end, watches, body)))
        }
    };
    (client(call), end)
}

/// The body, until the watches end.
fn until(end: Arc<Notify>, watches: bool, body: Body) -> UnsyncBoxBody<Bytes, BoxError> {
    let ended = Box::pin(async move { if watches { end.notified().await } else { pending().await } });
    let frames = body.into_data_stream().map(|chunk| chunk.map(Frame::data).map_err(BoxError::from));
    StreamBody::new(frames.take_until(ended)).boxed_unsync()
}
