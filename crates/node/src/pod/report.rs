//! Writing a pod's status: when it changed, one write at a time, until the last one has arrived.

use std::time::Duration;

use k8s_openapi::api::core::v1::{Pod, PodStatus};
use k8s_openapi::jiff::Timestamp;
use kube::Api;
use kube::api::{Patch, PatchParams};
use serde_json::{Value, json};
use tokio::time::sleep;

use crate::backoff::Backoff;
use crate::calls::{self, CallError};
use crate::container::Shared;
use crate::status::pod_status;

/// Between tries to write a status.
const RETRY: (Duration, Duration) = (Duration::from_millis(200), Duration::from_secs(5));

/// Shows what becomes of the pod. Ends when the pod has ended and that is shown, or when the object is gone.
pub async fn run(shared: &Shared) {
    let mut changes = shared.board.changes();
    let mut shown = shared.pod.status.clone().unwrap_or_default();
    let mut backoff = Backoff::up_to(RETRY.0, RETRY.1);
    loop {
        changes.mark_unchanged();
        let progress = shared.board.progress();
        let status = pod_status(&shared.pod, &progress, &shown, Timestamp::now());
        match write(shared, &status, &shown).await {
            Ok(()) => {
                shown = status;
                backoff = Backoff::up_to(RETRY.0, RETRY.1);
            }
            Err(error) if error.is_gone() => return,
            Err(error) => {
                tracing::warn!(%error, pod = shared.name(), "can't write a pod's status");
                sleep(backoff.wait()).await;
                continue;
            }
        }
        if progress.ended || changes.changed().await.is_err() {
            return;
        }
    }
}

/// Writes what differs from the status that is shown, if anything does.
async fn write(shared: &Shared, status: &PodStatus, shown: &PodStatus) -> Result<(), CallError> {
    if in_seconds(status) == in_seconds(shown) {
        return Ok(());
    }
    // A strategic merge leaves the conditions of others alone. The uid keeps a late write off a pod of the same name.
    let mut patch = json!({"metadata": {"uid": shared.uid()}, "status": status});
    // In such a merge only null takes away what a condition said before.
    for condition in patch["status"]["conditions"].as_array_mut().into_iter().flatten() {
        for field in ["reason", "message"] {
            condition[field] = condition[field].take();
        }
    }
    let api: Api<Pod> = Api::namespaced(shared.context.client.clone(), shared.namespace());
    let parameters = PatchParams::default();
    calls::bounded(api.patch_status(shared.name(), &parameters, &Patch::Strategic(patch))).await.map(drop)
}

/// As the API server keeps it: times have no fractions.
fn in_seconds(status: &PodStatus) -> Option<Value> {
    serde_json::to_value(status).ok()
}
