//! Calls of the API server with a deadline: the client itself may retry and sleep for minutes.

use std::time::Duration;

/// A call that takes longer is given up; its caller tries again later.
const DEADLINE: Duration = Duration::from_secs(10);

/// Why a call brought nothing.
#[derive(Debug, thiserror::Error)]
pub enum CallError {
    /// The API server refused, or could not be reached.
    #[error(transparent)]
    Kube(#[from] kube::Error),
    /// It did not answer in time.
    #[error("the API server did not answer within {} s", DEADLINE.as_secs())]
    TimedOut,
}

impl CallError {
    /// The object is not there, or is another one of the same name.
    pub fn is_gone(&self) -> bool {
        matches!(self, Self::Kube(kube::Error::Api(status)) if status.is_not_found() || status.is_conflict())
    }
}

/// Runs `call` with a deadline.
///
/// # Errors
/// The call's own, and [`CallError::TimedOut`].
pub async fn bounded<T>(call: impl Future<Output = kube::Result<T>>) -> Result<T, CallError> {
    Ok(tokio::time::timeout(DEADLINE, call).await.map_err(|_| CallError::TimedOut)??)
}
