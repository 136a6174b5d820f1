//! A replica of the operator as tests use it: its webhook, its metrics, its log.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::ExitStatus;

use http::{HeaderMap, Request};
use http_body_util::BodyExt as _;
use kube::client::Body;
use kube::{Client, Config};
use punching_fist_testkit::loopback;
use punching_fist_testkit::operator::Operator;
use serde_json::Value;
use tokio::sync::{Mutex, MutexGuard};

use crate::Failure;

/// How much of a log is shown.
const TAIL_LINES: usize = 60;
/// What the API server says to who may not do something. A quota's refusal reads otherwise.
const FORBIDDEN: &str = "is forbidden: User ";
/// How its metrics begin that count calls of the API server.
const CALLS: &str = "punching_fist_kube_requests_total{";

/// A running replica.
pub struct Replica {
    name: String,
    operator: Mutex<Operator>,
    webhook: SocketAddr,
    probes: SocketAddr,
    gateway: SocketAddr,
    token: String,
    log: PathBuf,
}

/// What the webhook answered.
#[derive(Debug)]
pub struct Answer {
    /// The HTTP status.
    pub status: u16,
    /// The headers.
    pub headers: HeaderMap,
    /// The body, as JSON if it is JSON, else as a string.
    pub body: Value,
}

impl Replica {
    pub(crate) fn new(name: String, operator: Operator) -> Self {
        Self {
            name,
            webhook: operator.webhook(),
            probes: operator.probes(),
            gateway: operator.gateway(),
            token: operator.webhook_token().to_owned(),
            log: operator.process().log().to_owned(),
            operator: Mutex::new(operator),
        }
    }

    /// What it is called, among others in the Lease that it holds.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The process, to kill and restart it.
    pub async fn operator(&self) -> MutexGuard<'_, Operator> {
        self.operator.lock().await
    }

    /// Asks it to end, and waits until it has.
    ///
    /// # Errors
    /// The system can't tell how it ended.
    pub async fn stop(self) -> Result<ExitStatus, Failure> {
        Ok(self.operator.into_inner().stop().await?)
    }

    /// Where Alertmanager posts to.
    pub fn webhook_url(&self) -> String {
        format!("http://{}/webhook/alertmanager", self.webhook)
    }

    /// Where agents reach the model.
    pub fn gateway(&self) -> SocketAddr {
        self.gateway
    }

    /// Calls the gateway: any method, any path, any headers.
    ///
    /// # Errors
    /// There is no answer.
    pub async fn ask(&self, request: Request<Vec<u8>>) -> Result<Answer, Failure> {
        send(self.gateway, request).await
    }

    /// The token that the webhook asks for.
    pub fn token(&self) -> &str {
        &self.token
    }

    /// Posts a notification as Alertmanager does.
    ///
    /// # Errors
    /// There is no answer.
    pub async fn post(&self, body: &Value) -> Result<Answer, Failure> {
        self.post_bytes(body.to_string().into_bytes(), Some(&self.token)).await
    }

    /// Posts anything.
    ///
    /// # Errors
    /// There is no answer.
    pub async fn post_bytes(&self, body: Vec<u8>, token: Option<&str>) -> Result<Answer, Failure> {
        let mut request = Request::post("/webhook/alertmanager").header("content-type", "application/json");
        if let Some(token) = token {
            request = request.header("authorization", format!("Bearer {token}"));
        }
        send(self.webhook, request.body(body)?).await
    }

    /// The value of a metric without labels, or of one as it is written (`name{label="value"}`).
    ///
    /// # Errors
    /// There is no answer, or no such metric.
    pub async fn metric(&self, name: &str) -> Result<f64, Failure> {
        let text = self.metrics().await?;
        let line = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
        Ok(line.ok_or_else(|| format!("no metric {name} in\n{text}"))?.parse()?)
    }

    /// Whether it leads.
    ///
    /// # Errors
    /// There is no answer.
    pub async fn leads(&self) -> Result<bool, Failure> {
        Ok(self.metric("punching_fist_leader").await? > 0.5)
    }

    /// All metrics, as Prometheus reads them.
    ///
    /// # Errors
    /// There is no answer.
    pub async fn metrics(&self) -> Result<String, Failure> {
        Ok(loopback::get(self.probes, "/metrics").await?)
    }

    /// Where it logs to.
    pub fn log_path(&self) -> &Path {
        &self.log
    }

    /// The end of its log.
    pub fn log_tail(&self) -> String {
        let text = self.log();
        let lines: Vec<&str> = text.lines().collect();
        lines[lines.len().saturating_sub(TAIL_LINES)..].join("\n")
    }

    /// Its log.
    pub fn log(&self) -> String {
        String::from_utf8_lossy(&std::fs::read(&self.log).unwrap_or_default()).into_owned()
    }

    /// What tells of a right that it lacks: lines of its log, and calls that were answered with 401 or 403.
    ///
    /// # Errors
    /// It doesn't show its metrics.
    pub async fn trespasses(&self) -> Result<Vec<String>, Failure> {
        let (log, metrics) = (self.log(), self.metrics().await?);
        let told = log.lines().filter(|line| line.contains(FORBIDDEN));
        let counted = metrics.lines().filter(|line| {
            line.starts_with(CALLS)
                && [r#"code="401""#, r#"code="403""#].iter().any(|code| line.contains(code))
        });
        Ok(told.chain(counted).map(str::to_owned).collect())
    }
}

async fn send(address: SocketAddr, request: Request<Vec<u8>>) -> Result<Answer, Failure> {
    let response = client(address)?.send(request.map(Body::from)).await?;
    let (head, body) = response.into_parts();
    let body = String::from_utf8(body.collect().await?.to_bytes().to_vec())?;
    let body = serde_json::from_str(&body).unwrap_or(Value::String(body));
    Ok(Answer { status: head.status.as_u16(), headers: head.headers, body })
}

/// kube's client is here anyway; its retries are off.
fn client(address: SocketAddr) -> Result<Client, Failure> {
    let mut config = Config::new(format!("http://{address}").parse()?);
    config.default_retry = false;
    Ok(Client::try_from(config)?)
}
