//! Why a pass failed. A user's mistake is no error: it becomes a condition.

use thiserror::Error;

/// A pass that has to be made again.
#[derive(Debug, Error)]
pub enum Error {
    /// The API server refused or could not be reached.
    #[error("{doing}: {source}")]
    Api {
        /// What was tried.
        doing: &'static str,
        /// What came of it.
        #[source]
        source: Box<kube::Error>,
    },
    /// The object changed since it was read.
    #[error("the object has changed since it was read")]
    Conflict,
    /// The pass took too long.
    #[error("the pass took longer than {0} s")]
    TimedOut(u64),
    /// The API server gave an object without what every object has.
    #[error("the object has no metadata.{0}")]
    Incomplete(&'static str),
}

impl Error {
    /// Wraps a client's error; a conflict is told apart, as it is no fault.
    pub(crate) fn api(doing: &'static str) -> impl Fn(kube::Error) -> Self {
        move |source| match source {
            kube::Error::Api(status) if status.is_conflict() => Self::Conflict,
            source => Self::Api { doing, source: Box::new(source) },
        }
    }

    /// Whether the API server looked at what was asked for and won't have it, or it can't even be asked for: a name that is
    /// none.
    pub(crate) fn is_refusal(&self) -> bool {
        match self {
            Self::Api { source, .. } => match &**source {
                kube::Error::Api(status) => is_definite(status.code),
                kube::Error::BuildRequest(_) => true,
                _ => false,
            },
            Self::Conflict | Self::TimedOut(_) | Self::Incomplete(_) => false,
        }
    }

    /// One of a few words, for metrics.
    pub fn category(&self) -> &'static str {
        match self {
            Self::Api { source, .. } if matches!(**source, kube::Error::Api(_)) => "api",
            Self::Api { .. } => "transport",
            Self::Conflict => "conflict",
            Self::TimedOut(_) => "timeout",
            Self::Incomplete(_) => "incomplete",
        }
    }
}

/// A 4xx says that the object was looked at and refused; but a timeout, a conflict and "too many" say nothing of it.
pub(crate) fn is_definite(code: u16) -> bool {
    (400..500).contains(&code) && ![401, 408, 409, 429].contains(&code)
}
