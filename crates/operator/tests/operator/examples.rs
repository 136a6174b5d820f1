//! The files of `examples/`: the API takes them as they stand, their prompts render, and they keep to what the read-only
//! ServiceAccount may do. That they run is tested end to end.

use std::fs;
use std::path::{Path, PathBuf};

use punching_fist_api::{AlertTask, MaintenanceTask, Task, crds};
use punching_fist_core::profile::{AgentProfile, Settings};
use punching_fist_core::prompt;
use punching_fist_webhook::{AlertReceiver, Alertmanager, AlertmanagerBody};
use serde_json::{Value, json};

/// Files that are no tasks.
const OTHERS: [&str; 3] = ["alert.json", "alertmanager.yaml", "notification.json"];

fn examples() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../examples")
}

fn text(name: &str) -> String {
    fs::read_to_string(examples().join(name)).unwrap()
}

/// Name and object of every task; those of `skills/` have a test of their own.
fn tasks() -> Vec<(String, Value)> {
    let files = fs::read_dir(examples()).unwrap().map(Result::unwrap).filter(|entry| entry.path().is_file());
    let entries = files.map(|entry| entry.file_name().into_string().unwrap());
    let names = entries.filter(|name| !OTHERS.contains(&name.as_str()));
    let tasks: Vec<_> =
        names.map(|name| (name.clone(), serde_yaml::from_str(&text(&name)).unwrap())).collect();
    assert!(tasks.len() >= 8, "{tasks:?}");
    tasks
}

/// Paths in `value` that its schema doesn't know.
fn unknown(path: &str, schema: &Value, value: &Value, found: &mut Vec<String>) {
    match value {
        Value::Object(fields) => {
            for (key, field) in fields {
                let path = format!("{path}.{key}");
                match schema["properties"].get(key).or(schema.get("additionalProperties")) {
                    Some(schema) => unknown(&path, schema, field, found),
                    None => found.push(path),
                }
            }
        }
        Value::Array(items) => items.iter().for_each(|item| unknown(path, &schema["items"], item, found)),
        _ => {}
    }
}

fn assert_known(file: &str, task: &Value) {
    let crd = crds().into_iter().find(|crd| crd.spec.names.kind == task["kind"]).expect(file);
    let schema = serde_json::to_value(&crd.spec.versions[0].schema).unwrap()["openAPIV3Schema"].clone();
    let mut found = Vec::new();
    unknown("spec", &schema["properties"]["spec"], &task["spec"], &mut found);
    assert!(found.is_empty(), "{file}: unknown fields {found:?}");
    let version = format!("{}/{}", crd.spec.group, crd.spec.versions[0].name);
    assert_eq!(task["apiVersion"], version, "{file}");
}

#[test]
fn every_skill_comes_with_a_task_that_names_it() {
    let listed = fs::read_dir(examples().join("skills")).unwrap().map(|entry| entry.unwrap().path());
    let files: Vec<_> =
        listed.filter(|path| path.extension().is_some_and(|ending| ending == "yaml")).collect();
    assert!(files.len() >= 2, "{files:?}");
    for path in files {
        let (file, text) = (path.display().to_string(), fs::read_to_string(&path).unwrap());
        let documents: Vec<Value> =
            text.split("\n---\n").map(|part| serde_yaml::from_str(part).unwrap()).collect();
        let [config_map, task] = &documents[..] else { panic!("{file}") };
        assert_known(&file, task);
        let skill = &task["spec"]["agent"]["skills"][0]["configMap"];
        assert_eq!(
            ("ConfigMap", &config_map["metadata"]["name"]),
            (config_map["kind"].as_str().unwrap(), skill)
        );
        assert!(text.starts_with("# ") && text.contains("\n# Needs: "), "{file}");
    }
}

#[test]
fn every_task_is_known_to_the_api() {
    for (file, task) in tasks() {
        assert_known(&file, &task);
        assert_eq!(format!("{}.yaml", task["metadata"]["name"].as_str().unwrap()), file);
    }
}

#[test]
fn every_prompt_renders() {
    let profile: AgentProfile = serde_json::from_value(json!({"image": "agent", "model": "model"})).unwrap();
    let settings = Settings {
        profiles: [("openhands".to_owned(), profile)].into(),
        alert_prompt: prompt::DEFAULT_ALERT.to_owned(),
        ..Settings::default()
    };
    for (file, mut task) in tasks() {
        task["metadata"]["namespace"] = json!("default");
        let prompt = match task["kind"].as_str().unwrap() {
            "MaintenanceTask" => render(&serde_json::from_value::<MaintenanceTask>(task).unwrap(), &settings),
            _ => render(&serde_json::from_value::<AlertTask>(task).unwrap(), &settings),
        };
        for must in ["Diagnosed", "NotReproduced"] {
            assert!(prompt.contains(must), "{file} doesn't say when {must} is right");
        }
        assert!(!prompt.contains("{{") && !prompt.contains("{%"), "{file}: {prompt}");
        let lower = prompt.to_lowercase();
        assert!(lower.contains("change nothing") && lower.contains("secrets"), "{file} sets no bounds");
    }
}

fn render(task: &impl Task, settings: &Settings) -> String {
    prompt::render(task, 1, None, settings).unwrap()
}

#[test]
fn every_task_says_what_it_needs() {
    for (file, _) in tasks() {
        let text = text(&file);
        assert!(text.starts_with("# ") && text.contains("\n# Needs: "), "{file}");
    }
}

#[test]
fn the_alert_is_what_alertmanagers_api_takes() {
    let alerts: Value = serde_json::from_str(&text("alert.json")).unwrap();
    let fields = ["annotations", "endsAt", "generatorURL", "labels", "startsAt"];
    for alert in alerts.as_array().unwrap() {
        assert!(alert.as_object().unwrap().keys().all(|key| fields.contains(&key.as_str())), "{alert}");
        assert!(alert["labels"]["alertname"].is_string(), "{alert}");
    }
}

#[test]
fn the_notification_is_about_the_same_alert() {
    let alerts: Value = serde_json::from_str(&text("alert.json")).unwrap();
    let notification: Value = serde_json::from_str(&text("notification.json")).unwrap();
    let body: AlertmanagerBody = serde_json::from_value(notification.clone()).unwrap();
    Alertmanager.validate_alert(&body).unwrap();
    let received = Alertmanager.transform_alert(body).unwrap();
    assert_eq!((received.notification.alerts.len(), received.refused.len()), (1, 0));
    let alert = &notification["alerts"][0];
    for field in ["labels", "annotations", "generatorURL"] {
        assert_eq!(alert[field], alerts[0][field], "{field}");
    }
    assert_eq!(notification["commonLabels"], alert["labels"]);
}

#[test]
fn alertmanager_is_pointed_at_the_service() {
    let config: Value = serde_yaml::from_str(&text("alertmanager.yaml")).unwrap();
    let receivers = config["receivers"].as_array().unwrap();
    let ours = receivers.iter().find(|receiver| receiver["name"] == "punching-fist").unwrap();
    let webhook = &ours["webhook_configs"][0];
    assert_eq!(webhook["url"], "http://punching-fist.punching-fist.svc:8080/webhook/alertmanager");
    assert!(webhook["http_config"]["authorization"]["credentials_file"].is_string());
    assert!(webhook["max_alerts"].is_u64() && webhook["timeout"].is_string());
}
