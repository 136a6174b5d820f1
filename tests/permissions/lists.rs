//! Many names in one task: the API server lets a policy ask only so many questions.

use punching_fist_e2e::on_ground;
use serde_json::{Value, json};

use crate::author::Author;
use crate::policies::assert_refused;
use crate::{rule, space};

const KIND: &str = "MaintenanceTask";

/// Fifty variables, the most there can be, from so many objects.
fn variables(source: &str, objects: usize) -> Value {
    let variable = |number: usize| {
        let from = json!({ source: { "name": format!("object-{}", number % objects), "key": "k" } });
        json!({ "name": format!("V{number}"), "valueFrom": from })
    };
    json!({ "agent": { "env": (0..50).map(variable).collect::<Vec<_>>() } })
}

#[test]
fn ten_names_are_asked_for_one_by_one_and_more_need_the_right_on_all() {
    on_ground(async |ground| {
        space(ground, "lists").await?;
        for (resource, kind, source) in
            [("secrets", "Secrets", "secretKeyRef"), ("configmaps", "ConfigMaps", "configMapKeyRef")]
        {
            let author = Author::in_namespace(ground, &format!("many-{resource}"), "lists").await?;
            let names: Vec<String> = (0..11).map(|number| format!("object-{number}")).collect();
            let names: Vec<&str> = names.iter().map(String::as_str).collect();
            // The dearest way: for each of them the first question is answered with no.
            author.grant("lists", &[rule("", resource, &names[..9], &["use"])]).await?;
            let nine = variables(source, 9);
            author.succeeds("may use nine", async || author.create(KIND, &nine).await).await?;
            let tenth = format!("{} object-9", &kind[..kind.len() - 1]);
            assert_refused(&author, author.create(KIND, &variables(source, 10)).await, &[tenth]);
            author.grant("lists", &[rule("", resource, &names[9..], &["use"])]).await?;
            let ten = variables(source, 10);
            author.succeeds("may use ten", async || author.create(KIND, &ten).await).await?;
            let says = [format!("more than ten {kind}"), format!("all {resource}")];
            let eleven = author.create(KIND, &variables(source, 11)).await.unwrap_err();
            assert!(says.iter().all(|word| eleven.contains(word)), "{eleven}");
            author.grant("lists", &[rule("", resource, &[], &["use"])]).await?;
            let fifty = variables(source, 50);
            author.succeeds("may use all", async || author.create(KIND, &fifty).await).await?;
        }
        Ok(())
    });
}

#[test]
fn comparing_the_largest_specs_stays_within_what_a_policy_may_cost() {
    on_ground(async |ground| {
        space(ground, "large").await?;
        let author = Author::in_namespace(ground, "large", "large").await?;
        let large = |letter: &str, last: &str| {
            let value = |number| {
                let value = if number == 19 { last } else { letter };
                json!({ "name": format!("V{number}"), "value": value.repeat(32_768) })
            };
            json!({ "prompt": letter.repeat(32_768), "agent": { "env": (0..20).map(value).collect::<Vec<_>>() } })
        };
        author.given(KIND, "large", &large("a", "a")).await?;
        for changed in [large("a", "a"), large("a", "b"), large("b", "b")] {
            let patch = json!({ "spec": changed });
            assert_eq!(author.patch(KIND, "large", &patch).await, Ok(()));
        }
        Ok(())
    });
}
