//! HTTP/1 on one port: bounded in connections and in time, and drained when it is told to stop. `axum::serve` has no
//! limit for either, so that whoever reaches the port could hold it with connections that say nothing.

use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::server::graceful::GracefulShutdown;
use hyper_util::service::TowerToHyperService;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;
use tracing::{debug, warn};

/// What one port bears.
#[derive(Clone, Copy, Debug)]
pub struct Bounds {
    /// Connections at once; the others wait in the system's queue.
    pub connections: usize,
    /// How long a client may take for the head of a request, and between two requests.
    pub head_timeout: Duration,
}

/// Bounds for requests that are answered within seconds.
pub const SHORT: Bounds = Bounds { connections: 512, head_timeout: Duration::from_secs(30) };
/// Bounds for agents: each holds a connection or a few while a model thinks, and keeps them between two thoughts.
pub const AGENTS: Bounds = Bounds { connections: 4096, head_timeout: Duration::from_secs(300) };
/// Pause when the system has no connection to give, as when its files are used up.
const ACCEPT_PAUSE: Duration = Duration::from_millis(200);

/// Serves until `stop`; then takes no new connection, answers what is under way, and returns.
pub async fn serve(listener: TcpListener, router: Router, bounds: Bounds, stop: CancellationToken) {
    let connections = GracefulShutdown::new();
    let room = Arc::new(Semaphore::new(bounds.connections));
    while let Some((stream, place)) = stop.run_until_cancelled(accept(&listener, &room)).await {
        let service = TowerToHyperService::new(router.clone());
        let connection = http1::Builder::new()
            .timer(TokioTimer::new())
            .header_read_timeout(bounds.head_timeout)
            .serve_connection(TokioIo::new(stream), service);
        let connection = connections.watch(connection);
        tokio::spawn(async move {
            if let Err(error) = connection.await {
                debug!(%error, "a connection broke");
            }
            drop(place);
        });
    }
    drop(listener);
    connections.shutdown().await;
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
    use tokio::sync::Notify;

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
}
