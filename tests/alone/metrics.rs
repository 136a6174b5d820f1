//! What Prometheus reads: the five metrics of tasks, exactly.

use punching_fist_api::{MaintenanceTask, Phase};
use punching_fist_e2e::{Failure, Replica, until};
use serde_json::json;

use crate::alone;

const NAMES: [&str; 5] = [
    "openhands_tasks_total",
    "openhands_tasks_running",
    "openhands_tasks_succeeded_total",
    "openhands_tasks_failed_total",
    "openhands_task_duration_seconds_count",
];

/// Waits until the metrics have these values.
async fn counted(replica: &Replica, expected: [f64; 5]) -> Result<(), Failure> {
    let same = async || {
        for (name, expected) in NAMES.iter().zip(expected) {
            let value = replica.metric(name).await.ok()?;
            if (value - expected).abs() > 0.1 {
                return None;
            }
        }
        Some(())
    };
    until(&format!("{NAMES:?} are {expected:?}"), same).await
}

#[test]
fn tasks_are_counted() {
    alone("metrics", async |space| {
        let replica = &space.world().replicas()[0];
        {
            // A process that has counted nothing yet.
            let mut operator = replica.operator().await;
            operator.kill().await?;
            operator.restart().await?;
        }
        space.task::<MaintenanceTask>("good", "!sleep 1\n!verdict Diagnosed done").await?;
        let bad = json!({ "prompt": "!fail ProviderFault away", "maxRetries": 0 });
        space.task_with::<MaintenanceTask>("bad", bad).await?;
        space.task::<MaintenanceTask>("busy", "!await go\n!verdict Diagnosed done").await?;
        space.phase::<MaintenanceTask>("good", Phase::Succeeded).await?;
        space.phase::<MaintenanceTask>("bad", Phase::Failed).await?;
        space.phase::<MaintenanceTask>("busy", Phase::Running).await?;
        counted(replica, [3.0, 1.0, 1.0, 1.0, 2.0]).await?;
        space.signal("go").await?;
        space.phase::<MaintenanceTask>("busy", Phase::Succeeded).await?;
        counted(replica, [3.0, 0.0, 2.0, 1.0, 3.0]).await?;
        assert!(replica.metric("openhands_task_duration_seconds_sum").await? >= 1.0);
        assert!((replica.metric("punching_fist_leader").await? - 1.0).abs() < 0.1);
        Ok(())
    });
}
