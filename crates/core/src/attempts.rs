//! What the attempts of a run came to: which messages are believed, what is summed, what the agent found.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use punching_fist_api::{Attempt, Confidence, Mode, Usage, Verdict};
use punching_fist_protocol::{self as protocol, ExitCode, ShortResult};

use crate::pods::{PodEnd, PodRecord};
use crate::run::ReportSource;
use crate::status::{ShortFinding, whole_seconds};

/// How many attempts a status holds, and sums: `maxRetries` allows eleven, disruptions that the Job ignores add to them.
/// The first are kept: a list that dropped its oldest would take it in again at the next pass, for ever.
const KEPT: usize = 32;

/// Most characters of a summary that a status holds.
const SUMMARY_LIMIT: usize = 4096;

/// A verdict that came from the runner.
#[derive(Clone, Debug, PartialEq)]
pub struct Believed {
    /// What the agent found.
    pub finding: ShortFinding,
    /// Where its report is.
    pub report: Option<ReportSource>,
}

/// The verdict of the newest attempt that came to one, in a run of that mode.
pub fn newest_verdict(pods: &[PodRecord], mode: Mode) -> Option<Believed> {
    ended(pods).rev().find_map(|(pod, end)| believed(pod, &short_result(end)?, mode))
}

/// Whether the newest attempt ended in a way that ends the run: with a verdict, or with what isn't worth another attempt.
/// The Job says so a moment later.
pub fn is_decided(pods: &[PodRecord]) -> bool {
    let newest = ended(pods).next_back();
    let code = newest.and_then(|(_, end)| ExitCode::from_i32(end.exit_code?));
    code.is_some_and(|code| !code.is_retryable())
}

/// The attempts as they were known, and those that have ended since; one entry a pod, oldest first.
pub fn merge(known: &[Attempt], pods: &[PodRecord]) -> Vec<Attempt> {
    let is_known = |pod: &PodRecord| known.iter().any(|attempt| attempt.pod_uid == pod.uid);
    let new = ended(pods).filter(|(pod, _)| !is_known(pod)).map(|(pod, end)| attempt(pod, end));
    known.iter().cloned().chain(new).take(KEPT).collect()
}

/// What the attempts used together; none if nothing is known of any.
pub fn sum(attempts: &[Attempt]) -> Option<Usage> {
    attempts.iter().filter_map(|attempt| attempt.usage.as_ref()).cloned().reduce(|sum, next| Usage {
        input_tokens: sum.input_tokens.saturating_add(next.input_tokens),
        output_tokens: sum.output_tokens.saturating_add(next.output_tokens),
        cache_read_tokens: sum.cache_read_tokens.saturating_add(next.cache_read_tokens),
        cache_write_tokens: sum.cache_write_tokens.saturating_add(next.cache_write_tokens),
        calls: sum.calls.saturating_add(next.calls),
        iterations: sum.iterations.saturating_add(next.iterations),
        cost_usd: crate::money::add(sum.cost_usd.as_deref(), next.cost_usd.as_deref()),
    })
}

/// What the newest attempt that failed died of, for people.
pub fn last_error(pods: &[PodRecord]) -> Option<String> {
    let (pod, end) = ended(pods).rfind(|(_, end)| end.exit_code != Some(0))?;
    let told = short_result(end).map(|result| match result.error {
        Some(error) => format!("{}: {error}", result.reason),
        None => result.reason.to_string(),
    });
    Some(told.unwrap_or_else(|| untold(&pod.name, end)))
}

/// Why the newest attempt ended, in the runner's word.
pub fn last_reason(pods: &[PodRecord]) -> Option<String> {
    let (_, end) = ended(pods).next_back()?;
    Some(short_result(end)?.reason.as_str().to_owned())
}

/// The pods that have ended, oldest first.
fn ended(pods: &[PodRecord]) -> impl DoubleEndedIterator<Item = (&PodRecord, &PodEnd)> {
    let mut ended: Vec<_> = pods.iter().filter_map(|pod| Some((pod, pod.end()?))).collect();
    ended.sort_by_key(|(pod, _)| (pod.created, pod.uid.clone()));
    ended.into_iter()
}

