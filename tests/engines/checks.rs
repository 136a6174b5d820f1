//! What holds of every run, besides what the table says of it.

use std::cmp::Ordering;

use punching_fist_api::{TaskStatus, Verdict};
use punching_fist_e2e::{Outcome, Space};
use punching_fist_protocol::compare_decimals;
use punching_fist_testkit::operator::MODEL_KEY;
use punching_fist_testkit::scripted_model::scripts;

use crate::runs::{Run, steps};

pub async fn check(space: &Space, run: &Run, status: &TaskStatus) -> Outcome {
    the_finding_is_the_agents(status)?;
    the_last_error_says_more_than_its_reason(status)?;
    the_key_stays_away(space, run, status)?;
    match run.case.name {
        "ok" => both_meters_agree(status),
        "key-leak" => it_has_looked(space, run).await,
        _ => Ok(()),
    }
}

/// The gateway has counted what the model told of its two answers, and so has the engine, by itself.
fn both_meters_agree(status: &TaskStatus) -> Outcome {
    let gateway = status.usage.as_ref().map(|usage| &usage.total);
    let engine = status.attempts.first().and_then(|attempt| attempt.usage.as_ref());
    for usage in [gateway, engine] {
        let usage = usage.ok_or("there is no usage")?;
        let counts = [usage.calls, usage.iterations, usage.input_tokens, usage.output_tokens];
        let cost = usage.cost_usd.as_deref().unwrap_or_default();
        let is_right = counts == [2, 2, 2_000, 100] && usage.cache_read_tokens == 400;
        if !is_right || compare_decimals(cost, "0.0024") != Ordering::Equal {
            return Err(format!("the gateway or the engine miscounts: {gateway:?}, {engine:?}").into());
        }
    }
    Ok(())
}

/// A verdict of the script's has the script's words, whatever else was written anywhere.
fn the_finding_is_the_agents(status: &TaskStatus) -> Outcome {
    let Some(found) = &status.result else { return Ok(()) };
    let conclusion = scripts::conclusion();
    let is_same = found.verdict != Some(Verdict::Diagnosed)
        || (found.summary.as_deref() == Some(conclusion.summary.as_str())
            && found.report.as_deref() == Some(conclusion.report.as_str())
            && found.plan == conclusion.plan);
    if is_same { Ok(()) } else { Err(format!("another finding: {found:?}").into()) }
}

fn the_last_error_says_more_than_its_reason(status: &TaskStatus) -> Outcome {
    let failed = status.attempts.iter().rfind(|attempt| attempt.exit_code != Some(0));
    let Some(reason) = failed.and_then(|attempt| attempt.reason.as_deref()) else { return Ok(()) };
    let said = status.last_error.as_deref().unwrap_or_default();
    let rest = said.strip_prefix(reason).and_then(|rest| rest.strip_prefix(": "));
    match rest.filter(|rest| !rest.trim().is_empty()) {
        Some(_) => Ok(()),
        None => Err(format!("lastError says nothing of {reason}: {said:?}").into()),
    }
}

/// The model got it with every call, from the gateway alone; nobody else has seen it.
fn the_key_stays_away(space: &Space, run: &Run, status: &TaskStatus) -> Outcome {
    let expected = format!("Bearer {MODEL_KEY}");
    for request in run.model(space).requests() {
        if request.authorization.as_deref() != Some(&expected) {
            return Err(format!("the model got {:?} as its key", request.authorization).into());
        }
        if request.body.to_string().contains(MODEL_KEY) {
            return Err(format!("the agent told the model its key: {}", request.body).into());
        }
    }
    if serde_json::to_string(status)?.contains(MODEL_KEY) {
        return Err("the key stands in the status".into());
    }
    Ok(())
}

/// What it printed was its environment, and the key is not in its log.
async fn it_has_looked(space: &Space, run: &Run) -> Outcome {
    let asked = steps(run.model(space));
    let last = asked.last().ok_or("it asked nothing")?.body.to_string();
    if !last.contains("LLM_MODEL") {
        return Err(format!("it has not seen its environment: {last}").into());
    }
    let name = space.kubectl(&["get", "mt", &run.profile, "--output=jsonpath={.status.job.name}"]).await?;
    let log = space.kubectl(&["logs", &format!("job/{name}"), "--all-containers"]).await?;
    if log.contains(MODEL_KEY) || !log.contains("LLM_MODEL") {
        return Err(format!("the log has the key, or nothing of what it saw:\n{log}").into());
    }
    Ok(())
}
