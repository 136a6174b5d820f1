//! Pods in disguise: nobody but the Job controller makes or gives away what the gateway and the controller take for a run's
//! pod, nobody but the operator its Job, and nobody but a node gets its token.

use punching_fist_e2e::{Failure, Outcome, kubectl, kubectl_with, on_ground, until};
use punching_fist_testkit::{Ground, namespaces};
use serde_json::{Value, json};

use crate::author::Author;
use crate::rule;
use crate::runs::{
    JOB, OPERATOR, POD, REMEDY, apply, job, mender, pod, pod_spec, says_remedy, stage, wait_for_refusal,
};

/// The label by which the Job controller knows a Job's pods.
const LABEL: &str = "batch.kubernetes.io/controller-uid";
const ACCOUNT: &str = "punching-fist-agent-remediate";

/// All that makes a pod, directly or not.
fn makers() -> [Value; 4] {
    [
        rule("", "pods", &[], &["get", "create", "patch"]),
        rule("batch", "jobs", &[], &["get", "create", "patch"]),
        rule("apps", "replicasets", &[], &["get", "create"]),
        rule("", "serviceaccounts/token", &[], &["create"]),
    ]
}

/// What kubectl says to somebody who tries to make this.
async fn makes(ground: &Ground, user: &str, namespace: &str, object: &Value) -> Result<String, Failure> {
    let user = format!("--as={user}");
    let create = ["create", "--dry-run=server", "--namespace", namespace, "--filename=-", &user];
    kubectl_with(ground, &create, &object.to_string()).await
}

/// Asks for a token of a pod, for the gateway.
async fn asks_token(ground: &Ground, who: &[&str], namespace: &str, pod: &str) -> Result<String, Failure> {
    let line = ["create", "token", ACCOUNT, "--namespace", namespace, "--audience=punching-fist-gateway"];
    let bound = ["--bound-object-kind=Pod", "--bound-object-name", pod];
    kubectl(ground, &[&line[..], &bound, who].concat()).await
}

fn refused(answer: Result<String, Failure>, what: &str) {
    let refusal = answer.expect_err(what);
    assert!(says_remedy(&refusal), "{what}: {refusal}");
}

/// The same with a name that the API server makes up.
fn generated(mut object: Value) -> Value {
    object["metadata"] = json!({ "generateName": format!("{JOB}-") });
    object
}

#[test]
fn who_may_make_pods_and_jobs_makes_no_run() {
    on_ground(async |ground| {
        stage(ground, "makers").await?;
        for name in ["maker", "system:serviceaccount:makers:deployer"] {
            let maker = Author::named(ground, name, "makers").await?;
            maker.grant("makers", &makers()).await?;
            let other = pod("other", ACCOUNT);
            let may = async || makes(ground, name, "makers", &other).await.ok();
            until("it may make pods", may).await?;
            for run in [pod("openhands-task-2-abcde", ACCOUNT), job("openhands-task-2", true)] {
                for run in [run.clone(), generated(run)] {
                    refused(makes(ground, name, "makers", &run).await, &format!("{name}: {run}"));
                }
            }
            makes(ground, name, "makers", &job("other", true)).await?;
            let who = format!("--as={name}");
            refused(asks_token(ground, &[&who], "makers", POD).await, &format!("{name}: a token"));
            asks_token(ground, &[&who], "makers", "web").await?;
            maker.grant("makers", &[rule("batch", "jobs", &[], &["manage"])]).await?;
            let run = job("openhands-task-2", true);
            let may = async || makes(ground, name, "makers", &run).await.ok();
            until("the right is known", may).await?;
        }
        makes(ground, OPERATOR, "makers", &job("openhands-task-2", true)).await?;
        // A node that doesn't run the pod is refused by the plugin for nodes, and so not by the policy.
        let node = ["--as=system:node:elsewhere", "--as-group=system:nodes"];
        let refusal = asks_token(ground, &node, "makers", POD).await.expect_err("a token of another node");
        assert!(!says_remedy(&refusal), "{refusal}");
        Ok(())
    });
}

#[test]
fn other_controllers_make_no_pod_of_a_run_either() {
    on_ground(async |ground| {
        stage(ground, "others").await?;
        wait_for_refusal(ground, &mender("others"), "others").await?;
        let labels = json!({ "app": "web" });
        let mut template = json!({ "metadata": { "labels": labels }, "spec": pod_spec(ACCOUNT) });
        template["spec"]["restartPolicy"] = json!("Always");
        let set = json!({
            "apiVersion": "apps/v1", "kind": "ReplicaSet", "metadata": { "name": JOB },
            "spec": { "replicas": 1, "selector": { "matchLabels": labels }, "template": template },
        });
        apply(ground, "others", &[set]).await?;
        told(ground, "others", JOB).await?;
        // A Job with a selector of its own may say that its pods are another Job's.
        let labels = json!({ "app": "web", LABEL: uid_of(ground, "others", JOB).await? });
        let mut thief = job("thief", false);
        thief["spec"]["manualSelector"] = json!(true);
        thief["spec"]["selector"] = json!({ "matchLabels": { "app": "web" } });
        thief["spec"]["template"]["metadata"] = json!({ "labels": labels });
        apply(ground, "others", &[thief]).await?;
        told(ground, "others", "thief").await
    });
}

async fn uid_of(ground: &Ground, namespace: &str, job: &str) -> Result<String, Failure> {
    kubectl(ground, &["get", "job", job, "--namespace", namespace, "--output=jsonpath={.metadata.uid}"]).await
}

/// Waits until an Event says that the policy has refused the pods of this one.
async fn told(ground: &Ground, namespace: &str, owner: &str) -> Outcome {
    let selector = format!("--field-selector=involvedObject.name={owner},reason=FailedCreate");
    let messages = "--output=jsonpath={.items[*].message}";
    let events = ["get", "events", "--namespace", namespace, messages, &selector];
    let told = async || kubectl(ground, &events).await.ok().filter(|messages| messages.contains(REMEDY));
    until(&format!("the pods of {owner} are refused"), told).await?;
    Ok(())
}

#[test]
fn nobody_gives_a_pod_to_a_job_where_agents_run() {
    on_ground(async |ground| {
        stage(ground, "adopting").await?;
        namespaces::ensure(&ground.client(), "adopting-not").await?;
        apply(ground, "adopting-not", &[pod("web", "default")]).await?;
        let user = Author::named(ground, "giver", "adopting").await?;
        let uid = uid_of(ground, "adopting", JOB).await?;
        for namespace in ["adopting", "adopting-not"] {
            user.grant(namespace, &makers()).await?;
        }
        let mut given = pod("given", "default");
        given["metadata"]["labels"] = json!({ LABEL: uid });
        let gift = format!("{LABEL}={uid}");
        let label = async |namespace: &str, label: &str| {
            let line =
                ["label", "pod", "web", label, "--as=giver", "--dry-run=server", "--namespace", namespace];
            kubectl(ground, &line).await
        };
        let refusal = async || label("adopting", &gift).await.err().filter(says_remedy);
        until("the policy is in force", refusal).await?;
        refused(makes(ground, "giver", "adopting", &given).await, "a pod with the label");
        label("adopting", "team=shop").await?;
        makes(ground, "giver", "adopting-not", &given).await?;
        label("adopting-not", &gift).await?;
        user.grant("adopting", &[rule("batch", "jobs", &[], &["manage"])]).await?;
        let may = async || label("adopting", &gift).await.ok();
        until("the right is known", may).await?;
        Ok(())
    });
}
