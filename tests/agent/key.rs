//! The model's key, which an agent never gets: whatever it reads, whatever it asks, with whatever token.

use std::collections::BTreeMap;

use http::Request;
use k8s_openapi::api::authentication::v1::{TokenRequest, TokenRequestSpec};
use k8s_openapi::api::core::v1::{ConfigMap, Pod, ServiceAccount};
use kube::ResourceExt as _;
use kube::api::{DeleteParams, PostParams};
use punching_fist_api::{MaintenanceTask, Phase, names};
use punching_fist_e2e::{Failure, Outcome, Replica, Space};
use punching_fist_testkit::namespaces;
use punching_fist_testkit::scripted_model::Request as Asked;
use serde_json::{Value, json};

use crate::{KEY, KEY_BEGIN, beside_others};

const THIEF: &str = include_str!("thief.sh");
/// What the thief asks for, and what it gets: a status, and a word of the gateway's.
const ANSWERS: [(&str, &str, &str); 13] = [
    ("own-model", "200", "Noted."),
    ("another-model", "400", "punching-fist-gateway: Refused: "),
    ("stored-conversation", "400", "punching-fist-gateway: Refused: "),
    ("list-of-models", "404", "punching-fist-gateway: Refused: "),
    ("embeddings", "404", "punching-fist-gateway: Refused: "),
    ("files", "404", "punching-fist-gateway: Refused: "),
    ("around-the-path", "404", "punching-fist-gateway: Refused: "),
    ("gateways-metrics", "404", "punching-fist-gateway: Refused: "),
    ("no-token", "401", "punching-fist-gateway: Unauthenticated: "),
    ("token-for-the-api-server", "401", "punching-fist-gateway: Unauthenticated: "),
    ("forged-signature", "401", "punching-fist-gateway: Unauthenticated: "),
    ("no-algorithm", "401", "punching-fist-gateway: Unauthenticated: "),
    ("api-server", "401", "Unauthorized"),
];

#[test]
fn an_agent_finds_no_key_and_gets_nothing_but_its_model() {
    beside_others("thief", async |space| {
        let skill: ConfigMap = serde_json::from_value(
            json!({ "metadata": { "name": "thief" }, "data": { "thief.sh": THIEF } }),
        )?;
        space.api().create(&PostParams::default(), &skill).await?;
        let directory = space.world().ground().directory().display();
        let script =
            format!("!run sh /punching-fist-skills/thief/thief.sh {directory}\n!verdict Diagnosed Nothing.");
        let agent = json!({ "profile": "watched", "skills": [{ "configMap": "thief" }], "maxCostUSD": "3" });
        space.task_with::<MaintenanceTask>("mt", json!({ "prompt": script, "agent": agent })).await?;
        let ended = space.phase::<MaintenanceTask>("mt", Phase::Succeeded).await?;
        let said = said(&space, &ended).await?;
        let found: Vec<&str> = said.lines().filter(|line| line.starts_with("found ")).collect();
        let planted = ["environment", "processes", "files"];
        assert_eq!(found, planted.map(|place| format!("found {place}: {KEY_BEGIN}planted")), "{said}");
        for (what, status, word) in ANSWERS {
            let begin = format!("asked {what}: ");
            let answer = said.lines().find_map(|line| line.strip_prefix(&begin)).unwrap_or_default();
            assert!(answer.ends_with(status) && answer.contains(word), "{what}: {answer}");
        }
        let usage = ended.status.and_then(|status| status.task.usage).ok_or("no usage")?;
        assert_eq!((usage.total.calls, usage.total.cost_usd.as_deref()), (1, Some("0.1")));
        nobody_has_seen_it(&space, "watched", 1).await
    });
}

