//! The runs of one incident: what joins too late or comes back gets a run that follows, once; a repeat gets none.

use punching_fist_api::{AlertTask, Phase};
use punching_fist_e2e::notification::{firing, notification, resolved};
use punching_fist_e2e::{Failure, Space, until};
use serde_json::{Value, json};

use crate::{ONE, OTHER, STAGE, at, chain, deliver, only, task_of};

const SCRIPT: &str = "!verdict Diagnosed Looked at it.";

/// Waits for the run that follows, and for its end.
async fn successor(space: &Space, alertname: &str) -> Result<AlertTask, Failure> {
    let second = until("a second task", async || chain(space, alertname).await.ok()?.into_iter().nth(1));
    let name = second.await?.metadata.name.ok_or("no name")?;
    space.phase(&name, Phase::Succeeded).await
}

fn fingerprints(task: &AlertTask) -> Vec<String> {
    task.spec.notification.alerts.iter().map(|alert| alert.fingerprint.clone()).collect()
}

fn fingerprint(alert: &Value) -> String {
    alert["fingerprint"].as_str().unwrap_or_default().to_owned()
}

#[test]
fn an_alert_that_joins_while_the_agent_runs_gets_a_run_of_its_own() {
    STAGE.play_alerts("joins", async |space| {
        let [first, late] = ["web-1", "web-2"].map(|pod| firing("Joins", pod, "2026-01-01T00:00:00Z"));
        // The script of the second run is the group's, as of the first.
        let script = "!await joined\n!verdict Diagnosed Looked at it.";
        let body = notification("Joins", script, std::slice::from_ref(&first));
        let name = task_of(&deliver(at(&space, ONE), &body).await?)?;
        space.phase::<AlertTask>(&name, Phase::Running).await?;
        let both = notification("Joins", script, &[first, late.clone()]);
        for replica in [ONE, OTHER] {
            let answer = deliver(at(&space, replica), &both).await?;
            assert_eq!(
                (task_of(&answer)?, &answer["alerts"][1]["outcome"]),
                (name.clone(), &json!("merged"))
            );
        }
        space.signal("joined").await?;
        let ended = space.phase::<AlertTask>(&name, Phase::Succeeded).await?;
        let status = ended.status.ok_or("no status")?;
        assert_eq!((status.prompted_alerts, status.alerts.len()), (Some(1), 2));
        let second = successor(&space, "Joins").await?;
        let identity = second.spec.identity.clone().ok_or("no identity")?;
        assert_eq!((identity.run, identity.previous.as_deref()), (2, Some(name.as_str())));
        assert!(fingerprints(&second).contains(&fingerprint(&late)));
        // Now all is known: repeats to both replicas make nothing.
        for replica in [ONE, OTHER, ONE] {
            let answer = deliver(at(&space, replica), &both).await?;
            assert_eq!(answer["alerts"][1]["outcome"], "merged", "{answer}");
        }
        assert_eq!(chain(&space, "Joins").await?.len(), 2);
        Ok(())
    });
}

#[test]
fn a_repeat_after_the_end_makes_nothing() {
    STAGE.play_alerts("repeat", async |space| {
        let body = notification("Repeat", SCRIPT, &[firing("Repeat", "web-1", "2026-01-01T00:00:00Z")]);
        let name = task_of(&deliver(at(&space, ONE), &body).await?)?;
        space.phase::<AlertTask>(&name, Phase::Succeeded).await?;
        // Alertmanager keeps the earliest start while an alert goes on: an earlier one is the same episode.
        let earlier = notification("Repeat", SCRIPT, &[firing("Repeat", "web-1", "2025-12-31T23:00:00Z")]);
        for (replica, body) in [(ONE, &body), (OTHER, &body), (OTHER, &earlier)] {
            let answer = deliver(at(&space, replica), body).await?;
            assert_eq!(answer["alerts"][0]["outcome"], "merged", "{answer}");
        }
        assert_eq!(only(&space, "Repeat").await?, name);
        let counted = |task: &AlertTask| task.status.as_ref().is_some_and(|status| status.occurrences == 4);
        space.until(&name, "four occurrences", counted).await?;
        Ok(())
    });
}

#[test]
fn an_alert_that_was_resolved_and_comes_back_is_looked_at_again() {
    STAGE.play_alerts("back", async |space| {
        let alert = firing("Back", "web-1", "2026-01-01T00:00:00Z");
        let name = task_of(
            &deliver(at(&space, ONE), &notification("Back", SCRIPT, std::slice::from_ref(&alert))).await?,
        )?;
        space.phase::<AlertTask>(&name, Phase::Succeeded).await?;
        let over =
            deliver(at(&space, OTHER), &notification("Back", SCRIPT, &[resolved(alert.clone())])).await?;
        assert_eq!(over["alerts"][0]["outcome"], "resolved", "{over}");
        assert_eq!(only(&space, "Back").await?, name, "what is resolved makes nothing");
        let again = notification("Back", SCRIPT, &[firing("Back", "web-1", "2026-01-01T01:00:00Z")]);
        let answers = [deliver(at(&space, ONE), &again).await?, deliver(at(&space, OTHER), &again).await?];
        let second = successor(&space, "Back").await?;
        assert_eq!(
            second.spec.identity.and_then(|identity| identity.previous).as_deref(),
            Some(name.as_str())
        );
        assert_eq!(answers[0]["alerts"][0]["outcome"], "created", "{answers:?}");
        assert_eq!(answers[1]["alerts"][0]["outcome"], "merged", "{answers:?}");
        // The end of the first episode, late: it changes nothing about the second.
        deliver(at(&space, ONE), &notification("Back", SCRIPT, &[resolved(alert)])).await?;
        let second = chain(&space, "Back").await?.pop().ok_or("no task")?;
        let state = second.status.and_then(|status| status.alert_state);
        assert_eq!(state, Some(punching_fist_api::AlertState::Firing));
        assert_eq!(chain(&space, "Back").await?.len(), 2);
        Ok(())
    });
}

#[test]
fn what_a_fault_has_failed_is_tried_again_with_the_next_repeat() {
    STAGE.play_alerts("fault", async |space| {
        let alerts = [firing("Fault", "web-1", "2026-01-01T00:00:00Z")];
        let broken = notification("Fault", "!fail CredentialsRefused 401", &alerts);
        let name = task_of(&deliver(at(&space, ONE), &broken).await?)?;
        space.phase::<AlertTask>(&name, Phase::Failed).await?;
        let answer = deliver(at(&space, OTHER), &notification("Fault", SCRIPT, &alerts)).await?;
        assert_eq!(answer["alerts"][0]["outcome"], "created", "{answer}");
        successor(&space, "Fault").await?;
        Ok(())
    });
}
