//! A client whose line is cut at the k-th write, just before or just after it: what a controller sees of the API server
//! when it is killed there.

use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};

use http::{Method, Request, Response};
use kube::Client;
use kube::client::Body;
use tokio::sync::watch;

type BoxError = Box<dyn std::error::Error + Send + Sync>;

/// On which side of the write the line is cut.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Side {
    /// The write never arrives.
    Before,
    /// It is done, and nobody hears of it.
    After,
}

/// The line.
#[derive(Clone)]
pub(super) struct Severed {
    inner: Client,
    left: Arc<Mutex<usize>>,
    side: Side,
    cut: Arc<watch::Sender<bool>>,
}

impl Severed {
    /// A client that is cut at its write number `at` (from 0), and what tells when it is.
    pub(super) fn client(inner: Client, at: usize, side: Side) -> (Client, watch::Receiver<bool>) {
        let (cut, heard) = watch::channel(false);
        let line = Self { inner, left: Arc::new(Mutex::new(at)), side, cut: Arc::new(cut) };
        (Client::new(line, "default"), heard)
    }

    /// Whether this is the write at which the line is cut.
    fn is_last(&self, method: &Method) -> bool {
        if method == Method::GET {
            return false;
        }
        let mut left = self.left.lock().unwrap_or_else(PoisonError::into_inner);
        let last = *left == 0;
        *left = left.saturating_sub(1);
        last
    }
}

impl tower::Service<Request<Body>> for Severed {
    type Response = Response<Body>;
    type Error = BoxError;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, BoxError>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<Body>) -> Self::Future {
        let line = self.clone();
        Box::pin(async move {
            let last = !*line.cut.borrow() && line.is_last(request.method());
            if last && line.side == Side::Before {
                line.cut.send_replace(true);
            }
            if *line.cut.borrow() {
                std::future::pending::<()>().await;
            }
            let response = line.inner.send(request).await;
            if last {
                line.cut.send_replace(true);
            }
            if *line.cut.borrow() {
                std::future::pending::<()>().await;
            }
            response.map_err(BoxError::from)
        })
    }
}
