//! One alert to its verdict, and one task for an incident however often it is told.

use futures::future::try_join_all;
use punching_fist_api::{AlertState, AlertTask, Phase, Verdict};
use punching_fist_e2e::notification::{firing, notification};
use serde_json::json;

use crate::{ONE, OTHER, STAGE, at, chain, deliver, deliver_counted, only, task_of};

#[test]
fn an_alert_becomes_a_verdict() {
    STAGE.play_alerts("verdict", async |space| {
        let script = "!run kubectl get pods -A -o name | head -1\n!report What I saw.\n!plan none\n!verdict Diagnosed Seen.";
        let body = notification("Verdict", script, &[firing("Verdict", "web-1", "2026-01-01T00:00:00.123Z")]);
        let answer = at(&space, ONE).post(&body).await?;
        assert_eq!(answer.status, 200, "{answer:?}");
        assert_eq!(answer.body["alerts"][0]["outcome"], "created", "{answer:?}");
        let name = task_of(&answer.body)?;
        assert!(name.starts_with("verdict-") && name.len() == "verdict-".len() + 10, "{name}");
        let made = space.api::<AlertTask>().get(&name).await?;
        assert_eq!(made.spec.alert_name.as_deref(), Some("Verdict"));
        assert_eq!(made.spec.severity.as_deref(), Some("critical"));
        let ended = space.phase::<AlertTask>(&name, Phase::Succeeded).await?;
        let status = ended.status.as_ref().ok_or("no status")?;
        let found = status.task.result.clone().ok_or("no result")?;
        assert_eq!((found.verdict, found.summary.as_deref()), (Some(Verdict::Diagnosed), Some("Seen.")));
        assert_eq!((found.report.as_deref(), found.plan.as_deref()), (Some("What I saw."), Some("none")));
        assert_eq!((status.alert_state, status.occurrences), (Some(AlertState::Firing), 1));
        assert_eq!(status.prompted_alerts, Some(1));
        assert_eq!(space.jobs(&ended).await?.len(), 1);
        let shown = space.kubectl(&["get", "at", &name]).await?;
        for word in ["Verdict", "critical", "firing", "Succeeded", "Diagnosed"] {
            assert!(shown.contains(word), "{word} is not in\n{shown}");
        }
        Ok(())
    });
}

#[test]
fn the_same_notification_twenty_times_at_once_makes_one_task() {
    STAGE.play_alerts("twenty", async |space| {
        let alerts = [
            firing("Twenty", "web-1", "2026-01-01T00:00:00Z"),
            firing("Twenty", "web-2", "2026-01-01T00:00:01Z"),
        ];
        let body = notification("Twenty", "!await all-delivered\n!verdict Diagnosed Once.", &alerts);
        let deliveries = (0..20).map(|number| deliver_counted(at(&space, [ONE, OTHER][number % 2]), &body));
        let (answers, posts): (Vec<_>, Vec<_>) = try_join_all(deliveries).await?.into_iter().unzip();
        // None, if the one that made it was answered too late.
        let created = answers.iter().filter(|answer| answer["alerts"][0]["outcome"] == "created").count();
        assert!(created <= 1, "{answers:?}");
        let name = only(&space, "Twenty").await?;
        space.signal("all-delivered").await?;
        assert!(answers.iter().all(|answer| answer["alerts"][0]["task"] == json!(name)), "{answers:?}");
        let ended = space.phase::<AlertTask>(&name, Phase::Succeeded).await?;
        let status = ended.status.as_ref().ok_or("no status")?;
        assert_eq!(status.alerts.len(), 2);
        let posts = posts.into_iter().sum();
        assert!((20..=posts).contains(&status.occurrences), "{posts} posts, {} counted", status.occurrences);
        assert_eq!((space.jobs(&ended).await?.len(), status.task.attempts.len()), (1, 1));
        Ok(())
    });
}

#[test]
fn what_asks_for_nothing_makes_nothing() {
    STAGE.play_alerts("unmatched", async |space| {
        let mut silent = firing("Quiet", "web-1", "2026-01-01T00:00:00Z");
        silent["labels"]["severity"] = json!("none");
        let own = firing("PunchingFistTaskFailed", "web-1", "2026-01-01T00:00:00Z");
        for (name, alert) in [
            ("Watchdog", firing("Watchdog", "x", "2026-01-01T00:00:00Z")),
            ("InfoInhibitor", firing("InfoInhibitor", "x", "2026-01-01T00:00:00Z")),
            ("Quiet", silent),
            ("PunchingFistTaskFailed", own),
        ] {
            let answer = deliver(at(&space, ONE), &notification(name, "!exit 0", &[alert])).await?;
            assert_eq!(answer["alerts"][0]["outcome"], "unmatched", "{answer}");
            assert!(chain(&space, name).await?.is_empty(), "{name}");
        }
        Ok(())
    });
}
