//! Alerts that are over: while their task waits, while it runs, and without a task.

use k8s_openapi::api::batch::v1::Job;
use punching_fist_api::{AlertState, AlertTask, Phase};
use punching_fist_e2e::notification::{firing, notification, resolved};
use serde_json::Value;

use crate::{CANCELS, ONE, OTHER, STAGE, at, chain, deliver, task_of};

fn alert(name: &str) -> Value {
    firing(name, "web-1", "2026-01-01T00:00:00Z")
}

#[test]
fn one_that_waits_is_closed_and_one_that_runs_is_cancelled() {
    STAGE.play_alerts("cancels", async |space| {
        let body = |name: &str, alert: Value| notification(name, "!sleep 600", &[alert]);
        let runs = task_of(&deliver(at(&space, CANCELS), &body("CancelsOne", alert("CancelsOne"))).await?)?;
        let running = space.phase::<AlertTask>(&runs, Phase::Running).await?;
        let waits = task_of(&deliver(at(&space, CANCELS), &body("CancelsTwo", alert("CancelsTwo"))).await?)?;
        space.reason::<AlertTask>(&waits, "Queued").await?;
        // Any replica may be told.
        deliver(at(&space, ONE), &body("CancelsTwo", resolved(alert("CancelsTwo")))).await?;
        let closed = space.end::<AlertTask>(&waits).await?;
        let status = closed.status.as_ref().ok_or("no status")?;
        assert_eq!(
            (status.task.phase, status.task.reason.as_deref()),
            (Some(Phase::Succeeded), Some("AlertResolved"))
        );
        assert!(status.task.job.is_none() && space.jobs(&closed).await?.is_empty());
        deliver(at(&space, OTHER), &body("CancelsOne", resolved(alert("CancelsOne")))).await?;
        let ended = space.end::<AlertTask>(&runs).await?.status.ok_or("no status")?;
        assert_eq!(
            (ended.task.phase, ended.task.reason.as_deref()),
            (Some(Phase::Succeeded), Some("AlertResolved"))
        );
        assert_eq!(ended.alert_state, Some(AlertState::Resolved));
        let job = running.status.and_then(|status| status.task.job).ok_or("no job")?.name;
        space.gone::<Job>(&job).await
    });
}

#[test]
fn one_that_runs_may_finish() {
    STAGE.play_alerts("finishes", async |space| {
        let body = |alert: Value| {
            notification("Finishes", "!await finish\n!verdict NotReproduced It is over.", &[alert])
        };
        let name = task_of(&deliver(at(&space, ONE), &body(alert("Finishes"))).await?)?;
        space.phase::<AlertTask>(&name, Phase::Running).await?;
        let answer = deliver(at(&space, OTHER), &body(resolved(alert("Finishes")))).await?;
        assert_eq!(answer["alerts"][0]["outcome"], "resolved", "{answer}");
        let over = |task: &AlertTask| {
            task.status.as_ref().is_some_and(|status| status.alert_state == Some(AlertState::Resolved))
        };
        let told = space.until(&name, "alertState resolved", over).await?.status.ok_or("no status")?;
        assert_eq!(told.task.phase, Some(Phase::Running));
        assert!(told.resolved_time.is_some());
        space.signal("finish").await?;
        let ended = space.phase::<AlertTask>(&name, Phase::Succeeded).await?;
        let message = ended.status.and_then(|status| status.task.message);
        assert_eq!(message.as_deref(), Some("It is over."));
        assert_eq!(chain(&space, "Finishes").await?.len(), 1);
        Ok(())
    });
}

#[test]
fn one_that_nobody_knew_of_makes_nothing() {
    STAGE.play_alerts("unknown", async |space| {
        let answer =
            deliver(at(&space, ONE), &notification("Unknown", "!exit 0", &[resolved(alert("Unknown"))]))
                .await?;
        assert_eq!(answer["alerts"][0]["outcome"], "ignored", "{answer}");
        assert!(chain(&space, "Unknown").await?.is_empty());
        Ok(())
    });
}
