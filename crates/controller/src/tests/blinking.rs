//! A client whose watches can be ended all at once: what a controller sees of an API server that is replaced, or of a
//! proxy that has had enough.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use bytes::Bytes;
use futures::StreamExt;
use http::{Request, Response};
use http_body::Frame;
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt, StreamBody};
use kube::Client;
use kube::client::Body;
use tokio::sync::Notify;

type BoxError = Box<dyn std::error::Error + Send + Sync>;

/// The line.
#[derive(Clone)]
pub(super) struct Blinking {
    inner: Client,
    end: Arc<Notify>,
}

impl Blinking {
    /// A client, and what ends its watches.
    pub(super) fn client(inner: Client) -> (Client, Arc<Notify>) {
        let end = Arc::new(Notify::new());
        (Client::new(Self { inner, end: end.clone() }, "default"), end)
    }
}

impl tower::Service<Request<Body>> for Blinking {
    type Response = Response<UnsyncBoxBody<Bytes, BoxError>>;
    type Error = BoxError;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, BoxError>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<Body>) -> Self::Future {
        let line = self.clone();
        Box::pin(async move {
            let watches = request.uri().query().is_some_and(|query| query.contains("watch=true"));
            let response = line.inner.send(request).await?;
            let end = line.end.clone();
            let ended =
                Box::pin(
                    async move { if watches { end.notified().await } else { std::future::pending().await } },
                );
            Ok(response.map(|body| {
                let frames =
                    body.into_data_stream().map(|chunk| chunk.map(Frame::data).map_err(BoxError::from));
                StreamBody::new(frames.take_until(ended)).boxed_unsync()
            }))
        })
    }
}
