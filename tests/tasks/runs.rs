//! Runs that end by themselves: with a verdict, after a retry, and without a verdict.

use k8s_openapi::api::batch::v1::Job;
use punching_fist_api::{MaintenanceTask, MaintenanceTaskStatus, Phase, TaskStatus, Verdict};
use punching_fist_e2e::Failure;
use serde_json::{Value, json};

use crate::STAGE;

const USED: &str = r#"{"inputTokens":1000,"outputTokens":100,"cacheReadTokens":10,"cacheWriteTokens":0,"calls":3,"iterations":2,"costUSD":"0.0125"}"#;

fn status(task: MaintenanceTask) -> Result<TaskStatus, Failure> {
    let MaintenanceTaskStatus { task } = task.status.ok_or("no status")?;
    Ok(task)
}

/// Types and statuses of the conditions, in the order of their names.
fn conditions(status: &TaskStatus) -> Vec<String> {
    let mut all: Vec<String> =
        status.conditions.iter().map(|c| format!("{}={}", c.type_, c.status)).collect();
    all.sort();
    all
}

/// What the agent of [`what_the_agent_found_stands_in_the_status`] concludes with.
fn assert_found(status: &TaskStatus) {
    assert_eq!((status.phase, status.reason.as_deref()), (Some(Phase::Succeeded), Some("VerdictReached")));
    assert_eq!(status.message.as_deref(), Some("The answer is 41."));
    let found = status.result.as_ref().expect("a result");
    assert_eq!(
        (found.verdict, found.summary.as_deref()),
        (Some(Verdict::Diagnosed), Some("The answer is 41."))
    );
    assert_eq!(found.report.as_deref(), Some("# Root cause\nIt is 41."));
    assert_eq!(found.plan.as_deref(), Some("kubectl scale deploy/x --replicas=1"));
}

#[test]
fn what_the_agent_found_stands_in_the_status() {
    STAGE.play("verdict", async |space| {
        let script = format!(
            "!say I look\n!run kubectl get configmap kube-root-ca.crt -o name\n!usage {USED}\n\
             !report # Root cause\\nIt is 41.\n!plan kubectl scale deploy/x --replicas=1\n\
             !verdict Diagnosed The answer is 41."
        );
        let task: MaintenanceTask = space.task("mt", &script).await?;
        let uid = task.metadata.uid.clone().ok_or("no uid")?;
        let ended = space.end::<MaintenanceTask>("mt").await?;
        let generation = ended.metadata.generation;
        let status = status(ended)?;
        assert_found(&status);
        assert_eq!(Some(status.observed_generation), generation);
        assert_eq!(serde_json::to_value(&status.usage)?, serde_json::from_str::<Value>(USED)?);
        assert_eq!(status.attempts.len(), 1);
        assert_eq!((status.attempts[0].exit_code, status.retry_count), (Some(0), 0));
        assert_eq!(
            conditions(&status),
            ["Complete=True", "Finished=True", "Ready=True", "Reconciling=False", "Stalled=False"]
        );
        assert!(status.start_time <= status.completion_time && status.start_time.is_some());
        let job = status.job.ok_or("no job")?;
        assert_eq!(job.name, format!("openhands-task-{uid}"));
        // The TTL comes when all of this is written down.
        let kept =
            |job: &Job| job.spec.as_ref().and_then(|spec| spec.ttl_seconds_after_finished) == Some(3600);
        let made = space.until(&job.name, "a TTL on the Job", kept).await?;
        assert_eq!(made.metadata.uid, job.uid);
        Ok(())
    });
}

#[test]
fn who_could_only_read_has_fixed_nothing() {
    STAGE.play("fixed-nothing", async |space| {
        space.task::<MaintenanceTask>("mt", "!run true\n!report All well.\n!verdict Fixed I did it.").await?;
        let found = status(space.end("mt").await?)?.result.ok_or("no result")?;
        assert_eq!(found.verdict, Some(Verdict::Diagnosed));
        let report = found.report.ok_or("no report")?;
        assert!(report.contains("called this Fixed") && report.ends_with("All well."), "{report}");
        Ok(())
    });
}

#[test]
fn an_attempt_that_failed_is_made_again() {
    STAGE.play("retry", async |space| {
        let script = format!(
            "!usage {USED}\n!attempt 1 fail ProviderFault the model is away\n!await go\n!verdict NeedsHuman Second try."
        );
        space.task::<MaintenanceTask>("mt", &script).await?;
        let retrying = status(space.phase("mt", Phase::Retrying).await?)?;
        assert_eq!((retrying.retry_count, retrying.reason.as_deref()), (1, Some("Retrying")));
        assert_eq!(retrying.last_error.as_deref(), Some("ProviderFault: the model is away"));
        assert!(retrying.message.is_some_and(|message| message.starts_with("attempt 2 of 4")));
        assert_eq!(retrying.attempts.len(), 1, "the first is mirrored when it has ended");
        space.signal("go").await?;
        let ended = status(space.end("mt").await?)?;
        assert_eq!((ended.phase, ended.retry_count), (Some(Phase::Succeeded), 1));
        let ends: Vec<_> = ended.attempts.iter().map(|attempt| attempt.exit_code).collect();
        assert_eq!(ends, [Some(10), Some(0)]);
        let usage = ended.usage.ok_or("no usage")?.total;
        assert_eq!((usage.input_tokens, usage.calls, usage.cost_usd.as_deref()), (2000, 6, Some("0.025")));
        Ok(())
    });
}

