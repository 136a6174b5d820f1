//! What would be refused for good, or can't work yet, is looked at before a slot is taken.

use std::time::Duration;

use kube::ResourceExt;
use kube::runtime::reflector::ObjectRef;
use punching_fist_api::{AlertTask, Mode, Task, TaskSpec, names, reasons};
use punching_fist_core::profile::{AgentProfile, ModelKey, Protocol, Settings};
use punching_fist_core::prompt::{self, PreviousRun};
use punching_fist_core::run::Say;

use crate::context::Context;
use crate::{Error, jobs};

/// An edit of the task is what is waited for.
const AT_REST: Duration = Duration::from_secs(600);
/// Something outside the task is waited for, of which no event tells.
const LOOK_AGAIN: Duration = Duration::from_secs(15);

/// What a Job can be made from.
pub(crate) struct Cleared<'a> {
    pub(crate) profile: &'a AgentProfile,
    pub(crate) prompt: String,
}

/// What keeps a task from starting.
#[derive(Debug)]
pub(crate) struct Hindrance {
    pub(crate) say: Say,
    /// Whether somebody has to mend the task or its namespace; else it only waits.
    pub(crate) stalled: bool,
    /// When it is looked at again without an edit.
    pub(crate) again: Duration,
}

impl Hindrance {
    /// The user has to mend the task.
    fn of_task(reason: &'static str, message: String) -> Self {
        Self { say: Say::new(reason, message), stalled: true, again: AT_REST }
    }

    /// What stands on the API server has to be mended.
    pub(crate) fn of_cluster(reason: &'static str, message: String, again: Duration) -> Self {
        Self { say: Say::new(reason, message), stalled: true, again }
    }
}

/// Profile and prompt of the task, or what keeps it from starting. `prompted`: how many alerts the prompt knows.
pub(crate) fn clear<'a, K: Task>(
    task: &K,
    prompted: usize,
    context: &'a Context,
) -> Result<Cleared<'a>, Hindrance> {
    let settings = &context.settings;
    let profile = profile(task.task_spec(), settings)?;
    let previous = task.as_alert().and_then(|alert| previous(alert, context));
    let prompt = prompt::render(task, prompted, previous.as_ref(), settings)
        .map_err(|error| Hindrance::of_task(reasons::INVALID_PROMPT, error.to_string()))?;
    Ok(Cleared { profile, prompt })
}

/// The profile that the task names, if it may have what it asks of it.
fn profile<'a>(task: &TaskSpec, settings: &'a Settings) -> Result<&'a AgentProfile, Hindrance> {
    let name = &task.agent.profile;
    let Some(profile) = settings.profile(name) else {
        let known = settings.profile_names();
        let message = format!(
            "spec.agent.profile: {name:?} is not in the operator's configuration, which has: {known}"
        );
        return Err(Hindrance::of_task(reasons::UNKNOWN_PROFILE, message));
    };
    if profile.is_privileged() && !settings.allow_privileged_agents {
        let message = format!(
            "spec.agent.profile: {name:?} asks for a privileged pod with the node's Docker socket (agents.{name}.runtime: \
             docker), and the operator's configuration doesn't say allowPrivilegedAgents: true; name another profile, or \
             have that allowed"
        );
        return Err(Hindrance::of_task(reasons::PRIVILEGED_REFUSED, message));
    }
    not_offered(task, profile).map_or(Ok(profile), Err)
}

/// What is said of a model that the gateway can't keep a budget for, or doesn't speak the protocol of.
fn not_offered(task: &TaskSpec, profile: &AgentProfile) -> Option<Hindrance> {
    let (name, model) = (&task.agent.profile, profile.model_of(task));
    if !profile.gateway {
        return None;
    }
    let message = if Protocol::of(model).is_none() {
        format!(
            "spec.agent.model: {model:?} begins with neither {}, and no other protocol goes through the operator's gateway; \
             profile {name:?} offers: {}",
            Protocol::ALL.map(Protocol::prefix).join(" nor "),
            offered(profile)
        )
    } else if profile.prices_of(model).is_none() {
        format!(
            "spec.agent.model: profile {name:?} offers {model:?} at no price, so no budget could be kept; it offers: {}; \
             name one of them, or have the model added to agents.{name}.otherModels",
            offered(profile)
        )
    } else {
        return None;
    };
    Some(Hindrance::of_task(reasons::MODEL_NOT_OFFERED, message))
}

/// Names of the models that have a price.
fn offered(profile: &AgentProfile) -> String {
    let own = profile.prices.as_ref().map(|_| &profile.model);
    let all: Vec<&str> = own.into_iter().chain(profile.other_models.keys()).map(String::as_str).collect();
    if all.is_empty() { "none".to_owned() } else { all.join(", ") }
}

