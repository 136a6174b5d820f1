//! Bodies that can't be read: each has its code, and a message that names the field.

use punching_fist_e2e::notification::{firing, notification};
use serde_json::{Value, json};

use crate::{ONE, STAGE, at, chain};

fn good() -> Value {
    notification("Malformed", "!exit 0", &[firing("Malformed", "web-1", "2026-01-01T00:00:00Z")])
}

fn with(field: &str, value: Value) -> Vec<u8> {
    let mut body = good();
    body[field] = value;
    body.to_string().into_bytes()
}

#[test]
fn every_malformed_body_has_its_answer() {
    STAGE.play_alerts("malformed", async |space| {
        let replica = at(&space, ONE);
        let token = Some(replica.token());
        let whole = good().to_string().into_bytes();
        let table: [(Vec<u8>, Option<&str>, u16, &str); 14] = [
            (Vec::new(), token, 400, ""),
            (b"hello".to_vec(), token, 400, ""),
            (b"[]".to_vec(), token, 400, ""),
            (b"{}".to_vec(), token, 400, "version"),
            (whole[..whole.len() / 2].to_vec(), token, 400, ""),
            (with("version", json!("3")), token, 400, "version"),
            (with("version", json!(4)), token, 400, "version"),
            (with("alerts", json!({})), token, 400, "alerts"),
            (with("alerts", Value::Null), token, 400, "alerts"),
            (with("groupLabels", json!([])), token, 400, "groupLabels"),
            (with("commonLabels", json!({ "a": 1 })), token, 400, "commonLabels"),
            (vec![b' '; 4 * 1024 * 1024 + 1], token, 413, "max_alerts"),
            (whole.clone(), None, 401, "Authorization: Bearer"),
            (whole, Some("wrong"), 401, "Authorization: Bearer"),
        ];
        for (body, token, status, part) in table {
            let start = String::from_utf8_lossy(&body[..body.len().min(60)]).into_owned();
            let answer = replica.post_bytes(body, token).await?;
            assert_eq!(answer.status, status, "{start}: {answer:?}");
            let message = answer.body["error"].as_str().unwrap_or_default();
            assert!(!message.is_empty() && message.contains(part), "{start}: {answer:?}");
        }
        assert!(chain(&space, "Malformed").await?.is_empty());
        Ok(())
    });
}

#[test]
fn a_bad_alert_among_good_ones_is_named_and_spoils_nothing() {
    STAGE.play_alerts("one-bad", async |space| {
        let good = |pod: &str| firing("OneBad", pod, "2026-01-01T00:00:00Z");
        let mut bad = good("web-2");
        bad["startsAt"] = json!("yesterday");
        let body = notification(
            "OneBad",
            "!verdict Diagnosed Both.",
            &[good("web-1"), bad, json!({}), good("web-3")],
        );
        let answer = at(&space, ONE).post(&body).await?;
        assert_eq!(answer.status, 200, "{answer:?}");
        let outcome = |alert: &str| {
            let alerts = answer.body["alerts"].as_array().into_iter().flatten();
            alerts.filter(|one| one["alert"].as_str().is_some_and(|name| name.starts_with(alert))).count()
        };
        assert_eq!((outcome("alerts[1].startsAt"), outcome("alerts[2]")), (1, 1), "{answer:?}");
        let tasks = chain(&space, "OneBad").await?;
        assert_eq!((tasks.len(), tasks[0].spec.notification.alerts.len()), (1, 2));
        Ok(())
    });
}
