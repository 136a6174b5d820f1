//! HTTP around the store: one request in, recorded, failed or answered.

use std::future::{Future, pending};
use std::io::{Error, ErrorKind};
use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use futures::StreamExt;
use http::{Request, Response};
use http_body::Frame;
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt, Full, StreamBody};
use kube::client::Body;
use serde_json::Value;

use super::call::Call;
use super::failure::Failure;
use super::fault::Fault;
use super::{RecordingApi, watch};

type Reply = Response<UnsyncBoxBody<Bytes, BoxError>>;
type BoxError = Box<dyn std::error::Error + Send + Sync>;

/// The server as the client's transport.
#[derive(Clone)]
pub(super) struct Service {
    api: RecordingApi,
}

impl Service {
    pub(super) fn new(api: RecordingApi) -> Self {
        Self { api }
    }
}

impl tower::Service<Request<Body>> for Service {
    type Response = Reply;
    type Error = BoxError;
    type Future = Pin<Box<dyn Future<Output = Result<Reply, BoxError>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<Body>) -> Self::Future {
        Box::pin(serve(self.api.clone(), request))
    }
}

async fn serve(api: RecordingApi, request: Request<Body>) -> Result<Reply, BoxError> {
    let (parts, body) = request.into_parts();
    let body = body.collect_bytes().await?;
    let Some(call) = Call::read(&parts, &body) else {
        return answer(404, &Failure::not_found(parts.uri.path()).body());
    };
    let (serial, fault) = api.lock().record(&call);
    let response = failing(&api, &call, fault).await?;
    api.lock().note_answer(serial, response.status().as_u16());
    Ok(response)
}

async fn failing(api: &RecordingApi, call: &Call, fault: Option<Fault>) -> Result<Reply, BoxError> {
    match fault {
        None => respond(api, call),
        Some(Fault::Status(code)) => answer(code, &Failure::new(code, "injected").body()),
        Some(Fault::Answer(code, body)) => Ok(Response::builder().status(code).body(whole(body))?),
        Some(Fault::Hang) => pending().await,
        Some(Fault::Disconnect) => Err(Error::new(ErrorKind::ConnectionReset, "injected").into()),
        Some(Fault::DoneThenStatus(code)) => {
            respond(api, call)?;
            answer(code, &Failure::new(code, "injected, but done").body())
        }
        Some(Fault::DoneThenHang) => {
            respond(api, call)?;
            pending().await
        }
        Some(Fault::Slow(time)) => {
            tokio::time::sleep(time).await;
            respond(api, call)
        }
    }
}

fn respond(api: &RecordingApi, call: &Call) -> Result<Reply, BoxError> {
    if call.verb == "watch" {
        return watching(api, call);
    }
    let done = api.lock().store.answer(call);
    match done {
        Ok((code, body)) => answer(code, &body),
        Err(failure) => answer(failure.code, &failure.body()),
    }
}

fn watching(api: &RecordingApi, call: &Call) -> Result<Reply, BoxError> {
    match watch::lines(api.clone(), call) {
        Ok(lines) => {
            let frames =
                lines.map(|line| line.map(|line| Frame::data(Bytes::from(line))).map_err(BoxError::from));
            Ok(Response::new(StreamBody::new(frames).boxed_unsync()))
        }
        Err(failure) => answer(failure.code, &failure.body()),
    }
}

fn answer(code: u16, body: &Value) -> Result<Reply, BoxError> {
    let builder = Response::builder().status(code).header(http::header::CONTENT_TYPE, "application/json");
    Ok(builder.body(whole(body.to_string()))?)
}

fn whole(text: String) -> UnsyncBoxBody<Bytes, BoxError> {
    Full::new(Bytes::from(text)).map_err(|never| match never {}).boxed_unsync()
}