/// What is said of a task whose model's key the operator hasn't got. Nothing about the task has to change: it waits.
pub(crate) fn key<K: Task>(task: &K, profile: &AgentProfile, context: &Context) -> Option<Hindrance> {
    let name = &task.task_spec().agent.profile;
    if !profile.gateway || (context.has_key)(name) {
        return None;
    }
    let place = match &profile.key {
        ModelKey::Env(variable) => format!("the variable {variable} of the operator's environment"),
        ModelKey::File(path) => format!("the file {} of the operator's pod", path.display()),
    };
    let message = format!(
        "the operator has no key for the model of profile {name:?}: set {place} (agents.{name}.key); the task then starts \
         by itself"
    );
    let say = Say::new(reasons::MODEL_KEY_MISSING, message);
    Some(Hindrance { say, stalled: false, again: LOOK_AGAIN })
}

/// What is said of a task in the operator's own namespace: who runs there may use the operator's rights and its Secrets.
pub(crate) fn namespace<K: Task>(task: &K, context: &Context) -> Option<Hindrance> {
    let own = &context.namespace;
    let message = format!("no agent runs in {own:?}, the operator's own namespace; make the task in another");
    (task.meta().namespace.as_ref() == Some(own))
        .then(|| Hindrance::of_task(reasons::NAMESPACE_REFUSED, message))
}

fn previous(alert: &AlertTask, context: &Context) -> Option<PreviousRun> {
    let name = alert.spec.identity.as_ref()?.previous.as_ref()?;
    let task = context.alerts.get(&ObjectRef::new(name).within(&alert.namespace()?))?;
    let result = task.status.as_ref().and_then(|status| status.task.result.clone());
    Some(PreviousRun { name: name.clone(), result })
}

/// What is to be done about the ServiceAccount, if it isn't there.
pub(crate) async fn service_account<K: Task>(
    task: &K,
    profile: &AgentProfile,
    context: &Context,
) -> Result<Option<Hindrance>, Error> {
    let namespace = task.namespace().ok_or(Error::Incomplete("namespace"))?;
    let name = profile.service_account_of(task.task_spec());
    if jobs::service_account_exists(&context.client, &namespace, name).await? {
        return Ok(None);
    }
    let message = format!(
        "ServiceAccount {name:?} doesn't exist in namespace {namespace:?}; {}; the task then starts by itself",
        way_out(task.task_spec(), name, &namespace, &context.namespace)
    );
    Ok(Some(Hindrance::of_cluster(reasons::SERVICE_ACCOUNT_MISSING, message, LOOK_AGAIN)))
}

/// The ServiceAccounts that we know the rights of come with one command, which needs nothing but kubectl.
fn way_out(task: &TaskSpec, account: &str, namespace: &str, own: &str) -> String {
    let remediate = match account {
        names::SERVICE_ACCOUNT => "",
        names::SERVICE_ACCOUNT_REMEDIATE if namespace == names::SYSTEM_NAMESPACE => {
            return "it isn't prepared for agents that mend (spec.mode); make the task in another namespace"
                .to_owned();
        }
        names::SERVICE_ACCOUNT_REMEDIATE => " --remediate",
        _ => return unknown_account(task),
    };
    format!(
        "make it: kubectl -n {own} exec deploy/{app} -- {app} prepare-namespace {namespace}{remediate} | kubectl apply -f - \
         (where images are pulled with a Secret: with --image-pull-secret SECRET)",
        app = names::APP
    )
}

fn unknown_account(task: &TaskSpec) -> String {
    let profile_key = match task.mode {
        Mode::Investigate => "serviceAccountName",
        Mode::Remediate => "remediateServiceAccountName",
    };
    match task.service_account_name {
        Some(_) => "create it and bind the rights that the agent needs, or leave spec.serviceAccountName out"
            .to_owned(),
        None => format!(
            "agents.{}.{profile_key} of the operator's configuration names it: create it and bind the rights that the agent \
             needs",
            task.agent.profile
        ),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_missing_account_is_made_by_one_command_or_named_by_its_field() {
        let command = |flag: &str| {
            format!(
                "make it: kubectl -n op exec deploy/punching-fist -- punching-fist prepare-namespace shop{flag} | \
                 kubectl apply -f - (where images are pulled with a Secret: with --image-pull-secret SECRET)"
            )
        };
        let rows = [
            (json!({}), "punching-fist-agent", command("")),
            (json!({"mode": "Remediate"}), "punching-fist-agent-remediate", command(" --remediate")),
            (json!({"serviceAccountName": "mine"}), "mine", "leave spec.serviceAccountName out".to_owned()),
            (json!({}), "theirs", "agents.openhands.serviceAccountName of".to_owned()),
            (
                json!({"mode": "Remediate"}),
                "theirs",
                "agents.openhands.remediateServiceAccountName of".to_owned(),
            ),
        ];
        for (spec, account, part) in rows {
            let task: TaskSpec = serde_json::from_value(spec).unwrap();
            let message = way_out(&task, account, "shop", "op");
            assert!(message.contains(&part), "{message}");
        }
        let system = way_out(&TaskSpec::default(), names::SERVICE_ACCOUNT_REMEDIATE, "kube-system", "op");
        assert!(
            system.contains("make the task in another namespace") && !system.contains("kubectl"),
            "{system}"
        );
    }
}
