//! One at a time for each incident within this replica: notifications of one group would only collide in etcd.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError, Weak};

use tokio::sync::{Mutex as Turnstile, OwnedMutexGuard};

/// From how many entries on the ones nobody waits at are taken out.
const SWEEP_FROM: usize = 1024;

/// The turnstiles, by key.
#[derive(Debug, Default)]
pub(crate) struct Turns {
    waiting: Mutex<HashMap<String, Weak<Turnstile<()>>>>,
}

impl Turns {
    /// Waits for the turn; it ends when the guard is dropped.
    pub(crate) async fn take(&self, key: &str) -> OwnedMutexGuard<()> {
        self.turnstile(key).lock_owned().await
    }

    fn turnstile(&self, key: &str) -> Arc<Turnstile<()>> {
        // Nothing in here can panic half way.
        let mut waiting = self.waiting.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(turnstile) = waiting.get(key).and_then(Weak::upgrade) {
            return turnstile;
        }
        if waiting.len() >= SWEEP_FROM {
            waiting.retain(|_, turnstile| turnstile.strong_count() > 0);
        }
        let turnstile = Arc::new(Turnstile::new(()));
        waiting.insert(key.to_owned(), Arc::downgrade(&turnstile));
        turnstile
    }
}
