//! The part of the kubelet API that `kubectl logs` needs, over HTTPS, for those whom the client authority vouches for.

mod tls;

use std::net::SocketAddr;
use std::sync::Arc;

use axum::Router;
use axum::body::Body;
use axum::extract::{Path, Query, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use futures::stream;
use k8s_openapi::jiff::{SignedDuration, Timestamp};
use serde::Deserialize;
use tokio::task::JoinHandle;

use crate::logs::{Key, LogReader, Logs, Selection};
use tls::TlsListener;
pub use tls::{Identity, TlsError};

/// What `kubectl logs` asks, in the API server's words.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Request {
    follow: bool,
    previous: bool,
    timestamps: bool,
    tail_lines: Option<usize>,
    since_seconds: Option<i64>,
    since_time: Option<Timestamp>,
    limit_bytes: Option<usize>,
    stream: Stream,
}

#[derive(Clone, Copy, Debug, Default, Deserialize)]
enum Stream {
    #[default]
    All,
    Stdout,
    Stderr,
}

impl Request {
    fn selection(&self, now: Timestamp) -> Selection {
        let ago = |seconds| now.saturating_sub(SignedDuration::from_secs(seconds)).unwrap_or(Timestamp::MIN);
        Selection {
            follow: self.follow,
            timestamps: self.timestamps,
            tail: self.tail_lines,
            since: self.since_time.or(self.since_seconds.map(ago)),
            limit_bytes: self.limit_bytes,
            stream: match self.stream {
                Stream::All => None,
                Stream::Stdout => Some("stdout"),
                Stream::Stderr => Some("stderr"),
            },
        }
    }
}

/// Serves on a free port of loopback: where, and the task that does it.
///
/// # Errors
/// The identity can't be used, or there is no port.
pub async fn start(identity: &Identity, logs: Arc<Logs>) -> Result<(SocketAddr, JoinHandle<()>), TlsError> {
    let listener = TlsListener::bind(identity).await?;
    let address = listener.address();
    let router = Router::new()
        .route("/healthz", get(|| async { "ok" }))
        .route("/containerLogs/{namespace}/{pod}/{container}", get(container_logs))
        .with_state(logs);
    let task = tokio::spawn(async move {
        if let Err(error) = axum::serve(listener, router).await {
            tracing::warn!(%error, "nobody serves logs any more");
        }
    });
    Ok((address, task))
}

async fn container_logs(
    State(logs): State<Arc<Logs>>,
    Path((namespace, pod, container)): Path<(String, String, String)>,
    Query(request): Query<Request>,
) -> Response {
    let key = Key { namespace, pod, container };
    let Some(log) = logs.find(&key, request.previous) else {
        return (StatusCode::BAD_REQUEST, missing(&key, request.previous)).into_response();
    };
    match LogReader::open(log, request.selection(Timestamp::now())).await {
        Ok(reader) => Body::from_stream(stream::unfold(reader, |mut reader| async move {
            reader.next().await.transpose().map(|piece| (piece, reader))
        }))
        .into_response(),
        Err(error) => (StatusCode::INTERNAL_SERVER_ERROR, error.to_string()).into_response(),
    }
}

/// In a kubelet's words.
fn missing(key: &Key, previous: bool) -> String {
    let Key { pod, container, .. } = key;
    if previous {
        format!("previous terminated container {container:?} in pod {pod:?} not found")
    } else {
        format!("container {container:?} in pod {pod:?} is waiting to start")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_moment_wins_over_a_number_of_seconds() {
        let now: Timestamp = "2026-01-01T00:01:00Z".parse().unwrap();
        let since = |since_seconds, since_time: Option<&str>| {
            let since_time = since_time.map(|time| time.parse().unwrap());
            let request = Request { since_seconds, since_time, ..Request::default() };
            request.selection(now).since.map(|time| time.to_string())
        };
        assert_eq!(since(None, None), None);
        assert_eq!(since(Some(60), None).as_deref(), Some("2026-01-01T00:00:00Z"));
        assert_eq!(since(Some(60), Some("2026-01-01T00:00:30Z")).as_deref(), Some("2026-01-01T00:00:30Z"));
    }
}
