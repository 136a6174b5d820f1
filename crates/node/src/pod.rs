//! One pod of this node, from the moment it is taken to the moment it is gone.

mod lifecycle;
mod report;

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use k8s_openapi::api::core::v1::Pod;
use k8s_openapi::jiff::{SignedDuration, Timestamp};
use kube::Api;
use kube::api::{DeleteParams, Preconditions};
use tokio::sync::watch;
use tokio::time::{Instant, sleep};

use crate::backoff::Backoff;
use crate::board::Board;
use crate::calls;
use crate::container::Shared;
use crate::context::Context;
use crate::stop::Stopper;
use crate::volumes::Volumes;

/// How long a pod may take to end whose object is gone already, or whose node stops.
const SHORT_GRACE: Duration = Duration::from_secs(2);

/// Between tries to delete the object of a pod that ended.
const DELETE_RETRY: (Duration, Duration) = (Duration::from_millis(500), Duration::from_secs(10));

/// What the node sees of a pod's object.
#[derive(Clone, Debug)]
pub enum Seen {
    /// It is there.
    Present(Arc<Pod>),
    /// It is not there any more.
    Gone,
    /// Nobody looks: the node stops.
    NodeStops,
}

/// A pod of this node.
pub struct PodTask {
    shared: Arc<Shared>,
    stopper: Stopper,
    seen: watch::Receiver<Seen>,
}

impl PodTask {
    /// For a pod that is bound to this node.
    pub fn new(context: Arc<Context>, pod: Arc<Pod>, seen: watch::Receiver<Seen>) -> Self {
        let uid = pod.metadata.uid.clone().unwrap_or_default();
        let directory: PathBuf = context.directory.join("pods").join(uid);
        let (client, privileges) = (context.client.clone(), context.sandbox.privileges());
        let volumes = Volumes::new(client, directory.join("volumes"), &pod, &context.allocatable, privileges);
        let board = Board::new(&pod, Timestamp::now());
        let volumes = tokio::sync::Mutex::new(volumes);
        let shared = Arc::new(Shared { context, pod, board, volumes, directory });
        Self { shared, stopper: Stopper::new(), seen }
    }

    /// Runs the pod, keeps its logs until its object is gone, and cleans up.
    pub async fn run(mut self) {
        if !has_ended(&self.shared.pod) {
            let orders = watch_orders(&self.shared, &self.stopper, self.seen.clone());
            let work = async {
                futures::join!(lifecycle::run(&self.shared, &self.stopper), report::run(&self.shared));
            };
            tokio::select! {
                () = work => {}
                () = orders => {}
            }
        }
        self.delete_when_asked().await;
        self.shared.context.logs.forget(self.shared.uid());
        if let Err(error) = tokio::fs::remove_dir_all(&self.shared.directory).await
            && error.kind() != std::io::ErrorKind::NotFound
        {
            tracing::warn!(%error, directory = %self.shared.directory.display(), "a pod's data stays behind");
        }
    }

    /// Nothing runs any more: lets the object go as soon as somebody wants to delete it.
    async fn delete_when_asked(&mut self) {
        let mut backoff = Backoff::up_to(DELETE_RETRY.0, DELETE_RETRY.1);
        let mut deleted = false;
        loop {
            let asked = match &*self.seen.borrow_and_update() {
                Seen::Gone | Seen::NodeStops => return,
                Seen::Present(pod) => pod.metadata.deletion_timestamp.is_some(),
            };
            if asked && !deleted {
                deleted = self.delete().await;
            }
            let again = async {
                if asked && !deleted { sleep(backoff.wait()).await } else { std::future::pending().await }
            };
            tokio::select! {
                () = again => {}
                changed = self.seen.changed() => if changed.is_err() { return },
            }
        }
    }

    /// Deletes the object for good, and nothing that came after it under its name.
    async fn delete(&self) -> bool {
        let api: Api<Pod> = Api::namespaced(self.shared.context.client.clone(), self.shared.namespace());
        let uid = Some(self.shared.uid().to_owned());
        let parameters = DeleteParams {
            grace_period_seconds: Some(0),
            preconditions: Some(Preconditions { uid, resource_version: None }),
            ..DeleteParams::default()
        };
        match calls::bounded(api.delete(self.shared.name(), &parameters)).await {
            Ok(_) => true,
            Err(error) if error.is_gone() => true,
            Err(error) => {
                tracing::warn!(%error, pod = self.shared.name(), "can't delete a pod that ended");
                false
            }
        }
    }
}

fn has_ended(pod: &Pod) -> bool {
    let phase = pod.status.as_ref().and_then(|status| status.phase.as_deref());
    matches!(phase, Some("Succeeded" | "Failed"))
}

/// Gives the order to stop when the object, or its deadline, says so. Returns only if nobody looks any more.
async fn watch_orders(shared: &Shared, stopper: &Stopper, mut seen: watch::Receiver<Seen>) {
    let mut deadline = std::pin::pin!(deadline(shared));
    let mut late = false;
    loop {
        match &*seen.borrow_and_update() {
            Seen::Gone | Seen::NodeStops => stopper.stop(Instant::now() + SHORT_GRACE),
            Seen::Present(pod) if pod.metadata.deletion_timestamp.is_some() => {
                let seconds = pod.metadata.deletion_grace_period_seconds.unwrap_or(0);
                stopper.stop(Instant::now() + Duration::from_secs(seconds.try_into().unwrap_or(0)));
            }
            Seen::Present(_) => {}
        }
        tokio::select! {
            () = &mut deadline, if !late => {
                late = true;
                exceed_deadline(shared, stopper);
            }
            changed = seen.changed() => if changed.is_err() { return },
        }
    }
}

/// Waits until the pod was active for too long.
async fn deadline(shared: &Shared) {
    let spec = shared.pod.spec.as_ref();
    let Some(seconds) = spec.and_then(|spec| spec.active_deadline_seconds) else {
        return std::future::pending().await;
    };
    let start = shared.board.progress().start_time.map_or_else(Timestamp::now, |time| time.0);
    let end = start.saturating_add(SignedDuration::from_secs(seconds)).unwrap_or(Timestamp::MAX);
    let left = end.duration_since(Timestamp::now());
    sleep(Duration::try_from(left).unwrap_or(Duration::ZERO)).await;
}

fn exceed_deadline(shared: &Shared, stopper: &Stopper) {
    let message = "Pod was active on the node longer than the specified deadline".to_owned();
    shared.board.update(|progress| progress.failure = Some(("DeadlineExceeded".to_owned(), message)));
    stopper.stop(Instant::now() + grace(&shared.pod));
}

/// `terminationGracePeriodSeconds`.
fn grace(pod: &Pod) -> Duration {
    let seconds = pod.spec.as_ref().and_then(|spec| spec.termination_grace_period_seconds).unwrap_or(30);
    Duration::from_secs(seconds.try_into().unwrap_or(0))
}
