//! The way to the providers: one pool of connections, bounded in time, and no headers but those that belong to a call.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::header::{self, HeaderName};
use http::{HeaderMap, HeaderValue, Method, Request, Response};
use http_body_util::Full;
use hyper::body::Incoming;
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_timeout::TimeoutConnector;
use hyper_util::client::legacy::{Client, connect::HttpConnector};
use hyper_util::rt::{TokioExecutor, TokioTimer};
use punching_fist_core::profile::Protocol;
use punching_fist_protocol::causes;
use rustls::crypto::aws_lc_rs;
use rustls::{ClientConfig, RootCertStore};
use tokio::time::timeout;
use tracing::warn;

use crate::keys::Key;

/// How long a connection may take, TLS included.
const CONNECT: Duration = Duration::from_secs(15);
/// How long a connection is kept for the next call: less than servers do. One that the server closes just when a call goes
/// out breaks that call, which stays charged, as nobody knows whether it was taken.
const IDLE: Duration = Duration::from_secs(4);
/// How often a connection shows that it lives while a model thinks: what stands between forgets silent ones.
const KEEPALIVE: Duration = Duration::from_secs(30);

/// How much of an answer is read at once, and how long its head may be.
const BUFFER_MAX: usize = 64 << 10;

/// What of a request's headers goes out. Not what selects an account of the provider's, nor what a proxy added.
const PASSED_OUT: [&str; 7] =
    ["accept", "user-agent", "anthropic-version", "anthropic-beta", "openai-beta", "http-referer", "x-title"];
/// What of an answer's headers doesn't come back: what belongs to one connection, or tells whose the key is.
const KEPT_BACK: [&str; 15] = [
    "connection",
    "content-length",
    "keep-alive",
    "proxy-authenticate",
    "proxy-connection",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
    "set-cookie",
    "location",
    "alt-svc",
    "openai-organization",
    "openai-project",
    "anthropic-organization-id",
];

type Connector = TimeoutConnector<HttpsConnector<HttpConnector>>;

/// The way to the providers.
#[derive(Clone)]
pub(crate) struct Upstream {
    client: Client<Connector, Full<Bytes>>,
    first_byte: Duration,
}

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
pub(crate) enum UpstreamError {
    /// Nothing was sent.
    #[error("it can't be reached: {0}")]
    Unreachable(String),
    /// It may have been taken.
    #[error("it broke off before it answered: {0}")]
    Broken(String),
    /// It may have been taken.
    #[error("it has not begun to answer within {} s", .0.as_secs())]
    TooSlow(Duration),
}

impl Upstream {
    /// `first_byte`: how long an answer may take to begin.
    pub(crate) fn new(first_byte: Duration) -> Result<Self, rustls::Error> {
        let mut http = HttpConnector::new();
        http.enforce_http(false);
        http.set_nodelay(true);
        http.set_keepalive(Some(KEEPALIVE));
        let https = HttpsConnectorBuilder::new().with_tls_config(tls()?).https_or_http().enable_http1();
        let mut connector = TimeoutConnector::new(https.wrap_connector(http));
        connector.set_connect_timeout(Some(CONNECT));
        let client = Client::builder(TokioExecutor::new())
            .pool_timer(TokioTimer::new())
            .pool_idle_timeout(IDLE)
            .http1_max_buf_size(BUFFER_MAX)
            .build(connector);
        Ok(Self { client, first_byte })
    }

    pub(crate) async fn call(
        &self,
        request: Request<Full<Bytes>>,
    ) -> Result<Response<Incoming>, UpstreamError> {
        match timeout(self.first_byte, self.client.request(request)).await {
            Ok(Ok(response)) => Ok(response),
            Ok(Err(error)) if error.is_connect() => Err(UpstreamError::Unreachable(causes(&error))),
            Ok(Err(error)) => Err(UpstreamError::Broken(causes(&error))),
            Err(_) => Err(UpstreamError::TooSlow(self.first_byte)),
        }
    }
}

/// The system's certificates, as `SSL_CERT_FILE` and `SSL_CERT_DIR` say; in an image that has none, Mozilla's.
fn tls() -> Result<ClientConfig, rustls::Error> {
    let mut roots = RootCertStore::empty();
    let found = rustls_native_certs::load_native_certs();
    roots.add_parsable_certificates(found.certs);
    if roots.is_empty() {
        for error in found.errors {
            warn!(%error, "the system's certificates can't be read");
        }
        roots.extend(webpki_roots::TLS_SERVER_ROOTS.iter().cloned());
    }
    let config = ClientConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()));
    Ok(config.with_safe_default_protocol_versions()?.with_root_certificates(roots).with_no_client_auth())
}

/// The request as it goes out, with the key in the place of the token.
pub(crate) fn request(
    protocol: Protocol,
    url: &str,
    headers: &HeaderMap,
    key: &Key,
    body: Bytes,
) -> Result<Request<Full<Bytes>>, http::Error> {
    let mut request = Request::builder().method(Method::POST).uri(url).body(Full::new(body))?;
    let out = request.headers_mut();
    for name in PASSED_OUT.map(HeaderName::from_static) {
        for value in headers.get_all(&name) {
            out.append(name.clone(), value.clone());
        }
    }
    out.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    // What is compressed can't be read on its way.
    out.insert(header::ACCEPT_ENCODING, HeaderValue::from_static("identity"));
    let (name, value) = match protocol {
        Protocol::OpenAi => (header::AUTHORIZATION, format!("Bearer {}", key.text())),
        Protocol::Anthropic => (HeaderName::from_static("x-api-key"), key.text().to_owned()),
    };
    let mut value = HeaderValue::try_from(value)?;
    value.set_sensitive(true);
    out.insert(name, value);
    Ok(request)
}

/// What of an answer's headers comes back.
pub(crate) fn answer_headers(headers: &HeaderMap, key: &Key) -> HeaderMap {
    let kept_back = |name: &HeaderName| KEPT_BACK.contains(&name.as_str());
    let passed = headers.iter().filter(|(name, value)| !kept_back(name) && !key.is_in(value.as_bytes()));
    passed.map(|(name, value)| (name.clone(), value.clone())).collect()
}
