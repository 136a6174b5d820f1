//! Agents' Jobs and pods: no agent changes, ends or enters one, its own above all; the controllers, the operator and who
//! has the right go on.

use k8s_openapi::api::authentication::v1::{BoundObjectReference, TokenRequest, TokenRequestSpec};
use k8s_openapi::api::core::v1::{Pod, ServiceAccount};
use kube::Api;
use kube::api::{DeleteParams, PostParams};
use punching_fist_e2e::{Failure, Outcome, kubectl, kubectl_with, on_ground, prepare, until};
use punching_fist_testkit::{Ground, control_plane, namespaces};
use serde_json::{Value, json};

use crate::author::Author;
use crate::rule;

/// The verb that a refusal names.
pub const REMEDY: &str = "\"manage\" on jobs.batch";
pub const JOB: &str = "openhands-task-1";
pub const POD: &str = "openhands-task-1-abcde";
pub const OPERATOR: &str = "system:serviceaccount:punching-fist:punching-fist";

/// What would give an agent more time, steps or attempts, or end another's run: RBAC lets it, on other Jobs and pods.
const WITHIN_ITS_RIGHTS: [&str; 6] = [
    "patch job openhands-task-1 --patch={\"spec\":{\"activeDeadlineSeconds\":86400}}",
    "patch job openhands-task-1 --patch={\"spec\":{\"backoffLimit\":99}}",
    "patch job openhands-task-1 --patch={\"metadata\":{\"labels\":null,\"ownerReferences\":null}}",
    "patch job openhands-task-1 --patch={\"spec\":{\"suspend\":false}}",
    "delete job openhands-task-1",
    "delete pod openhands-task-1-abcde --wait=false",
];
/// What those could besides who have the role `edit`, and the like.
const WITHIN_MORE_RIGHTS: [&str; 7] = [
    "patch job openhands-task-1 --subresource=status --patch={\"status\":{\"terminating\":0}}",
    "annotate pod openhands-task-1-abcde a=b",
    "delete pods --all --wait=false",
    "delete jobs --all --wait=false",
    "exec openhands-task-1-abcde -- true",
    "attach openhands-task-1-abcde",
    "debug openhands-task-1-abcde --image=busybox --profile=restricted",
];

pub fn pod_spec(account: &str) -> Value {
    namespaces::restricted(json!({
        // No node ever gets it.
        "schedulingGates": [{ "name": "example.dev/held" }], "restartPolicy": "Never", "serviceAccountName": account,
        "containers": [{ "name": "openhands-task", "image": "busybox" }],
    }))
}

pub fn job(name: &str, suspend: bool) -> Value {
    json!({ "apiVersion": "batch/v1", "kind": "Job", "metadata": { "name": name },
        "spec": { "suspend": suspend, "template": { "spec": pod_spec("default") } } })
}

pub fn pod(name: &str, account: &str) -> Value {
    json!({ "apiVersion": "v1", "kind": "Pod", "metadata": { "name": name }, "spec": pod_spec(account) })
}

pub async fn apply(ground: &Ground, namespace: &str, items: &[Value]) -> Outcome {
    let list = json!({ "apiVersion": "v1", "kind": "List", "items": items }).to_string();
    // Pods are refused until the controller manager has made their ServiceAccount.
    let apply = ["apply", "--namespace", namespace, "--filename=-"];
    let applied = async || kubectl_with(ground, &apply, &list).await.ok();
    until("the objects are there", applied).await?;
    Ok(())
}

/// A namespace with a run's Job and pod, and somebody else's.
pub async fn stage(ground: &Ground, namespace: &str) -> Outcome {
    namespaces::ensure(&ground.client(), namespace).await?;
    prepare(ground, &[namespace, "--remediate"]).await?;
    let account = "punching-fist-agent-remediate";
    apply(ground, namespace, &[job(JOB, true), pod(POD, account), job("web", true), pod("web", account)])
        .await
}

pub fn mender(namespace: &str) -> String {
    format!("system:serviceaccount:{namespace}:punching-fist-agent-remediate")
}

/// What kubectl says to somebody, who only tries.
async fn tries(ground: &Ground, user: &str, namespace: &str, line: &str) -> Result<String, Failure> {
    let user = format!("--as={user}");
    let mut words = vec![user.as_str(), "--namespace", namespace];
    words.extend(line.split(' '));
    if ["patch", "delete", "annotate"].iter().any(|verb| line.starts_with(verb)) {
        words.push("--dry-run=server");
    }
    kubectl(ground, &words).await
}