#[test]
fn it_fails_when_no_attempt_is_left() {
    STAGE.play("no-attempt-left", async |space| {
        let spec = json!({ "prompt": "!fail ProviderFault the model is away", "maxRetries": 1 });
        space.task_with::<MaintenanceTask>("mt", spec).await?;
        let ended = status(space.end("mt").await?)?;
        assert_eq!(
            (ended.phase, ended.reason.as_deref()),
            (Some(Phase::Failed), Some("BackoffLimitExceeded"))
        );
        assert_eq!((ended.retry_count, ended.attempts.len()), (1, 2));
        assert_eq!(ended.last_error.as_deref(), Some("ProviderFault: the model is away"));
        assert_eq!(ended.message.as_deref(), Some("ProviderFault: the model is away"));
        assert_eq!(
            conditions(&ended),
            ["Failed=True", "Finished=True", "Ready=False", "Reconciling=False", "Stalled=True"]
        );
        assert!(ended.result.is_none() && ended.completion_time.is_some());
        Ok(())
    });
}

/// Why a run failed that isn't worth another attempt.
struct Failed {
    name: &'static str,
    reason: &'static str,
    message: &'static str,
    /// The runner's.
    exit_code: i32,
}

impl Failed {
    fn assert(&self, ended: TaskStatus) {
        let name = self.name;
        assert_eq!(
            (ended.phase, ended.reason.as_deref()),
            (Some(Phase::Failed), Some(self.reason)),
            "{name}"
        );
        let said = ended.message.unwrap_or_default();
        assert!(said.contains(self.message), "{name}: {said}");
        let ends: Vec<_> = ended.attempts.iter().map(|attempt| attempt.exit_code).collect();
        assert_eq!((ends, ended.retry_count), (vec![Some(self.exit_code)], 0), "{name}");
    }
}

#[test]
fn what_would_fail_again_is_not_tried_again() {
    STAGE.play("not-again", async |space| {
        let failed = |name, reason, message, exit_code| Failed { name, reason, message, exit_code };
        let table = [
            (
                json!({ "prompt": "!sleep 600", "timeoutSeconds": 2 }),
                failed("time", "TimeLimit", "not done after 2 s", 12),
            ),
            (
                json!({ "prompt": "!usage {\"iterations\":4}\n!sleep 600", "agent": { "maxIterations": 3 } }),
                failed("steps", "IterationLimit", "more than 3 steps", 12),
            ),
            (
                json!({ "prompt": "!fail CredentialsRefused 401 from the provider" }),
                failed("key", "CredentialsRefused", "401 from the provider", 11),
            ),
            (
                json!({ "prompt": "!say never", "agent": { "image": "busybox" } }),
                failed("program", "EngineMissing", "punching-fist-agent", 11),
            ),
        ];
        for (spec, failed) in &table {
            space.task_with::<MaintenanceTask>(failed.name, spec.clone()).await?;
        }
        for (_, failed) in table {
            failed.assert(status(space.end(failed.name).await?)?);
        }
        Ok(())
    });
}

#[test]
fn an_end_without_a_verdict_is_none() {
    STAGE.play("no-verdict", async |space| {
        let finish = r#"!print {"kind":"finish","verdict":"Diagnosed","summary":"s"}"#;
        let finished = r#"!print {"kind":"state","state":"finished"}"#;
        let table = [
            ("silent", "!exit 0".to_owned(), "NoVerdict"),
            ("unknown", finish.replace("Diagnosed", "Great") + "\n!exit 0", "AgentFault"),
            ("crashed", format!("{finish}\n{finished}\n!exit 3"), "AgentFault"),
            ("unfinished", format!("{finish}\n!exit 0"), "NoVerdict"),
            ("killed", "!become kill -9 $$".to_owned(), "AgentFault"),
        ];
        for (name, script, _) in &table {
            space.task_with::<MaintenanceTask>(name, json!({ "prompt": script, "maxRetries": 0 })).await?;
        }
        for (name, _, reason) in table {
            let ended = status(space.end(name).await?)?;
            let own = ended.attempts.first().and_then(|attempt| attempt.reason.as_deref());
            assert_eq!((own, ended.phase), (Some(reason), Some(Phase::Failed)), "{name}");
            assert!(ended.result.is_none(), "{name}");
        }
        Ok(())
    });
}
