//! Status writes: server-side apply, one field manager and one type each, under the resourceVersion that was read.

use kube::api::{Patch, PatchParams};
use kube::{Api, ResourceExt};
use punching_fist_api::{Task, names};
use punching_fist_core::meter::GatewayUsage;
use punching_fist_core::status::ControllerStatus;
use serde::Serialize;
use serde_json::json;

use crate::Error;

/// The fields of [`names::MANAGER_REPORT`].
#[derive(Serialize)]
struct ReportStatus<'a> {
    result: Report<'a>,
}

/// Report and plan.
#[derive(Serialize)]
pub(crate) struct Report<'a> {
    /// Markdown.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) report: Option<&'a str>,
    /// What to change.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) plan: Option<&'a str>,
}

/// Writes what the controller decided; gives the object as it is then.
pub(crate) async fn status<K: Task>(api: &Api<K>, task: &K, status: &ControllerStatus) -> Result<K, Error> {
    apply(api, task, names::MANAGER_CONTROLLER, status).await.map_err(Error::api("writing the status"))
}

/// Writes report and plan; gives the object as it is then.
pub(crate) async fn report<K: Task>(api: &Api<K>, task: &K, report: Report<'_>) -> Result<K, Error> {
    let status = ReportStatus { result: report };
    apply(api, task, names::MANAGER_REPORT, &status).await.map_err(Error::api("writing the report"))
}

/// Writes what a run has used, in the place of the gateway.
pub(crate) async fn usage<K: Task>(api: &Api<K>, task: &K, usage: &GatewayUsage) -> Result<K, Error> {
    let status = json!({ "usage": usage });
    apply(api, task, names::MANAGER_GATEWAY, &status).await.map_err(Error::api("writing the usage"))
}

/// With `force`: without it a field of another manager would be a 409 too, and could not be told from a changed object.
async fn apply<K: Task>(api: &Api<K>, task: &K, manager: &str, status: &impl Serialize) -> kube::Result<K> {
    let patch = json!({
        "apiVersion": K::api_version(&()),
        "kind": K::kind(&()),
        "metadata": {"resourceVersion": task.resource_version()},
        "status": status,
    });
    api.patch_status(&task.name_any(), &PatchParams::apply(manager).force(), &Patch::Apply(&patch)).await
}