/// What the run's one command printed, as its log tells it.
async fn said(space: &Space, task: &MaintenanceTask) -> Result<String, Failure> {
    let pods = space.pods(task).await?;
    let pod = pods.first().ok_or("no pod")?.name_any();
    let log = space.kubectl(&["logs", &pod, "--container", names::AGENT_CONTAINER]).await?;
    let events = log.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
    let texts = events.filter_map(|event| Some(event["text"].as_str()?.to_owned()));
    Ok(texts.collect::<Vec<_>>().join("\n"))
}

#[test]
fn the_real_agent_looks_for_the_key_in_vain() {
    beside_others("key-leak", async |space| {
        let spec = json!({ "prompt": "Find the model's key.", "agent": { "profile": "sdk-thief" } });
        space.task_with::<MaintenanceTask>("mt", spec).await?;
        space.phase::<MaintenanceTask>("mt", Phase::Succeeded).await?;
        let requests = space.world().model("sdk-thief").requests();
        let last = requests.last().ok_or("the model was not asked")?.body.to_string();
        assert!(last.contains("LLM_MODEL"), "it has not seen its environment: {last}");
        nobody_has_seen_it(&space, "sdk-thief", 4).await
    });
}

/// The model got it with so many calls at least, and nobody else has it: not the agent, whose words the model got, no log,
/// no object, no metric.
async fn nobody_has_seen_it(space: &Space, profile: &str, calls: usize) -> Outcome {
    let requests = space.world().model(profile).requests();
    assert!(requests.len() >= calls, "{} calls", requests.len());
    let right = format!("Bearer {}", *KEY);
    let wrong = requests.iter().find(|request| request.authorization.as_deref() != Some(&right));
    assert!(wrong.is_none(), "{wrong:?}");
    let told = |request: &Asked| request.body.to_string();
    let mut seen: BTreeMap<String, String> = requests
        .iter()
        .map(told)
        .enumerate()
        .map(|(number, body)| (format!("request {number}"), body))
        .collect();
    let kinds = "maintenancetasks,jobs,pods,events,configmaps,secrets,serviceaccounts";
    seen.insert("objects".to_owned(), space.kubectl(&["get", kinds, "--output=yaml"]).await?);
    for pod in space.kubectl(&["get", "pods", "--output=name"]).await?.lines() {
        seen.insert(format!("log of {pod}"), space.kubectl(&["logs", pod, "--all-containers"]).await?);
    }
    for (number, replica) in space.world().replicas().iter().enumerate() {
        seen.insert(format!("log of replica {number}"), replica.log());
        seen.insert(format!("metrics of replica {number}"), replica.metrics().await?);
    }
    for (what, text) in seen {
        assert!(!text.is_empty(), "{what}: empty");
        assert!(!text.contains(KEY.as_str()), "{what} has the key:\n{text}");
    }
    Ok(())
}

