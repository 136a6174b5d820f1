//! What a sender is told when its body was not taken in: which code, and what to do about it.

use std::path::PathBuf;
use std::time::Duration;

use axum::Json;
use axum::response::{IntoResponse, Response};
use http::{HeaderName, StatusCode, header};
use serde_json::json;
use thiserror::Error;

/// After how many seconds it is worth trying again.
const RETRY_AFTER: &str = "5";

/// Why a body was not taken in.
#[derive(Debug, Error)]
pub enum Error {
    /// The body as a whole can't be read, or isn't what this receiver takes. Sending it again won't help.
    #[error("{field}: {message}")]
    InvalidAlert {
        /// The field, as a path into the body.
        field: String,
        /// What is wrong with it.
        message: String,
    },
    /// No credentials, or wrong ones.
    #[error("a bearer token is required: send the header Authorization: Bearer TOKEN")]
    Unauthorized,
    /// The body is too long.
    #[error("the body has more than {0} bytes; lower max_alerts of the sender's webhook_config")]
    TooLarge(usize),
    /// The body didn't arrive whole.
    #[error("the body broke off: {0}")]
    BrokenBody(#[source] axum::Error),
    /// As many requests as are allowed are under way.
    #[error("too many notifications at once; send it again")]
    Overloaded,
    /// Not done in time.
    #[error("not done within {0:?}; send it again")]
    Deadline(Duration),
    /// Others changed the incident's tasks each time.
    #[error("the incident's tasks changed {0} times while this was decided; send it again")]
    Contended(usize),
    /// The name of the incident's next task is another object's.
    #[error(
        "the AlertTask {task} has the name that this incident's next task must have, but its spec.identity.key is not \
         this incident's: delete it"
    )]
    NameTaken {
        /// Its namespace and name.
        task: String,
    },
    /// The incident's newest task has a value that no task can have.
    #[error("the incident's newest AlertTask {task} can't be read: {problem}; mend or delete it")]
    Unreadable {
        /// Its namespace and name.
        task: String,
        /// What is wrong with it.
        problem: String,
    },
    /// The file with the token can't be used.
    #[error("the file {path} holds no token: {problem}", path = path.display())]
    NoToken {
        /// The file.
        path: PathBuf,
        /// Why not.
        problem: String,
    },
    /// The API server can't be reached or doesn't let us.
    #[error("the Kubernetes API did not take it while {doing}: {}", brief(source))]
    Api {
        /// What was to be done.
        doing: &'static str,
        /// What the API server said.
        source: Box<kube::Error>,
    },
}

impl Error {
    pub(crate) fn invalid(field: impl Into<String>, message: impl Into<String>) -> Self {
        Self::InvalidAlert { field: field.into(), message: message.into() }
    }

    pub(crate) fn api(doing: &'static str) -> impl FnOnce(kube::Error) -> Self {
        move |source| Self::Api { doing, source: Box::new(source) }
    }

    /// Never 429: Alertmanager drops every 4xx for good, and tries every 5xx again.
    fn code(&self) -> StatusCode {
        match self {
            Self::InvalidAlert { .. } => StatusCode::BAD_REQUEST,
            Self::Unauthorized => StatusCode::UNAUTHORIZED,
            Self::TooLarge(_) => StatusCode::PAYLOAD_TOO_LARGE,
            _ => StatusCode::SERVICE_UNAVAILABLE,
        }
    }

    fn header(&self) -> Option<(HeaderName, &'static str)> {
        match self.code() {
            StatusCode::UNAUTHORIZED => Some((header::WWW_AUTHENTICATE, "Bearer realm=\"punching-fist\"")),
            StatusCode::SERVICE_UNAVAILABLE => Some((header::RETRY_AFTER, RETRY_AFTER)),
            _ => None,
        }
    }
}

/// kube shows a refusal with all its parts; what the API server says is enough.
fn brief(error: &kube::Error) -> String {
    match error {
        kube::Error::Api(status) => format!("{} ({})", status.message, status.code),
        error => error.to_string(),
    }
}

impl IntoResponse for Error {
    fn into_response(self) -> Response {
        let field = if let Self::InvalidAlert { field, .. } = &self { Some(field) } else { None };
        let body = Json(json!({ "error": self.to_string(), "field": field }));
        match self.header() {
            Some(header) => (self.code(), [header], body).into_response(),
            None => (self.code(), body).into_response(),
        }
    }
}