/// A termination message is believed only with an exit code of the runner's that agrees with it.
fn short_result(end: &PodEnd) -> Option<ShortResult> {
    ShortResult::from_message(&end.message, end.exit_code?).ok()
}

/// An end that the runner had no chance to tell: killed for its memory, evicted, never started.
/// What the agent may have written isn't quoted: nobody has redacted it, and it may be a lie.
fn untold(pod: &str, end: &PodEnd) -> String {
    let code = end.exit_code.map(|code| format!(" with exit code {code}")).unwrap_or_default();
    match end.reason.as_str() {
        "OOMKilled" => "OOMKilled: the agent's container took more memory than its limit; raise spec.resources.limits.memory".to_owned(),
        reason if has_run(end) => {
            format!("{reason}: the agent's container ended{code}; kubectl logs {pod} may say why")
        }
        reason if end.message.is_empty() => format!("{reason}: the agent's container ended{code}"),
        reason => format!("{reason}: the agent's container ended{code}: {}", end.message),
    }
}

/// Whether the message may be the container's own. Where it never ran, the node or the kubelet says why.
fn has_run(end: &PodEnd) -> bool {
    end.exit_code.is_some() && matches!(end.reason.as_str(), "Completed" | "Error" | "OOMKilled")
}

fn attempt(pod: &PodRecord, end: &PodEnd) -> Attempt {
    let told = short_result(end);
    Attempt {
        pod_uid: pod.uid.clone(),
        pod: pod.name.clone(),
        exit_code: end.exit_code,
        reason: Some(
            told.as_ref().map_or_else(|| end.reason.clone(), |told| told.reason.as_str().to_owned()),
        ),
        finished_at: end.finished_at.map(|time| Time(whole_seconds(time))),
        usage: told.map(|told| usage(told.usage)),
    }
}

fn usage(usage: protocol::Usage) -> Usage {
    let protocol::Usage {
        input_tokens,
        output_tokens,
        cache_read_tokens,
        cache_write_tokens,
        calls,
        iterations,
        cost_usd,
    } = usage;
    let count = |number: u64| i64::try_from(number).unwrap_or(i64::MAX);
    Usage {
        input_tokens: count(input_tokens),
        output_tokens: count(output_tokens),
        cache_read_tokens: count(cache_read_tokens),
        cache_write_tokens: count(cache_write_tokens),
        calls: count(calls),
        iterations: count(iterations),
        cost_usd,
    }
}

fn believed(pod: &PodRecord, result: &ShortResult, mode: Mode) -> Option<Believed> {
    let claimed = verdict(result.verdict?);
    let (verdict, note) = lowered(claimed, mode, result.acted);
    let report =
        result.long_sha256.clone().map(|sha256| ReportSource { pod: pod.name.clone(), sha256, note });
    Some(Believed {
        finding: ShortFinding {
            verdict: Some(verdict),
            summary: Some(protocol::cut(&result.summary, SUMMARY_LIMIT))
                .filter(|summary| !summary.is_empty()),
            confidence: result.confidence.map(confidence),
        },
        report,
    })
}

/// Who may not change anything, or changed nothing, has fixed nothing: what it claims is lowered, and the report says so.
fn lowered(claimed: Verdict, mode: Mode, acted: bool) -> (Verdict, Option<String>) {
    if !matches!(claimed, Verdict::Fixed | Verdict::Mitigated) {
        return (claimed, None);
    }
    let missing = match (mode, acted) {
        (Mode::Remediate, true) => return (claimed, None),
        (Mode::Remediate, false) => "none of its commands or edits succeeded",
        (Mode::Investigate, true) => "the task's mode is Investigate",
        (Mode::Investigate, false) => {
            "the task's mode is Investigate, and none of its commands or edits succeeded"
        }
    };
    let note = format!("> The agent called this {claimed:?}, but {missing}, so the verdict is Diagnosed.");
    (Verdict::Diagnosed, Some(note))
}

