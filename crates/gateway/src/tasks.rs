//! The tasks as the gateway sees them: read, judged, and written under the version that was judged.

use std::sync::Arc;

use kube::api::{Patch, PatchParams};
use kube::core::{ApiResource, Object};
use kube::{Api, Client, ResourceExt};
use punching_fist_api::{
    AlertTask, MaintenanceTask, RunUsage, TaskKind, TaskSpec, TaskStatus, names, reasons,
};
use punching_fist_core::conditions;
use serde_json::json;
use tokio::sync::Mutex;

use crate::bounded::Shared;
use crate::budget::GatewayUsage;
use crate::deadline::{CallError, within};
use crate::error::Refusal;
use crate::identity::Caller;

/// How many tasks are remembered.
const TASKS_MAX: usize = 1024;

/// A task of either kind: what they share is all that is read.
type AnyTask = Object<TaskSpec, TaskStatus>;

/// A task at one version.
#[derive(Clone, Debug)]
pub(crate) struct Known {
    task: Arc<AnyTask>,
    /// Read just now, and not remembered. Nothing is refused on what is remembered.
    pub(crate) live: bool,
}

/// Reads and writes tasks, and remembers how they were: only to write without reading, which fails where it is wrong.
pub(crate) struct Tasks {
    client: Client,
    remembered: Shared<String, Arc<AnyTask>>,
    turns: Shared<String, Arc<Mutex<()>>>,
}

impl Tasks {
    pub(crate) fn new(client: Client) -> Self {
        Self { client, remembered: Shared::new(TASKS_MAX), turns: Shared::new(TASKS_MAX) }
    }

    /// Who writes to a task waits for the others of this process: else they would only collide.
    pub(crate) fn turn(&self, caller: &Caller) -> Arc<Mutex<()>> {
        self.turns.lock().get_or_put(caller.task_uid.clone(), Arc::default)
    }

    /// The task as it was when it was last seen here, else as it is; none if it is gone.
    pub(crate) async fn known(&self, caller: &Caller) -> Result<Option<Known>, CallError> {
        let remembered = self.remembered.lock().get(&caller.task_uid);
        match remembered {
            Some(task) => Ok(Some(Known { task, live: false })),
            None => self.live(caller).await,
        }
    }

    /// The task as it is; none if it is gone, or another one has its name.
    pub(crate) async fn live(&self, caller: &Caller) -> Result<Option<Known>, CallError> {
        let task = within(self.api(caller).get_opt(&caller.task)).await?;
        let task = task.filter(|task| task.uid().as_deref() == Some(&caller.task_uid));
        Ok(task.map(|task| Known { task: self.remember(caller, task), live: true }))
    }

    /// Writes the gateway's part of the status, if the task is still the one that is known.
    pub(crate) async fn write(
        &self,
        caller: &Caller,
        known: &Known,
        usage: &GatewayUsage,
    ) -> Result<(), CallError> {
        let resource = resource(caller.kind);
        let patch = json!({
            "apiVersion": resource.api_version,
            "kind": resource.kind,
            "metadata": {"resourceVersion": known.task.resource_version()},
            "status": {"usage": usage},
        });
        let params = PatchParams::apply(names::MANAGER_GATEWAY).force();
        let task =
            within(self.api(caller).patch_status(&caller.task, &params, &Patch::Apply(&patch))).await?;
        self.remember(caller, task);
        Ok(())
    }

    fn api(&self, caller: &Caller) -> Api<AnyTask> {
        Api::namespaced_with(self.client.clone(), &caller.namespace, &resource(caller.kind))
    }

    /// Without what no decision reads.
    fn remember(&self, caller: &Caller, mut task: AnyTask) -> Arc<AnyTask> {
        task.metadata.managed_fields = None;
        task.metadata.annotations = None;
        task.spec.prompt = None;
        task.spec.agent.env.clear();
        if let Some(status) = &mut task.status {
            status.result = None;
            status.message = None;
            status.last_error = None;
            status.attempts.clear();
        }
        let task = Arc::new(task);
        self.remembered.lock().put(caller.task_uid.clone(), task.clone());
        task
    }
}

fn resource(kind: TaskKind) -> ApiResource {
    match kind {
        TaskKind::AlertTask => ApiResource::erase::<AlertTask>(&()),
        TaskKind::MaintenanceTask => ApiResource::erase::<MaintenanceTask>(&()),
    }
}

impl Known {
    pub(crate) fn spec(&self) -> &TaskSpec {
        &self.task.spec
    }

    pub(crate) fn usage(&self) -> Option<&RunUsage> {
        self.task.status.as_ref().and_then(|status| status.usage.as_ref())
    }

    /// Whether the run goes on, and is this caller's.
    pub(crate) fn check(&self, caller: &Caller) -> Result<(), Refusal> {
        let status = self.task.status.as_ref();
        if self.task.metadata.deletion_timestamp.is_some() {
            return Err(Refusal::RunOver("the task is being deleted"));
        }
        if status.and_then(|status| status.phase).is_some_and(punching_fist_api::Phase::is_final) {
            return Err(Refusal::RunOver("the task has finished"));
        }
        let stopping =
            |status: &TaskStatus| conditions::holds(&status.conditions, reasons::STOPPING).is_some();
        if status.is_some_and(stopping) {
            return Err(Refusal::RunOver("the task is being stopped"));
        }
        let job = status.and_then(|status| status.job.as_ref()?.uid.as_deref());
        match job {
            Some(uid) if uid == caller.job_uid => {}
            Some(_) => {
                return Err(Refusal::Refused("the pod belongs to another Job than the task's".to_owned()));
            }
            // The controller writes it right after it has made the Job; a pod can be faster.
            None => return Err(Refusal::Unavailable("the task doesn't name its Job yet".to_owned())),
        }
        let (asked, pods) = (&self.spec().agent.profile, &caller.profile);
        if asked != pods {
            return Err(Refusal::Refused(format!(
                "the task asks for the agent profile {asked:?} (agent.profile), but the pod was made for {pods:?}"
            )));
        }
        Ok(())
    }
}