/// Tries to evict a pod.
async fn evicts(ground: &Ground, user: &str, namespace: &str, pod: &str) -> Result<String, Failure> {
    let path = format!("--raw=/api/v1/namespaces/{namespace}/pods/{pod}/eviction");
    let eviction = json!({
        "apiVersion": "policy/v1", "kind": "Eviction", "metadata": { "name": pod }, "deleteOptions": { "dryRun": ["All"] },
    });
    let user = format!("--as={user}");
    kubectl_with(ground, &["create", &path, "--filename=-", &user], &eviction.to_string()).await
}

/// Waits until the policy answers: that takes a moment after a start, and after a grant.
pub async fn wait_for_refusal(ground: &Ground, user: &str, namespace: &str) -> Outcome {
    let line = WITHIN_ITS_RIGHTS[0];
    let refused = async || tries(ground, user, namespace, line).await.err().filter(says_remedy);
    until("the policy is in force", refused).await?;
    Ok(())
}

pub fn says_remedy(refusal: &Failure) -> bool {
    refusal.to_string().contains(REMEDY)
}

#[test]
fn an_agent_touches_no_run_of_its_namespace() {
    on_ground(async |ground| {
        stage(ground, "runs").await?;
        let agent = mender("runs");
        wait_for_refusal(ground, &agent, "runs").await?;
        for line in WITHIN_ITS_RIGHTS {
            let refusal = tries(ground, &agent, "runs", line).await.expect_err(line);
            assert!(says_remedy(&refusal), "{line}: {refusal}");
            // The same on what is nobody's run is a fix.
            let other = line.replace(POD, "web").replace(JOB, "web");
            tries(ground, &agent, "runs", &other).await?;
        }
        let refusal = evicts(ground, &agent, "runs", POD).await.expect_err("an eviction");
        assert!(says_remedy(&refusal), "{refusal}");
        evicts(ground, &agent, "runs", "web").await?;
        Ok(())
    });
}

#[test]
fn an_account_with_more_rights_enters_no_run_either_until_it_may_manage_them() {
    on_ground(async |ground| {
        stage(ground, "entered").await?;
        let name = "system:serviceaccount:entered:deployer";
        let account = Author::named(ground, name, "entered").await?;
        let all = ["get", "list", "watch", "create", "update", "patch", "delete", "deletecollection"];
        let of_pods = ["pods", "pods/exec", "pods/attach", "pods/ephemeralcontainers", "pods/eviction"];
        let mut rules: Vec<Value> = of_pods.map(|resource| rule("", resource, &[], &all)).into();
        rules.extend(["jobs", "jobs/status"].map(|resource| rule("batch", resource, &[], &all)));
        account.grant("entered", &rules).await?;
        wait_for_refusal(ground, name, "entered").await?;
        for line in WITHIN_ITS_RIGHTS.into_iter().chain(WITHIN_MORE_RIGHTS) {
            let refusal = tries(ground, name, "entered", line).await.expect_err(line);
            assert!(says_remedy(&refusal), "{line}: {refusal}");
        }
        account.grant("entered", &[rule("batch", "jobs", &[], &["manage"])]).await?;
        let may = async || tries(ground, name, "entered", WITHIN_ITS_RIGHTS[0]).await.ok();
        until("the right is known", may).await?;
        for line in WITHIN_ITS_RIGHTS.into_iter().chain(WITHIN_MORE_RIGHTS) {
            // There is nothing to enter in a pod without a node; but nobody is asked for a right any more.
            let answer = tries(ground, name, "entered", line).await;
            assert!(!answer.as_ref().is_err_and(says_remedy), "{line}: {answer:?}");
        }
        evicts(ground, name, "entered", POD).await?;
        Ok(())
    });
}

