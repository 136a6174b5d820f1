//! Creating a task: each thing that a spec can name takes a right, which is named when it lacks; nothing else will do.

use punching_fist_e2e::{kubectl, on_ground, until};
use punching_fist_testkit::{Ground, manifests, repository};
use serde_json::{Value, json};

use crate::author::Author;
use crate::{KINDS, resource_of, rule, space};

/// Something that a spec can ask for.
pub struct Demand {
    pub spec: Value,
    group: &'static str,
    /// None: the task's own kind.
    resource: Option<&'static str>,
    names: &'static [&'static str],
    /// Each of them alone is enough.
    pub verbs: &'static [&'static str],
    /// What a refusal says, beside who was refused and where.
    pub says: Vec<String>,
}

impl Demand {
    /// The rule that grants it.
    pub fn rule(&self, kind: &str, verb: &str) -> Value {
        let own = resource_of(kind);
        rule(self.group, self.resource.unwrap_or(&own), self.names, &[verb])
    }
}

/// Everything that takes a right.
pub fn demands(kind: &str) -> Vec<Demand> {
    let own = format!("\"remediate\" on {}.punching-fist.io", resource_of(kind));
    let either = "\"get\" or \"use\" on it";
    let object = |resource, names, spec, says: &[&str]| Demand {
        spec,
        group: "",
        resource: Some(resource),
        names,
        verbs: &["get", "use"],
        says: [says, &[either]].concat().into_iter().map(str::to_owned).collect(),
    };
    let env = |source: &str, name: &str| {
        json!({ "agent": { "env": [
        { "name": "PLAIN", "value": "x" },
        { "name": "TAKEN", "valueFrom": { source: { "name": name, "key": "k", "optional": true } } },
    ] } })
    };
    vec![
        Demand {
            spec: json!({ "serviceAccountName": "deployer" }),
            group: "",
            resource: Some("serviceaccounts"),
            names: &["deployer"],
            verbs: &["use"],
            says: ["spec.serviceAccountName", "\"use\" on serviceaccounts/deployer"]
                .map(str::to_owned)
                .into(),
        },
        Demand {
            spec: json!({ "mode": "Remediate" }),
            group: "punching-fist.io",
            resource: None,
            names: &[],
            verbs: &["remediate"],
            says: vec!["spec.mode".to_owned(), own],
        },
        object("secrets", &["far"], json!({ "cluster": "far" }), &["spec.cluster", "Secret far"]),
        object("secrets", &["token"], env("secretKeyRef", "token"), &["spec.agent.env", "Secret token"]),
        object(
            "configmaps",
            &["runbook"],
            json!({ "agent": { "skills": [{ "configMap": "runbook" }] } }),
            &["spec.agent.skills", "ConfigMap runbook"],
        ),
        object(
            "configmaps",
            &["flags"],
            env("configMapKeyRef", "flags"),
            &["spec.agent.env", "ConfigMap flags"],
        ),
    ]
}

/// Looks whether a refusal says who lacks what, and where.
pub fn assert_refused(author: &Author, answer: Result<(), String>, says: &[String]) {
    let refusal = answer.expect_err("the policies are there to refuse this");
    for word in [&author.name, &author.namespace].into_iter().chain(says) {
        assert!(refusal.contains(word.as_str()), "{word} in: {refusal}");
    }
}

#[test]
fn what_a_spec_names_takes_a_right_that_the_refusal_names() {
    on_ground(async |ground| {
        space(ground, "demands").await?;
        for kind in KINDS {
            for (number, demand) in demands(kind).into_iter().enumerate() {
                for verb in demand.verbs {
                    let name = format!("{}-{number}-{verb}", kind.to_lowercase());
                    let author = Author::in_namespace(ground, &name, "demands").await?;
                    assert_refused(&author, author.create(kind, &demand.spec).await, &demand.says);
                    author.grant("demands", &[demand.rule(kind, verb)]).await?;
                    author
                        .succeeds("has the right", async || author.create(kind, &demand.spec).await)
                        .await?;
                }
            }
        }
        Ok(())
    });
}

