//! The script of an investigation: from the prompt to the broken pod, its last words, and the setting behind them. Each
//! step follows from what the commands before it returned, and so does the conclusion: nothing is known in advance.

use super::conversation::{Conversation, Outcome};
use super::evidence::{self, PodLine};
use super::prompt::Subject;
use super::{Conclusion, Step};

/// Lines of each output that the report quotes.
const QUOTED: usize = 20;
/// ConfigMaps that are looked at, at most.
const CONFIG_MAPS: usize = 3;

/// The next step: a command whose outcome is needed, or the conclusion.
pub(super) fn next(conversation: &Conversation) -> Step {
    let investigation = Investigation { conversation, subject: Subject::of(&conversation.prompt) };
    investigation.conclude().unwrap_or_else(|step| step)
}

struct Investigation<'a> {
    conversation: &'a Conversation,
    subject: Subject,
}

/// The way ends early with a step that has to be taken first, or with a conclusion.
type Way<T> = Result<T, Step>;

impl Investigation<'_> {
    fn conclude(&self) -> Way<Step> {
        let pods = evidence::pods(&self.run(&self.listing())?.output);
        let pod = self.suspect(&pods)?;
        let namespace = pod.namespace.as_ref().or(self.subject.namespace.as_ref());
        let place = namespace.map(|name| format!(" -n {name}")).unwrap_or_default();
        let description = &self.run(&format!("kubectl describe pod {}{place}", pod.name))?.output;
        if pod.restarts == 0 {
            return Ok(self.never_started(pod, description));
        }
        let log = self.log(&pod.name, &place)?;
        let Some(complaint) = evidence::last_words(&log) else {
            return Ok(self.silent(pod));
        };
        let maps = evidence::config_maps(description);
        for map in maps.iter().take(CONFIG_MAPS) {
            let yaml = &self.run(&format!("kubectl get configmap {map}{place} -o yaml"))?.output;
            if let Some((key, value)) = evidence::blamed_setting(yaml, complaint) {
                let setting = Setting { map, key, value, place: &place };
                return Ok(self.setting(pod, complaint, &setting, evidence::deployment(description)));
            }
        }
        Ok(self.program(pod, complaint))
    }

    fn listing(&self) -> String {
        let place = self.subject.namespace.as_ref().map_or(" -A".to_owned(), |name| format!(" -n {name}"));
        format!("kubectl get pods{place}")
    }

    /// The broken pod of the workload, the one that was started most often first.
    fn suspect<'p>(&self, pods: &'p [PodLine]) -> Way<&'p PodLine> {
        let workload = self.subject.workload.as_deref().unwrap_or_default();
        let meant: Vec<&PodLine> = pods.iter().filter(|pod| pod.name.starts_with(workload)).collect();
        if meant.is_empty() && !workload.is_empty() {
            return Err(self.finish("Inconclusive", "Medium", format!("There is no pod of {workload} any more: whatever was alerted on is gone, and so is the evidence."), None));
        }
        if meant.is_empty() {
            return Err(self.finish("Inconclusive", "Low", "There is no pod to look at.".to_owned(), None));
        }
        let broken = meant.iter().filter(|pod| pod.is_broken());
        let worst = broken.max_by_key(|pod| pod.restarts).copied();
        let count = meant.len();
        worst.ok_or_else(|| self.finish("NotReproduced", "High", format!("All {count} pods that the task is about are healthy now, and none of them has been restarted."), None))
    }

    /// What the container said before it died; where that isn't kept, what it says now.
    fn log(&self, pod: &str, place: &str) -> Way<String> {
        let previous = self.try_run(&format!("kubectl logs {pod}{place} --previous --tail=20"))?;
        if previous.exit_code == Some(0) {
            return Ok(previous.output.clone());
        }
        Ok(self.run(&format!("kubectl logs {pod}{place} --tail=20"))?.output.clone())
    }

    fn never_started(&self, pod: &PodLine, description: &str) -> Step {
        let Some(warning) = evidence::last_warning(description) else { return self.silent(pod) };
        let summary = format!(
            "Pod {} does not get to run (status {}). Its last warning: {warning}",
            pod.name, pod.status
        );
        self.finish("Diagnosed", "Medium", summary, None)
    }

    fn silent(&self, pod: &PodLine) -> Step {
        let summary = format!(
            "Pod {} is {} with {} restarts, and neither its log nor its Events say why.",
            pod.name, pod.status, pod.restarts
        );
        self.finish("Inconclusive", "Low", summary, None)
    }

    fn program(&self, pod: &PodLine, complaint: &str) -> Step {
        let summary = format!(
            "Pod {} has been restarted {} times: its program ends by itself and says: {complaint}. No ConfigMap of the pod names that setting.",
            pod.name, pod.restarts
        );
        self.finish("Diagnosed", "Medium", summary, None)
    }

    fn setting(&self, pod: &PodLine, complaint: &str, setting: &Setting, deployment: Option<String>) -> Step {
        let Setting { map, key, value, .. } = setting;
        let summary = format!(
            "Pod {} has been restarted {} times, because ConfigMap {map} sets {key} to \"{value}\", which the program refuses: {complaint}",
            pod.name, pod.restarts
        );
        self.finish("Diagnosed", "High", summary, Some(setting.plan(deployment)))
    }

    /// What the command gave, if it was run and worked; else what comes next.
    fn run(&self, command: &str) -> Way<&Outcome> {
        let outcome = self.try_run(command)?;
        if outcome.exit_code == Some(0) { Ok(outcome) } else { Err(self.stopped(outcome)) }
    }

    /// What the command gave, if it was run.
    fn try_run(&self, command: &str) -> Way<&Outcome> {
        self.conversation.outcome(command).ok_or_else(|| Step::Shell(command.to_owned()))
    }

    fn stopped(&self, outcome: &Outcome) -> Step {
        let said = outcome.output.lines().last().unwrap_or("nothing");
        if outcome.output.contains("Forbidden") || outcome.output.contains("forbidden") {
            let summary = format!("The agent may not look: `{}` was answered with: {said}", outcome.command);
            return self.finish("NeedsHuman", "High", summary, None);
        }
        let code = outcome.exit_code.map_or("no exit code".to_owned(), |code| format!("exit code {code}"));
        let summary = format!("`{}` failed with {code} and said: {said}", outcome.command);
        self.finish("Inconclusive", "Low", summary, None)
    }

    fn finish(
        &self,
        verdict: &'static str,
        confidence: &'static str,
        summary: String,
        plan: Option<String>,
    ) -> Step {
        let report = format!("## Root cause\n\n{summary}\n\n## Evidence\n{}", self.evidence());
        Step::Finish(Conclusion { verdict, confidence, summary, report, plan })
    }

    /// Every command and what it showed.
    fn evidence(&self) -> String {
        let quote = |outcome: &Outcome| {
            let description = outcome.command.starts_with("kubectl describe");
            let highlights =
                if description { evidence::highlights(&outcome.output) } else { outcome.output.clone() };
            let lines: Vec<&str> = highlights.lines().take(QUOTED).collect();
            format!(
                "\n`{}` showed:\n\n```\n{}\n```\n",
                outcome.command,
                lines.join("\n").replace("```", "'''")
            )
        };
        self.conversation.outcomes.iter().map(quote).collect()
    }
}

