//! One container from its first try to its last: image, configuration, runs, restarts.

mod run;

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use k8s_openapi::api::core::v1::{Container, ObjectReference, Pod};

use crate::backoff::Backoff;
use crate::board::{Board, Slot};
use crate::context::Context;
use crate::events::about_container;
use crate::stop::StopOrder;
use crate::volumes::Volumes;
use crate::{images, states};
use run::Ended;

/// How long a missing ConfigMap or Secret is waited for before it is looked for again: at first, and at last.
const CONFIGURATION_RETRY: (Duration, Duration) = (Duration::from_secs(1), Duration::from_secs(10));

/// What a container is to its pod.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// It must succeed before the next one starts.
    Init,
    /// An init container that goes on beside the others (`restartPolicy: Always`).
    Sidecar,
    /// What the pod is there for.
    Main,
}

impl Role {
    /// Whether it is run again after `exit_code`.
    pub fn restarts(self, policy: &str, exit_code: i32) -> bool {
        match (self, policy) {
            (Self::Sidecar, _) | (Self::Main, "Always") => true,
            (_, "Never") => false,
            _ => exit_code != 0,
        }
    }
}

/// What the containers of one pod share.
pub struct Shared {
    pub context: Arc<Context>,
    pub pod: Arc<Pod>,
    pub board: Board,
    pub volumes: tokio::sync::Mutex<Volumes>,
    /// The pod's own directory.
    pub directory: PathBuf,
}

impl Shared {
    /// The pod's uid.
    pub fn uid(&self) -> &str {
        self.pod.metadata.uid.as_deref().unwrap_or_default()
    }

    /// The pod's name.
    pub fn name(&self) -> &str {
        self.pod.metadata.name.as_deref().unwrap_or_default()
    }

    /// The pod's namespace.
    pub fn namespace(&self) -> &str {
        self.pod.metadata.namespace.as_deref().unwrap_or_default()
    }

    /// The pod's restart policy.
    pub fn restart_policy(&self) -> &str {
        self.pod.spec.as_ref().and_then(|spec| spec.restart_policy.as_deref()).unwrap_or("Always")
    }
}

/// Runs one container.
pub struct Supervisor {
    shared: Arc<Shared>,
    container: Container,
    slot: Slot,
    role: Role,
    stop: StopOrder,
    about: ObjectReference,
    /// The number of the next run.
    attempt: i32,
}

impl Supervisor {
    /// For one container of the pod.
    pub fn new(shared: Arc<Shared>, container: Container, slot: Slot, role: Role, stop: StopOrder) -> Self {
        let about = about_container(&shared.pod, &container.name, role != Role::Main);
        let attempt = shared.board.container(slot).restart_count;
        Self { shared, container, slot, role, stop, about, attempt }
    }

    /// Runs the container as often as it is to run.
    pub async fn run(mut self) {
        let mut backoff = Backoff::new(self.shared.context.crash_backoff);
        let mut ended = self.before();
        loop {
            if let Some(ended) = &ended {
                let again = self.role.restarts(self.shared.restart_policy(), ended.exit_code);
                if !again || self.stop.given().is_some() || !self.wait_for_restart(&mut backoff, ended).await
                {
                    return;
                }
            }
            ended = self.attempt().await;
            if ended.is_none() {
                return;
            }
        }
    }

    /// How the container ended under a node before this one.
    fn before(&mut self) -> Option<Ended> {
        let status = self.shared.board.container(self.slot);
        let exit_code = states::end(&status)?.exit_code;
        self.attempt += 1;
        Some(Ended { exit_code, ran: Duration::ZERO })
    }

