//! The three things that are done with AlertTasks, and what the API server's refusals mean.

use kube::api::{ListParams, Patch, PatchParams, PostParams};
use kube::{Api, Client, Resource, ResourceExt};
use punching_fist_api::{AlertTask, names};
use punching_fist_core::incident::WebhookStatus;
use serde_json::json;

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
    /// Somebody else was faster: what was seen is no longer so.
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

    /// All tasks of the key, as they are in etcd now.
    pub(crate) async fn chain(&self, namespace: &str, key: &str) -> Result<Vec<AlertTask>, Error> {
        // Without a resourceVersion the list is consistent; the API server serves it from memory once it has made sure.
        let of_key = ListParams::default().labels(&format!("{}={key}", names::LABEL_KEY));
        let list = self.api(namespace).list(&of_key).await;
        list.map(|list| list.items).map_err(Error::api("listing the incident's tasks"))
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
