//! Calls of the API server, each with a deadline: kube's client waits for an answer for ever, and retries for minutes.

use std::time::Duration;

use tokio::time::timeout;

/// How long one call may take.
const DEADLINE: Duration = Duration::from_secs(5);

/// What came of a call.
#[derive(Debug, thiserror::Error)]
pub(crate) enum CallError {
    /// It was answered, and refused.
    #[error(transparent)]
    Kube(#[from] kube::Error),
    /// It may have been done.
    #[error("no answer within {} s", DEADLINE.as_secs())]
    Timeout,
}

impl CallError {
    pub(crate) fn is_not_found(&self) -> bool {
        matches!(self, Self::Kube(kube::Error::Api(status)) if status.is_not_found())
    }

    pub(crate) fn is_conflict(&self) -> bool {
        matches!(self, Self::Kube(kube::Error::Api(status)) if status.is_conflict())
    }
}

pub(crate) async fn within<T>(call: impl Future<Output = kube::Result<T>>) -> Result<T, CallError> {
    timeout(DEADLINE, call).await.map_err(|_| CallError::Timeout)?.map_err(CallError::from)
}
