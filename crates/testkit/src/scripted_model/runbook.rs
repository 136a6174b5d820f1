//! A model that has nothing in its head but the runbook in its prompt: each command is one that stands there, and what it
//! concludes is what these have shown.

use super::conversation::{Conversation, Outcome};
use super::{Conclusion, Step};

/// Lines of each output that the report quotes.
const QUOTED: usize = 20;

/// The next step: a command of the runbook whose outcome is needed, or the conclusion.
pub(super) fn next(conversation: &Conversation) -> Step {
    follow(conversation).unwrap_or_else(|step| step)
}

/// The way ends early with a step that has to be taken first, or with a conclusion.
type Way<T> = Result<T, Step>;

fn follow(conversation: &Conversation) -> Way<Step> {
    let runbook = conversation.prompt.as_str();
    let survey = between(runbook, "Run `", "`").ok_or_else(no_runbook)?;
    let surveyed = run(conversation, survey)?;
    let Some(victim) = greediest(&surveyed.output) else {
        let summary = format!("The runbook's survey shows nothing evicted: {}", last_line(&surveyed.output));
        return Ok(conclude("NotReproduced", summary, quoted(&[surveyed]), None));
    };
    let Victim { node, namespace, workload } = &victim;
    let mut seen = vec![surveyed];
    for verb in ["logs", "describe"] {
        if runbook.contains(&format!("`kubectl {verb}`")) {
            seen.push(run(
                conversation,
                &format!("kubectl {verb} deployment/{workload} --namespace {namespace}"),
            )?);
        }
    }
    let summary = format!("{namespace}/{workload} fills the disk of node {node}.");
    let plan = runbook
        .contains("`resources.limits.ephemeral-storage`")
        .then(|| format!("kubectl --namespace {namespace} set resources deployment {workload} --limits=ephemeral-storage=1Gi"));
    Ok(conclude("Diagnosed", summary, quoted(&seen), plan))
}

/// What the command gave; it has to be run first if it wasn't.
fn run<'a>(conversation: &'a Conversation, command: &str) -> Way<&'a Outcome> {
    conversation.outcome(command).ok_or_else(|| Step::Shell(command.to_owned()))
}

fn no_runbook() -> Step {
    let summary = "Nobody has told me what to run.".to_owned();
    conclude("Inconclusive", summary, "There is no runbook in the prompt.".to_owned(), None)
}

/// Whose pod was evicted.
#[derive(Debug, PartialEq, Eq)]
struct Victim<'a> {
    node: &'a str,
    namespace: &'a str,
    workload: &'a str,
}

/// Of the survey's lines `evicted from NODE: NAMESPACE/POD: … was using NGi…`, the one with the most; the workload's name is
/// the pod's without the two parts that a Deployment adds.
fn greediest(survey: &str) -> Option<Victim<'_>> {
    let line = survey.lines().filter(|line| line.starts_with("evicted from ")).max_by_key(|line| {
        between(line, "was using ", "Gi").and_then(|amount| amount.parse::<u32>().ok()).unwrap_or_default()
    })?;
    let (node, rest) = line.strip_prefix("evicted from ")?.split_once(": ")?;
    let (namespace, rest) = rest.split_once('/')?;
    let pod = rest.split(':').next()?;
    let workload = pod.rsplitn(3, '-').nth(2)?;
    Some(Victim { node, namespace, workload })
}

fn between<'a>(text: &'a str, begin: &str, end: &str) -> Option<&'a str> {
    let (_, rest) = text.split_once(begin)?;
    Some(rest.split_once(end)?.0)
}

fn last_line(text: &str) -> &str {
    text.lines().last().unwrap_or_default()
}

fn quoted(outcomes: &[&Outcome]) -> String {
    let quote = |outcome: &&Outcome| {
        let lines: Vec<&str> = outcome.output.lines().take(QUOTED).collect();
        format!("`{}` shows:\n\n```text\n{}\n```", outcome.command, lines.join("\n"))
    };
    outcomes.iter().map(quote).collect::<Vec<_>>().join("\n\n")
}

fn conclude(verdict: &'static str, summary: String, report: String, plan: Option<String>) -> Step {
    Step::Finish(Conclusion { verdict, confidence: "High", summary, report, plan })
}

#[cfg(test)]
mod tests {
    use super::*;

    const RUNBOOK: &str =
        "1. Run `/skills/survey.py`.\n2. `kubectl logs` tells.\n4. `resources.limits.ephemeral-storage`";
    const SURVEY: &str = "evicted from n1: shop/small-5d-a1: Container was using 2Gi.\n\
                          evicted from n2: shop/log-writer-6c9-x2: Container log-writer was using 21Gi, request is 0.\n\
                          1 of 2 nodes under disk pressure";

    fn conversation(prompt: &str, outcomes: &[(&str, &str)]) -> Conversation {
        let outcome = |(command, output): &(&str, &str)| Outcome {
            command: (*command).to_owned(),
            output: (*output).to_owned(),
            exit_code: Some(0),
        };
        Conversation {
            prompt: prompt.to_owned(),
            outcomes: outcomes.iter().map(outcome).collect(),
            ..Conversation::default()
        }
    }

    #[test]
    fn every_step_stands_in_the_runbook_or_in_what_it_showed() {
        let logs = "kubectl logs deployment/log-writer --namespace shop";
        let shell = |command: &str| Step::Shell(command.to_owned());
        assert_eq!(next(&conversation(RUNBOOK, &[])), shell("/skills/survey.py"));
        let surveyed = [("/skills/survey.py", SURVEY)];
        assert_eq!(next(&conversation(RUNBOOK, &surveyed)), shell(logs));
        let Step::Finish(found) = next(&conversation(RUNBOOK, &[surveyed[0], (logs, "grows")])) else {
            panic!("no end");
        };
        assert_eq!(
            (found.verdict, found.summary.as_str()),
            ("Diagnosed", "shop/log-writer fills the disk of node n2.")
        );
        assert!(found.report.contains("using 21Gi") && found.report.contains("grows"), "{}", found.report);
        assert!(found.plan.is_some());
    }

    #[test]
    fn without_a_runbook_nothing_is_run() {
        let verdict = |step| match step {
            Step::Finish(conclusion) => conclusion.verdict,
            other => panic!("{other:?}"),
        };
        assert_eq!(verdict(next(&conversation("Is a disk full?", &[]))), "Inconclusive");
        let calm = [("/skills/survey.py", "0 of 2 nodes under disk pressure")];
        assert_eq!(verdict(next(&conversation(RUNBOOK, &calm))), "NotReproduced");
    }
}
