//! The prompt of a run: a template of the user's or the operator's, rendered with what is known of the task.

use minijinja::{
    Environment, Error as TemplateError, UndefinedBehavior,
    value::{Serde, Value},
};
use punching_fist_api::{Alert, AlertState, AlertTask, Finding, Mode, Task};
use serde::Serialize;
use thiserror::Error;

use crate::incident;
use crate::profile::Settings;

/// Most bytes that a rendered prompt may have.
pub const LIMIT: usize = 64 * 1024;

/// The prompt of an AlertTask that brings none, where the configuration has none either.
pub const DEFAULT_ALERT: &str = include_str!("../prompts/alert.md");

/// What a template may spend, in minijinja's unit: about one for an instruction, and one for some bytes that are made.
/// The default prompt with 500 alerts takes less than half; a template that builds megabytes is stopped.
const FUEL: u64 = 400_000;

/// A prompt that can't be made.
#[derive(Debug, Error, PartialEq)]
pub enum PromptError {
    /// The template has an error, or names something that isn't there.
    #[error("{place}, line {line}: {cause}; correct the template")]
    Template {
        /// Where the template stands.
        place: &'static str,
        /// Line of the template, from 1; 0 if the template engine knows none.
        line: usize,
        /// What is wrong.
        cause: String,
    },
    /// The result is too long.
    #[error("{0} renders to more than {LIMIT} bytes; shorten the template")]
    TooLong(&'static str),
}

/// What a template may name.
#[derive(Serialize)]
struct Scope<'a> {
    task: Named<'a>,
    #[serde(flatten)]
    alert: Option<AlertScope<'a>>,
    previous: Option<Previous<'a>>,
}

#[derive(Serialize)]
struct Named<'a> {
    name: &'a str,
    namespace: &'a str,
    mode: Mode,
}

/// `alert`, `alerts`, `group` and `labels`: what an AlertTask's prompt has in scope.
#[derive(Serialize)]
struct AlertScope<'a> {
    alert: &'a Alert,
    alerts: &'a [Alert],
    group: Group<'a>,
    labels: &'a std::collections::BTreeMap<String, String>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Group<'a> {
    key: Option<&'a str>,
    receiver: Option<&'a str>,
    status: AlertState,
    labels: &'a std::collections::BTreeMap<String, String>,
    common_labels: &'a std::collections::BTreeMap<String, String>,
    common_annotations: &'a std::collections::BTreeMap<String, String>,
    truncated_alerts: i64,
    #[serde(rename = "externalURL")]
    external_url: Option<&'a str>,
}

/// How the task before this one ended.
#[derive(Serialize)]
struct Previous<'a> {
    name: &'a str,
    verdict: Option<punching_fist_api::Verdict>,
    summary: Option<&'a str>,
}

/// The task that a run follows, by name, and what it found.
#[derive(Clone, Debug, PartialEq)]
pub struct PreviousRun {
    /// Its name.
    pub name: String,
    /// What it found.
    pub result: Option<Finding>,
}

/// How many alerts the prompt of this task would know now: those of its spec, and those that have joined since.
pub fn known_alerts(task: &AlertTask) -> usize {
    crate::incident::records(task).len()
}

/// Renders the prompt of `task`. `prompted` is how many of an AlertTask's alerts it knows (`status.promptedAlerts`).
pub fn render<K: Task>(
    task: &K,
    prompted: usize,
    previous: Option<&PreviousRun>,
    settings: &Settings,
) -> Result<String, PromptError> {
    let own = task.task_spec().prompt.as_deref().map(|own| ("spec.prompt", own));
    let (place, template) =
        own.unwrap_or(("prompts.alert of the operator's configuration", &settings.alert_prompt));
    let mut alerts = task.as_alert().map(incident::alerts_in_full).unwrap_or_default();
    alerts.truncate(prompted);
    let scope = Scope {
        task: Named {
            name: task.meta().name.as_deref().unwrap_or_default(),
            namespace: task.meta().namespace.as_deref().unwrap_or_default(),
            mode: task.task_spec().mode,
        },
        alert: task.as_alert().and_then(|task| alert_scope(task, &alerts)),
        previous: previous.map(|run| Previous {
            name: &run.name,
            verdict: run.result.as_ref().and_then(|result| result.verdict),
            summary: run.result.as_ref().and_then(|result| result.summary.as_deref()),
        }),
    };
    let mut rendered = Bounded::default();
    match render_template(template, Value::from(Serde(&scope)), &mut rendered) {
        _ if rendered.is_full => Err(PromptError::TooLong(place)),
        Ok(()) => Ok(String::from_utf8_lossy(&rendered.bytes).into_owned()),
        Err(error) => Err(invalid(place, &error)),
    }
}

/// Takes no more than a prompt may have, so that a template can't make the operator hold more.
#[derive(Default)]
struct Bounded {
    bytes: Vec<u8>,
    is_full: bool,
}

