//! Refusals, in the form in which the provider's own API refuses: the engines show it to people and know what to retry.

use axum::Json;
use axum::response::{IntoResponse, Response};
use http::header::{CONNECTION, RETRY_AFTER};
use http::{HeaderValue, StatusCode};
use punching_fist_core::money::Money;
use punching_fist_core::profile::Protocol;
use punching_fist_protocol::GatewayWord;
use serde_json::{Value, json};

const CLOSE: HeaderValue = HeaderValue::from_static("close");
/// When it may be worth trying again, in seconds.
const RETRY_AFTER_SECONDS: HeaderValue = HeaderValue::from_static("5");

/// Why a call isn't answered by the model. The words in the messages are chosen with care: engines look for some, and take
/// "rate limit" or "unauthorized" in a message for more than the code says.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Refusal {
    #[error("this run has spent {spent} of its budget of {budget} US dollars (agent.maxCostUSD)")]
    BudgetExceeded { spent: Money, budget: Money },
    #[error("{0}")]
    RunOver(&'static str),
    #[error("{0}")]
    Refused(String),
    #[error(
        "nothing is served here; POST a request of the model's API, such as /v1/chat/completions or /v1/messages"
    )]
    NoSuchPath,
    #[error("{0}")]
    Unauthenticated(String),
    #[error("the request has more than {0} bytes")]
    TooLarge(usize),
    #[error("{0}; it is worth trying again")]
    BodyBroken(&'static str),
    #[error("{0}")]
    Unavailable(String),
    #[error("{0}")]
    Unreachable(String),
    #[error("{0}")]
    TooSlow(String),
}

impl Refusal {
    /// What the runner looks for.
    fn word(&self) -> GatewayWord {
        match self {
            Self::BudgetExceeded { .. } => GatewayWord::BudgetExceeded,
            Self::RunOver(_) => GatewayWord::RunOver,
            Self::Refused(_) | Self::NoSuchPath | Self::TooLarge(_) => GatewayWord::Refused,
            Self::Unauthenticated(_) => GatewayWord::Unauthenticated,
            Self::BodyBroken(_) | Self::Unavailable(_) | Self::Unreachable(_) | Self::TooSlow(_) => {
                GatewayWord::Unavailable
            }
        }
    }

    /// How it is counted.
    pub(crate) fn outcome(&self) -> &'static str {
        match self {
            Self::BudgetExceeded { .. } => "budget_exceeded",
            Self::RunOver(_) => "run_over",
            Self::Refused(_) | Self::NoSuchPath | Self::TooLarge(_) => "refused",
            Self::Unauthenticated(_) => "unauthenticated",
            Self::BodyBroken(_) | Self::Unavailable(_) => "unavailable",
            Self::Unreachable(_) | Self::TooSlow(_) => "unreachable",
        }
    }

    /// What is final is a 400: engines were measured to retry a 402 or 403, or to lose its text.
    fn status(&self) -> StatusCode {
        match self {
            Self::BudgetExceeded { .. } | Self::RunOver(_) | Self::Refused(_) => StatusCode::BAD_REQUEST,
            Self::NoSuchPath => StatusCode::NOT_FOUND,
            Self::Unauthenticated(_) => StatusCode::UNAUTHORIZED,
            Self::TooLarge(_) => StatusCode::PAYLOAD_TOO_LARGE,
            Self::BodyBroken(_) => StatusCode::REQUEST_TIMEOUT,
            Self::Unavailable(_) => StatusCode::SERVICE_UNAVAILABLE,
            Self::Unreachable(_) => StatusCode::BAD_GATEWAY,
            Self::TooSlow(_) => StatusCode::GATEWAY_TIMEOUT,
        }
    }

    /// Who has no token has no connection to keep either.
    pub(crate) fn closes(&self) -> bool {
        matches!(self, Self::NoSuchPath | Self::Unauthenticated(_))
    }

    /// As the API of that protocol says it.
    pub(crate) fn response(&self, protocol: Protocol) -> Response {
        let (status, word) = (self.status(), self.word());
        let mut response =
            (status, Json(body(protocol, status, word.as_str(), &word.message(self)))).into_response();
        if status.is_server_error() {
            response.headers_mut().insert(RETRY_AFTER, RETRY_AFTER_SECONDS);
        }
        if self.closes() {
            response.headers_mut().insert(CONNECTION, CLOSE);
        }
        response
    }
}

fn body(protocol: Protocol, status: StatusCode, word: &str, message: &str) -> Value {
    let kind = match status.as_u16() {
        401 => "authentication_error",
        404 => "not_found_error",
        413 => "request_too_large",
        400 => "invalid_request_error",
        _ => "api_error",
    };
    match protocol {
        Protocol::OpenAi => json!({"error": {"message": message, "type": kind, "param": null, "code": word}}),
        Protocol::Anthropic => json!({"type": "error", "error": {"type": kind, "message": message}}),
    }
}