    /// False if the pod is to end.
    async fn wait_for_restart(&mut self, backoff: &mut Backoff, ended: &Ended) -> bool {
        let wait = backoff.after_run(ended.ran);
        if wait.is_zero() {
            return true;
        }
        let pod = format!("{}_{}({})", self.shared.name(), self.shared.namespace(), self.shared.uid());
        let name = &self.container.name;
        self.shared.context.events.warning(
            &self.about,
            "BackOff",
            format!("Back-off restarting failed container {name} in pod {pod}"),
        );
        let message = format!("back-off {wait:?} restarting failed container={name} pod={pod}");
        self.wait_because("CrashLoopBackOff", Some(message));
        self.stop.pause(wait).await
    }

    /// One try: `None` if the pod is to end before anything ran.
    async fn attempt(&mut self) -> Option<Ended> {
        let image = self.find_image().await?;
        let needed = images::needed(&image);
        let launch = self.configure(image, needed).await?;
        if self.stop.given().is_some() {
            return None;
        }
        let ended = self.run_once(launch).await;
        self.attempt += 1;
        Some(ended)
    }

    /// Waits until the image is in the table, which it is at once or never, as the table does not change.
    async fn find_image(&mut self) -> Option<PathBuf> {
        let context = Arc::clone(&self.shared.context);
        let image = self.container.image.clone().unwrap_or_default();
        if let Some(directory) = context.images.find(&image) {
            let note = format!("Container image \"{image}\" already present on machine");
            context.events.normal(&self.about, "Pulled", note);
            return Some(directory.to_owned());
        }
        if self.container.image_pull_policy.as_deref() == Some("Never") {
            let note = format!("Container image \"{image}\" is not present with pull policy of Never");
            context.events.warning(&self.about, "ErrImageNeverPull", &note);
            self.wait_because("ErrImageNeverPull", Some(note));
            while self.stop.pause(Duration::MAX).await {}
            return None;
        }
        let mut backoff = Backoff::new(context.crash_backoff);
        loop {
            self.fail_to_pull(&image);
            // A kubelet shows the failure until it looks at the pod again.
            let glance = (context.crash_backoff / 5).min(Duration::from_secs(2));
            if !self.stop.pause(glance).await {
                return None;
            }
            let note = format!("Back-off pulling image \"{image}\"");
            context.events.normal(&self.about, "BackOff", &note);
            context.events.warning(&self.about, "Failed", "Error: ImagePullBackOff");
            let message = format!("{note}: ErrImagePull: {}", not_found(&image));
            self.wait_because("ImagePullBackOff", Some(message));
            if !self.stop.pause(backoff.wait()).await {
                return None;
            }
        }
    }

    fn fail_to_pull(&self, image: &str) {
        let events = &self.shared.context.events;
        let why = not_found(image);
        events.normal(&self.about, "Pulling", format!("Pulling image \"{image}\""));
        events.warning(&self.about, "Failed", format!("Failed to pull image \"{image}\": {why}"));
        events.warning(&self.about, "Failed", "Error: ErrImagePull");
        self.wait_because("ErrImagePull", Some(why));
    }

    /// Shows the container as waiting. How it ended last stays to be seen.
    fn wait_because(&self, reason: &str, message: Option<String>) {
        self.shared.board.update_container(self.slot, |status| {
            if states::end(status).is_some() {
                status.last_state = status.state.take();
            }
            status.state = Some(states::waiting(reason, message));
        });
    }
}

fn not_found(image: &str) -> String {
    format!(
        "failed to resolve reference \"{image}\": not found in this node's table of images, which pulls none"
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn restarts_depend_on_role_policy_and_exit_code() {
        for (role, policy, exit_code, want) in [
            (Role::Main, "Never", 1, false),
            (Role::Main, "OnFailure", 1, true),
            (Role::Main, "OnFailure", 0, false),
            (Role::Main, "Always", 0, true),
            (Role::Init, "Never", 1, false),
            (Role::Init, "Always", 1, true),
            (Role::Init, "Always", 0, false),
            (Role::Sidecar, "Never", 0, true),
        ] {
            assert_eq!(role.restarts(policy, exit_code), want, "{role:?} {policy} {exit_code}");
        }
    }
}
