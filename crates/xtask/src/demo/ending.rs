//! What came out: verdict, summary, cost and time, the first part of the report; or why there is none.

use std::time::Duration;

use kube::ResourceExt as _;
use punching_fist_api::{AlertTask, Finding, Phase, Task as _, TaskStatus, Usage, Verdict};
use punching_fist_testkit::progress::minutes;

use super::screen::{Row, Tone};
use super::text;

/// How much of the report is shown, in lines.
const REPORT_LINES: usize = 16;
/// How much of the plan.
const PLAN_LINES: usize = 6;
const INDENT: usize = 2;

/// The verdict, if the task came to one.
pub fn verdict(task: &AlertTask) -> Option<Verdict> {
    let status = task.task_status().filter(|status| status.phase == Some(Phase::Succeeded))?;
    status.result.as_ref()?.verdict
}

/// What came out of `task`, `took` so long after its alert was fired. The prices of a `scripted` model are made up.
pub fn rows(task: &AlertTask, took: Duration, scripted: bool) -> Vec<Row> {
    let status = task.task_status().cloned().unwrap_or_default();
    let finding = status.result.clone().unwrap_or_default();
    let usage = status.usage.as_ref().map(|usage| &usage.total);
    let mut rows = head(&status, &finding);
    rows.push(Row::new(Tone::Plain, 0, ""));
    rows.push(Row::new(Tone::Plain, 0, format!("Cost     {}", cost(usage, scripted))));
    rows.push(Row::new(Tone::Plain, 0, format!("Tokens   {}", tokens(usage))));
    rows.push(Row::new(Tone::Plain, 0, format!("Time     {}", time(&status, took))));
    rows.extend(excerpt("Report", finding.report.as_deref(), REPORT_LINES, task, "report"));
    rows.extend(excerpt("Plan", finding.plan.as_deref(), PLAN_LINES, task, "plan"));
    rows
}

fn head(status: &TaskStatus, finding: &Finding) -> Vec<Row> {
    let summary = |text: &Option<String>| text.as_deref().map(|text| Row::folding(Tone::Plain, INDENT, text));
    let (Some(Phase::Succeeded), Some(verdict)) = (status.phase, finding.verdict) else {
        return failure(status).into_iter().chain(summary(&finding.summary)).collect();
    };
    let confidence = finding.confidence.map(|confidence| format!(", confidence {confidence:?}"));
    let text = format!("Verdict  {verdict:?}{}", confidence.unwrap_or_default());
    [Row::new(Tone::Good, 0, text)].into_iter().chain(summary(&finding.summary)).collect()
}

fn failure(status: &TaskStatus) -> Vec<Row> {
    let reason = status.reason.as_deref().unwrap_or("no reason given");
    let message = status.message.as_deref();
    let error = status.last_error.as_deref().filter(|error| !message.unwrap_or_default().contains(error));
    let said = [message, error].into_iter().flatten();
    let rows = said.map(|text| Row::folding(Tone::Plain, INDENT, text));
    [Row::new(Tone::Bad, 0, format!("No verdict: {reason}"))].into_iter().chain(rows).collect()
}

fn cost(usage: Option<&Usage>, scripted: bool) -> String {
    let note = if scripted { " at the scripted model's made-up prices: nothing was spent" } else { "" };
    let cost = usage.and_then(|usage| usage.cost_usd.as_deref());
    cost.map_or_else(|| "not known (the model has no price)".to_owned(), |cost| format!("${cost}{note}"))
}

fn tokens(usage: Option<&Usage>) -> String {
    let usage = usage.cloned().unwrap_or_default();
    let (input, output) = (grouped(usage.input_tokens), grouped(usage.output_tokens));
    format!("{input} in, {output} out, in {} calls of the model", usage.calls)
}

fn time(status: &TaskStatus, took: Duration) -> String {
    let times = status.start_time.as_ref().zip(status.completion_time.as_ref());
    let seconds = times.and_then(|(start, end)| u64::try_from(end.0.as_second() - start.0.as_second()).ok());
    let took = minutes(took);
    match seconds {
        Some(seconds) => format!(
            "{took} from the alert to the end, {} of it the agent's Job",
            minutes(Duration::from_secs(seconds))
        ),
        None => took,
    }
}

