//! The order to stop: processes are asked to end at once, and killed at a moment that may still come nearer.

use tokio::sync::watch;
use tokio::time::{Instant, sleep, timeout_at};

/// Gives the order.
#[derive(Debug)]
pub struct Stopper(watch::Sender<Option<Instant>>);

impl Stopper {
    /// With no order yet.
    pub fn new() -> Self {
        Self(watch::Sender::new(None))
    }

    /// Asks everybody to end, and sets when they are killed. An earlier moment stays.
    pub fn stop(&self, kill_at: Instant) {
        self.0.send_if_modified(|order| {
            let earlier = order.is_none_or(|known| kill_at < known);
            if earlier {
                *order = Some(kill_at);
            }
            earlier
        });
    }

    /// The other end.
    pub fn order(&self) -> StopOrder {
        StopOrder(self.0.subscribe())
    }
}

/// Gets the order.
#[derive(Clone, Debug)]
pub struct StopOrder(watch::Receiver<Option<Instant>>);

impl StopOrder {
    /// When to kill, if the order was given.
    pub fn given(&self) -> Option<Instant> {
        *self.0.borrow()
    }

    /// Waits until the order is given or changed. For ever if nobody can give one.
    pub async fn changed(&mut self) {
        if self.0.changed().await.is_err() {
            std::future::pending::<()>().await;
        }
    }

    /// Waits `wait`. False if the order came before that.
    pub async fn pause(&mut self, wait: std::time::Duration) -> bool {
        self.given().is_none()
            && tokio::select! {
                () = sleep(wait) => self.given().is_none(),
                () = self.changed() => false,
            }
    }

    /// `work`'s result, or `None` if it is not done when it must be killed.
    pub async fn bound<T>(&mut self, work: impl Future<Output = T>) -> Option<T> {
        tokio::pin!(work);
        loop {
            let killed = self.given();
            let step = async {
                tokio::select! {
                    result = &mut work => Some(result),
                    () = self.changed() => None,
                }
            };
            match killed {
                None => {
                    if let Some(result) = step.await {
                        return Some(result);
                    }
                }
                Some(at) => match timeout_at(at, step).await {
                    Ok(Some(result)) => return Some(result),
                    Ok(None) => {}
                    Err(_) => return None,
                },
            }
        }
    }
}