#[test]
fn no_other_right_will_do() {
    on_ground(async |ground| {
        space(ground, "misses").await?;
        space(ground, "misses-elsewhere").await?;
        let author = Author::in_namespace(ground, "mistaken", "misses").await?;
        let others = ["get", "list", "watch", "create", "update", "patch", "delete", "impersonate"];
        author
            .grant(
                "misses",
                &[
                    rule("", "serviceaccounts", &["deployer"], &others),
                    rule("", "serviceaccounts", &["other"], &["use"]),
                    rule("", "secrets", &["far", "token"], &others[1..]),
                    rule("", "secrets", &["other"], &["get", "use"]),
                    rule("", "configmaps", &["runbook", "flags"], &others[1..]),
                    rule("", "pods", &[], &["create", "use", "remediate"]),
                    rule("punching-fist.io", "alerttasks", &[], &["remediate"]),
                    rule("punching-fist.io", "maintenancetasks/status", &[], &["remediate"]),
                ],
            )
            .await?;
        let kind = "MaintenanceTask";
        // The right ones, in the wrong namespace: there they count.
        let elsewhere = Author::in_namespace(ground, "mistaken", "misses-elsewhere").await?;
        for demand in demands(kind) {
            let rules: Vec<Value> = demand.verbs.iter().map(|verb| demand.rule(kind, verb)).collect();
            elsewhere.grant("misses-elsewhere", &rules).await?;
            elsewhere.succeeds("has the right", async || elsewhere.create(kind, &demand.spec).await).await?;
        }
        // The last right that was given is known: so are the ones before it.
        let known = json!({ "cluster": "other", "serviceAccountName": "other" });
        author.succeeds("has what it needs for others", async || author.create(kind, &known).await).await?;
        for demand in demands(kind) {
            assert_refused(&author, author.create(kind, &demand.spec).await, &demand.says);
        }
        Ok(())
    });
}

#[test]
fn each_policy_is_bound_refuses_when_in_doubt_and_has_no_type_error() {
    on_ground(async |ground| {
        let documents = manifests::read(&repository::root().join("crds/policies.yaml"))?;
        let of_kind = |kind: &str| documents.iter().filter(|one| one["kind"] == kind).collect::<Vec<_>>();
        let bindings = of_kind("ValidatingAdmissionPolicyBinding");
        let policies = of_kind("ValidatingAdmissionPolicy");
        assert_eq!(policies.len(), 7);
        for policy in policies {
            let name = policy["metadata"]["name"].as_str().unwrap_or_default();
            // One with a parameter would refuse every pod of the cluster until the API server knows all parameters.
            let in_doubt = if policy["spec"]["paramKind"].is_null() { "Fail" } else { "Ignore" };
            assert_eq!(policy["spec"]["failurePolicy"], in_doubt, "{name}");
            let bound = bindings.iter().find(|one| one["spec"]["policyName"] == name);
            assert_eq!(bound.map(|one| &one["spec"]["validationActions"]), Some(&json!(["Deny"])), "{name}");
            // The controller manager compiles the expressions against the kinds' schemas and writes down what is odd.
            let checked = async || type_checking(ground, name).await;
            let checking = until("the types are checked", checked).await?;
            assert_eq!(checking, json!({}), "{name}");
        }
        Ok(())
    });
}

#[test]
fn the_policies_about_authors_have_the_same_idea_of_a_change() {
    let documents = manifests::read(&repository::root().join("crds/policies.yaml")).unwrap();
    let of_authors = ["rights", "secrets", "config-maps"].map(|end| format!("punching-fist-agent-{end}"));
    let variables = of_authors.each_ref().map(|name| {
        let is_it = |one: &&Value| {
            one["kind"] == "ValidatingAdmissionPolicy" && one["metadata"]["name"] == name.as_str()
        };
        let policy = documents.iter().find(is_it).unwrap_or_else(|| panic!("no policy {name}"));
        let find = |name: &str| {
            let variables = policy["spec"]["variables"].as_array().unwrap();
            variables.iter().find(|one| one["name"] == name).unwrap()["expression"].clone()
        };
        ["old", "free", "asks"].map(find)
    });
    assert_eq!(variables[0], variables[1]);
    assert_eq!(variables[0], variables[2]);
}

async fn type_checking(ground: &Ground, name: &str) -> Option<Value> {
    let arguments = ["get", "validatingadmissionpolicy", name, "--output=json"];
    let text = kubectl(ground, &arguments).await.ok()?;
    let policy: Value = serde_json::from_str(&text).ok()?;
    let is_current = policy["status"]["observedGeneration"] == policy["metadata"]["generation"];
    is_current.then(|| policy["status"]["typeChecking"].clone())
}

#[test]
fn a_task_that_names_nothing_takes_no_right() {
    on_ground(async |ground| {
        space(ground, "plain").await?;
        let author = Author::in_namespace(ground, "plain", "plain").await?;
        let spec = json!({
            "mode": "Investigate", "maxRetries": 1, "timeoutSeconds": 60,
            "agent": { "profile": "other", "image": "other:1", "env": [{ "name": "PLAIN", "value": "x" }] },
        });
        for kind in KINDS {
            assert_eq!(author.create(kind, &spec).await, Ok(()), "{kind}");
        }
        Ok(())
    });
}
