//! The run that follows: alerts that joined too late for a prompt get theirs when the run before it is over, not when
//! Alertmanager happens to repeat itself.

use kube::api::PostParams;
use kube::{Api, ResourceExt};
use punching_fist_api::{AlertTask, names};
use punching_fist_core::incident;

use crate::Error;
use crate::context::Context;

/// Makes the task that follows `finished`, if alerts are left for it. The webhook may do the same at the same moment:
/// the name decides, and whoever comes second finds that it is done.
pub(crate) async fn make(finished: &AlertTask, context: &Context) -> Result<(), Error> {
    let Some(task) = incident::follow_up(finished) else { return Ok(()) };
    let namespace = finished.namespace().ok_or(Error::Incomplete("namespace"))?;
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
        Err(error) => Err(Error::api("creating the task that follows")(error)),
    }
}
