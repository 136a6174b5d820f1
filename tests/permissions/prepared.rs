//! A prepared namespace: what `punching-fist prepare-namespace` prints, applied by kubectl, and what agents can do then.

use punching_fist_e2e::{Failure, kubectl, kubectl_with, on_ground, prepare, until};
use punching_fist_testkit::{Ground, namespaces};
use serde_json::json;

use crate::author::Author;

/// What an agent that may mend can change in its namespace: all of it.
const WRITES: [&str; 17] = [
    " configmaps patch",
    " configmaps update",
    " pods delete",
    " pods/eviction create",
    "apps daemonsets patch",
    "apps daemonsets update",
    "apps deployments patch",
    "apps deployments update",
    "apps deployments/scale patch",
    "apps deployments/scale update",
    "apps statefulsets patch",
    "apps statefulsets update",
    "apps statefulsets/scale patch",
    "apps statefulsets/scale update",
    "batch cronjobs patch",
    "batch jobs delete",
    "batch jobs patch",
];

/// What mends something, as kubectl is told.
const FIXES: [&str; 11] = [
    "rollout restart deployment/web",
    "set image deployment/web web=busybox:2",
    "set env statefulset/web LEVEL=2",
    "set resources deployment/web --limits=memory=64Mi",
    "scale deployment/web --replicas=0",
    "scale statefulset/web --current-replicas=0 --replicas=0",
    "patch configmap web --patch={\"data\":{\"level\":\"2\"}}",
    "patch cronjob web --patch={\"spec\":{\"suspend\":true}}",
    "patch job web --patch={\"spec\":{\"suspend\":true}}",
    "delete job web",
    "delete pod web --wait=false",
];
/// What would be more than a fix.
const NO_FIXES: [&str; 15] = [
    "get secret web",
    "get secrets --all-namespaces",
    "run shell --image=busybox",
    "create job again --from=cronjob/web",
    "create deployment more --image=busybox",
    "create serviceaccount more",
    "create token punching-fist-agent",
    "create rolebinding more --clusterrole=admin --serviceaccount=fixes:default",
    "delete deployment web",
    "delete cronjob web",
    "delete configmap web",
    "create clusterrole more --verb=get --resource=secrets",
    "annotate namespace fixes a=b",
    "debug other --image=busybox",
    "exec other -- true",
];

fn agent_of(namespace: &str, account: &str) -> String {
    format!("system:serviceaccount:{namespace}:{account}")
}

fn is_reading(right: &str) -> bool {
    ["get", "list", "watch"].contains(&right.rsplit(' ').next().unwrap_or_default())
}

/// What somebody can change in a namespace.
async fn writes(ground: &Ground, user: &str, namespace: &str) -> Result<Vec<String>, Failure> {
    let rights = Author::named(ground, user, namespace).await?.rights(namespace).await?;
    assert!(!rights.iter().any(|right| right.contains("secrets") || right.contains('*')), "{rights:?}");
    Ok(rights.into_iter().filter(|right| !is_reading(right)).collect())
}

/// Waits until RBAC knows what may be mended in `mending`.
async fn wait_for_bindings(may_mend: &Author) -> Result<(), Failure> {
    let shown = async || match may_mend.rights("mending").await {
        Ok(rights) if rights.iter().any(|right| right == "batch jobs delete") => Ok(()),
        other => Err(format!("{other:?}")),
    };
    may_mend.succeeds("RBAC knows the bindings", shown).await
}

#[test]
fn agents_can_do_what_is_listed_and_no_more() {
    on_ground(async |ground| {
        for namespace in ["mending", "mending-not", "looking"] {
            namespaces::ensure(&ground.client(), namespace).await?;
        }
        prepare(ground, &["mending", "--remediate"]).await?;
        prepare(ground, &["looking"]).await?;
        let looks = agent_of("looking", "punching-fist-agent");
        let mends = agent_of("mending", "punching-fist-agent-remediate");
        wait_for_bindings(&Author::named(ground, &mends, "mending").await?).await?;
        assert_eq!(writes(ground, &mends, "mending").await?, WRITES);
        // Beside the one that mends there is one that looks; and mending ends at the namespace.
        for (user, namespace) in [
            (agent_of("mending", "punching-fist-agent"), "mending"),
            (looks.clone(), "looking"),
            (looks, "mending"),
            (mends.clone(), "mending-not"),
            (mends.clone(), "looking"),
            (mends.clone(), "kube-system"),
            (mends, namespaces::OPERATOR),
            (agent_of("looking", "punching-fist-agent-remediate"), "looking"),
            (agent_of("looking", "default"), "looking"),
        ] {
            assert_eq!(
                writes(ground, &user, namespace).await?,
                Vec::<String>::new(),
                "{user} in {namespace}"
            );
        }
        Ok(())
    });
}

