//! The order in which a pod's parts run: volumes, init containers one after the other, containers side by side; sidecars
//! from their turn among the init containers until the containers have ended.

use std::sync::Arc;
use std::time::Duration;

use futures::future::join_all;
use k8s_openapi::api::core::v1::Container;
use tokio::task::JoinSet;
use tokio::time::Instant;

use super::grace;
use crate::backoff::Backoff;
use crate::board::Slot;
use crate::container::{Role, Shared, Supervisor};
use crate::events::about_pod;
use crate::states;
use crate::stop::{StopOrder, Stopper};
use crate::volumes::{self, Volumes};

/// How long a volume that can't be made is waited for before the next try: at first, and at last.
const MOUNT_RETRY: (Duration, Duration) = (Duration::from_millis(500), Duration::from_secs(10));

/// Runs the pod's containers to their end.
pub async fn run(shared: &Arc<Shared>, stopper: &Stopper) {
    let mut stop = stopper.order();
    if mount(shared, &mut stop).await {
        tokio::select! {
            () = containers(shared, stopper) => {}
            () = refresh(shared) => {}
        }
    }
    shared.board.end();
}

/// Makes the volumes. False if the pod is to end before they are all there.
async fn mount(shared: &Shared, stop: &mut StopOrder) -> bool {
    let mut backoff = Backoff::up_to(MOUNT_RETRY.0, MOUNT_RETRY.1);
    let mut volumes = shared.volumes.lock().await;
    while stop.given().is_none() {
        match volumes.refresh(&shared.pod).await {
            Ok(()) => {
                shared.board.update(|progress| progress.ready_to_start = true);
                return true;
            }
            Err((name, error)) => {
                let note = format!("MountVolume.SetUp failed for volume \"{name}\" : {error}");
                shared.context.events.warning(&about_pod(&shared.pod), "FailedMount", note);
            }
        }
        if !stop.pause(backoff.wait()).await {
            return false;
        }
    }
    false
}

/// Keeps the files of volumes like what they come from. Never ends.
async fn refresh(shared: &Shared) {
    if !Volumes::change(&shared.pod) {
        return std::future::pending().await;
    }
    loop {
        tokio::time::sleep(volumes::REFRESH).await;
        let result = shared.volumes.lock().await.refresh(&shared.pod).await;
        if let Err((name, error)) = result {
            tracing::debug!(%error, volume = name, "a volume stays as it was");
        }
    }
}

async fn containers(shared: &Arc<Shared>, stopper: &Stopper) {
    let spec = shared.pod.spec.clone().unwrap_or_default();
    let sidecars = Sidecars { stopper: Stopper::new(), running: JoinSet::new() };
    let stop = stopper.order();
    let sidecars = match initialize(shared, &spec.init_containers.unwrap_or_default(), stopper, sidecars)
        .await
    {
        Ok(sidecars) => {
            shared.board.update(|progress| {
                progress.initialized = true;
                for status in &mut progress.main {
                    if let Some(waiting) = status.state.as_mut().and_then(|state| state.waiting.as_mut()) {
                        waiting.reason = Some("ContainerCreating".to_owned());
                    }
                }
            });
            join_all(spec.containers.into_iter().enumerate().map(|(index, container)| {
                Supervisor::new(Arc::clone(shared), container, Slot::Main(index), Role::Main, stop.clone())
                    .run()
            }))
            .await;
            sidecars
        }
        Err(sidecars) => sidecars,
    };
    sidecars.stop(&stop, grace(&shared.pod)).await;
}

/// Containers that run beside the others. They outlive the order to stop the pod, until the others have ended.
struct Sidecars {
    stopper: Stopper,
    running: JoinSet<()>,
}

impl Sidecars {
    async fn stop(self, pod: &StopOrder, grace: Duration) {
        self.stopper.stop(pod.given().unwrap_or_else(|| Instant::now() + grace));
        self.running.join_all().await;
    }
}

/// Runs the init containers. `Err` if one failed for good, or the pod is to end.
async fn initialize(
    shared: &Arc<Shared>,
    containers: &[Container],
    stopper: &Stopper,
    mut sidecars: Sidecars,
) -> Result<Sidecars, Sidecars> {
    for (index, container) in containers.iter().enumerate() {
        let slot = Slot::Init(index);
        let mut stop = stopper.order();
        let sidecar = container.restart_policy.as_deref() == Some("Always");
        let (role, order) =
            if sidecar { (Role::Sidecar, sidecars.stopper.order()) } else { (Role::Init, stop.clone()) };
        let supervisor = Supervisor::new(Arc::clone(shared), container.clone(), slot, role, order);
        let fine = if sidecar {
            sidecars.running.spawn(supervisor.run());
            until_running(shared, slot, &mut stop).await
        } else {
            supervisor.run().await;
            states::succeeded(&shared.board.container(slot))
        };
        if !fine || stop.given().is_some() {
            return Err(sidecars);
        }
    }
    Ok(sidecars)
}

/// False if the pod is to end before the container runs.
async fn until_running(shared: &Shared, slot: Slot, stop: &mut StopOrder) -> bool {
    let mut changes = shared.board.changes();
    while !states::is_running(&shared.board.container(slot)) {
        tokio::select! {
            _ = changes.changed() => {}
            () = stop.changed() => return false,
        }
    }
    true
}
