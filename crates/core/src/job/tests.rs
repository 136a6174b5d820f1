//! The Jobs that are meant, as files: one for every engine, and one in which everything is said. And what all of them
//! have in common.

use k8s_openapi::api::core::v1::{Container, PodSpec, Volume};
use punching_fist_api::{AlertTask, MaintenanceTask};
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

use super::*;
use crate::profile::tests::settings;

const UID: &str = "5f1c0c5e-0000-4000-8000-000000000001";

/// The Job of a task with this spec, by a profile that says this besides image and model.
fn built<K: Task + DeserializeOwned>(spec: &Value, profile: &Value) -> Job {
    let metadata = json!({"name": "checkout-is-down", "namespace": "ops", "uid": UID});
    let task: K = serde_json::from_value(json!({"metadata": metadata, "spec": spec})).unwrap();
    let mut said =
        json!({"image": "punching-fist-agent:1", "model": "anthropic/some-model", "gateway": false});
    said.as_object_mut().unwrap().extend(profile.as_object().unwrap().clone());
    let profile: AgentProfile = serde_json::from_value(said).unwrap();
    build(&Run { task: &task, profile: &profile, settings: &settings(), prompt: "What is wrong?\n" }).unwrap()
}

#[test]
fn a_pod_of_the_job_has_its_name_and_more() {
    let job = name(UID);
    for (pod, expected) in [
        (format!("{job}-abcde"), true),
        (job.clone(), false),
        (format!("{job}0-abcde"), false),
        (format!("x-{job}-abcde"), false),
        ("openhands-task-abcde".to_owned(), false),
    ] {
        assert_eq!(has_made(UID, &pod), expected, "{pod}");
    }
}

fn maintenance(profile: &Value) -> Job {
    built::<MaintenanceTask>(&json!({"prompt": "p"}), profile)
}

fn pod(job: &Job) -> &PodSpec {
    job.spec.as_ref().unwrap().template.spec.as_ref().unwrap()
}

fn agent(job: &Job) -> &Container {
    &pod(job).containers[0]
}

/// What a variable of the agent's container says; of one that comes from a Secret, where it comes from.
fn variable(job: &Job, name: &str) -> Option<String> {
    let found = agent(job).env.iter().flatten().filter(|variable| variable.name == name).collect::<Vec<_>>();
    assert!(found.len() < 2, "{name} is said twice");
    let variable = found.first()?;
    let secret = || Some(variable.value_from.as_ref()?.secret_key_ref.as_ref()?.name.clone());
    variable.value.clone().or_else(secret)
}

/// The files under `tests/golden` are the Jobs that are meant. `UPDATE_GOLDEN=1 cargo test` writes them anew; what
/// that changes is read in the diff.
fn assert_golden(name: &str, job: &Job) {
    let path = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden").join(name);
    let text = serde_yaml::to_string(&serde_json::to_value(job).unwrap()).unwrap();
    if std::env::var_os("UPDATE_GOLDEN").is_some() {
        std::fs::write(&path, &text).unwrap();
    }
    let golden = std::fs::read_to_string(&path).unwrap_or_default();
    assert_eq!(text, golden, "{} differs; UPDATE_GOLDEN=1 writes it anew", path.display());
}

/// A spec in which everything is said.
fn every_override() -> Value {
    let secret = json!({"secretKeyRef": {"name": "github", "key": "token", "optional": true}});
    let config = json!({"configMapKeyRef": {"name": "places", "key": "region"}});
    json!({
        "notification": {"alerts": [{"labels": {"alertname": "A"}}]},
        "agent": {"model": "openai/x", "image": "other:2", "maxIterations": 7, "maxCostUSD": "0.75",
                  "env": [{"name": "GITHUB_TOKEN", "valueFrom": secret}, {"name": "REGION", "valueFrom": config},
                          {"name": "B", "value": "$(HOME)"}],
                  "skills": [{"configMap": "disk-pressure"}, {"configMap": "kubernetes.mcp"}]},
        "serviceAccountName": "special",
        "mode": "Remediate",
        "cluster": "production",
        "maxRetries": 0,
        "timeoutSeconds": 60,
        "resources": {"limits": {"cpu": 2, "memory": "4Gi"}},
    })
}

/// A profile in which everything is said.
fn every_key() -> Value {
    json!({
        "engine": "sdk", "imagePullPolicy": "Always", "imagePullSecrets": ["registry", "mirror"],
        "gateway": true, "baseURL": "https://models.example/v1",
        "prices": {"input": "3", "output": "15"},
        "env": [{"name": "LANG", "value": "C.UTF-8"}],
        "maxIterations": 50, "maxCostUSD": "10.00", "timeoutSeconds": 900,
        "serviceAccountName": "looks", "remediateServiceAccountName": "mends", "clusterAccess": false,
        "resources": {"requests": {"cpu": "1"}, "limits": {"memory": "3Gi", "ephemeral-storage": "20Gi"}},
        "runAsUser": 42420, "runtimeClassName": "gvisor", "priorityClassName": "agents",
        "nodeSelector": {"pool": "agents"},
        "tolerations": [{"key": "agents", "operator": "Exists", "effect": "NoSchedule"}],
        "volumes": [{"name": "cache", "persistentVolumeClaim": {"claimName": "cache"}}],
        "volumeMounts": [{"name": "cache", "mountPath": "/workspace/cache"}],
        "podLabels": {"team": "sre", "task.id": "not ours"},
        "podAnnotations": {"example.dev/scrape": "false", "punching-fist.io/task": "not ours"},
    })
}

