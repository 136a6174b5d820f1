//! What a pod's containers have come to, and who is told when it changes.

use std::sync::{Mutex, PoisonError};

use k8s_openapi::api::core::v1::{ContainerStatus, Pod};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use k8s_openapi::jiff::Timestamp;
use tokio::sync::watch;

use crate::states;
use crate::status::Progress;

/// One container of a pod: its place in the spec.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Slot {
    Init(usize),
    Main(usize),
}

/// The pod's [`Progress`], changed by its containers and shown by one writer.
pub struct Board {
    progress: Mutex<Progress>,
    changed: watch::Sender<()>,
}

impl Board {
    /// The board of a pod that this node takes. What ran under a node before it was lost with that node.
    pub fn new(pod: &Pod, now: Timestamp) -> Self {
        let spec = pod.spec.as_ref();
        let status = pod.status.as_ref();
        let init = spec.and_then(|s| s.init_containers.as_deref()).unwrap_or_default();
        let main = spec.map(|s| s.containers.as_slice()).unwrap_or_default();
        let reason = if init.is_empty() { "ContainerCreating" } else { "PodInitializing" };
        let known = |name: &str, list: Option<&Vec<ContainerStatus>>| {
            list.into_iter().flatten().find(|status| status.name == name).cloned().map(lost)
        };
        let (old_init, old_main) = (
            status.and_then(|s| s.init_container_statuses.as_ref()),
            status.and_then(|s| s.container_statuses.as_ref()),
        );
        let progress = Progress {
            start_time: status.and_then(|s| s.start_time.clone()).or(Some(Time(now))),
            init: init
                .iter()
                .map(|c| known(&c.name, old_init).unwrap_or_else(|| states::fresh(c, reason)))
                .collect(),
            main: main
                .iter()
                .map(|c| known(&c.name, old_main).unwrap_or_else(|| states::fresh(c, reason)))
                .collect(),
            initialized: init.is_empty(),
            ..Progress::default()
        };
        Self { progress: Mutex::new(progress), changed: watch::Sender::new(()) }
    }

    /// What is known now.
    pub fn progress(&self) -> Progress {
        self.progress.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Told of every change from now on.
    pub fn changes(&self) -> watch::Receiver<()> {
        self.changed.subscribe()
    }

    /// Changes what is known.
    pub fn update(&self, change: impl FnOnce(&mut Progress)) {
        change(&mut self.progress.lock().unwrap_or_else(PoisonError::into_inner));
        self.changed.send_replace(());
    }

    /// The status of one container.
    pub fn container(&self, slot: Slot) -> ContainerStatus {
        let progress = self.progress();
        match slot {
            Slot::Init(index) => progress.init[index].clone(),
            Slot::Main(index) => progress.main[index].clone(),
        }
    }

    /// Changes the status of one container.
    pub fn update_container(&self, slot: Slot, change: impl FnOnce(&mut ContainerStatus)) {
        self.update(|progress| {
            change(match slot {
                Slot::Init(index) => &mut progress.init[index],
                Slot::Main(index) => &mut progress.main[index],
            });
        });
    }

    /// Notes that nothing runs any more. Each container of a pod that was initialized ended somehow.
    pub fn end(&self) {
        self.update(|progress| {
            progress.ended = true;
            let waiting = progress.main.iter_mut().filter(|status| states::end(status).is_none());
            for status in waiting.filter(|_| progress.initialized) {
                let end = status.last_state.take().and_then(|state| state.terminated);
                status.state = Some(states::terminated(end.unwrap_or_else(states::unknown_end)));
            }
        });
    }
}

/// A container that ran when its node went away.
fn lost(mut status: ContainerStatus) -> ContainerStatus {
    if states::is_running(&status) {
        status.state = Some(states::terminated(states::unknown_end()));
    }
    status
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn pod() -> Pod {
        serde_json::from_value(json!({
            "spec": {"containers": [{"name": "a"}, {"name": "b"}]},
            "status": {
                "startTime": "2026-01-01T00:00:00Z",
                "containerStatuses": [{
                    "name": "b", "image": "i", "imageID": "", "ready": true, "restartCount": 3,
                    "state": {"running": {"startedAt": "2026-01-01T00:00:01Z"}},
                }],
            },
        }))
        .unwrap()
    }

    #[test]
    fn what_ran_under_a_node_before_is_lost() {
        let progress = Board::new(&pod(), Timestamp::UNIX_EPOCH).progress();
        assert!(states::end(&progress.main[0]).is_none());
        assert_eq!(states::end(&progress.main[1]).unwrap().exit_code, 137);
        assert_eq!(progress.main[1].restart_count, 3);
        assert_eq!(progress.start_time.unwrap().0.to_string(), "2026-01-01T00:00:00Z");
    }

    #[test]
    fn at_the_end_no_container_waits() {
        let board = Board::new(&pod(), Timestamp::UNIX_EPOCH);
        board.end();
        let progress = board.progress();
        assert!(progress.ended && progress.main.iter().all(|status| states::end(status).is_some()));
    }
}
