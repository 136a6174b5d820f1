//! The Job of a run: one pod an attempt, the runner in front of the agent, nothing that the task doesn't ask for.

use std::collections::BTreeMap;

use k8s_openapi::api::batch::v1::{
    Job, JobSpec, PodFailurePolicy, PodFailurePolicyOnExitCodesRequirement,
    PodFailurePolicyOnPodConditionsPattern, PodFailurePolicyRule,
};
use k8s_openapi::api::core::v1::PodTemplateSpec;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{ObjectMeta, OwnerReference};
use punching_fist_api::{Task, TaskSpec, names};
use punching_fist_protocol::ExitCode;
use punching_fist_protocol::pod::variables;

use crate::pod;
use crate::profile::{AgentProfile, Settings};

/// How long a pod gets to end, in seconds: the runner needs it to stop the agent and to write its result.
pub const GRACE_SECONDS: i64 = 30;

/// The Job controller's back-off between attempts: 10 s, doubled each time, at most this.
const MAX_BACKOFF_SECONDS: i64 = 600;

/// Everything that a Job is made from.
#[derive(Clone, Copy, Debug)]
pub struct Run<'a, K> {
    /// The task, as it stands in etcd.
    pub task: &'a K,
    /// The profile that it names.
    pub profile: &'a AgentProfile,
    /// The rest of the configuration.
    pub settings: &'a Settings,
    /// The rendered prompt.
    pub prompt: &'a str,
}

/// Name of a task's Job. The UID makes it the task's own for good: a task that is deleted and made again under the same
/// name gets another Job.
pub fn name(task_uid: &str) -> String {
    format!("openhands-task-{task_uid}")
}

/// Whether the Job controller made the pod of that name, for the Job of that task. It gives its pods such names, and
/// `crds/policies.yaml` keeps everybody else from it. Labels and an owner prove nothing: it adopts any pod that has its
/// label, whoever made it.
pub fn has_made(task_uid: &str, pod: &str) -> bool {
    pod.strip_prefix(&name(task_uid)).is_some_and(|rest| rest.starts_with('-'))
}

/// Whether the agents of that Job call the model by the gateway.
pub fn is_metered(job: &Job) -> bool {
    let pod = job.spec.as_ref().and_then(|spec| spec.template.spec.as_ref());
    let variables = pod.into_iter().flat_map(|pod| &pod.containers).flat_map(|container| &container.env);
    variables.flatten().any(|variable| variable.name == variables::TOKEN_FILE)
}

/// Builds the Job; none if `task` isn't an object that the API server knows, with name and UID.
pub fn build<K: Task>(run: &Run<'_, K>) -> Option<Job> {
    let metadata = run.task.meta();
    let (owner, uid) = (run.task.controller_owner_ref(&())?, metadata.uid.as_deref()?);
    let labels = labels::<K>(uid, &run.task.task_spec().agent.profile);
    let annotations = BTreeMap::from([(names::ANNOTATION_TASK.to_owned(), metadata.name.clone()?)]);
    Some(Job {
        metadata: ObjectMeta {
            name: Some(name(uid)),
            namespace: metadata.namespace.clone(),
            labels: Some(labels.clone()),
            annotations: Some(annotations.clone()),
            owner_references: Some(vec![blocking(owner)]),
            ..ObjectMeta::default()
        },
        spec: Some(spec(run, labels, annotations)),
        status: None,
    })
}

/// The task's deletion in the foreground waits for the Job, so that `kubectl delete --cascade=foreground` means it.
fn blocking(owner: OwnerReference) -> OwnerReference {
    OwnerReference { block_owner_deletion: Some(true), ..owner }
}

fn labels<K: Task>(uid: &str, profile: &str) -> BTreeMap<String, String> {
    let labels = [
        (names::LABEL_APP, names::APP),
        (names::LABEL_MANAGED_BY, names::APP),
        (names::LABEL_COMPONENT, names::COMPONENT_AGENT),
        (names::LABEL_TASK_TYPE, names::TASK_TYPE),
        (names::LABEL_TASK_ID, uid),
        (names::LABEL_KIND, K::KIND.as_str()),
        (names::LABEL_PROFILE, profile),
    ];
    labels.map(|(name, value)| (name.to_owned(), value.to_owned())).into()
}

fn spec<K: Task>(
    run: &Run<'_, K>,
    labels: BTreeMap<String, String>,
    mut annotations: BTreeMap<String, String>,
) -> JobSpec {
    annotations.insert(names::ANNOTATION_PROMPT.to_owned(), run.prompt.to_owned());
    let metadata = ObjectMeta {
        labels: Some(over(&run.profile.pod_labels, labels)),
        annotations: Some(over(&run.profile.pod_annotations, annotations)),
        ..ObjectMeta::default()
    };
    JobSpec {
        backoff_limit: Some(run.task.task_spec().max_retries),
        active_deadline_seconds: Some(deadline(run.task.task_spec(), run.profile, run.settings)),
        pod_failure_policy: Some(failure_policy()),
        template: PodTemplateSpec {
            metadata: Some(metadata),
            spec: Some(pod::spec(run.task.task_spec(), run.profile, run.settings)),
        },
        ..JobSpec::default()
    }
}

/// Ours over the profile's: they decide whose run a pod is.
fn over(profile: &BTreeMap<String, String>, ours: BTreeMap<String, String>) -> BTreeMap<String, String> {
    profile.clone().into_iter().chain(ours).collect()
}

/// The backstop behind the runner's own deadline: every attempt may take its time to start, to work and to end, and the
/// Job controller waits between them.
fn deadline(task: &TaskSpec, profile: &AgentProfile, settings: &Settings) -> i64 {
    let attempt = settings.pod_start_timeout_seconds + profile.timeout_of(task) + GRACE_SECONDS;
    let backoff: i64 =
        (0..task.max_retries).map(|retry| (10_i64 << retry.min(10)).min(MAX_BACKOFF_SECONDS)).sum();
    attempt * i64::from(task.max_retries + 1) + backoff
}

/// The first rule that fits wins: a disruption (drain, preemption, eviction) isn't the run's fault whatever the exit code
/// was; then what the runner says not to try again.
fn failure_policy() -> PodFailurePolicy {
    let disrupted = PodFailurePolicyRule {
        action: "Ignore".to_owned(),
        on_pod_conditions: Some(vec![PodFailurePolicyOnPodConditionsPattern {
            type_: "DisruptionTarget".to_owned(),
            status: "True".to_owned(),
        }]),
        ..PodFailurePolicyRule::default()
    };
    let hopeless = PodFailurePolicyRule {
        action: "FailJob".to_owned(),
        on_exit_codes: Some(PodFailurePolicyOnExitCodesRequirement {
            container_name: Some(names::AGENT_CONTAINER.to_owned()),
            operator: "In".to_owned(),
            values: ExitCode::ALL
                .into_iter()
                .filter(|code| *code != ExitCode::Verdict && !code.is_retryable())
                .map(ExitCode::as_i32)
                .collect(),
        }),
        ..PodFailurePolicyRule::default()
    };
    PodFailurePolicy { rules: vec![disrupted, hopeless] }
}

#[cfg(test)]
mod tests;
