//! The node: what a kubelet would do with a pod, seen through kubectl.

use futures::future::try_join_all;
use punching_fist_e2e::{Failure, TIMEOUT, kubectl, kubectl_with, on_ground, until};
use punching_fist_testkit::{Ground, repository};
use serde_json::{Value, json};

/// A namespace for one test.
struct Namespace {
    ground: &'static Ground,
    name: &'static str,
}

impl Namespace {
    async fn new(ground: &'static Ground, name: &'static str) -> Result<Self, Failure> {
        kubectl(ground, &["create", "namespace", name]).await?;
        let namespace = Self { ground, name };
        // No pod is accepted before the controller has made it.
        namespace.kubectl(&["wait", "--for=create", "serviceaccount/default", TIMEOUT]).await?;
        Ok(namespace)
    }

    async fn kubectl(&self, arguments: &[&str]) -> Result<String, Failure> {
        kubectl(self.ground, &[&["--namespace", self.name], arguments].concat()).await
    }

    async fn apply(&self, manifest: &Value) -> Result<String, Failure> {
        let arguments = ["--namespace", self.name, "apply", "--filename=-"];
        kubectl_with(self.ground, &arguments, &manifest.to_string()).await
    }

    /// Makes a pod of one container, of which only what differs is given.
    async fn pod(&self, name: &str, spec: &Value, container: &Value) -> Result<(), Failure> {
        let mut pod = json!({
            "apiVersion": "v1", "kind": "Pod", "metadata": { "name": name },
            "spec": { "restartPolicy": "Never", "containers": [{ "name": "main", "image": "busybox" }] },
        });
        merge(&mut pod["spec"], spec);
        merge(&mut pod["spec"]["containers"][0], container);
        self.apply(&pod).await.map(drop)
    }

    async fn status(&self, pod: &str) -> Result<Value, Failure> {
        let text = self.kubectl(&["get", "pod", pod, "--output=json"]).await?;
        Ok(serde_json::from_str::<Value>(&text)?["status"].take())
    }

    /// Waits until a pod's status is as it should be.
    async fn until(&self, pod: &str, what: &str, holds: impl Fn(&Value) -> bool) -> Result<Value, Failure> {
        let look = async || {
            let status = self.status(pod).await;
            status.map(|status| holds(&status).then_some(status)).transpose()
        };
        match until(&format!("pod {pod} is {what}"), look).await {
            Ok(found) => found,
            Err(late) => Err(format!("{late}: {:#}", self.status(pod).await?).into()),
        }
    }

    /// What `kubectl logs` shows, once it shows something. Of a pod that no node has, the API server gives an empty log.
    async fn said(&self, arguments: &[&str]) -> Result<String, Failure> {
        let look = async || {
            let log = self.kubectl(&[&["logs"], arguments].concat()).await;
            log.map(|log| Some(log).filter(|log| !log.is_empty())).transpose()
        };
        until(&format!("{arguments:?} says something"), look).await?
    }

    async fn ended(&self, pod: &str) -> Result<Value, Failure> {
        self.until(pod, "at its end", |status| {
            matches!(status["phase"].as_str(), Some("Succeeded" | "Failed"))
        })
        .await
    }

    async fn waiting(&self, pod: &str, reason: &str) -> Result<Value, Failure> {
        self.until(pod, reason, |status| main(status)["state"]["waiting"]["reason"] == reason).await
    }
}

/// The status of the container `main`.
fn main(status: &Value) -> &Value {
    &status["containerStatuses"][0]
}

fn merge(target: &mut Value, change: &Value) {
    for (key, value) in change.as_object().into_iter().flatten() {
        target[key] = value.clone();
    }
}

fn shell(script: &str) -> Value {
    json!({ "command": ["sh", "-c", script] })
}

#[test]
fn a_job_runs_to_its_end_and_its_log_is_followed() {
    on_ground(async |ground| {
        let namespace = Namespace::new(ground, "node-job").await?;
        let script = "cat /shared/first; for i in 1 2 3; do echo line $i; sleep 0.2; done; \
                      echo found it >/dev/termination-log; printf end";
        let shared = json!([{ "name": "shared", "mountPath": "/shared" }]);
        let container = |name: &str, script: &str| json!({ "name": name, "image": "busybox", "command": ["sh", "-c", script], "volumeMounts": shared });
        namespace
            .apply(&json!({
                "apiVersion": "batch/v1", "kind": "Job", "metadata": { "name": "hello" },
                "spec": { "template": { "spec": {
                    "restartPolicy": "Never",
                    "initContainers": [container("first", "echo prepared >/shared/first")],
                    "containers": [container("main", script)],
                    "volumes": [{ "name": "shared", "emptyDir": {} }],
                } } },
            }))
            .await?;
        let log = namespace
            .said(&["--follow", "--container=main", "job/hello", "--pod-running-timeout=300s"])
            .await?;
        assert_eq!(log, "prepared\nline 1\nline 2\nline 3\nend");
        namespace.kubectl(&["wait", "--for=condition=Complete", "job/hello", TIMEOUT]).await?;
        let message = "jsonpath={.items[0].status.containerStatuses[0].state.terminated.message}";
        let message = namespace.kubectl(&["get", "pods", "--output", message]).await?;
        assert_eq!(message, "found it\n");
        let tail = namespace.kubectl(&["logs", "job/hello", "--container=main", "--tail=2"]).await?;
        assert_eq!(tail, "line 3\nend");
        Ok(())
    });
}

