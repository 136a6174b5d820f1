//! Waiting for a condition, never for a time.

use std::time::{Duration, Instant};

use crate::Error;

/// How long anything may take that takes seconds on a free machine. Nothing waits so long that comes, and what doesn't come
/// fails: so a slow machine fails no test.
pub const PATIENCE: Duration = Duration::from_secs(300);

/// How often a condition is looked at.
const POLL: Duration = Duration::from_millis(50);

/// Looks again and again until `look` finds something, for at most [`PATIENCE`].
///
/// # Errors
/// It is not found in time.
pub async fn until<T, F>(what: &str, look: F) -> Result<T, Error>
where
    F: AsyncFnMut() -> Option<T>,
{
    until_within(PATIENCE, what, look).await
}

/// The same for at most `limit`.
///
/// # Errors
/// It is not found in time.
pub async fn until_within<T, F>(limit: Duration, what: &str, mut look: F) -> Result<T, Error>
where
    F: AsyncFnMut() -> Option<T>,
{
    let started = Instant::now();
    while started.elapsed() < limit {
        // A look that hangs is no find either.
        let left = limit.saturating_sub(started.elapsed());
        if let Ok(Some(found)) = tokio::time::timeout(left, look()).await {
            return Ok(found);
        }
        tokio::time::sleep(POLL).await;
    }
    Err(Error::Waited { what: what.to_owned(), seconds: limit.as_secs() })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn it_looks_until_it_finds() {
        let mut looks = 0;
        let third = async || {
            looks += 1;
            (looks == 3).then_some(looks)
        };
        assert_eq!(until("the third", third).await.unwrap(), 3);
    }

    #[tokio::test]
    async fn a_look_that_hangs_ends_with_the_limit() {
        let never = async || std::future::pending::<Option<()>>().await;
        let error = until_within(Duration::from_millis(10), "never", never).await.unwrap_err();
        assert!(error.to_string().starts_with("never: not so"), "{error}");
    }
}
