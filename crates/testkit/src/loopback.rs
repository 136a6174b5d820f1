//! Free ports, and plain HTTP to the servers that we start on loopback.

use std::net::{Ipv4Addr, SocketAddr, TcpListener};

use http::{Method, Request};
use kube::{Client, Config};

use crate::Error;

/// A loopback address that nobody listens on right now. Somebody else may take it before it is used: who uses it has
/// to be ready to try another one.
///
/// # Errors
/// No port is left.
pub fn free_address() -> Result<SocketAddr, Error> {
    let any = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
    let refused = |source| Error::Spawn { name: "a listener on a free port".to_owned(), source };
    TcpListener::bind(any).and_then(|listener| listener.local_addr()).map_err(refused)
}

/// Whether `address` can be listened on.
pub fn is_free(address: SocketAddr) -> bool {
    TcpListener::bind(address).is_ok()
}

/// `GET http://<address><path>`: the body, if the answer is a success.
///
/// # Errors
/// No connection, or another status.
pub async fn get(address: SocketAddr, path: &str) -> Result<String, Error> {
    request(address, Method::GET, path, &[], Vec::new()).await
}

/// `POST http://<address><path>` with a JSON body.
///
/// # Errors
/// No connection, or a status that is no success.
pub async fn post_json(address: SocketAddr, path: &str, body: &serde_json::Value) -> Result<String, Error> {
    let json = [("content-type", "application/json")];
    request(address, Method::POST, path, &json, body.to_string().into_bytes()).await
}

/// Any request. kube's client is used because it is here anyway; its retries are off.
///
/// # Errors
/// No connection, or a status that is no success.
pub async fn request(
    address: SocketAddr,
    method: Method,
    path: &str,
    headers: &[(&str, &str)],
    body: Vec<u8>,
) -> Result<String, Error> {
    let what = format!("{method} http://{address}{path}");
    let mut builder = Request::builder().method(method).uri(path);
    for (name, value) in headers {
        builder = builder.header(*name, *value);
    }
    let failed = |source: kube::Error| Error::kube(what)(source);
    match (builder.body(body), client(address)) {
        (Ok(request), Ok(client)) => client.request_text(request).await.map_err(failed),
        (Err(error), _) => Err(failed(kube::Error::HttpError(error))),
        (_, Err(error)) => Err(failed(error)),
    }
}

fn client(address: SocketAddr) -> Result<Client, kube::Error> {
    let uri = http::Uri::builder().scheme("http").authority(address.to_string()).path_and_query("/").build();
    let mut config = Config::new(uri.map_err(kube::Error::HttpError)?);
    config.default_retry = false;
    Client::try_from(config)
}