#[test]
fn ends_are_told_as_a_kubelet_tells_them() {
    on_ground(async |ground| {
        let namespace = &Namespace::new(ground, "node-ends").await?;
        let no_start = json!({ "exitCode": 128, "reason": "StartError" });
        let cases = [
            ("fine", shell("exit 0"), json!({ "exitCode": 0, "reason": "Completed" })),
            ("failed", shell("exit 7"), json!({ "exitCode": 7, "reason": "Error" })),
            ("missing", json!({ "command": ["no-such-program"] }), no_start.clone()),
            ("data", json!({ "command": ["/etc/passwd"] }), no_start),
            (
                "said",
                json!({ "command": ["sh", "-c", "echo why; exit 1"], "terminationMessagePolicy": "FallbackToLogsOnError" }),
                json!({ "exitCode": 1, "message": "why\n" }),
            ),
            // A container's first process gets no signal that it does not handle but SIGKILL from outside.
            ("init", shell("kill -KILL $$; kill -TERM $$; exit 5"), json!({ "exitCode": 5 })),
        ];
        try_join_all(cases.iter().map(async |(name, container, end)| {
            namespace.pod(name, &json!({}), container).await?;
            let status = namespace.ended(name).await?;
            let shown = &main(&status)["state"]["terminated"];
            for (key, value) in end.as_object().into_iter().flatten() {
                assert_eq!(&shown[key], value, "{name}: {shown:#}");
            }
            Ok::<_, Failure>(())
        }))
        .await?;
        Ok(())
    });
}

#[test]
fn a_crashing_container_backs_off_and_its_last_log_stays() {
    on_ground(async |ground| {
        let namespace = Namespace::new(ground, "node-crash").await?;
        let script = "echo crashing; exit 3";
        namespace.pod("crash", &json!({ "restartPolicy": "Always" }), &shell(script)).await?;
        let backed_off = |status: &Value| {
            let main = main(status);
            main["state"]["waiting"]["reason"] == "CrashLoopBackOff"
                && main["restartCount"].as_i64() >= Some(2)
        };
        let status = namespace.until("crash", "backing off", backed_off).await?;
        assert_eq!(main(&status)["lastState"]["terminated"]["exitCode"], 3);
        assert_eq!(status["phase"], "Running");
        assert_eq!(namespace.kubectl(&["logs", "crash", "--previous"]).await?, "crashing\n");
        Ok(())
    });
}

#[test]
fn what_is_missing_is_waited_for() {
    on_ground(async |ground| {
        let namespace = Namespace::new(ground, "node-missing").await?;
        let sleeping = json!({ "command": ["sleep", "600"] });
        namespace.pod("image", &json!({}), &json!({ "image": "no/such:1" })).await?;
        let from =
            json!({ "command": ["sleep", "600"], "envFrom": [{ "configMapRef": { "name": "late" } }] });
        namespace.pod("environment", &json!({}), &from).await?;
        let volume = json!({ "volumes": [{ "name": "late", "configMap": { "name": "late" } }] });
        namespace.pod("volume", &volume, &sleeping).await?;

        namespace.waiting("image", "ImagePullBackOff").await?;
        let status = namespace.waiting("environment", "CreateContainerConfigError").await?;
        assert_eq!(main(&status)["state"]["waiting"]["message"], "configmap \"late\" not found");
        let status = namespace.waiting("volume", "ContainerCreating").await?;
        assert_eq!(status["phase"], "Pending");

        namespace.kubectl(&["create", "configmap", "late", "--from-literal=a=b"]).await?;
        for pod in ["environment", "volume"] {
            namespace.until(pod, "running", |status| status["phase"] == "Running").await?;
        }
        let pods = ["image", "environment", "volume"];
        namespace.kubectl(&[&["delete", "pod", "--grace-period=1"][..], &pods].concat()).await?;
        Ok(())
    });
}

