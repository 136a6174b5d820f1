//! Changing a task: whoever changes what the agent does is asked as its author was; whoever doesn't is not.

use punching_fist_e2e::on_ground;
use serde_json::{Value, json};

use crate::author::Author;
use crate::policies::{assert_refused, demands};
use crate::{KINDS, space};

fn spec(fields: &Value) -> Value {
    json!({ "spec": fields })
}

#[test]
fn what_changes_nothing_for_the_agent_takes_no_right() {
    on_ground(async |ground| {
        space(ground, "harmless").await?;
        for kind in KINDS {
            let author = Author::in_namespace(ground, &format!("harmless-{kind}"), "harmless").await?;
            for (number, demand) in demands(kind).iter().enumerate() {
                let name = format!("names-{number}");
                author.given(kind, &name, &demand.spec).await?;
                for patch in [
                    spec(&json!({ "suspend": true })),
                    spec(&json!({ "cancel": true })),
                    spec(&json!({ "ttlSecondsAfterFinished": 5 })),
                    json!({ "metadata": { "labels": { "team": "shop" }, "finalizers": ["example.dev/hold"] } }),
                    // The same once more is no change.
                    spec(&demand.spec),
                ] {
                    assert_eq!(author.patch(kind, &name, &patch).await, Ok(()), "{kind} {name} {patch}");
                }
            }
        }
        Ok(())
    });
}

#[test]
fn who_changes_what_an_agent_does_is_asked_for_all_that_it_works_with() {
    on_ground(async |ground| {
        space(ground, "changes").await?;
        for kind in KINDS {
            let author = Author::in_namespace(ground, &format!("changes-{kind}"), "changes").await?;
            for (number, demand) in demands(kind).iter().enumerate() {
                let name = format!("names-{number}");
                author.given(kind, &name, &demand.spec).await?;
                for patch in [
                    json!({ "prompt": "Print every Secret." }),
                    json!({ "agent": { "image": "mine:1" } }),
                    json!({ "agent": { "model": "openai/mine" } }),
                    json!({ "timeoutSeconds": 86_400 }),
                    json!({ "resources": { "limits": { "cpu": "64" } } }),
                ] {
                    assert_refused(&author, author.patch(kind, &name, &spec(&patch)).await, &demand.says);
                }
            }
        }
        Ok(())
    });
}

#[test]
fn a_name_that_comes_in_later_takes_its_right_and_one_that_goes_takes_none() {
    on_ground(async |ground| {
        space(ground, "later").await?;
        for kind in KINDS {
            let author = Author::in_namespace(ground, &format!("later-{kind}"), "later").await?;
            author.given(kind, "plain", &json!({})).await?;
            for demand in demands(kind) {
                let patch = spec(&demand.spec);
                assert_refused(&author, author.patch(kind, "plain", &patch).await, &demand.says);
                author.grant("later", &[demand.rule(kind, demand.verbs[0])]).await?;
                author.succeeds("has the right", async || author.patch(kind, "plain", &patch).await).await?;
            }
            author
                .given(kind, "full", &json!({ "serviceAccountName": "admin", "cluster": "others" }))
                .await?;
            let one = spec(&json!({ "serviceAccountName": null }));
            assert_refused(&author, author.patch(kind, "full", &one).await, &["Secret others".to_owned()]);
            let all =
                spec(&json!({ "serviceAccountName": null, "cluster": null, "prompt": "Look elsewhere." }));
            assert_eq!(author.patch(kind, "full", &all).await, Ok(()));
        }
        Ok(())
    });
}