/// The first lines of a long text, and how to read all of it.
fn excerpt(title: &str, text: Option<&str>, most: usize, task: &AlertTask, field: &str) -> Vec<Row> {
    let Some(text) = text.filter(|text| !text.trim().is_empty()) else { return Vec::new() };
    let (lines, left) = text::first_lines(text, most);
    let mut rows = vec![Row::new(Tone::Plain, 0, ""), Row::new(Tone::Strong, 0, title)];
    rows.extend(lines.into_iter().map(|line| Row::folding(Tone::Plain, INDENT, line)));
    if left > 0 {
        let (namespace, name) = (task.namespace().unwrap_or_default(), task.name_any());
        rows.push(Row::new(Tone::Dim, INDENT, format!("… {left} more lines:")));
        let path = format!("jsonpath='{{.status.result.{field}}}'");
        rows.push(Row::command(INDENT, format!("kubectl -n {namespace} get at {name} -o {path}")));
    }
    rows
}

/// `12345` as `12,345`.
fn grouped(number: i64) -> String {
    let digits = number.unsigned_abs().to_string();
    let groups: Vec<&str> =
        digits.as_bytes().rchunks(3).rev().filter_map(|group| std::str::from_utf8(group).ok()).collect();
    groups.join(",")
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn task(status: &Value) -> AlertTask {
        let spec = json!({ "notification": { "alerts": [{}] } });
        let metadata = json!({ "name": "crash", "namespace": "agents" });
        serde_json::from_value(json!({ "metadata": metadata, "spec": spec, "status": status })).unwrap()
    }

    fn texts(status: &Value) -> Vec<String> {
        rows(&task(status), Duration::from_secs(65), false).into_iter().map(|row| row.text).collect()
    }

    #[test]
    fn a_verdict_is_shown_with_what_it_took() {
        let status = json!({
            "phase": "Succeeded",
            "startTime": "2026-01-01T00:00:00Z",
            "completionTime": "2026-01-01T00:00:42Z",
            "usage": { "inputTokens": 1_234_567, "outputTokens": 89, "calls": 7, "costUSD": "0.0123" },
            "result": { "verdict": "Diagnosed", "confidence": "High", "summary": "It is the timeout.", "report": "## Root cause\n\nA word." },
        });
        let expected = [
            "Verdict  Diagnosed, confidence High",
            "It is the timeout.",
            "",
            "Cost     $0.0123",
            "Tokens   1,234,567 in, 89 out, in 7 calls of the model",
            "Time     1m05s from the alert to the end, 42s of it the agent's Job",
            "",
            "Report",
            "## Root cause",
            "",
            "A word.",
        ];
        assert_eq!(texts(&status), expected);
        assert_eq!(verdict(&task(&status)), Some(Verdict::Diagnosed));
    }

    #[test]
    fn a_long_report_is_cut_and_says_where_the_rest_is() {
        let report = "line\n".repeat(REPORT_LINES + 5);
        let status = json!({ "phase": "Succeeded", "result": { "verdict": "Diagnosed", "report": report } });
        let texts = texts(&status);
        let command = "kubectl -n agents get at crash -o jsonpath='{.status.result.report}'";
        assert_eq!(texts[texts.len() - 2..], ["… 5 more lines:", command]);
    }

    #[test]
    fn without_a_verdict_it_says_why_once() {
        let status = |error: &str| {
            let mut status =
                json!({ "phase": "Failed", "reason": "BackoffLimitExceeded", "lastError": error });
            status["message"] = json!("all attempts failed: the key is refused");
            status
        };
        let first = ["No verdict: BackoffLimitExceeded", "all attempts failed: the key is refused"];
        assert_eq!(texts(&status("the key is refused"))[..3], [first[0], first[1], ""]);
        assert_eq!(texts(&status("no route"))[..3], [first[0], first[1], "no route"]);
        assert_eq!(verdict(&task(&status(""))), None);
    }

    #[test]
    fn a_success_without_a_verdict_is_none() {
        let resolved = json!({ "phase": "Succeeded", "reason": "AlertResolved" });
        assert_eq!(verdict(&task(&resolved)), None);
        assert_eq!(texts(&resolved)[0], "No verdict: AlertResolved");
        let early = json!({ "phase": "Running", "result": { "verdict": "Fixed" } });
        assert_eq!(verdict(&task(&early)), None);
    }
}
