//! Who may do what: whose tasks the admission policies take, what a prepared namespace lets agents and the operator do,
//! which pods its Pod Security label lets in, who makes a run and who touches one. No operator runs here: the API server alone decides.

mod author;
mod disguise;
mod docs;
mod lists;
mod meter;
mod operator;
mod policies;
mod prepared;
mod restricted;
mod runs;
mod updates;

use punching_fist_e2e::{Failure, until};
use punching_fist_testkit::{Ground, namespaces};
use serde_json::{Value, json};
use tokio::sync::OnceCell;

use author::Author;

const KINDS: [&str; 2] = ["AlertTask", "MaintenanceTask"];

/// Whether the policies are known to be in force: that takes the API server a second after they were applied.
static IN_FORCE: OnceCell<()> = OnceCell::const_new();

/// A namespace of this name, and the policies in force.
async fn space(ground: &Ground, name: &str) -> Result<(), Failure> {
    namespaces::ensure(&ground.client(), name).await?;
    IN_FORCE.get_or_try_init(async || wait_for_policies(ground).await).await.map(drop)
}

async fn wait_for_policies(ground: &Ground) -> Result<(), Failure> {
    let nobody = Author::in_namespace(ground, "nobody", "default").await?;
    // One for each of the three about authors.
    for spec in [
        json!({ "mode": "Remediate" }),
        json!({ "cluster": "none" }),
        json!({ "agent": { "skills": [{ "configMap": "none" }] } }),
    ] {
        let refused = async || nobody.create("MaintenanceTask", &spec).await.err();
        until("the policies are in force", refused).await?;
    }
    Ok(())
}

/// A rule of a Role.
fn rule(group: &str, resource: &str, names: &[&str], verbs: &[&str]) -> Value {
    json!({ "apiGroups": [group], "resources": [resource], "resourceNames": names, "verbs": verbs })
}

/// The spec of a task of this kind that names nothing, with `more`.
fn spec_of(kind: &str, more: &Value) -> Value {
    let mut spec = match kind {
        "AlertTask" => json!({ "notification": { "alerts": [{}] } }),
        _ => json!({ "prompt": "Look." }),
    };
    for (field, value) in more.as_object().into_iter().flatten() {
        spec[field] = value.clone();
    }
    spec
}

/// `alerttasks` of `AlertTask`.
fn resource_of(kind: &str) -> String {
    format!("{}s", kind.to_lowercase())
}