fn verdict(verdict: protocol::Verdict) -> Verdict {
    match verdict {
        protocol::Verdict::Fixed => Verdict::Fixed,
        protocol::Verdict::Mitigated => Verdict::Mitigated,
        protocol::Verdict::Diagnosed => Verdict::Diagnosed,
        protocol::Verdict::NotReproduced => Verdict::NotReproduced,
        protocol::Verdict::NeedsHuman => Verdict::NeedsHuman,
        protocol::Verdict::Inconclusive => Verdict::Inconclusive,
    }
}

fn confidence(confidence: protocol::Confidence) -> Confidence {
    match confidence {
        protocol::Confidence::Low => Confidence::Low,
        protocol::Confidence::Medium => Confidence::Medium,
        protocol::Confidence::High => Confidence::High,
    }
}

#[cfg(test)]
mod tests {
    use punching_fist_api::names;
    use serde_json::{Value, json};

    use super::*;
    use crate::pods::PodState;

    fn pod(uid: &str, created: i64, exit_code: i32, message: &Value) -> PodRecord {
        let end = PodEnd {
            exit_code: Some(exit_code),
            reason: "Error".to_owned(),
            message: if message.is_null() { String::new() } else { message.to_string() },
            finished_at: None,
        };
        PodRecord {
            uid: uid.to_owned(),
            name: format!("pod-{uid}"),
            created: Some(jiff::Timestamp::from_second(created).unwrap()),
            job_uid: Some("j".to_owned()),
            profile: "openhands".to_owned(),
            state: PodState::Ended(end),
        }
    }

    fn told(reason: &str, verdict: Option<&str>) -> Value {
        let usage =
            json!({"inputTokens": 100, "outputTokens": 10, "calls": 2, "iterations": 2, "costUSD": "0.015"});
        json!({"version": 1, "reason": reason, "verdict": verdict, "summary": "what was seen", "error": "boom", "usage": usage, "longSHA256": "abc"})
    }

    #[test]
    fn a_message_is_believed_only_with_its_exit_code() {
        let verdict =
            |code, message: &Value| newest_verdict(&[pod("a", 1, code, message)], Mode::Investigate);
        let found = verdict(0, &told("VerdictReached", Some("Diagnosed"))).unwrap();
        assert_eq!(found.finding.verdict, Some(Verdict::Diagnosed));
        assert_eq!(found.report.unwrap().pod, "pod-a");
        assert!(
            verdict(1, &told("VerdictReached", Some("Diagnosed"))).is_none(),
            "not one of the runner's codes"
        );
        assert!(
            verdict(0, &told("AgentFault", Some("Diagnosed"))).is_none(),
            "code and reason contradict each other"
        );
        assert!(verdict(0, &Value::Null).is_none());
    }

    #[test]
    fn who_may_not_mend_or_did_nothing_has_fixed_nothing() {
        let rows = [
            (Mode::Remediate, true, None),
            (Mode::Remediate, false, Some("none of its commands or edits succeeded")),
            (Mode::Investigate, true, Some("mode is Investigate,")),
            (Mode::Investigate, false, Some("mode is Investigate, and none")),
        ];
        for (mode, acted, missing) in rows {
            for (claim, verdict) in [("Fixed", Verdict::Fixed), ("Mitigated", Verdict::Mitigated)] {
                let mut message = told("VerdictReached", Some(claim));
                message["acted"] = acted.into();
                let found = newest_verdict(&[pod("a", 1, 0, &message)], mode).unwrap();
                let expected = if missing.is_none() { verdict } else { Verdict::Diagnosed };
                assert_eq!(found.finding.verdict, Some(expected), "{mode:?} {acted} {claim}");
                let note = found.report.unwrap().note;
                assert_eq!(note.is_some(), missing.is_some(), "{mode:?} {acted} {claim}");
                let (note, missing) = (note.unwrap_or_default(), missing.unwrap_or_default());
                assert!(note.contains(missing) && (note.is_empty() || note.contains(claim)), "{note}");
            }
            for claim in ["Diagnosed", "NotReproduced", "NeedsHuman", "Inconclusive"] {
                let found =
                    newest_verdict(&[pod("a", 1, 0, &told("VerdictReached", Some(claim)))], mode).unwrap();
                assert_eq!(format!("{:?}", found.finding.verdict.unwrap()), claim);
                assert!(found.report.unwrap().note.is_none());
            }
        }
    }

