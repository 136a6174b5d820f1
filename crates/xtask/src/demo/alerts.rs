//! The alerts that are fired: read from a file, checked before anything is started, and made to name the pod that is
//! really there.

use std::fs;
use std::path::{Path, PathBuf};

use jiff::{SignedDuration, Timestamp};
use punching_fist_testkit::repository;
use serde_json::{Map, Value};

use super::workload;

/// How long the alerts fire. Alertmanager takes an alert without an end for resolved after five minutes, as Prometheus
/// would have sent it again by then.
const FIRES: SignedDuration = SignedDuration::from_hours(24);

/// Alerts as `POST /api/v2/alerts` takes them: at least one, each with a name.
#[derive(Debug, PartialEq)]
pub struct Alerts(Vec<Map<String, Value>>);

/// Why a file can't be fired.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// It can't be read.
    #[error("--alert: can't read {}: {source}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// It is no JSON.
    #[error("--alert: {} is not JSON: {source}", path.display())]
    Syntax {
        /// The file.
        path: PathBuf,
        /// Where, and what is wrong.
        source: serde_json::Error,
    },
    /// It is JSON, but no alerts.
    #[error(
        "--alert: {}: {problem} (wanted: one alert or a list of alerts, each with labels, as Alertmanager's \
         POST /api/v2/alerts takes them; examples/alert.json is one)",
        path.display()
    )]
    Shape {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        problem: String,
    },
}

/// The alert that the broken workload raises.
pub fn example() -> PathBuf {
    repository::root().join("examples/alert.json")
}

impl Alerts {
    /// Reads `path`.
    ///
    /// # Errors
    /// It can't be read, or holds no alerts.
    pub fn read(path: &Path) -> Result<Self, Error> {
        let path = path.to_owned();
        match fs::read_to_string(&path) {
            Err(source) => Err(Error::Read { path, source }),
            Ok(text) => match serde_json::from_str(&text) {
                Err(source) => Err(Error::Syntax { path, source }),
                Ok(value) => Self::of(value).map_err(|problem| Error::Shape { path, problem }),
            },
        }
    }

    fn of(value: Value) -> Result<Self, String> {
        let alerts = match value {
            Value::Array(alerts) if alerts.is_empty() => return Err("the list is empty".to_owned()),
            Value::Array(alerts) => alerts,
            Value::Object(fields) if fields.get("alerts").is_some_and(Value::is_array) => {
                return Err(
                    "this is a notification, which Alertmanager makes of alerts; give its alerts alone"
                        .to_owned(),
                );
            }
            alert => vec![alert],
        };
        let numbered = (1..).zip(alerts);
        let checked =
            numbered.map(|(number, alert)| check(alert).map_err(|why| format!("alert {number} {why}")));
        checked.collect::<Result<_, _>>().map(Self)
    }

    /// The alerts as they are fired now: without an end of their own they fire for a day, and what they say of a pod of
    /// the broken workload they say of `pod`.
    pub fn fired(self, pod: &str, now: Timestamp) -> Self {
        let Self(mut alerts) = self;
        for alert in &mut alerts {
            alert.entry("endsAt").or_insert_with(|| (now + FIRES).to_string().into());
            if let Some(example) = example_pod(alert) {
                alert.values_mut().for_each(|value| replace(value, &example, pod));
            }
        }
        Self(alerts)
    }

    /// The body of the request.
    pub fn body(&self) -> Value {
        self.0.iter().cloned().map(Value::Object).collect()
    }

    /// Each in a few words.
    pub fn names(&self) -> Vec<String> {
        self.0.iter().map(name).collect()
    }
}

/// Whether `alert` is one.
fn check(alert: Value) -> Result<Map<String, Value>, String> {
    let Value::Object(alert) = alert else { return Err("is no object".to_owned()) };
    let texts = |field: &str| match alert.get(field) {
        None => Ok(0),
        Some(Value::Object(texts)) => match texts.iter().find(|(_, value)| !value.is_string()) {
            Some((name, _)) => Err(format!("has {field}.{name}, which is no string")),
            None => Ok(texts.len()),
        },
        Some(_) => Err(format!("has {field} that are no object")),
    };
    texts("annotations")?;
    if texts("labels")? == 0 {
        return Err("has no labels".to_owned());
    }
    let named = alert["labels"]["alertname"].as_str().is_some_and(|name| !name.is_empty());
    if named { Ok(alert) } else { Err("has no label alertname".to_owned()) }
}

