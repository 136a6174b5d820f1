//! What the API server answers when it refuses: a code and a `Status` object.

use serde_json::{Value, json};

/// A refusal.
#[derive(Debug)]
pub(super) struct Failure {
    pub(super) code: u16,
    reason: &'static str,
    message: String,
}

impl Failure {
    pub(super) fn new(code: u16, message: impl Into<String>) -> Self {
        Self { code, reason: reason(code), message: message.into() }
    }

    pub(super) fn not_found(name: &str) -> Self {
        Self::new(404, format!("{name:?} not found"))
    }

    pub(super) fn already_exists(name: &str) -> Self {
        Self { code: 409, reason: "AlreadyExists", message: format!("{name:?} already exists") }
    }

    pub(super) fn modified(name: &str) -> Self {
        Self::new(
            409,
            format!(
                "Operation cannot be fulfilled on {name:?}: the object has been modified; please apply your changes to the latest version and try again"
            ),
        )
    }

    pub(super) fn body(&self) -> Value {
        json!({
            "apiVersion": "v1",
            "kind": "Status",
            "metadata": {},
            "status": "Failure",
            "code": self.code,
            "reason": self.reason,
            "message": self.message,
        })
    }
}

fn reason(code: u16) -> &'static str {
    match code {
        400 => "BadRequest",
        401 => "Unauthorized",
        403 => "Forbidden",
        404 => "NotFound",
        405 => "MethodNotAllowed",
        409 => "Conflict",
        410 => "Expired",
        413 => "RequestEntityTooLarge",
        415 => "UnsupportedMediaType",
        422 => "Invalid",
        429 => "TooManyRequests",
        500 => "InternalError",
        503 => "ServiceUnavailable",
        504 => "Timeout",
        _ => "Unknown",
    }
}