impl std::io::Write for Bounded {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.is_full |= self.bytes.len() + bytes.len() > LIMIT;
        if self.is_full {
            return Err(std::io::ErrorKind::FileTooLarge.into());
        }
        self.bytes.extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

fn alert_scope<'a>(task: &'a AlertTask, alerts: &'a [Alert]) -> Option<AlertScope<'a>> {
    let notification = &task.spec.notification;
    let firing = alerts.iter().find(|alert| alert.status == AlertState::Firing);
    Some(AlertScope {
        alert: firing.or(alerts.first())?,
        alerts,
        group: Group {
            key: notification.group_key.as_deref(),
            receiver: notification.receiver.as_deref(),
            status: notification.status,
            labels: &notification.group_labels,
            common_labels: &notification.common_labels,
            common_annotations: &notification.common_annotations,
            truncated_alerts: notification.truncated_alerts,
            external_url: notification.external_url.as_deref(),
        },
        labels: &notification.common_labels,
    })
}

fn render_template(template: &str, scope: Value, into: &mut Bounded) -> Result<(), TemplateError> {
    let mut environment = Environment::new();
    environment.set_undefined_behavior(UndefinedBehavior::Strict);
    environment.set_auto_escape_callback(|_| minijinja::AutoEscape::None);
    environment.set_fuel(Some(FUEL));
    environment.add_template("prompt", template)?;
    environment.get_template("prompt")?.render_captured_to(scope, into)?;
    Ok(())
}

fn invalid(place: &'static str, error: &TemplateError) -> PromptError {
    let kind = error.kind().to_string();
    let cause = error.detail().map_or_else(|| kind.clone(), |detail| format!("{kind}: {detail}"));
    PromptError::Template { place, line: error.line().unwrap_or(0), cause }
}

#[cfg(test)]
mod tests {
    use punching_fist_api::MaintenanceTask;
    use serde_json::{Value, json};

    use super::*;
    use crate::profile::tests::settings;

    fn maintenance(prompt: &str) -> Result<String, PromptError> {
        let metadata = json!({"name": "clean-up", "namespace": "ops"});
        let task = json!({"metadata": metadata, "spec": {"prompt": prompt}});
        render::<MaintenanceTask>(&serde_json::from_value(task).unwrap(), 0, None, &settings())
    }

    fn alert_task(status: &Value) -> AlertTask {
        let alerts = json!([{"labels": {"alertname": "A", "pod": "{{ 7 * 7 }}"}, "fingerprint": "1"}]);
        let notification = json!({"commonLabels": {"team": "shop"}, "alerts": alerts});
        let spec = json!({"notification": notification});
        serde_json::from_value(
            json!({"metadata": {"name": "a", "namespace": "n"}, "spec": spec, "status": status}),
        )
        .unwrap()
    }

    fn alert(template: &str, prompted: usize, status: &Value) -> String {
        let mut task = alert_task(status);
        task.spec.task.prompt = Some(template.to_owned());
        let result = Finding { summary: Some("disk was full".to_owned()), ..Finding::default() };
        let previous = PreviousRun { name: "a-1".to_owned(), result: Some(result) };
        render(&task, prompted, Some(&previous), &settings()).unwrap()
    }

    #[test]
    fn scope() {
        assert_eq!(maintenance("{{ task.namespace }}/{{ task.name }}").unwrap(), "ops/clean-up");
        let status = json!({});
        assert_eq!(alert("{{ alert.labels.alertname }} {{ labels.team }}", 1, &status), "A shop");
        assert_eq!(alert("{{ group.commonLabels.team }} {{ group.truncatedAlerts }}", 1, &status), "shop 0");
        assert_eq!(alert("{{ previous.name }}: {{ previous.summary }}", 1, &status), "a-1: disk was full");
        assert_eq!(alert("{{ alert.labels.pod }}", 1, &status), "{{ 7 * 7 }}", "what a label says is data");
    }

    #[test]
    fn a_prompt_knows_the_alerts_of_its_admission_and_no_later_ones() {
        let status = json!({"alerts": [
            {"fingerprint": "1", "state": "resolved"},
            {"fingerprint": "2", "state": "firing", "labels": {"alertname": "B"}},
        ]});
        let names = "{% for alert in alerts %}{{ alert.labels.alertname }} {{ alert.status }};{% endfor %}";
        assert_eq!(alert(names, 2, &status), "A resolved;B firing;");
        assert_eq!(alert(names, 1, &status), "A resolved;");
        assert_eq!(alert("{{ alert.labels.alertname }}", 2, &status), "B", "the first that fires");
        assert_eq!(known_alerts(&alert_task(&status)), 2);
        assert_eq!(known_alerts(&alert_task(&json!({}))), 1);
    }

    #[test]
    fn what_is_wrong_is_said_with_its_line() {
        let rows = [
            ("fine\n{{ nothing }}", 2, "undefined"),
            ("{{ task.nothing.more }}", 1, "undefined"),
            ("a\nb\n{% if %}", 3, "syntax"),
            ("{{ alert.labels }}", 1, "undefined"),
            ("{% for i in range(9999) %}{% for j in range(9999) %}{% endfor %}{% endfor %}", 1, "fuel"),
        ];
        for (template, expected, part) in rows {
            let error = maintenance(template).unwrap_err();
            let PromptError::Template { line, cause, .. } = &error else { panic!("{error}") };
            assert_eq!(*line, expected, "{template}: {cause}");
            assert!(cause.contains(part), "{template}: {cause}");
        }
        let too_long =
            maintenance("{% for i in range(5000) %}{{ task.name }} 0123456789{% endfor %}").unwrap_err();
        assert!(too_long.to_string().contains("65536"), "{too_long}");
        let huge = maintenance("{% set x = 'x' * 1000000000 %}{{ x }}").unwrap_err();
        assert!(matches!(huge, PromptError::Template { .. } | PromptError::TooLong(_)), "{huge}");

        let mut settings = settings();
        settings.alert_prompt = "{{ nothing }}".to_owned();
        let error = render(&alert_task(&json!({})), 1, None, &settings).unwrap_err();
        assert!(
            error.to_string().starts_with("prompts.alert of the operator's configuration, line 1"),
            "{error}"
        );
    }
}
