//! The operator as an author of tasks: what a prepared namespace lets its routes name, and that it reads none of it.

use punching_fist_e2e::{on_ground, prepare};
use serde_json::{Value, json};

use crate::author::Author;
use crate::space;

const OPERATOR: &str = "system:serviceaccount:punching-fist:punching-fist";

fn specs() -> Vec<(Value, bool, bool)> {
    // What a template may say; in a prepared namespace; in one prepared with --remediate.
    vec![
        (json!({}), true, true),
        (json!({ "serviceAccountName": "punching-fist-agent" }), true, true),
        (json!({ "agent": { "skills": [{ "configMap": "runbook" }] } }), true, true),
        (json!({ "mode": "Remediate" }), false, true),
        (json!({ "serviceAccountName": "punching-fist-agent-remediate" }), false, true),
        (json!({ "serviceAccountName": "default" }), false, false),
        (json!({ "cluster": "elsewhere" }), false, false),
    ]
}

#[test]
fn a_route_may_name_what_its_namespace_was_prepared_for() {
    on_ground(async |ground| {
        for namespace in ["routed", "routed-mending", "unprepared"] {
            space(ground, namespace).await?;
        }
        prepare(ground, &["routed"]).await?;
        prepare(ground, &["routed-mending", "--remediate"]).await?;
        let looking = Author::named(ground, OPERATOR, "routed").await?;
        let mending = Author::named(ground, OPERATOR, "routed-mending").await?;
        let outside = Author::named(ground, OPERATOR, "unprepared").await?;
        for author in [&looking, &mending] {
            author.succeeds("makes tasks", async || author.create("AlertTask", &json!({})).await).await?;
        }
        for (spec, may_look, may_mend) in specs() {
            for (author, may) in [(&looking, may_look), (&mending, may_mend), (&outside, false)] {
                let refused = author.create("AlertTask", &spec).await.err();
                assert_eq!(refused.is_none(), may, "{spec}: {refused:?}");
                assert!(refused.is_none_or(|said| !said.starts_with("not a refusal")), "{spec}");
            }
        }
        Ok(())
    });
}

#[test]
fn a_secret_of_a_route_is_granted_by_name_and_still_not_read() {
    on_ground(async |ground| {
        space(ground, "routed-far").await?;
        prepare(ground, &["routed-far"]).await?;
        let operator = Author::named(ground, OPERATOR, "routed-far").await?;
        operator.grant("routed-far", &[crate::rule("", "secrets", &["far"], &["use"])]).await?;
        let spec = json!({ "cluster": "far" });
        operator.succeeds("may use it", async || operator.create("AlertTask", &spec).await).await?;
        let rights = operator.rights("routed-far").await?;
        let of_secrets: Vec<_> = rights.iter().filter(|right| right.contains(" secrets ")).collect();
        assert_eq!(of_secrets, [" secrets use"]);
        let of_config_maps: Vec<_> = rights.iter().filter(|right| right.contains(" configmaps ")).collect();
        assert_eq!(of_config_maps, [" configmaps use"]);
        Ok(())
    });
}
