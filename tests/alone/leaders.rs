//! Two replicas: one leads, the other takes over when it goes, and a run under way does not notice.

use std::time::Duration;

use nix::sys::signal::Signal;
use punching_fist_api::{AlertTask, MaintenanceTask, Phase};
use punching_fist_e2e::TIMEOUT;
use serde_json::json;

use crate::{alone, settings};

const ROUNDS: usize = 2;
const CROWD: usize = 6;
/// How long a leader may take to go that has nothing but passes under way: less than the 20 s after which it is cut off.
const TO_STOP: Duration = Duration::from_secs(15);

#[test]
fn whoever_leads_next_knows_of_all_who_wait_and_stops_when_it_is_told() {
    alone("crowd", async |space| {
        let mut operator = space.world().replicas()[0].operator().await;
        for round in 0..ROUNDS {
            operator.process_mut().signal(Signal::SIGTERM);
            let ended = tokio::time::timeout(TO_STOP, operator.process_mut().wait()).await;
            assert!(ended.map_err(|_| "it doesn't stop")??.success(), "round {round}");
            // Each of them has its pass as soon as the caches are filled, and not before.
            for number in 0..CROWD {
                let name = format!("mt-{round}-{number}");
                space.task::<MaintenanceTask>(&name, "!verdict Diagnosed done").await?;
            }
            operator.restart().await?;
            let wait = ["wait", "--for=condition=Complete", TIMEOUT, "mt", "--all"];
            space.kubectl(&wait).await?;
        }
        Ok(())
    });
}

#[test]
fn the_next_leader_goes_on_where_the_last_one_stopped() {
    alone("leaders", async |space| {
        let replica = &space.world().replicas()[0];
        space.task::<MaintenanceTask>("first", "!await first\n!verdict Diagnosed done").await?;
        let running = space.phase::<MaintenanceTask>("first", Phase::Running).await?;
        let next = space.world().start(settings("next", 1)).await?;
        assert!(!next.leads().await?, "the Lease is held");
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
        let log = next.log_path().to_owned();
        let ended = next.stop().await?;
        assert!(ended.success(), "{ended}: {}", std::fs::read_to_string(log)?);
        first.restart().await?;
        Ok(())
    });
}
