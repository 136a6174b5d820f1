//! What would be refused for good is looked at before a slot is taken.

use kube::ResourceExt;
use kube::runtime::reflector::ObjectRef;
use punching_fist_api::{AlertTask, Task, reasons};
use punching_fist_core::profile::AgentProfile;
use punching_fist_core::prompt::{self, PreviousRun};
use punching_fist_core::run::Say;

use crate::context::Context;
use crate::{Error, jobs};

/// What a Job can be made from.
pub(crate) struct Cleared<'a> {
    pub(crate) profile: &'a AgentProfile,
    pub(crate) prompt: String,
}

/// Profile and prompt of the task, or what its user has to mend. `prompted`: how many alerts the prompt knows.
pub(crate) fn clear<'a, K: Task>(
    task: &K,
    prompted: usize,
    context: &'a Context,
) -> Result<Cleared<'a>, Say> {
    let settings = &context.settings;
    let name = &task.task_spec().agent.profile;
    let profile = settings.profile(name).ok_or_else(|| {
        let known = settings.profile_names();
        let message = format!(
            "spec.agent.profile: {name:?} is not in the operator's configuration, which has: {known}"
        );
        Say::new(reasons::UNKNOWN_PROFILE, message)
    })?;
    let previous = task.as_alert().and_then(|alert| previous(alert, context));
    let prompt = prompt::render(task, prompted, previous.as_ref(), settings)
        .map_err(|error| Say::new(reasons::INVALID_PROMPT, error.to_string()))?;
    Ok(Cleared { profile, prompt })
}

/// What is said of a task in the operator's own namespace: who runs there may use the operator's rights and its Secrets.
pub(crate) fn namespace<K: Task>(task: &K, context: &Context) -> Option<Say> {
    let own = &context.namespace;
    let message = format!("no agent runs in {own:?}, the operator's own namespace; make the task in another");
    (task.meta().namespace.as_ref() == Some(own)).then(|| Say::new(reasons::NAMESPACE_REFUSED, message))
}

fn previous(alert: &AlertTask, context: &Context) -> Option<PreviousRun> {
    let name = alert.spec.identity.as_ref()?.previous.as_ref()?;
    let task = context.alerts.get(&ObjectRef::new(name).within(&alert.namespace()?))?;
    let result = task.status.as_ref().and_then(|status| status.task.result.clone());
    Some(PreviousRun { name: name.clone(), result })
}

/// Whether the ServiceAccount is there; if not, what to do about it.
pub(crate) async fn service_account<K: Task>(
    task: &K,
    profile: &AgentProfile,
    context: &Context,
) -> Result<Option<Say>, Error> {
    let namespace = task.namespace().ok_or(Error::Incomplete("namespace"))?;
    let name = profile.service_account_of(task.task_spec());
    if jobs::service_account_exists(&context.client, &namespace, name).await? {
        return Ok(None);
    }
    let message = format!(
        "ServiceAccount {name:?} doesn't exist in namespace {namespace:?}; create it and bind the rights that the agent \
         needs (deploy/agent-rbac.yaml shows them), or set spec.serviceAccountName; it starts by itself then"
    );
    Ok(Some(Say::new(reasons::SERVICE_ACCOUNT_MISSING, message)))
}