#[test]
fn an_agent_of_another_namespace_touches_no_run_and_other_accounts_of_it_may() {
    on_ground(async |ground| {
        stage(ground, "visited").await?;
        stage(ground, "visitors").await?;
        let name = mender("visitors");
        // docs/permissions.md, "To let the agents of one namespace mend another".
        let rights = [rule("batch", "jobs", &[], &["patch"]), rule("", "pods", &[], &["delete"])];
        Author::named(ground, &name, "visited").await?.grant("visited", &rights).await?;
        wait_for_refusal(ground, &mender("visited"), "visited").await?;
        let may = async || tries(ground, &name, "visited", WITHIN_ITS_RIGHTS[0]).await.ok();
        until("the account alone is not the agent", may).await?;
        for (holder, may) in [(POD, false), ("web", true)] {
            let pods = pods_for(ground, "visitors", holder, "visited").await?;
            let params = DeleteParams { dry_run: true, ..DeleteParams::default() };
            pods.delete("web", &params).await?;
            let answer = pods.delete(POD, &params).await.map(drop).map_err(Failure::from);
            assert_eq!(answer.is_ok(), may, "{holder}: {answer:?}");
            assert!(may || answer.is_err_and(|refusal| says_remedy(&refusal)), "{holder}");
        }
        Ok(())
    });
}

/// The pods of a namespace as the holder of the token that a pod of another one has.
async fn pods_for(ground: &Ground, home: &str, holder: &str, namespace: &str) -> Result<Api<Pod>, Failure> {
    let accounts: Api<ServiceAccount> = Api::namespaced(ground.client(), home);
    let bound = BoundObjectReference {
        api_version: Some("v1".to_owned()),
        kind: Some("Pod".to_owned()),
        name: Some(holder.to_owned()),
        uid: None,
    };
    let spec = TokenRequestSpec { bound_object_ref: Some(bound), ..TokenRequestSpec::default() };
    let request = TokenRequest { spec, ..TokenRequest::default() };
    let account = "punching-fist-agent-remediate";
    let made = accounts.create_token_request(account, &PostParams::default(), &request).await?;
    let token = made.status.ok_or("no token")?.token;
    let client = control_plane::client_of(&ground.cluster().kubeconfig_for_token(&token)?).await?;
    Ok(Api::namespaced(client, namespace))
}

#[test]
fn the_controllers_the_operator_and_users_go_on() {
    on_ground(async |ground| {
        stage(ground, "going-on").await?;
        wait_for_refusal(ground, &mender("going-on"), "going-on").await?;
        // In the second one the controllers' own accounts live.
        for namespace in ["going-on", "kube-system"] {
            let name = "openhands-task-2";
            apply(ground, namespace, &[job(name, false)]).await?;
            let run = Run { ground, namespace, name };
            run.wait_for_pods(1).await?;
            // The Job controller takes the pod away, and its own finalizer off it.
            run.as_operator("patch job openhands-task-2 --patch={\"spec\":{\"suspend\":true}}").await?;
            run.wait_for_pods(0).await?;
            run.as_operator("patch job openhands-task-2 --patch={\"spec\":{\"suspend\":false}}").await?;
            run.wait_for_pods(1).await?;
            // The garbage collector takes the pod that comes after it.
            run.as_operator("delete job openhands-task-2 --wait=false --cascade=background").await?;
            run.wait_for_pods(0).await?;
        }
        let admin = Author::named(ground, "admin-of-runs", "going-on").await?;
        admin.grant("going-on", &[rule("", "pods", &[], &["get", "delete"])]).await?;
        let line = "delete pod openhands-task-1-abcde --wait=false";
        let may = async || tries(ground, "admin-of-runs", "going-on", line).await.ok();
        until("a user goes by RBAC alone", may).await?;
        Ok(())
    });
}

/// A Job that runs, as far as there is a node for its pod.
struct Run<'a> {
    ground: &'a Ground,
    namespace: &'a str,
    name: &'a str,
}

impl Run<'_> {
    async fn wait_for_pods(&self, count: usize) -> Outcome {
        let selector = format!("--selector=job-name={}", self.name);
        let list = ["get", "pods", "--namespace", self.namespace, "--output=name", &selector];
        let reached = async || {
            let listed = kubectl(self.ground, &list).await.ok()?;
            (listed.lines().count() == count).then_some(())
        };
        until(&format!("{count} pods in {}", self.namespace), reached).await?;
        Ok(())
    }

    async fn as_operator(&self, line: &str) -> Outcome {
        let user = format!("--as={OPERATOR}");
        let words: Vec<&str> =
            [user.as_str(), "--namespace", self.namespace].into_iter().chain(line.split(' ')).collect();
        kubectl(self.ground, &words).await.map(drop)
    }
}
