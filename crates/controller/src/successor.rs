//! The run that follows: alerts that joined too late for a prompt get theirs when the run before it is over, not when
//! Alertmanager happens to repeat itself.

use kube::api::PostParams;
use kube::runtime::reflector::ObjectRef;
use kube::{Api, ResourceExt};
use punching_fist_api::{AlertTask, names};
use punching_fist_core::incident;

use crate::context::Context;
use crate::{Error, error};

/// Makes the task that follows `finished`, if alerts are left for it. The webhook may do the same at the same moment:
/// the name decides, and whoever comes second finds that it is done. What the API server won't have for good is told in
/// the log: Alertmanager's next repeat brings the alerts again, and the Job before must not be kept for it.
pub(crate) async fn make(finished: &AlertTask, context: &Context) -> Result<(), Error> {
    let Some(task) = incident::follow_up(finished) else { return Ok(()) };
    let namespace = finished.namespace().ok_or(Error::Incomplete("namespace"))?;
    if context.alerts.get(&ObjectRef::new(&task.name_any()).within(&namespace)).is_some() {
        return Ok(());
    }
    let tasks: Api<AlertTask> = Api::namespaced(context.client.clone(), &namespace);
    let params =
        PostParams { field_manager: Some(names::MANAGER_CONTROLLER.to_owned()), ..PostParams::default() };
    match tasks.create(&params, &task).await {
        Ok(made) => {
            let (previous, task) = (finished.name_any(), made.name_any());
            tracing::info!(target: "audit", namespace, previous, task, "alerts joined too late for the run before");
            Ok(())
        }
        Err(kube::Error::Api(status)) if status.is_already_exists() => Ok(()),
        Err(kube::Error::Api(status)) if error::is_definite(status.code) => {
            let (previous, task) = (finished.name_any(), task.name_any());
            tracing::error!(namespace, previous, task, %status.message, "the task that follows is refused");
            Ok(())
        }
        Err(error) => Err(Error::api("creating the task that follows")(error)),
    }
}
