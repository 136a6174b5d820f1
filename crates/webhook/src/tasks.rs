//! What is done with AlertTasks, and what the API server's refusals mean.

use kube::api::{ListParams, Patch, PatchParams, PostParams};
use kube::core::DeserializeGuard;
use kube::{Api, Client, Resource, ResourceExt};
use punching_fist_api::{AlertTask, names};
use punching_fist_core::incident::WebhookStatus;
use serde_json::json;
use tracing::warn;

use crate::{Error, TaskCache};

/// AlertTasks, as the webhook sees them.
pub(crate) struct Tasks {
    client: Client,
    cache: Option<TaskCache>,
}

/// What came of a write.
#[derive(Debug)]
pub(crate) enum Written<T> {
    /// It is in etcd.
    Done(T),
    /// Somebody else was faster: what was seen is no longer so, or the name is taken.
    Overtaken,
    /// It is refused for good.
    Refused(String),
}

impl Tasks {
    pub(crate) fn new(client: Client) -> Self {
        Self { client, cache: None }
    }

    pub(crate) fn use_cache(&mut self, cache: TaskCache) {
        self.cache = Some(cache);
    }

    /// The newest task of the key, if the cache knows it to be under way.
    pub(crate) fn known_open(&self, key: &str) -> Option<AlertTask> {
        self.cache.as_ref()?.open_task(key)
    }

    /// All tasks of the key that can be read, as they are in etcd now.
    pub(crate) async fn chain(&self, namespace: &str, key: &str) -> Result<Vec<AlertTask>, Error> {
        // Without a resourceVersion the list is consistent; the API server serves it from memory once it has made sure.
        let of_key = ListParams::default().labels(&format!("{}={key}", names::LABEL_KEY));
        let list = self.guarded(namespace).list(&of_key).await;
        let list = list.map_err(Error::api("listing the incident's tasks"))?;
        Ok(list.items.into_iter().filter_map(readable).collect())
    }

    /// The task of that name, which has to be of the key; none if it is gone.
    pub(crate) async fn of_incident(
        &self,
        namespace: &str,
        name: &str,
        key: &str,
    ) -> Result<Option<AlertTask>, Error> {
        let found = self.guarded(namespace).get_opt(name).await;
        let place = || format!("{namespace}/{name}");
        match found.map_err(Error::api("reading the task that has the name of the next one"))? {
            None => Ok(None),
            Some(DeserializeGuard(Err(invalid))) => {
                Err(Error::Unreadable { task: place(), problem: invalid.error })
            }
            Some(DeserializeGuard(Ok(task))) => {
                let is_ours = task.spec.identity.as_ref().is_some_and(|identity| identity.key == key);
                if is_ours { Ok(Some(task)) } else { Err(Error::NameTaken { task: place() }) }
            }
        }
    }

    /// Makes a task; its name is the lock.
    pub(crate) async fn create(
        &self,
        namespace: &str,
        task: &AlertTask,
    ) -> Result<Written<AlertTask>, Error> {
        let params =
            PostParams { field_manager: Some(names::MANAGER_WEBHOOK.to_owned()), ..PostParams::default() };
        match self.api(namespace).create(&params, task).await {
            Ok(task) => Ok(Written::Done(task)),
            Err(kube::Error::Api(status)) if status.is_already_exists() => Ok(Written::Overtaken),
            Err(error) => refused(error, "making the task"),
        }
    }

    /// Writes the webhook's part of a status, under the resourceVersion that was read. With `force`: without it another
    /// manager's field would be a 409 too, and could not be told from a task that has changed.
    pub(crate) async fn note(
        &self,
        namespace: &str,
        task: &AlertTask,
        status: &WebhookStatus,
    ) -> Result<Written<()>, Error> {
        let patch = Patch::Apply(json!({
            "apiVersion": AlertTask::api_version(&()),
            "kind": AlertTask::kind(&()),
            "metadata": { "resourceVersion": task.resource_version() },
            "status": status,
        }));
        let params = PatchParams::apply(names::MANAGER_WEBHOOK).force();
        match self.api(namespace).patch_status(&task.name_any(), &params, &patch).await {
            Ok(_) => Ok(Written::Done(())),
            Err(kube::Error::Api(status)) if status.is_conflict() || status.is_not_found() => {
                Ok(Written::Overtaken)
            }
            Err(error) => refused(error, "writing the task's status"),
        }
    }

    fn api(&self, namespace: &str) -> Api<AlertTask> {
        Api::namespaced(self.client.clone(), namespace)
    }

    /// The schema lets values pass that our types don't: such an object must not spoil the answer for the others.
    fn guarded(&self, namespace: &str) -> Api<DeserializeGuard<AlertTask>> {
        Api::namespaced(self.client.clone(), namespace)
    }
}

/// The task, unless something in it is no value of its type: that is told and left out.
pub(crate) fn readable(task: DeserializeGuard<AlertTask>) -> Option<AlertTask> {
    let told = |invalid: &kube::core::error_boundary::InvalidObject| {
        let (namespace, name) = (&invalid.metadata.namespace, &invalid.metadata.name);
        warn!(
            ?namespace,
            ?name,
            error = invalid.error,
            "an AlertTask can't be read and is left out: mend or delete it"
        );
    };
    task.0.inspect_err(told).ok()
}

/// What would be refused again is told; all else, a missing right or namespace included, can be mended meanwhile.
fn refused<T>(error: kube::Error, doing: &'static str) -> Result<Written<T>, Error> {
    match error {
        kube::Error::Api(status) if matches!(status.code, 400 | 413 | 422) => {
            Ok(Written::Refused(status.message.clone()))
        }
        error => Err(Error::api(doing)(error)),
    }
}
