//! What the probes tell: whether the loops still turn, whether the API server answers, and whether its definitions are
//! ours.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use kube::Client;
use tokio::sync::watch;
use tracing::{info, warn};

use crate::crds;

/// How often the cluster is asked, and how long the answer may take.
const EVERY: Duration = Duration::from_secs(5);
/// A loop that hasn't turned for so long is stuck.
const STUCK: Duration = Duration::from_secs(60);

/// What has to be well before alerts should come here, and what is wrong with it.
type Checks = BTreeMap<&'static str, Result<(), String>>;

/// Shared by the probes and by everything that has something to tell them.
#[derive(Debug)]
pub struct Health {
    checks: watch::Sender<Checks>,
    turned: Mutex<Instant>,
}

impl Health {
    /// Not ready for each of `checks` until it is told otherwise.
    pub fn new(checks: &[&'static str]) -> Self {
        let unknown = checks.iter().map(|check| (*check, Err("not looked at yet".to_owned()))).collect();
        Self { checks: watch::Sender::new(unknown), turned: Mutex::new(Instant::now()) }
    }

    /// Notes what a check found, and logs it when it changed.
    pub fn set(&self, check: &'static str, found: Result<(), String>) {
        self.checks.send_if_modified(|checks| {
            let is_new = checks.get(check) != Some(&found);
            if is_new {
                match &found {
                    Ok(()) => info!(check, "ready"),
                    Err(message) => warn!(check, "not ready: {message}"),
                }
                checks.insert(check, found);
            }
            is_new
        });
    }

    /// Notes that this process goes: whoever still comes here should go elsewhere.
    pub fn stop(&self) {
        self.checks.send_modify(|checks| drop(checks.insert("process", Err("stopping".to_owned()))));
    }

    /// Every check that is not well, one a line; none if all is.
    pub fn unready(&self) -> Option<String> {
        let checks = self.checks.borrow();
        let wrong =
            checks.iter().filter_map(|(check, found)| Some(format!("{check}: {}", found.as_ref().err()?)));
        let wrong = wrong.collect::<Vec<_>>();
        (!wrong.is_empty()).then(|| wrong.join("\n"))
    }

    /// Waits until a check is well.
    pub async fn until(&self, check: &'static str) {
        // The sender is our own and lives as long as `self`.
        let _ = self.checks.subscribe().wait_for(|checks| checks.get(check) == Some(&Ok(()))).await;
    }

    /// Why this process should be restarted, if it should.
    pub fn stuck(&self) -> Option<String> {
        let silent = self.turned.lock().unwrap_or_else(PoisonError::into_inner).elapsed();
        (silent > STUCK).then(|| format!("the main loop has not turned for {} s", silent.as_secs()))
    }

    fn turn(&self) {
        *self.turned.lock().unwrap_or_else(PoisonError::into_inner) = Instant::now();
    }

    /// Asks the cluster again and again, for ever.
    pub async fn watch_cluster(&self, client: Client) {
        let mut interval = tokio::time::interval(EVERY);
        loop {
            interval.tick().await;
            let found = tokio::time::timeout(EVERY, crds::check(&client)).await;
            let found =
                found.map_err(|_| format!("the API server has not answered within {} s", EVERY.as_secs()));
            self.set("cluster", found.and_then(|found| found.map_err(|error| error.to_string())));
            self.turn();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn is_ready_when_every_check_is_well() {
        let health = Health::new(&["cluster", "process"]);
        assert_eq!(health.unready().unwrap(), "cluster: not looked at yet\nprocess: not looked at yet");
        health.set("process", Ok(()));
        health.set("cluster", Err("away".to_owned()));
        assert_eq!(health.unready().unwrap(), "cluster: away");
        health.set("cluster", Ok(()));
        assert_eq!(health.unready(), None);
    }

    #[tokio::test]
    async fn a_check_can_be_waited_for() {
        let health = Health::new(&["cluster"]);
        let told = async {
            tokio::task::yield_now().await;
            health.set("cluster", Ok(()));
        };
        tokio::join!(health.until("cluster"), told);
    }

    #[test]
    fn a_loop_that_stands_still_is_stuck() {
        let health = Health::new(&[]);
        assert_eq!(health.stuck(), None);
        *health.turned.lock().unwrap() = Instant::now().checked_sub(STUCK * 2).unwrap();
        assert!(health.stuck().unwrap().contains("not turned for 12"));
        health.turn();
        assert_eq!(health.stuck(), None);
    }
}
