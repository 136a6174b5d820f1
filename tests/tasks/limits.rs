//! Whose turn it is: a profile's limit, and alerts before maintenance.

use punching_fist_api::{AlertTask, MaintenanceTask, Phase};
use punching_fist_e2e::{Failure, Space};
use serde_json::json;

use crate::STAGE;

/// A script that holds its slot until it is told to go.
fn holds(name: &str) -> serde_json::Value {
    json!({
        "prompt": format!("!await {name}\n!verdict Diagnosed done"),
        "agent": { "profile": "narrow" },
        "notification": { "alerts": [{ "labels": { "alertname": name } }] },
    })
}

async fn maintenance(space: &Space, name: &str) -> Result<MaintenanceTask, Failure> {
    let mut spec = holds(name);
    spec["notification"].take();
    space.task_with(name, spec).await
}

#[test]
fn alerts_go_first_and_one_after_the_other() {
    STAGE.play("turns", async |space| {
        maintenance(&space, "first").await?;
        space.phase::<MaintenanceTask>("first", Phase::Running).await?;
        let waits = maintenance(&space, "second").await?;
        space.reason::<MaintenanceTask>("second", "Queued").await?;
        space.task_with::<AlertTask>("alert", holds("alert")).await?;
        space.reason::<AlertTask>("alert", "Queued").await?;
        space.signal("first").await?;
        space.phase::<MaintenanceTask>("first", Phase::Succeeded).await?;
        // It came last, and it is its turn.
        space.phase::<AlertTask>("alert", Phase::Running).await?;
        let second = space.reason::<MaintenanceTask>("second", "Queued").await?;
        assert_eq!(second.status.and_then(|status| status.task.job), None);
        assert!(space.jobs(&waits).await?.is_empty());
        space.signal("alert").await?;
        space.phase::<AlertTask>("alert", Phase::Succeeded).await?;
        space.phase::<MaintenanceTask>("second", Phase::Running).await?;
        space.signal("second").await?;
        space.phase::<MaintenanceTask>("second", Phase::Succeeded).await?;
        Ok(())
    });
}
