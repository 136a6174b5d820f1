//! Two replicas: one leads, the other takes over when it goes, and a run under way does not notice.

use nix::sys::signal::Signal;
use punching_fist_api::{AlertTask, MaintenanceTask, Phase};
use serde_json::json;

use crate::{alone, settings};

#[test]
fn the_next_leader_goes_on_where_the_last_one_stopped() {
    alone("leaders", async |space| {
        let replica = &space.world().replicas()[0];
        space.task::<MaintenanceTask>("first", "!await first\n!verdict Diagnosed done").await?;
        let running = space.phase::<MaintenanceTask>("first", Phase::Running).await?;
        let next = space.world().start(settings("next", 1)).await?;
        assert!(next.metric("punching_fist_leader").await? < 0.5, "the Lease is held");
        let mut first = replica.operator().await;
        first.process_mut().signal(Signal::SIGTERM);
        assert!(first.process_mut().wait().await?.success(), "{}", replica.log_tail());
        // The one slot of the next leader is taken by a run that it has not started.
        space.task::<MaintenanceTask>("second", "!verdict Diagnosed done").await?;
        space.reason::<MaintenanceTask>("second", "Queued").await?;
        let notification = json!({ "alerts": [{ "labels": { "alertname": "A" } }] });
        let alert =
            json!({ "prompt": "!await alert\n!verdict Diagnosed done", "notification": notification });
        space.task_with::<AlertTask>("alert", alert).await?;
        space.reason::<AlertTask>("alert", "Queued").await?;
        space.signal("first").await?;
        let ended = space.phase::<MaintenanceTask>("first", Phase::Succeeded).await?;
        let job =
            |task: MaintenanceTask| task.status.and_then(|status| status.task.job).and_then(|job| job.uid);
        assert_eq!(job(ended), job(running));
        space.phase::<AlertTask>("alert", Phase::Running).await?;
        space.reason::<MaintenanceTask>("second", "Queued").await?;
        space.signal("alert").await?;
        space.phase::<MaintenanceTask>("second", Phase::Succeeded).await?;
        assert_eq!(next.trespasses().await?, [""; 0]);
        assert!(next.stop().await?.success());
        first.restart().await?;
        Ok(())
    });
}