/// What can be mended, with nothing that runs.
fn shop() -> String {
    let with = |more: serde_json::Value| {
        let mut spec = more;
        spec["containers"] = json!([{ "name": "web", "image": "busybox", "command": ["sleep", "9"] }]);
        namespaces::restricted(spec)
    };
    let pod = json!({ "metadata": { "labels": { "app": "web" } }, "spec": with(json!({})) });
    let once = json!({ "metadata": { "labels": { "app": "web" } }, "spec": with(json!({ "restartPolicy": "Never" })) });
    let selector = json!({ "matchLabels": { "app": "web" } });
    let named = |api: &str, kind: &str, spec: serde_json::Value| json!({ "apiVersion": api, "kind": kind, "metadata": { "name": "web" }, "spec": spec });
    // No node ever gets them: they are there to be taken away.
    let held = |name: &str| {
        let spec = with(json!({ "schedulingGates": [{ "name": "example.dev/held" }] }));
        json!({ "apiVersion": "v1", "kind": "Pod", "metadata": { "name": name }, "spec": spec })
    };
    json!({ "apiVersion": "v1", "kind": "List", "items": [
        named("apps/v1", "Deployment", json!({ "replicas": 0, "selector": selector, "template": pod })),
        named("apps/v1", "StatefulSet", json!({ "replicas": 0, "selector": selector, "template": pod, "serviceName": "web" })),
        named("batch/v1", "Job", json!({ "suspend": true, "template": once })),
        named("batch/v1", "CronJob", json!({ "suspend": true, "schedule": "0 0 1 1 *", "jobTemplate": { "spec": { "template": once } } })),
        held("web"),
        held("other"),
        { "apiVersion": "v1", "kind": "ConfigMap", "metadata": { "name": "web" }, "data": { "level": "1" } },
        { "apiVersion": "v1", "kind": "Secret", "metadata": { "name": "web" }, "stringData": { "password": "x" } },
    ] })
    .to_string()
}

fn assert_forbidden(line: &str, answer: Result<String, Failure>) {
    let refusal = answer.expect_err(line).to_string();
    assert!(refusal.to_lowercase().contains("forbidden"), "{line}: {refusal}");
}

#[test]
fn fixes_work_with_kubectl_and_what_is_no_fix_is_refused() {
    on_ground(async |ground| {
        namespaces::ensure(&ground.client(), "fixes").await?;
        namespaces::ensure(&ground.client(), "fixes-not").await?;
        prepare(ground, &["fixes", "--remediate"]).await?;
        for namespace in ["fixes", "fixes-not"] {
            // Pods are refused until the controller manager has made it.
            let account = ["get", "serviceaccount", "default", "--namespace", namespace];
            until("the ServiceAccount is there", async || kubectl(ground, &account).await.ok()).await?;
            kubectl_with(ground, &["apply", "--namespace", namespace, "--filename=-"], &shop()).await?;
        }
        let user = format!("--as={}", agent_of("fixes", "punching-fist-agent-remediate"));
        let mends = async |namespace: &str, line: &str| {
            let words: Vec<&str> =
                [user.as_str(), "--namespace", namespace].into_iter().chain(line.split(' ')).collect();
            kubectl(ground, &words).await
        };
        let eviction = r#"{"apiVersion":"policy/v1","kind":"Eviction","metadata":{"name":"other"}}"#;
        let evict = ["create", "--raw=/api/v1/namespaces/fixes/pods/other/eviction", "--filename=-", &user];
        for line in FIXES {
            mends("fixes", line).await?;
            assert_forbidden(line, mends("fixes-not", line).await);
        }
        // As soon as the Deployment's controller has seen the changes.
        let undo = async || mends("fixes", "rollout undo deployment/web").await.ok();
        until("the change is undone", undo).await?;
        for line in NO_FIXES {
            assert_forbidden(line, mends("fixes", line).await);
        }
        kubectl_with(ground, &evict, eviction).await?;
        Ok(())
    });
}

#[test]
fn what_cannot_be_prepared_is_refused_with_the_reason_alone() {
    on_ground(async |ground| {
        for (arguments, says) in [
            (&["punching-fist"][..], "the operator's own namespace"),
            (&["kube-system", "--remediate"], "take over the cluster"),
            (&["Shop"], "lower case"),
            (&["shop", "--network-policy", "--api-server-cidr", "10.0.0.1/8"], "--api-server-cidr"),
        ] {
            // It fails before kubectl is given anything.
            let refusal = prepare(ground, arguments).await.expect_err(says).to_string();
            assert!(refusal.contains(says) && !refusal.contains("kubectl apply"), "{refusal}");
        }
        Ok(())
    });
}

#[test]
fn a_namespace_is_prepared_again_and_taken_back() {
    on_ground(async |ground| {
        namespaces::ensure(&ground.client(), "again").await?;
        let full = [
            "again",
            "--remediate",
            "--image-pull-secret",
            "registry",
            "--network-policy",
            "--api-server-cidr",
            "192.0.2.1/32",
            "--api-server-cidr",
            "fd00::/64",
            "--api-server-port",
            "443",
        ];
        let first = prepare(ground, &full).await?;
        assert_eq!(first.lines().filter(|line| line.ends_with(" created")).count(), 8, "{first}");
        let second = prepare(ground, &full).await?;
        assert!(second.lines().all(|line| line.ends_with(" unchanged")), "{second}");
        let secrets = "--output=jsonpath={.items[*].imagePullSecrets[*].name}";
        let accounts = ["get", "serviceaccounts", "--namespace=again", secrets];
        assert_eq!(kubectl(ground, &accounts).await?, "registry registry");
        let bindings =
            ["clusterrolebinding", "punching-fist-agent:again", "punching-fist-agent-remediate:again"];
        kubectl(ground, &[&["get"], &bindings[..]].concat()).await?;
        kubectl(ground, &[&["delete"], &bindings[..]].concat()).await?;
        Ok(())
    });
}