    #[test]
    fn attempts_are_merged_once_and_summed() {
        let pods = [
            pod("b", 2, 0, &told("VerdictReached", Some("Diagnosed"))),
            pod("a", 1, 10, &told("ProviderFault", None)),
        ];
        let first = merge(&[], &pods[1..]);
        assert_eq!(first.len(), 1);
        let both = merge(&first, &pods);
        let order: Vec<_> = both.iter().map(|attempt| attempt.pod_uid.as_str()).collect();
        assert_eq!(order, ["a", "b"]);
        assert_eq!(merge(&both, &pods), both, "nothing new, nothing changed");
        let sum = sum(&both).unwrap();
        assert_eq!((sum.input_tokens, sum.calls, sum.cost_usd.as_deref()), (200, 4, Some("0.03")));
        assert!(super::sum(&[]).is_none());
    }

    #[test]
    fn more_attempts_than_a_status_holds_change_nothing_any_more() {
        let pods: Vec<_> =
            (0..40_i32).map(|n| pod(&format!("{n:02}"), n.into(), 137, &Value::Null)).collect();
        let full = merge(&[], &pods);
        assert_eq!((full.len(), full[0].pod_uid.as_str()), (KEPT, "00"));
        assert_eq!(merge(&full, &pods), full);
    }

    #[test]
    fn errors_are_the_newest_failure_in_the_best_words() {
        let pods = [pod("a", 1, 10, &told("ProviderFault", None)), pod("b", 2, 137, &Value::Null)];
        assert_eq!(last_error(&pods[..1]).unwrap(), "ProviderFault: boom");
        assert_eq!(
            last_error(&pods).unwrap(),
            "Error: the agent's container ended with exit code 137; kubectl logs pod-b may say why"
        );
        assert!(last_error(&[]).is_none());
        assert_eq!(last_reason(&pods[..1]).unwrap(), "ProviderFault");
        let limit = json!({"version": 1, "reason": "IterationLimit"});
        assert_eq!(last_error(&[pod("a", 1, 12, &limit)]).unwrap(), "IterationLimit");
    }

    /// As the kubelet writes it when the kernel ended the container's first process, with what an agent left to be quoted.
    #[test]
    fn what_isnt_believed_isnt_quoted() {
        let ended = |reason: &str, exit_code: i32| {
            let terminated = json!({"exitCode": exit_code, "reason": reason, "message": "the key is sk-1"});
            let container = json!({"name": names::AGENT_CONTAINER, "image": "i", "imageID": "", "ready": false, "restartCount": 0, "state": {"terminated": terminated}});
            let pod = json!({"metadata": {"name": "p", "uid": "u"}, "status": {"phase": "Failed", "containerStatuses": [container]}});
            PodRecord::of(&serde_json::from_value(pod).unwrap()).unwrap()
        };
        let rows = [
            ("OOMKilled", 137, "OOMKilled: the agent's container took more memory than its limit"),
            ("Error", 137, "Error: the agent's container ended with exit code 137; kubectl logs p"),
            ("Error", 1, "Error: the agent's container ended with exit code 1; kubectl logs p"),
        ];
        for (reason, code, told) in rows {
            let pods = [ended(reason, code)];
            let error = last_error(&pods).unwrap();
            assert!(error.starts_with(told) && !error.contains("sk-1"), "{error}");
            assert_eq!(merge(&[], &pods)[0].reason.as_deref(), Some(reason));
        }
        let never_ran = last_error(&[ended("StartError", 128)]).unwrap();
        assert!(never_ran.ends_with("sk-1"), "the kubelet's own words: {never_ran}");
    }

    #[test]
    fn a_run_is_decided_by_a_verdict_or_by_what_is_not_worth_another_attempt() {
        for (code, expected) in [(0, true), (11, true), (12, true), (10, false), (13, false), (137, false)] {
            let pods = [pod("b", 2, code, &Value::Null), pod("a", 1, 12, &Value::Null)];
            assert_eq!(is_decided(&pods), expected, "{code}");
        }
        assert!(!is_decided(&[]));
    }
}