/// A setting that a program refuses.
struct Setting<'a> {
    map: &'a str,
    key: String,
    value: String,
    place: &'a str,
}

impl Setting<'_> {
    fn plan(&self, deployment: Option<String>) -> String {
        let Self { map, key, value, place } = self;
        let number: String = value.chars().take_while(char::is_ascii_digit).collect();
        let change = if number.is_empty() {
            format!("kubectl edit configmap {map}{place}  # set {key} to a value that the program takes")
        } else {
            let patch = serde_json::json!({ "data": { key: number } });
            format!("kubectl patch configmap {map}{place} --type merge -p '{patch}'")
        };
        let restart = deployment.map(|name| format!("\nkubectl rollout restart deployment {name}{place}"));
        format!(
            "```sh\n{change}{}\n```\nRisk: the pods of the workload are replaced once.",
            restart.unwrap_or_default()
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PODS: &str = "NAME             READY   STATUS             RESTARTS      AGE\n\
                        cart-1           1/1     Running            0             1h\n\
                        checkout-7d9f-x  0/1     CrashLoopBackOff   5 (10s ago)   9m";
    const DESCRIPTION: &str = "Controlled By:  ReplicaSet/checkout-7d9f\n\
        \x20   Last State:     Terminated\n      Exit Code:    1\n\
        \x20   Environment Variables from:\n      checkout-config  ConfigMap  Optional: false";
    const LOG: &str = "INFO starting\nFATAL invalid configuration: PAYMENT_TIMEOUT=\"30 seconds\" is not a whole number of seconds";
    const CONFIG: &str = "apiVersion: v1\ndata:\n  PAYMENT_TIMEOUT: 30 seconds\nkind: ConfigMap";

    /// What commands answer: a part of each, its exit code, its output.
    type Answers<'a> = &'a [(&'a str, i32, &'a str)];

    /// Plays it to its end against these answers; a command that has none fails.
    fn play(prompt: &str, answers: Answers) -> (Vec<String>, Conclusion) {
        let mut conversation = Conversation { prompt: prompt.to_owned(), ..Conversation::default() };
        for _ in 0..20 {
            let command = match next(&conversation) {
                Step::Shell(command) => command,
                Step::Finish(conclusion) => {
                    let commands = conversation.outcomes.into_iter().map(|outcome| outcome.command).collect();
                    return (commands, conclusion);
                }
                other => panic!("{other:?}"),
            };
            let known = answers.iter().find(|(part, ..)| command.contains(part));
            let (_, code, output) = known.unwrap_or(&("", 1, "Error from server (NotFound)"));
            conversation.outcomes.push(Outcome {
                command,
                output: (*output).to_owned(),
                exit_code: Some(*code),
            });
        }
        panic!("it comes to no end")
    }

    #[test]
    fn the_broken_setting_is_found_from_what_the_commands_show() {
        let prompt = r#"{"commonLabels":{"namespace":"shop","deployment":"checkout"}}"#;
        let answers = [
            ("get pods", 0, PODS),
            ("describe", 0, DESCRIPTION),
            ("--previous", 0, LOG),
            ("configmap", 0, CONFIG),
        ];
        let (commands, conclusion) = play(prompt, &answers);
        assert_eq!(
            commands,
            [
                "kubectl get pods -n shop",
                "kubectl describe pod checkout-7d9f-x -n shop",
                "kubectl logs checkout-7d9f-x -n shop --previous --tail=20",
                "kubectl get configmap checkout-config -n shop -o yaml",
            ]
        );
        assert_eq!((conclusion.verdict, conclusion.confidence), ("Diagnosed", "High"));
        for text in ["checkout-config", "PAYMENT_TIMEOUT", "30 seconds", "restarted 5 times"] {
            assert!(conclusion.summary.contains(text), "{text}: {}", conclusion.summary);
        }
        assert!(
            conclusion.report.contains("FATAL invalid configuration")
                && conclusion.report.contains("Exit Code:    1")
        );
        let plan = conclusion.plan.expect("a plan");
        assert!(plan.contains(r#"-p '{"data":{"PAYMENT_TIMEOUT":"30"}}'"#), "{plan}");
        assert!(plan.contains("rollout restart deployment checkout -n shop"), "{plan}");
    }

    fn assert_concludes(answers: Answers, verdict: &str, said: &str) {
        let (_, conclusion) = play("namespace: shop, deployment: checkout", answers);
        assert_eq!(conclusion.verdict, verdict, "{answers:?}");
        assert!(conclusion.summary.contains(said), "{said}: {}", conclusion.summary);
    }

    const FORBIDDEN: &str =
        "Error from server (Forbidden): pods is forbidden: User \"x\" cannot list resource";

    #[test]
    fn the_verdict_follows_what_is_seen_of_the_pods() {
        let well = "NAME    READY   STATUS    RESTARTS   AGE\ncheckout-1   1/1     Running   0          1h";
        let none = "No resources found in shop namespace.";
        for (code, output, verdict, said) in [
            (0, well, "NotReproduced", "healthy"),
            (0, none, "Inconclusive", "no pod of checkout"),
            (1, FORBIDDEN, "NeedsHuman", "cannot list resource"),
            (1, "The connection was refused", "Inconclusive", "connection was refused"),
        ] {
            assert_concludes(&[("get pods", code, output)], verdict, said);
        }
    }

    #[test]
    fn the_verdict_follows_what_is_seen_of_a_broken_pod() {
        let pull =
            "NAME    READY   STATUS    RESTARTS   AGE\ncheckout-1   0/1     ImagePullBackOff   0          1h";
        let warning = "Events:\n  Warning  Failed  9s  kubelet  Failed to pull image \"checkout:9\"";
        let (pods, described, log) = (("get pods", 0, PODS), ("describe", 0, DESCRIPTION), ("logs", 0, LOG));
        let table: [(Answers, &str, &str); 4] = [
            (&[("get pods", 0, pull), ("describe", 0, warning)], "Diagnosed", "Failed to pull image"),
            (&[pods, described], "Inconclusive", "NotFound"),
            (&[pods, described, log, ("configmap", 1, FORBIDDEN)], "NeedsHuman", "configmap"),
            (
                &[pods, ("describe", 0, "Name: x"), ("logs", 0, "panic: out of luck")],
                "Diagnosed",
                "out of luck",
            ),
        ];
        for (answers, verdict, said) in table {
            assert_concludes(answers, verdict, said);
        }
    }

    #[test]
    fn without_a_namespace_all_are_looked_at() {
        let table = "NAMESPACE  NAME  READY  STATUS  RESTARTS  AGE\nshop  x-1  0/1  Error  1  1h";
        let (commands, _) = play("Is everything well?", &[("get pods -A", 0, table), ("describe", 0, "")]);
        assert_eq!(commands[..2], ["kubectl get pods -A", "kubectl describe pod x-1 -n shop"]);
    }
}
