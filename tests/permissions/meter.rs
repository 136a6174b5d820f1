//! What a run has used, in a task's status: who may write the status can't set it back without the right to.

use punching_fist_e2e::{Failure, on_ground, until};
use punching_fist_testkit::Ground;
use serde_json::{Value, json};

use crate::author::Author;
use crate::{KINDS, resource_of, rule, space};

fn usage(cost: &str) -> Value {
    json!({ "usage": { "inputTokens": 5, "costUSD": cost, "inFlight": [] } })
}

fn attempt() -> Value {
    json!({ "podUID": "1", "pod": "one" })
}

/// A task of which an attempt has used something, and who may write its status.
async fn author_of_a_spent_task(ground: &Ground, kind: &str) -> Result<Author, Failure> {
    let author = Author::in_namespace(ground, &format!("meters-{kind}"), "meters").await?;
    let status = format!("{}/status", resource_of(kind));
    author.grant("meters", &[rule("punching-fist.io", &status, &[], &["get", "patch", "meter"])]).await?;
    author.given(kind, "spent", &json!({})).await?;
    let spent = json!({ "usage": { "inputTokens": 5 }, "attempts": [attempt()] });
    author.given_status(kind, "spent", &spent).await?;
    let harmless = json!({ "message": "Mine." });
    author.succeeds("may write status", async || author.patch_status(kind, "spent", &harmless).await).await?;
    // The same once more is no change.
    assert_eq!(author.patch_status(kind, "spent", &spent).await, Ok(()));
    Ok(author)
}

#[test]
fn what_a_run_has_used_takes_the_verb_meter_to_change() {
    on_ground(async |ground| {
        space(ground, "meters").await?;
        let resets = [
            json!({ "usage": null }),
            json!({ "usage": { "inputTokens": 0 } }),
            usage("0"),
            json!({ "attempts": [] }),
            json!({ "attempts": [attempt(), { "podUID": "2", "pod": "two" }] }),
        ];
        for kind in KINDS {
            let author = author_of_a_spent_task(ground, kind).await?;
            let says = format!("\"meter\" on {}.punching-fist.io", resource_of(kind));
            let first = async || author.patch_status(kind, "spent", &resets[0]).await.err();
            until("the policy is in force", first).await?;
            for reset in &resets {
                let refusal = author.patch_status(kind, "spent", reset).await.expect_err("a reset");
                assert!(refusal.contains(&says) && refusal.contains(&author.name), "{reset}: {refusal}");
            }
            author.grant("meters", &[rule("punching-fist.io", &resource_of(kind), &[], &["meter"])]).await?;
            for reset in &resets {
                author
                    .succeeds("may meter", async || author.patch_status(kind, "spent", reset).await)
                    .await?;
            }
        }
        Ok(())
    });
}
