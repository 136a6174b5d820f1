//! What the tests put on the API server: tasks, ServiceAccounts, the operator's settings, and what a runner says.

use std::collections::BTreeMap;
use std::sync::Arc;

use k8s_openapi::api::core::v1::ServiceAccount;
use kube::ResourceExt;
use punching_fist_api::{AlertTask, MaintenanceTask, Task};
use punching_fist_core::profile::Settings;
use punching_fist_protocol::{LongResult, Reason, ShortResult, Usage, VERSION, Verdict};
use punching_fist_testkit::recording::{Fault, RecordingApi, Times};
use serde::Serialize;
use serde_json::{Value, json};

use crate::HasKey;

/// The namespace of every object.
pub(super) const NS: &str = "ops";

/// A kind of task that can be put on the API server.
pub(super) trait Object: Task + Serialize {
    /// Puts it there.
    fn seeded(api: &RecordingApi, name: &str, spec: &Value, status: &Value) -> Self {
        let mut task = json!({"metadata": {"name": name, "namespace": NS}, "spec": spec});
        if !status.is_null() {
            task["status"] = status.clone();
        }
        api.seed::<Self>(&serde_json::from_value(task).expect("a task"))
    }
}

impl Object for AlertTask {}
impl Object for MaintenanceTask {}

/// A MaintenanceTask that nothing holds up.
pub(super) fn maintenance(api: &RecordingApi, name: &str) -> MaintenanceTask {
    MaintenanceTask::seeded(api, name, &json!({"prompt": "Look around."}), &Value::Null)
}

/// An AlertTask as the webhook makes it, with one firing alert.
pub(super) fn alert(api: &RecordingApi, name: &str, more: &Value) -> AlertTask {
    let alerts =
        json!([{"fingerprint": "f1", "labels": {"alertname": "Broken"}, "startsAt": "2026-01-01T00:00:00Z"}]);
    let identity = json!({"key": "0123456789abcdef0123456789abcdef01234567", "run": 1});
    let mut spec = json!({"notification": {"alerts": alerts}, "identity": identity});
    for (field, value) in more.as_object().into_iter().flatten() {
        spec[field] = value.clone();
    }
    AlertTask::seeded(api, name, &spec, &Value::Null)
}

/// Changes the spec of a task, as its user would.
pub(super) fn edit<K: Object>(api: &RecordingApi, name: &str, change: impl FnOnce(&mut K)) {
    api.change::<K>(NS, name, |task| {
        change(task);
        let generation = task.meta().generation.unwrap_or(1);
        task.meta_mut().generation = Some(generation + 1);
    });
}

/// What the webhook knows of alerts: fingerprint and state of each, in the order in which they joined.
pub(super) fn webhook_says(api: &RecordingApi, name: &str, alerts: &[(&str, &str)]) {
    let records: Vec<_> = alerts
        .iter()
        .map(|(fingerprint, state)| {
            let labels = json!({"alertname": format!("Broken{fingerprint}")});
            json!({"fingerprint": fingerprint, "state": state, "startsAt": "2026-01-01T00:00:00Z", "labels": labels})
        })
        .collect();
    let fires = alerts.iter().any(|(_, state)| *state == "firing");
    api.change::<AlertTask>(NS, name, |task| {
        let status = task.status.get_or_insert_default();
        status.alerts = serde_json::from_value(records.into()).expect("records");
        status.alert_state =
            serde_json::from_value(json!(if fires { "firing" } else { "resolved" })).expect("a state");
        status.occurrences += 1;
    });
}

/// The ServiceAccount that agents run as.
pub(super) fn service_account(api: &RecordingApi) {
    let mut account = ServiceAccount::default();
    account.metadata.name = Some("punching-fist-agent".to_owned());
    account.metadata.namespace = Some(NS.to_owned());
    api.seed(&account);
}

/// Three runs at once, two of `openhands`, two of `other`.
pub(super) fn settings() -> Settings {
    let profile = json!({"image": "punching-fist-agent:1", "model": "anthropic/some-model", "gateway": false, "maxConcurrent": 2});
    let profile = serde_json::from_value(profile).expect("a profile");
    let named = |name: &str| (name.to_owned(), Clone::clone(&profile));
    Settings {
        profiles: BTreeMap::from([named("openhands"), named("other")]),
        runner_image: "punching-fist:1".to_owned(),
        max_concurrent: 3,
        pod_start_timeout_seconds: 600,
        alert_prompt: "{{ alert.labels.alertname }} and {{ alerts | length }} in all".to_owned(),
        gateway_url: "http://punching-fist.punching-fist.svc:8082".to_owned(),
        allow_privileged_agents: false,
    }
}

/// An operator that finds the keys of all its profiles.
pub(super) fn keys() -> HasKey {
    Arc::new(|_| true)
}

/// What an attempt used.
fn usage() -> Usage {
    Usage {
        input_tokens: 100,
        output_tokens: 10,
        cache_read_tokens: 1,
        cache_write_tokens: 0,
        calls: 2,
        iterations: 2,
        cost_usd: Some("0.015".to_owned()),
    }
}

/// The termination message of a runner whose agent came to a verdict; `long` is in its log.
pub(super) fn verdict(long: Option<&LongResult>) -> String {
    let result = ShortResult {
        version: VERSION,
        reason: Reason::VerdictReached,
        verdict: Some(Verdict::Diagnosed),
        confidence: None,
        summary: "The disk is full.".to_owned(),
        error: None,
        usage: usage(),
        acted: false,
        long_sha256: long.map(|long| long.encode().sha256),
    };
    result.to_message()
}

/// The termination message of a runner that failed.
pub(super) fn fault(reason: Reason) -> String {
    ShortResult::without_verdict(reason, "the model is away", usage()).to_message()
}

/// A report and a plan.
pub(super) fn long() -> LongResult {
    LongResult { report: Some("# What was seen".to_owned()), plan: Some("Make room.".to_owned()) }
}

/// Lets the API server answer every pod's log: some steps, then the runner's long result.
pub(super) fn log_holds(api: &RecordingApi, result: &LongResult) {
    let log = format!("{{\"kind\":\"action\"}}\nnot JSON\n{}\n", result.encode().lines.join("\n"));
    api.inject("get", "pods/log", Fault::Answer(200, log), Times::Always);
}

/// The name of the only task of that kind.
pub(super) fn named<K: Object>(api: &RecordingApi, name: &str) -> K {
    api.read::<K>(NS, name).unwrap_or_else(|| panic!("{} {name} is there", K::KIND.as_str()))
}

/// Phase, reason of a task: what a table of tests asks for first.
pub(super) fn state<K: Object>(api: &RecordingApi, name: &str) -> (String, String) {
    let task = named::<K>(api, name);
    let status = task.task_status().cloned().unwrap_or_default();
    let phase = status.phase.map(|phase| format!("{phase:?}")).unwrap_or_default();
    (phase, status.reason.unwrap_or_default())
}

/// A phase and its reason, to compare with [`state`].
pub(super) fn said(phase: &str, reason: &str) -> (String, String) {
    (phase.to_owned(), reason.to_owned())
}

/// The Job's name of a task.
pub(super) fn job_name<K: Object>(task: &K) -> String {
    punching_fist_core::job::name(&task.uid().expect("the API server gave it a UID"))
}