#[test]
fn the_jobs_that_are_meant() {
    let prices = json!({"input": "3", "output": "15"});
    let docker = json!({"engine": "main", "runtime": "docker", "image": "docker.all-hands.dev/all-hands-ai/openhands:0.39"});
    let profiles = [
        ("maintenance.yaml", json!({})),
        ("gateway.yaml", json!({"gateway": true, "prices": prices})),
        ("cli.yaml", json!({"engine": "cli", "gateway": true, "prices": prices})),
        ("main.yaml", json!({"engine": "main", "runAsUser": 42420})),
        ("main-docker.yaml", docker),
        ("command.yaml", json!({"engine": "command", "command": ["sh", "-c", "echo \"hello\""]})),
        ("profile.yaml", every_key()),
    ];
    for (name, profile) in profiles {
        assert_golden(name, &maintenance(&profile));
    }
    let alert = built::<AlertTask>(&every_override(), &json!({"otherModels": {"openai/x": prices}}));
    assert_golden("alert.yaml", &alert);
}

/// https://kubernetes.io/docs/concepts/security/pod-security-standards/#restricted, for the fields that our pods use.
#[test]
fn no_pod_but_the_docker_one_needs_any_privilege() {
    for engine in ["sdk", "cli", "main", "command"] {
        for gateway in [false, true] {
            let job = built::<AlertTask>(&every_override(), &json!({"engine": engine, "gateway": gateway}));
            let pod = pod(&job);
            let context = pod.security_context.as_ref().unwrap();
            assert_eq!(context.run_as_non_root, Some(true));
            assert!(context.run_as_user.is_some_and(|user| user != 0));
            assert_eq!(context.seccomp_profile.as_ref().unwrap().type_, "RuntimeDefault");
            assert!([pod.host_network, pod.host_pid, pod.host_ipc].iter().all(Option::is_none));
            assert!(pod.volumes.iter().flatten().all(is_harmless), "{engine}");
            for container in pod.containers.iter().chain(pod.init_containers.iter().flatten()) {
                let context = container.security_context.as_ref().unwrap();
                assert_eq!(context.allow_privilege_escalation, Some(false));
                assert_eq!(context.read_only_root_filesystem, Some(true));
                assert_eq!(context.privileged, None);
                let capabilities = context.capabilities.as_ref().unwrap();
                assert_eq!(capabilities.drop.as_deref(), Some(["ALL".to_owned()].as_slice()));
                assert_eq!(capabilities.add, None);
            }
        }
    }
}

fn is_harmless(volume: &Volume) -> bool {
    volume.config_map.is_some()
        || volume.downward_api.is_some()
        || volume.empty_dir.is_some()
        || volume.projected.is_some()
        || volume.secret.is_some()
}

#[test]
fn what_an_agent_takes_of_its_node_is_bounded() {
    for (profile, spec) in [
        (json!({}), json!({"prompt": "p"})),
        (json!({"engine": "main", "runtime": "docker"}), json!({"prompt": "p"})),
        (json!({"resources": {"limits": {"memory": "1Gi"}}}), json!({"prompt": "p"})),
        (json!({}), json!({"prompt": "p", "resources": {"requests": {"cpu": "1"}}})),
    ] {
        let job = built::<MaintenanceTask>(&spec, &profile);
        let empty = pod(&job).volumes.iter().flatten().filter_map(|volume| volume.empty_dir.as_ref());
        assert!(empty.clone().count() >= 2 && empty.into_iter().all(|empty| empty.size_limit.is_some()));
        let resources = agent(&job).resources.as_ref().unwrap();
        let (limits, requests) = (resources.limits.as_ref().unwrap(), resources.requests.as_ref().unwrap());
        assert!(
            ["memory", "ephemeral-storage"].iter().all(|name| limits.contains_key(*name)),
            "{profile} {spec}"
        );
        assert!(requests.contains_key("ephemeral-storage"), "{profile} {spec}");
    }
}

#[test]
fn a_task_that_does_not_speak_of_memory_gets_the_profiles() {
    let spec = json!({"prompt": "p", "resources": {"requests": {"cpu": "1"}}});
    let figure = |profile: Value| {
        let job = built::<MaintenanceTask>(&spec, &profile);
        agent(&job).resources.as_ref().unwrap().limits.as_ref().unwrap()["memory"].0.clone()
    };
    assert_eq!(figure(json!({"resources": {"limits": {"memory": "8Gi"}}})), "8Gi");
    assert_eq!(figure(json!({"resources": {"limits": {"cpu": "2"}}})), "2Gi");
}

