//! The prompt of a run: a template of the user's or the operator's, rendered with what is known of the task.

use minijinja::{
    Environment, Error as TemplateError, UndefinedBehavior,
    value::{Serde, Value},
};
use punching_fist_api::{Alert, AlertState, AlertTask, Finding, Task};
use serde::Serialize;
use thiserror::Error;

use crate::profile::Settings;

/// Most bytes that a rendered prompt may have.
pub const LIMIT: usize = 64 * 1024;

/// Work that a template may do: a loop over every alert with all its labels needs a few hundred thousand.
const FUEL: u64 = 2_000_000;

/// A prompt that can't be made.
#[derive(Debug, Error, PartialEq)]
pub enum PromptError {
    /// The template has an error, or names something that isn't there.
    #[error("spec.prompt, line {line}: {cause}; correct the template")]
    Template {
        /// Line of the template, from 1; 0 if the template engine knows none.
        line: usize,
        /// What is wrong.
        cause: String,
    },
    /// The result is too long.
    #[error("spec.prompt renders to {0} bytes, and at most {LIMIT} are possible; shorten the template")]
    TooLong(usize),
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
    let joined = task.status.as_ref().map_or(0, |status| status.alerts.len());
    joined.max(task.spec.notification.alerts.len())
}

/// Renders the prompt of `task`. `prompted` is how many of an AlertTask's alerts it knows (`status.promptedAlerts`).
pub fn render<K: Task>(
    task: &K,
    prompted: usize,
    previous: Option<&PreviousRun>,
    settings: &Settings,
) -> Result<String, PromptError> {
    let own = task.task_spec().prompt.as_deref();
    let template = own.unwrap_or(&settings.alert_prompt);
    let alerts = task.as_alert().map(|task| alerts(task, prompted)).unwrap_or_default();
    let scope = Scope {
        task: Named {
            name: task.meta().name.as_deref().unwrap_or_default(),
            namespace: task.meta().namespace.as_deref().unwrap_or_default(),
        },
        alert: task.as_alert().and_then(|task| alert_scope(task, &alerts)),
        previous: previous.map(|run| Previous {
            name: &run.name,
            verdict: run.result.as_ref().and_then(|result| result.verdict),
            summary: run.result.as_ref().and_then(|result| result.summary.as_deref()),
        }),
    };
    let rendered = render_template(template, Value::from(Serde(&scope)))?;
    if rendered.len() > LIMIT { Err(PromptError::TooLong(rendered.len())) } else { Ok(rendered) }
}

/// The alerts of the spec, then those that joined in time, with what is known of each by now.
fn alerts(task: &AlertTask, prompted: usize) -> Vec<Alert> {
    let mut alerts = task.spec.notification.alerts.clone();
    let records = task.status.as_ref().map(|status| status.alerts.as_slice()).unwrap_or_default();
    for (index, record) in records.iter().enumerate().take(prompted) {
        match alerts.get_mut(index) {
            Some(alert) => alert.status = record.state,
            None => alerts.push(Alert {
                status: record.state,
                labels: record.labels.clone(),
                annotations: record.annotations.clone(),
                fingerprint: record.fingerprint.clone(),
                starts_at: record.starts_at.clone(),
                ends_at: None,
                generator_url: None,
            }),
        }
    }
    alerts
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

fn render_template(template: &str, scope: Value) -> Result<String, PromptError> {
    let mut environment = Environment::new();
    environment.set_undefined_behavior(UndefinedBehavior::Strict);
    environment.set_auto_escape_callback(|_| minijinja::AutoEscape::None);
    environment.set_fuel(Some(FUEL));
    environment.add_template("prompt", template).map_err(|error| invalid(&error))?;
    let template = environment.get_template("prompt").map_err(|error| invalid(&error))?;
    template.render(scope).map_err(|error| invalid(&error))
}

fn invalid(error: &TemplateError) -> PromptError {
    let kind = error.kind().to_string();
    let cause = error.detail().map_or_else(|| kind.clone(), |detail| format!("{kind}: {detail}"));
    PromptError::Template { line: error.line().unwrap_or(0), cause }
}