fn label<'a>(alert: &'a Map<String, Value>, name: &str) -> Option<&'a str> {
    alert.get("labels")?.get(name)?.as_str()
}

/// The pod that the alert names, if it stands for one of the broken workload's: nobody knows its name beforehand.
fn example_pod(alert: &Map<String, Value>) -> Option<String> {
    let ours = label(alert, "namespace") == Some(workload::NAMESPACE);
    let pod = label(alert, "pod").filter(|pod| ours && pod.starts_with(workload::POD_PREFIX));
    pod.map(str::to_owned)
}

fn replace(value: &mut Value, old: &str, new: &str) {
    match value {
        Value::String(text) => *text = text.replace(old, new),
        Value::Object(fields) => fields.values_mut().for_each(|value| replace(value, old, new)),
        _ => {}
    }
}

fn name(alert: &Map<String, Value>) -> String {
    let labels = ["alertname", "severity", "namespace", "pod"].map(|name| label(alert, name));
    labels.into_iter().flatten().collect::<Vec<_>>().join(", ")
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn one_alert_or_a_list_is_read() {
        let alert = json!({ "labels": { "alertname": "A" } });
        let one = Alerts::of(alert.clone()).unwrap();
        assert_eq!(one, Alerts::of(json!([alert])).unwrap());
        assert_eq!(one.body(), json!([alert]));
        assert_eq!(Alerts::of(json!([alert, alert])).unwrap().names(), ["A", "A"]);
    }

    #[test]
    fn what_is_no_alert_is_told_with_its_place() {
        for (value, expected) in [
            (json!([]), "the list is empty"),
            (json!(7), "alert 1 is no object"),
            (json!({}), "alert 1 has no labels"),
            (json!({ "labels": {} }), "alert 1 has no labels"),
            (json!({ "labels": [] }), "alert 1 has labels that are no object"),
            (json!({ "labels": { "a": "b" } }), "alert 1 has no label alertname"),
            (json!([{ "labels": { "alertname": "A" } }, null]), "alert 2 is no object"),
            (json!({ "labels": { "alertname": 7 } }), "alert 1 has labels.alertname, which is no string"),
            (
                json!({ "labels": { "alertname": "A" }, "annotations": { "x": {} } }),
                "alert 1 has annotations.x, which is no string",
            ),
            (
                json!({ "version": "4", "alerts": [] }),
                "this is a notification, which Alertmanager makes of alerts",
            ),
        ] {
            let error = Alerts::of(value.clone()).unwrap_err();
            assert!(error.starts_with(expected), "{value}: {error}");
        }
    }

    #[test]
    fn a_file_that_is_no_good_is_named() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("alert.json");
        assert!(Alerts::read(&file).unwrap_err().to_string().contains("alert.json: No such file"));
        for (text, expected) in [("{", "is not JSON"), ("[]", "the list is empty")] {
            fs::write(&file, text).unwrap();
            let error = Alerts::read(&file).unwrap_err().to_string();
            assert!(error.contains("alert.json") && error.contains(expected), "{error}");
        }
    }

    #[test]
    fn the_pod_of_the_example_becomes_the_real_one() {
        let now: Timestamp = "2026-01-01T00:00:00Z".parse().unwrap();
        let alert = |namespace: &str, pod: &str| {
            json!({
                "labels": { "alertname": "A", "namespace": namespace, "pod": pod },
                "annotations": { "summary": format!("{pod} is down") },
            })
        };
        let pod_of = |alert: Value| Alerts::of(alert).unwrap().fired("checkout-new", now).body()[0].clone();
        let fired = pod_of(alert("shop", "checkout-old"));
        assert_eq!(fired["labels"]["pod"], "checkout-new");
        assert_eq!(fired["annotations"]["summary"], "checkout-new is down");
        assert_eq!(fired["endsAt"], "2026-01-02T00:00:00Z");
        for other in [alert("shop", "cart-1"), alert("other", "checkout-old")] {
            assert_eq!(pod_of(other.clone())["labels"], other["labels"]);
        }
    }

    #[test]
    fn the_example_speaks_of_the_workload() {
        let alerts = Alerts::read(&example()).unwrap();
        for alert in &alerts.0 {
            assert_eq!(label(alert, "namespace"), Some(workload::NAMESPACE));
            assert_eq!(label(alert, "deployment"), Some("checkout"));
        }
    }
}
