//! HTTP/1 on one port: bounded in connections and in time, and drained when it is told to stop. `axum::serve` has no
//! limit for either, so that whoever reaches the port could hold it with connections that say nothing.

use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use hyper::server::conn::http1;
use hyper::service::{Service as _, service_fn};
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::server::graceful::GracefulShutdown;
use hyper_util::service::TowerToHyperService;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Notify, OwnedSemaphorePermit, Semaphore};
use tokio::time::{sleep, timeout};
use tokio_util::sync::CancellationToken;
use tracing::{debug, warn};

/// What one port bears.
#[derive(Clone, Copy, Debug)]
pub struct Bounds {
    /// Connections at once; the others wait in the system's queue.
    pub connections: usize,
    /// How long a client may take for the head of its first request.
    pub first_head_timeout: Duration,
    /// How long it may take for another, from the one before.
    pub head_timeout: Duration,
}

/// Bounds for requests that are answered within seconds.
pub const SHORT: Bounds =
    Bounds { connections: 512, first_head_timeout: FIRST_HEAD, head_timeout: Duration::from_secs(30) };
/// Bounds for agents: each holds a connection or a few while a model thinks, and keeps them between two thoughts.
pub const AGENTS: Bounds =
    Bounds { connections: 4096, first_head_timeout: FIRST_HEAD, head_timeout: Duration::from_secs(300) };
/// Who connects has something to say.
const FIRST_HEAD: Duration = Duration::from_secs(10);
/// Pause when the system has no connection to give, as when its files are used up.
const ACCEPT_PAUSE: Duration = Duration::from_millis(200);

/// Serves until `stop`; then takes no new connection, answers what is under way, and returns.
pub async fn serve(listener: TcpListener, router: Router, bounds: Bounds, stop: CancellationToken) {
    let connections = GracefulShutdown::new();
    let room = Arc::new(Semaphore::new(bounds.connections));
    while let Some((stream, place)) = stop.run_until_cancelled(accept(&listener, &room)).await {
        let (service, asked) = (TowerToHyperService::new(router.clone()), Arc::new(Notify::new()));
        let ask = asked.clone();
        let service = service_fn(move |request| {
            ask.notify_one();
            service.call(request)
        });
        let connection = http1::Builder::new()
            .timer(TokioTimer::new())
            .header_read_timeout(bounds.head_timeout)
            .serve_connection(TokioIo::new(stream), service);
        let connection = connections.watch(connection);
        tokio::spawn(async move {
            if let Err(error) = lasts(connection, asked, bounds.first_head_timeout).await {
                debug!(%error, "a connection broke");
            }
            drop(place);
        });
    }
    drop(listener);
    connections.shutdown().await;
}

/// A connection until its end, which comes soon if nothing is asked on it.
async fn lasts<E>(
    connection: impl Future<Output = Result<(), E>>,
    asked: Arc<Notify>,
    first_head_timeout: Duration,
) -> Result<(), E> {
    let mut connection = pin!(connection);
    tokio::select! {
        ended = &mut connection => return ended,
        said = timeout(first_head_timeout, asked.notified()) => if said.is_err() { return Ok(()) },
    }
    connection.await
}

/// The next connection, and its place among those that there may be.
async fn accept(listener: &TcpListener, room: &Arc<Semaphore>) -> (TcpStream, Option<OwnedSemaphorePermit>) {
    let place = room.clone().acquire_owned().await.ok(); // It is never closed.
    loop {
        match listener.accept().await {
            Ok((stream, _)) => {
                // A stream's next word must not wait for the one before to be acknowledged.
                let _ = stream.set_nodelay(true);
                return (stream, place);
            }
            Err(error) => {
                warn!(%error, "no connection can be accepted");
                sleep(ACCEPT_PAUSE).await;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use axum::routing::get;
    use tokio::io::{AsyncReadExt, AsyncWriteExt};

    use super::*;

    #[tokio::test]
    async fn what_is_under_way_is_answered_and_nothing_new_is_taken() {
        let (asked, go) = (Arc::new(Notify::new()), Arc::new(Notify::new()));
        let (told, wait) = (asked.clone(), go.clone());
        let slow = async move || {
            told.notify_one();
            wait.notified().await;
            "done"
        };
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let stop = CancellationToken::new();
        let router = Router::new().route("/", get(slow));
        let served = tokio::spawn(serve(listener, router, SHORT, stop.clone()));

        let mut client = TcpStream::connect(address).await.unwrap();
        let mut idle = TcpStream::connect(address).await.unwrap();
        client.write_all(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n").await.unwrap();
        asked.notified().await;
        stop.cancel();
        // Closed, or reset if it was not accepted yet: in both cases the listener is gone by now.
        let _ = idle.read_to_end(&mut Vec::new()).await;
        assert!(TcpStream::connect(address).await.is_err(), "a new connection was taken");
        go.notify_one();
        let mut answer = String::new();
        client.read_to_string(&mut answer).await.unwrap();
        assert!(answer.starts_with("HTTP/1.1 200") && answer.ends_with("done"), "{answer}");
        served.await.unwrap();
    }

    #[tokio::test]
    async fn who_says_nothing_goes_and_who_has_asked_may_think() {
        let bounds = Bounds { first_head_timeout: Duration::from_millis(300), ..SHORT };
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let router = Router::new().route("/", get(async || "done"));
        tokio::spawn(serve(listener, router, bounds, CancellationToken::new()));

        let mut asking = TcpStream::connect(address).await.unwrap();
        let ask = async |client: &mut TcpStream| {
            client.write_all(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n").await.unwrap();
            let mut answer = vec![0; 1024];
            let read = client.read(&mut answer).await.unwrap();
            assert!(answer[..read].starts_with(b"HTTP/1.1 200"));
        };
        ask(&mut asking).await;
        for said in ["", "GET / HT"] {
            let mut slow = TcpStream::connect(address).await.unwrap();
            slow.write_all(said.as_bytes()).await.unwrap();
            let mut answer = Vec::new();
            let closed = timeout(Duration::from_secs(20), slow.read_to_end(&mut answer)).await;
            assert!(closed.is_ok() && answer.is_empty(), "{said:?}: {closed:?}");
        }
        // Both timeouts have passed one after the other: more than this one would have had.
        ask(&mut asking).await;
    }
}
