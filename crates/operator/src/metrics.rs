//! The operator's own metrics: which build this is, whether it leads, and what it asks of the API server.

use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use futures::future::BoxFuture;
use http::{Request, Response};
use kube::client::Body;
use prometheus::{HistogramOpts, HistogramVec, IntCounterVec, IntGauge, IntGaugeVec, Opts, Registry};
use tower::{Layer, Service};

/// A change lasts from under a millisecond to the half minute after which the client gives up.
const BUCKETS: [f64; 9] = [0.005, 0.01, 0.025, 0.05, 0.1, 0.5, 1.0, 5.0, 30.0];

/// Metrics of the binary; those about tasks and alerts belong to the controller and the webhook.
#[derive(Clone, Debug)]
pub struct Metrics {
    /// 1 while this replica holds the Lease.
    pub leader: IntGauge,
    requests: IntCounterVec,
    duration: HistogramVec,
}

impl Metrics {
    /// Registers them.
    pub fn new(registry: &Registry) -> prometheus::Result<Self> {
        let build = IntGaugeVec::new(
            Opts::new("punching_fist_build_info", "The build that runs; always 1"),
            &["version"],
        )?;
        build.with_label_values(&[env!("CARGO_PKG_VERSION")]).set(1);
        let leader =
            IntGauge::new("punching_fist_leader", "1 while this replica holds the Lease and reconciles")?;
        let requests =
            Opts::new("punching_fist_kube_requests_total", "Calls of the API server, by verb and HTTP code");
        let requests = IntCounterVec::new(requests, &["verb", "code"])?;
        let help = "Time to the API server's answer; a watch is answered when it begins";
        let duration =
            HistogramOpts::new("punching_fist_kube_request_duration_seconds", help).buckets(BUCKETS.to_vec());
        let duration = HistogramVec::new(duration, &["verb"])?;
        registry.register(Box::new(build))?;
        registry.register(Box::new(leader.clone()))?;
        registry.register(Box::new(requests.clone()))?;
        registry.register(Box::new(duration.clone()))?;
        Ok(Self { leader, requests, duration })
    }

    fn observe(&self, verb: &str, code: &str, took: Duration) {
        self.requests.with_label_values(&[verb, code]).inc();
        self.duration.with_label_values(&[verb]).observe(took.as_secs_f64());
    }
}

/// Counts and measures every call that passes. It stands outside of the client's own retries: what it sees is what the
/// caller waited for.
#[derive(Clone, Debug)]
pub struct MetricsLayer(pub Metrics);

impl<S> Layer<S> for MetricsLayer {
    type Service = MetricsService<S>;

    fn layer(&self, inner: S) -> Self::Service {
        MetricsService { inner, metrics: self.0.clone() }
    }
}

/// See [`MetricsLayer`].
#[derive(Clone, Debug)]
pub struct MetricsService<S> {
    inner: S,
    metrics: Metrics,
}

impl<S, B> Service<Request<Body>> for MetricsService<S>
where
    S: Service<Request<Body>, Response = Response<B>>,
    S::Future: Send + 'static,
    S::Error: Send + 'static,
    B: Send + 'static,
{
    type Response = S::Response;
    type Error = S::Error;
    type Future = BoxFuture<'static, Result<S::Response, S::Error>>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(context)
    }

    fn call(&mut self, request: Request<Body>) -> Self::Future {
        // kube names the verb in an extension of the request: "get", "list", "watch", "patch_status" and so on.
        let verb = request.extensions().get::<&'static str>().copied().unwrap_or("other");
        let (metrics, start, answer) = (self.metrics.clone(), Instant::now(), self.inner.call(request));
        Box::pin(async move {
            let answer = answer.await;
            let code =
                answer.as_ref().map_or("error".to_owned(), |answer| answer.status().as_u16().to_string());
            metrics.observe(verb, &code, start.elapsed());
            answer
        })
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use kube::Client;
    use prometheus::proto::MetricFamily;
    use punching_fist_controller as controller;
    use punching_fist_core::route::{self, Route};
    use punching_fist_webhook::{Authentication, Webhook, router};

    use super::*;

    /// Type and labels of a metric, as `docs/metrics.md` writes them.
    fn told(family: &MetricFamily) -> (String, String) {
        let labels = family.get_metric()[0].get_label();
        let labels: Vec<_> = labels.iter().map(|label| format!("`{}`", label.name())).collect();
        (format!("{:?}", family.get_field_type()).to_lowercase(), labels.join(", "))
    }

    #[tokio::test]
    async fn metrics_are_as_their_page_says() {
        let page = include_str!("../../../docs/metrics.md");
        let cells = page.lines().map(|line| line.split('|').map(str::trim).collect::<Vec<_>>());
        let rows: BTreeMap<_, _> = cells
            .filter(|cells| cells.len() == 6)
            .map(|cells| (cells[1].trim_matches('`'), (cells[2].to_owned(), cells[3].to_owned())))
            .collect();
        let registry = Registry::new();
        Metrics::new(&registry).unwrap().observe("get", "200", Duration::ZERO);
        controller::Metrics::register(&registry).unwrap();
        punching_fist_gateway::Metrics::register(&registry).unwrap();
        let client = Client::try_from(kube::Config::new("http://127.0.0.1:1".parse().unwrap())).unwrap();
        let route = Route::new("agents", route::DEFAULT, route::default_spec()).unwrap();
        let webhook = Webhook::new(client, route, &registry).unwrap();
        drop(router(webhook, Authentication::None));
        let gathered = registry.gather();
        assert!(gathered.len() > 10, "{}", gathered.len());
        for family in gathered {
            assert_eq!(rows.get(family.name()), Some(&told(&family)), "{}", family.name());
        }
    }
}
