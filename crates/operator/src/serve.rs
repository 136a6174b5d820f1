//! HTTP/1 on one port: bounded in connections and in time, and drained when it is told to stop. `axum::serve` has no
//! limit for either, so that whoever reaches the port could hold it with connections that say nothing.

mod addresses;

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
use tokio_io_timeout::TimeoutStream;
use tokio_util::sync::CancellationToken;
use tracing::{debug, warn};

use addresses::{Addresses, Held};

/// What one port bears.
#[derive(Clone, Copy, Debug)]
pub struct Bounds {
    /// Connections at once; the others wait in the system's queue.
    pub connections: usize,
    /// Connections of one address; more of them are closed.
    pub of_one_address: usize,
    /// How long a client may take for the head of its first request.
    pub first_head_timeout: Duration,
    /// How long it may take for another, from the one before.
    pub head_timeout: Duration,
    /// How long it may take nothing of an answer: what it doesn't read stays in memory.
    pub write_timeout: Duration,
}

/// Bounds for requests that are answered within seconds. Whoever sends them may stand behind one proxy.
pub const SHORT: Bounds = Bounds {
    connections: 512,
    of_one_address: 512,
    first_head_timeout: FIRST_HEAD,
    head_timeout: Duration::from_secs(30),
    write_timeout: WRITE,
};
/// Bounds for agents: each holds a connection or a few while a model thinks, and keeps them between two thoughts. All pods
/// of a node may have one address.
pub const AGENTS: Bounds = Bounds {
    connections: 4096,
    of_one_address: 512,
    first_head_timeout: FIRST_HEAD,
    head_timeout: Duration::from_secs(300),
    write_timeout: WRITE,
};
/// Who connects has something to say.
const FIRST_HEAD: Duration = Duration::from_secs(10);
/// The longest head of a request, and of what is written at once; a token has two thousand bytes at most.
const BUFFER_MAX: usize = 32 << 10;
/// Who asks takes the answer.
const WRITE: Duration = Duration::from_secs(60);
/// Pause when the system has no connection to give, as when its files are used up.
const ACCEPT_PAUSE: Duration = Duration::from_millis(200);

/// Serves until `stop`; then takes no new connection, answers what is under way, and returns.
pub async fn serve(listener: TcpListener, router: Router, bounds: Bounds, stop: CancellationToken) {
    let connections = GracefulShutdown::new();
    let door =
        Door { listener, room: Arc::new(Semaphore::new(bounds.connections)), of: Addresses::default() };
    while let Some((stream, place)) = stop.run_until_cancelled(door.next(bounds.of_one_address)).await {
        let (service, asked) = (TowerToHyperService::new(router.clone()), Arc::new(Notify::new()));
        let ask = asked.clone();
        let service = service_fn(move |request| {
            ask.notify_one();
            service.call(request)
        });
        let mut stream = TimeoutStream::new(stream);
        stream.set_write_timeout(Some(bounds.write_timeout));
        let connection = http1::Builder::new()
            .timer(TokioTimer::new())
            .header_read_timeout(bounds.head_timeout)
            .max_buf_size(BUFFER_MAX)
            .serve_connection(TokioIo::new(Box::pin(stream)), service);
        let connection = connections.watch(connection);
        tokio::spawn(async move {
            if let Err(error) = lasts(connection, asked, bounds.first_head_timeout).await {
                debug!(%error, "a connection broke");
            }
            drop(place);
        });
    }
    drop(door);
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

/// Where clients come in.
struct Door {
    listener: TcpListener,
    room: Arc<Semaphore>,
    of: Addresses,
}

/// A connection's place among those that there may be, and among those of its address.
type Place = (Option<OwnedSemaphorePermit>, Held);

impl Door {
    /// The next connection.
    async fn next(&self, of_one_address: usize) -> (TcpStream, Place) {
        let place = self.room.clone().acquire_owned().await.ok(); // It is never closed.
        loop {
            match self.listener.accept().await {
                Ok((stream, client)) => {
                    if let Some(held) = self.of.take(client.ip(), of_one_address) {
                        // A stream's next word must not wait for the one before to be acknowledged.
                        let _ = stream.set_nodelay(true);
                        return (stream, (place, held));
                    }
                    debug!(%client, "too many connections of one address: the next one is closed");
                }
                Err(error) => {
                    warn!(%error, "no connection can be accepted");
                    sleep(ACCEPT_PAUSE).await;
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use axum::body::{Body, Bytes};
    use axum::routing::get;
    use tokio::io::{AsyncReadExt, AsyncWriteExt};

    use super::*;

    /// An answer that tells when nobody has it any more.
    struct Told {
        text: Vec<u8>,
        gone: Arc<Notify>,
    }

    impl AsRef<[u8]> for Told {
        fn as_ref(&self) -> &[u8] {
            &self.text
        }
    }

    impl Drop for Told {
        fn drop(&mut self) {
            self.gone.notify_one();
        }
    }

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

    #[tokio::test]
    async fn who_reads_no_answer_and_who_never_ends_a_head_goes() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let dropped = Arc::new(Notify::new());
        let gone = dropped.clone();
        let answer = async move || Body::from(Bytes::from_owner(Told { text: vec![b'a'; 64 << 20], gone }));
        let router = Router::new().route("/", get(answer));
        let bounds = Bounds { write_timeout: Duration::from_millis(300), ..SHORT };
        tokio::spawn(serve(listener, router, bounds, CancellationToken::new()));

        let mut long = TcpStream::connect(address).await.unwrap();
        let head = format!("GET / HTTP/1.1\r\nHost: a\r\nX-Long: {}", "a".repeat(BUFFER_MAX));
        let _ = long.write_all(head.as_bytes()).await;
        let mut answer = [0; 12];
        long.read_exact(&mut answer).await.unwrap();
        assert_eq!(&answer, b"HTTP/1.1 431");

        let mut deaf = TcpStream::connect(address).await.unwrap();
        deaf.write_all(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n").await.unwrap();
        deaf.read_exact(&mut answer).await.unwrap();
        assert_eq!(&answer, b"HTTP/1.1 200");
        timeout(Duration::from_secs(20), dropped.notified()).await.unwrap();
    }

    #[tokio::test]
    async fn one_address_leaves_room_for_others() {
        let bounds = Bounds { of_one_address: 1, ..SHORT };
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let router = Router::new().route("/", get(async || "done"));
        tokio::spawn(serve(listener, router, bounds, CancellationToken::new()));
        let ask = async || {
            let mut client = TcpStream::connect(address).await.unwrap();
            let _ = client.write_all(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n").await;
            let mut answer = [0; 12];
            let answered = client.read_exact(&mut answer).await.is_ok();
            (client, answered)
        };
        let (first, answered) = ask().await;
        assert!(answered);
        assert!(!ask().await.1, "a second connection was served");
        drop(first);
        let again = async {
            while !ask().await.1 {
                sleep(Duration::from_millis(10)).await;
            }
        };
        timeout(Duration::from_secs(20), again).await.unwrap();
    }
}