#[test]
fn nobody_sets_what_is_the_operators() {
    let taken =
        ["HOME", "LLM_API_KEY", "LLM_MODEL", "LLM_BASE_URL", "PUNCHING_FIST_TOKEN_FILE", "KUBECONFIG"];
    let env: Vec<_> = taken.iter().map(|name| json!({"name": name, "value": "mine"})).collect();
    let spec = json!({"prompt": "p", "cluster": "production", "agent": {"env": env}});
    for gateway in [false, true] {
        let job = built::<MaintenanceTask>(&spec, &json!({"env": env, "gateway": gateway}));
        for name in taken {
            assert_ne!(variable(&job, name).as_deref(), Some("mine"), "{name}");
        }
    }
    let job = maintenance(&json!({"env": [{"name": "KUBECONFIG", "value": "mine"}]}));
    assert_eq!(variable(&job, "KUBECONFIG").as_deref(), Some("mine"), "free without a cluster");
}

#[test]
fn the_key_and_the_gateway_exclude_each_other() {
    let prices = json!({"input": "0.30", "output": "1.2"});
    for (model, base) in [
        ("anthropic/claude", "http://punching-fist.punching-fist.svc:8082"),
        ("openai/gpt", "http://punching-fist.punching-fist.svc:8082/v1"),
    ] {
        let with =
            maintenance(&json!({"gateway": true, "model": model, "prices": prices, "baseURL": "https://x"}));
        assert_eq!(variable(&with, "LLM_API_KEY"), None);
        assert_eq!(variable(&with, "LLM_BASE_URL").as_deref(), Some(base));
        assert_eq!(
            variable(&with, "PUNCHING_FIST_TOKEN_FILE").as_deref(),
            Some("/punching-fist-token/token")
        );
        assert_eq!(variable(&with, "PUNCHING_FIST_SECRETS"), None);
        assert_eq!(variable(&with, "LLM_INPUT_COST_PER_TOKEN").as_deref(), Some("0.0000003"));
        assert_eq!(variable(&with, "LLM_OUTPUT_COST_PER_TOKEN").as_deref(), Some("0.0000012"));
        let without = maintenance(&json!({"gateway": false, "model": model, "baseURL": "https://x"}));
        assert_eq!(variable(&without, "LLM_API_KEY").as_deref(), Some("openhands-secrets"));
        assert_eq!(variable(&without, "LLM_BASE_URL").as_deref(), Some("https://x"));
        assert_eq!(variable(&without, "PUNCHING_FIST_TOKEN_FILE"), None);
        assert_eq!(variable(&without, "PUNCHING_FIST_SECRETS").as_deref(), Some("LLM_API_KEY"));
    }
}

#[test]
fn the_token_for_the_gateway_outlives_the_attempt() {
    let expires = |timeout: i64, start: i64| {
        let mut settings = settings();
        settings.pod_start_timeout_seconds = start;
        let profile =
            json!({"image": "i", "model": "anthropic/m", "gateway": true, "timeoutSeconds": timeout});
        let profile: AgentProfile = serde_json::from_value(profile).unwrap();
        let pod = crate::pod::spec(&TaskSpec::default(), &profile, &settings);
        let volume = pod.volumes.unwrap().into_iter().find(|volume| volume.name == "token").unwrap();
        let token = volume.projected.unwrap().sources.unwrap().remove(0).service_account_token.unwrap();
        assert_eq!(token.audience.as_deref(), Some("punching-fist-gateway"));
        token.expiration_seconds.unwrap()
    };
    assert_eq!(expires(1800, 600), 600 + 1800 + 30 + 300);
    assert_eq!(expires(1, 1), 600, "the API server gives no shorter one");
}

#[test]
fn the_first_openhands_keeps_what_its_profile_says() {
    let image = "SANDBOX_RUNTIME_CONTAINER_IMAGE";
    let env = json!([{"name": image, "value": "mirror/runtime:1"}]);
    let job = maintenance(&json!({"engine": "main", "runtime": "docker", "env": env}));
    assert_eq!(variable(&job, image).as_deref(), Some("mirror/runtime:1"));
    assert_eq!(variable(&job, "LOG_ALL_EVENTS").as_deref(), Some("true"));
    assert_eq!(variable(&maintenance(&json!({"engine": "main"})), image), None);
}

#[test]
fn the_deadline_leaves_every_attempt_its_time() {
    let task = |retries, timeout| TaskSpec {
        max_retries: retries,
        timeout_seconds: Some(timeout),
        ..TaskSpec::default()
    };
    let deadline = |task: &TaskSpec| {
        let settings = settings();
        super::deadline(task, &settings.profiles["openhands"], &settings)
    };
    assert_eq!(deadline(&task(0, 60)), 600 + 60 + 30);
    assert_eq!(deadline(&task(2, 60)), 3 * 690 + 10 + 20);
    assert_eq!(deadline(&task(10, 60)), 11 * 690 + 10 + 20 + 40 + 80 + 160 + 320 + 4 * 600);
}
