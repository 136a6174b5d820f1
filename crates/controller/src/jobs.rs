//! Calls about Jobs: made once, looked up live, deleted with their pods, given a TTL.

use jiff::Timestamp;
use k8s_openapi::api::batch::v1::Job;
use k8s_openapi::api::core::v1::{Event, ServiceAccount};
use kube::api::{DeleteParams, ListParams, Patch, PatchParams, PostParams, Preconditions, PropagationPolicy};
use kube::{Api, Client, Resource, ResourceExt};
use punching_fist_api::{names, reasons};
use punching_fist_core::job;
use punching_fist_core::pods::Obstacle;
use serde_json::json;

use crate::{Error, error};

/// What came of making a Job.
#[derive(Debug)]
pub(crate) enum Made {
    /// It is there, and it is the task's.
    Ours(Box<Job>),
    /// One of that name is there, and it isn't the task's.
    Taken,
    /// The API server won't have it, and won't have it next time either.
    Refused(String),
}

/// Creates the Job of the task with this UID. One that is there already and is the task's is as good as new.
pub(crate) async fn create(jobs: &Api<Job>, job: &Job, owner_uid: &str) -> Result<Made, Error> {
    let params =
        PostParams { field_manager: Some(names::MANAGER_CONTROLLER.to_owned()), ..PostParams::default() };
    match jobs.create(&params, job).await {
        Ok(job) => Ok(Made::Ours(Box::new(job))),
        Err(kube::Error::Api(status)) if status.is_already_exists() => {
            found(jobs, &job.name_any(), owner_uid).await
        }
        Err(kube::Error::Api(status)) if error::is_definite(status.code) => {
            Ok(Made::Refused(status.message.clone()))
        }
        Err(error) => Err(Error::api("creating the Job")(error)),
    }
}

async fn found(jobs: &Api<Job>, name: &str, owner_uid: &str) -> Result<Made, Error> {
    let job = jobs.get(name).await.map_err(Error::api("reading the Job that is already there"))?;
    Ok(if is_of(&job, owner_uid) { Made::Ours(Box::new(job)) } else { Made::Taken })
}

/// Whether the Job is the task's. Its name alone proves nothing: anybody may give it to a Job, and our labels too.
pub(crate) fn is_of(job: &Job, owner_uid: &str) -> bool {
    job.owner_references().iter().any(|owner| owner.controller == Some(true) && owner.uid == owner_uid)
}

/// The Job of the task with this UID, as the API server has it.
pub(crate) async fn get(jobs: &Api<Job>, owner_uid: &str) -> Result<Option<Job>, Error> {
    let job = jobs.get_opt(&job::name(owner_uid)).await.map_err(Error::api("reading the Job"))?;
    Ok(job.filter(|job| is_of(job, owner_uid)))
}

/// Deletes the Job, and keeps it until its pods are gone: until then their slot isn't free.
pub(crate) async fn delete(jobs: &Api<Job>, job: &Job) -> Result<(), Error> {
    let params = DeleteParams {
        propagation_policy: Some(PropagationPolicy::Foreground),
        preconditions: Some(Preconditions { uid: job.uid(), resource_version: None }),
        ..DeleteParams::default()
    };
    match jobs.delete(&job.name_any(), &params).await {
        Ok(_) => Ok(()),
        Err(kube::Error::Api(status)) if status.is_not_found() => Ok(()),
        Err(error) => Err(Error::api("deleting the Job")(error)),
    }
}

/// Lets the Job go after `seconds`: everything that it had to tell stands in the task's status.
pub(crate) async fn set_ttl(jobs: &Api<Job>, job: &Job, seconds: i32) -> Result<(), Error> {
    let patch = json!({
        "metadata": {"uid": job.meta().uid},
        "spec": {"ttlSecondsAfterFinished": seconds},
    });
    let params =
        PatchParams { field_manager: Some(names::MANAGER_CONTROLLER.to_owned()), ..PatchParams::default() };
    match jobs.patch(&job.name_any(), &params, &Patch::Merge(&patch)).await {
        Ok(_) => Ok(()),
        Err(kube::Error::Api(status)) if status.is_not_found() => Ok(()),
        Err(error) => Err(Error::api("setting the Job's TTL")(error)),
    }
}

/// Why the Job's pods can't be made, in the Job controller's words: quota, limits, admission. Only an Event tells.
pub(crate) async fn refusal(client: &Client, job: &Job) -> Result<Option<Obstacle>, Error> {
    let namespace = job.namespace().ok_or(Error::Incomplete("namespace"))?;
    let uid = job.uid().ok_or(Error::Incomplete("uid"))?;
    let said = newest_event(client, &namespace, &uid, "FailedCreate", Timestamp::MIN).await?;
    Ok(said.map(|message| Obstacle { reason: reasons::POD_REFUSED, message }))
}

/// Why the pod's volumes can't be mounted, in the kubelet's words: a ConfigMap with skills or the Secret of another
/// cluster is missing. Only an Event tells; one from before `since` is about what has been mended.
pub(crate) async fn mount_failure(
    client: &Client,
    namespace: &str,
    pod_uid: &str,
    since: Timestamp,
) -> Result<Option<Obstacle>, Error> {
    let said = newest_event(client, namespace, pod_uid, "FailedMount", since).await?;
    let advice = "create what is missing in the task's namespace; the pod then starts by itself";
    Ok(said.map(|said| Obstacle { reason: reasons::POD_CONFIG_ERROR, message: format!("{said}; {advice}") }))
}

async fn newest_event(
    client: &Client,
    namespace: &str,
    uid: &str,
    reason: &str,
    since: Timestamp,
) -> Result<Option<String>, Error> {
    let selector = format!("involvedObject.uid={uid},reason={reason}");
    let events: Api<Event> = Api::namespaced(client.clone(), namespace);
    let list = events.list(&ListParams::default().fields(&selector)).await;
    let list = list.map_err(Error::api("reading Events"))?;
    let time = |event: &Event| event.last_timestamp.as_ref().map(|time| time.0);
    let fresh = list.items.into_iter().filter(|event| time(event).is_none_or(|time| time >= since));
    let newest = fresh.max_by_key(time);
    Ok(newest.and_then(|event| event.message))
}

/// Whether the ServiceAccount is there: a pod that names a missing one is never made.
pub(crate) async fn service_account_exists(
    client: &Client,
    namespace: &str,
    name: &str,
) -> Result<bool, Error> {
    let accounts: Api<ServiceAccount> = Api::namespaced(client.clone(), namespace);
    let found = accounts.get_metadata_opt(name).await.map_err(Error::api("reading the ServiceAccount"))?;
    Ok(found.is_some())
}
