//! AlertRoute: which alerts become which work. No kind of its own yet: the operator's configuration holds the default route.

use kube::KubeSchema;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::TaskSpec;

/// Which alerts are taken, and what is made of them.
#[derive(KubeSchema, Clone, Debug, Default, Deserialize, Serialize, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct AlertRouteSpec {
    /// Matchers as Alertmanager writes them (`severity="critical"`, `alertname!~"Watchdog|InfoInhibitor"`). An alert is
    /// taken if all of them match; a label that it lacks counts as empty.
    #[serde(default, rename = "match", skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 32))]
    pub matchers: Vec<String>,

    /// What a running agent does when every alert of its task is resolved.
    #[serde(default)]
    pub on_resolved: OnResolved,

    /// How the agent is to run.
    #[serde(default)]
    pub template: TaskSpec,
}

/// What becomes of a running agent when every alert of its task is resolved.
#[derive(Clone, Copy, Debug, Default, Deserialize, Serialize, JsonSchema, PartialEq, Eq, Hash)]
pub enum OnResolved {
    /// It finishes: the cause may well be there still.
    #[default]
    Finish,
    /// It is ended.
    Cancel,
}