#[test]
fn pods_see_nothing_of_each_other_and_little_of_the_host() {
    on_ground(async |ground| {
        let namespace = Namespace::new(ground, "node-apart").await?;
        let hides = "echo mine >/tmp/mine; echo mine >/etc/mine; echo mine >/dev/shm/mine; sleep 600";
        namespace.pod("other", &json!({}), &shell(hides)).await?;
        namespace.until("other", "running", |status| status["phase"] == "Running").await?;

        // A checkout in one of these places has its images there, which a pod has to see.
        let own = repository::root()
            .components()
            .nth(2)
            .map(|part| part.as_os_str().to_string_lossy().into_owned());
        let own = own.unwrap_or_else(|| "none".to_owned());
        let looks = format!(
            "id -u; id -g; ps -e -o pid= | wc -l; ls -A /tmp /dev/shm /home | grep -Fvx '{own}'; cat /etc/mine; \
             touch /etc/here; echo $((1 + 1)) >/workspace/result; cat /workspace/result; grep NoNewPrivs /proc/1/status"
        );
        let user = json!({ "runAsUser": 1000, "runAsGroup": 1000 });
        let spec = json!({
            "securityContext": user, "volumes": [{ "name": "workspace", "emptyDir": {} }],
        });
        let mut container = shell(&format!("exec 2>&1; {looks}"));
        container["volumeMounts"] = json!([{ "name": "workspace", "mountPath": "/workspace" }]);
        container["securityContext"] =
            json!({ "readOnlyRootFilesystem": true, "allowPrivilegeEscalation": false });
        namespace.pod("looker", &spec, &container).await?;
        namespace.ended("looker").await?;
        let seen = namespace.kubectl(&["logs", "looker"]).await?;
        // As an ordinary user the node runs every pod as that user, who is root there.
        let seen = seen.replacen("0\n0\n", "1000\n1000\n", 1);
        assert_eq!(
            seen,
            "1000\n1000\n3\n/dev/shm:\n\n/home:\n\n/tmp:\ncat: /etc/mine: No such file or directory\n\
             touch: cannot touch '/etc/here': Read-only file system\n2\nNoNewPrivs:\t1\n"
        );
        namespace.kubectl(&["delete", "pod", "other", "--grace-period=1"]).await?;
        Ok(())
    });
}

#[test]
fn a_pod_has_a_token_that_names_it() {
    on_ground(async |ground| {
        let namespace = Namespace::new(ground, "node-token").await?;
        let projection = json!({ "audience": "gateway", "expirationSeconds": 600, "path": "token" });
        let sources = json!([{ "serviceAccountToken": projection }]);
        let volumes = json!({ "volumes": [{ "name": "t", "projected": { "sources": sources } }] });
        let mut container = shell("cat /t/token; echo; sleep 600");
        container["volumeMounts"] = json!([{ "name": "t", "mountPath": "/t" }]);
        namespace.pod("holder", &volumes, &container).await?;
        namespace.until("holder", "running", |status| status["phase"] == "Running").await?;
        let token = namespace.said(&["holder"]).await?;
        let review = json!({
            "apiVersion": "authentication.k8s.io/v1", "kind": "TokenReview",
            "spec": { "token": token.trim(), "audiences": ["gateway"] },
        });
        let arguments = ["create", "--filename=-", "--output=json"];
        let answer = kubectl_with(ground, &arguments, &review.to_string()).await?;
        let status = serde_json::from_str::<Value>(&answer)?["status"].take();
        let pod = &status["user"]["extra"]["authentication.kubernetes.io/pod-name"];
        assert_eq!((&status["authenticated"], pod), (&json!(true), &json!(["holder"])), "{status:#}");
        namespace.kubectl(&["delete", "pod", "holder", "--grace-period=1"]).await?;
        Ok(())
    });
}

#[test]
fn a_pod_may_end_in_order_but_not_for_ever() {
    on_ground(async |ground| {
        let namespace = Namespace::new(ground, "node-grace").await?;
        let orderly = "trap 'echo last words; sleep 0.5; exit 0' TERM; echo up; while :; do sleep 0.1; done";
        let stubborn = "trap '' TERM; echo up; while :; do sleep 0.1; done";
        for (name, script, grace, end) in [("orderly", orderly, 600, "0"), ("stubborn", stubborn, 1, "137")] {
            let spec = json!({ "terminationGracePeriodSeconds": grace });
            namespace.pod(name, &spec, &shell(script)).await?;
            namespace.until(name, "running", |status| status["phase"] == "Running").await?;
            // The finalizer keeps the object for us to look at.
            let finalizers = r#"{"metadata":{"finalizers":["punching-fist.io/test"]}}"#;
            namespace.kubectl(&["patch", "pod", name, "--patch", finalizers]).await?;
            assert_eq!(namespace.said(&[name]).await?, "up\n");
            namespace.kubectl(&["delete", "pod", name, "--wait=false"]).await?;
            let status = namespace.ended(name).await?;
            assert_eq!(main(&status)["state"]["terminated"]["exitCode"].to_string(), end, "{name}");
            let patch = r#"{"metadata":{"finalizers":null}}"#;
            namespace.kubectl(&["patch", "pod", name, "--patch", patch]).await?;
            namespace.kubectl(&["wait", "--for=delete", "pod", name, TIMEOUT]).await?;
        }
        Ok(())
    });
}
