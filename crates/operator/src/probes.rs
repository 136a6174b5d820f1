//! What kubelet and Prometheus ask: `/livez`, `/readyz`, `/startupz` and `/metrics`, on a port of their own.

use std::sync::Arc;

use axum::Router;
use axum::extract::State;
use axum::http::StatusCode;
use axum::http::header::CONTENT_TYPE;
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use prometheus::{Registry, TextEncoder};

use crate::health::Health;

/// The router of the probes' port. It is served only once every port is bound, so that to answer is to have started.
pub fn router(health: Arc<Health>, registry: Registry) -> Router {
    Router::new()
        .route("/startupz", get(|| async { "ok\n" }))
        .route("/livez", get(|State(health): State<Arc<Health>>| async move { answer(health.stuck()) }))
        .route("/readyz", get(|State(health): State<Arc<Health>>| async move { answer(health.unready()) }))
        .route("/metrics", get(async move || metrics(&registry)))
        .with_state(health)
}

fn answer(wrong: Option<String>) -> Response {
    match wrong {
        None => "ok\n".into_response(),
        Some(wrong) => (StatusCode::SERVICE_UNAVAILABLE, wrong + "\n").into_response(),
    }
}

fn metrics(registry: &Registry) -> Response {
    match TextEncoder::new().encode_to_string(&registry.gather()) {
        Ok(text) => ([(CONTENT_TYPE, prometheus::TEXT_FORMAT)], text).into_response(),
        Err(error) => (StatusCode::INTERNAL_SERVER_ERROR, error.to_string()).into_response(),
    }
}

#[cfg(test)]
mod tests {
    use axum::body::{Body, to_bytes};
    use http::Request;
    use tower::ServiceExt;

    use super::*;
    use crate::metrics::Metrics;

    async fn get(router: &Router, path: &str) -> (u16, String) {
        let request = Request::get(path).body(Body::empty()).unwrap();
        let response = router.clone().oneshot(request).await.unwrap();
        let status = response.status().as_u16();
        let body = to_bytes(response.into_body(), 1 << 20).await.unwrap();
        (status, String::from_utf8(body.to_vec()).unwrap())
    }

    #[tokio::test]
    async fn readiness_follows_health_and_liveness_does_not() {
        let health = Arc::new(Health::new(&["cluster"]));
        let router = router(health.clone(), Registry::new());
        assert_eq!(get(&router, "/readyz").await, (503, "cluster: not looked at yet\n".to_owned()));
        assert_eq!(get(&router, "/livez").await.0, 200);
        assert_eq!(get(&router, "/startupz").await.0, 200);
        health.set("cluster", Ok(()));
        assert_eq!(get(&router, "/readyz").await, (200, "ok\n".to_owned()));
    }

    #[tokio::test]
    async fn metrics_name_the_build() {
        let registry = Registry::new();
        Metrics::new(&registry).unwrap();
        let (status, text) = get(&router(Arc::new(Health::new(&[])), registry), "/metrics").await;
        assert_eq!(status, 200);
        let build = format!("punching_fist_build_info{{version=\"{}\"}} 1", env!("CARGO_PKG_VERSION"));
        assert!(text.contains(&build) && text.contains("punching_fist_leader 0"), "{text}");
    }
}