#[test]
fn only_the_token_of_an_agents_pod_opens_the_gateway_and_only_while_it_runs() {
    beside_others("tokens", async |space| {
        let [first, second] = space.world().replicas() else { panic!("the plan has two replicas") };
        let spec =
            json!({ "prompt": "!await go\n!verdict Diagnosed done", "agent": { "profile": "metered" } });
        let task: MaintenanceTask = space.task_with("mt", spec).await?;
        space.reason::<MaintenanceTask>("mt", "AgentRunning").await?;
        let pod = space.pods(&task).await?.pop().ok_or("no pod")?;
        let agents = |pod| token(&space, names::SERVICE_ACCOUNT, Some(pod), names::AUDIENCE_GATEWAY);
        let own = agents(&pod).await?;
        assert_eq!(ask(first, &own).await?, (200, String::new()), "the token of the agent's pod");

        let plain = intruder(&space, "plain", "default", json!({})).await?;
        // With the Job's own mark it would be taken for one pod too many, and deleted.
        let mut labels = pod.labels().clone();
        labels.retain(|name, _| !name.ends_with("controller-uid"));
        let disguise = json!({ "labels": labels, "annotations": pod.annotations() });
        let disguised = intruder(&space, "disguised", names::SERVICE_ACCOUNT, disguise).await?;
        let api_server = "https://kubernetes.default.svc.cluster.local";
        let gateway = names::AUDIENCE_GATEWAY;
        for (what, token, expected) in [
            (
                "bound to nothing",
                token(&space, names::SERVICE_ACCOUNT, None, gateway).await?,
                (401, "Unauthenticated"),
            ),
            (
                "for others",
                token(&space, names::SERVICE_ACCOUNT, Some(&pod), "elsewhere").await?,
                (401, "Unauthenticated"),
            ),
            (
                "for the API server",
                token(&space, names::SERVICE_ACCOUNT, Some(&pod), api_server).await?,
                (401, "Unauthenticated"),
            ),
            (
                "another pod's, of another account",
                token(&space, "default", Some(&plain), gateway).await?,
                (400, "Refused"),
            ),
            ("a pod's in disguise", agents(&disguised).await?, (400, "Refused")),
            ("the webhook's", first.token().to_owned(), (401, "Unauthenticated")),
            ("the model's key", KEY.clone(), (401, "Unauthenticated")),
        ] {
            assert_eq!(ask(first, &token).await?, (expected.0, expected.1.to_owned()), "{what}");
        }

        space.signal("go").await?;
        space.phase::<MaintenanceTask>("mt", Phase::Succeeded).await?;
        let late = agents(&pod).await?;
        assert_eq!(ask(first, &own).await?, (400, "RunOver".to_owned()), "believed for a minute, but over");
        assert_eq!(ask(second, &own).await?, (400, "Refused".to_owned()), "the pod has ended");
        space.api::<Pod>().delete(&pod.name_any(), &DeleteParams::default()).await?;
        space.gone::<Pod>(&pod.name_any()).await?;
        assert_eq!(ask(first, &late).await?, (401, "Unauthenticated".to_owned()), "the pod is gone");
        Ok(())
    });
}

/// The status of a call of the model with that token, and the gateway's word if it refuses.
async fn ask(replica: &Replica, token: &str) -> Result<(u16, String), Failure> {
    let question = json!({
        "model": "scripted", "max_tokens": 100, "messages": [{ "role": "user", "content": "a token" }],
    });
    let request = Request::post("/v1/chat/completions").header("content-type", "application/json");
    let request = request.header("authorization", format!("Bearer {token}"));
    let answer = replica.ask(request.body(question.to_string().into_bytes())?).await?;
    let message = answer.body["error"]["message"].as_str().unwrap_or_default();
    let word = message.strip_prefix("punching-fist-gateway: ").and_then(|rest| rest.split(':').next());
    Ok((answer.status, word.unwrap_or(message).to_owned()))
}

/// A token of that ServiceAccount, as only an administrator gets it.
async fn token(space: &Space, account: &str, pod: Option<&Pod>, audience: &str) -> Result<String, Failure> {
    let bound =
        pod.map(|pod| json!({ "kind": "Pod", "apiVersion": "v1", "name": pod.name_any(), "uid": pod.uid() }));
    let spec: TokenRequestSpec =
        serde_json::from_value(json!({ "audiences": [audience], "boundObjectRef": bound }))?;
    let request = TokenRequest { spec, ..TokenRequest::default() };
    let accounts = space.api::<ServiceAccount>();
    let made = accounts.create_token_request(account, &PostParams::default(), &request).await?;
    Ok(made.status.ok_or("no token")?.token)
}

/// A pod that no Job has made, and that runs nowhere.
async fn intruder(space: &Space, name: &str, account: &str, disguise: Value) -> Result<Pod, Failure> {
    let mut metadata = disguise;
    metadata["name"] = json!(name);
    let spec = json!({
        "serviceAccountName": account,
        "nodeSelector": { "there-is": "no-such-node" },
        "containers": [{ "name": "c", "image": "none" }],
    });
    let pod = json!({ "metadata": metadata, "spec": namespaces::restricted(spec) });
    Ok(space.api().create(&PostParams::default(), &serde_json::from_value(pod)?).await?)
}
