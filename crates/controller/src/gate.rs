//! Opened once when the caches are full, waited at by every pass.
//!
//! kube's own `Store::wait_until_ready` is not for that: it remembers one waker alone (kube-runtime 5.0, `DelayedInit`), so
//! of the passes that wait on it in tasks of their own all but the last one sleep for ever. It is waited on in one task,
//! which opens this.

use tokio::sync::watch;

/// The gate. Clones are the same gate.
#[derive(Clone, Debug)]
pub(crate) struct Gate(watch::Sender<bool>);

impl Gate {
    /// A closed gate.
    pub(crate) fn closed() -> Self {
        Self(watch::Sender::new(false))
    }

    /// Lets everybody through from now on.
    pub(crate) fn open(&self) {
        self.0.send_replace(true);
    }

    /// Returns when it is open.
    pub(crate) async fn pass(&self) {
        // The sender lives as long as `self`.
        let _ = self.0.subscribe().wait_for(|open| *open).await;
    }
}

#[cfg(test)]
mod tests {
    use futures::future::join_all;
    use futures::{FutureExt, poll};

    use super::*;

    #[tokio::test]
    async fn everybody_who_waits_is_let_through() {
        let gate = Gate::closed();
        let waiting: Vec<_> = (0..5)
            .map(|_| {
                let gate = gate.clone();
                tokio::spawn(async move { gate.pass().await })
            })
            .collect();
        let mut waits = Box::pin(gate.pass());
        tokio::task::yield_now().await;
        assert!(poll!(&mut waits).is_pending());
        gate.open();
        assert!(join_all(waiting).await.iter().all(Result::is_ok));
        assert!(gate.pass().now_or_never().is_some(), "and who comes later");
    }
}
