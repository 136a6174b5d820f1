//! Follows one AlertTask to its end: each change of its phase and reason, and in between what the agent does.

use std::collections::BTreeSet;
use std::time::Duration;

use futures::StreamExt as _;
use futures::stream::BoxStream;
use k8s_openapi::api::core::v1::Pod;
use kube::runtime::{WatchStreamExt as _, watcher};
use kube::{Api, Client, ResourceExt as _};
use punching_fist_api::{AlertTask, Attempt, Phase, Task as _, TaskStatus, names};
use punching_fist_protocol::Event;
use tokio::sync::mpsc::{self, Receiver, Sender};

use super::logs::{self, Heard};
use super::screen::{Row, Screen, Tone};
use super::{steps, text};

/// How long the agent's last words are waited for once the task is over.
const LAST_WORDS: Duration = Duration::from_secs(5);
/// How much of the reason why there is no log is shown, in characters.
const REASON: usize = 300;
/// How many lines wait to be shown.
const LINES: usize = 256;

/// Why a task can't be followed any more.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Somebody deleted it.
    #[error("AlertTask {0} was deleted while it was followed")]
    Deleted(String),
    /// The watch ended for good.
    #[error("the watch on AlertTask {0} has ended")]
    WatchEnded(String),
}

/// A task that is being followed.
struct Follower<'a> {
    screen: &'a Screen,
    pods: Api<Pod>,
    /// What was shown last.
    shown: Option<Shown>,
    /// The attempts that have ended and were told.
    attempts: usize,
    /// UIDs of the pods that are or were listened to.
    listened: BTreeSet<String>,
    /// How many of them still speak.
    speaking: usize,
    heard: Sender<Heard>,
}

#[derive(PartialEq)]
struct Shown {
    phase: Option<Phase>,
    reason: Option<String>,
    message: Option<String>,
}

/// Follows `task` until it is over. Gives it as it is then.
///
/// # Errors
/// It is deleted meanwhile.
pub async fn follow(client: &Client, screen: &Screen, task: AlertTask) -> Result<AlertTask, Error> {
    let (namespace, name) = (task.namespace().unwrap_or_default(), task.name_any());
    let tasks: Api<AlertTask> = Api::namespaced(client.clone(), &namespace);
    let pods: Api<Pod> = Api::namespaced(client.clone(), &namespace);
    let label = format!("{}={}", names::LABEL_TASK_ID, task.uid().unwrap_or_default());
    let attempts = watcher(pods.clone(), watcher::Config::default().labels(&label));
    let attempts = attempts.default_backoff().applied_objects().boxed();
    let states = watcher::watch_object(tasks, &name).default_backoff().boxed();
    let (heard, inbox) = mpsc::channel(LINES);
    let follower =
        Follower { screen, pods, shown: None, attempts: 0, listened: BTreeSet::new(), speaking: 0, heard };
    follower.run(&name, states, attempts, inbox).await
}

impl Follower<'_> {
    async fn run(
        mut self,
        name: &str,
        mut states: BoxStream<'static, watcher::Result<Option<AlertTask>>>,
        mut attempts: BoxStream<'static, watcher::Result<Pod>>,
        mut inbox: Receiver<Heard>,
    ) -> Result<AlertTask, Error> {
        loop {
            tokio::select! {
                state = states.next() => match state {
                    None => return Err(Error::WatchEnded(name.to_owned())),
                    // It is tried again; what it says once more then is not shown twice.
                    Some(Err(_)) => {}
                    Some(Ok(None)) => return Err(Error::Deleted(name.to_owned())),
                    Some(Ok(Some(task))) if is_over(&task) => {
                        self.listen_to_the_end(&mut inbox).await;
                        self.show(task.task_status());
                        return Ok(task);
                    }
                    Some(Ok(Some(task))) => self.show(task.task_status()),
                },
                Some(Ok(pod)) = attempts.next() => self.listen(&pod),
                Some(heard) = inbox.recv() => self.hear(heard),
            }
        }
    }

    /// Shows what is new in a status.
    fn show(&mut self, status: Option<&TaskStatus>) {
        let Some(status) = status else { return };
        for attempt in status.attempts.iter().skip(self.attempts) {
            self.attempts += 1;
            self.screen.show_now(&ended(self.attempts, attempt, status.last_error.as_deref()));
        }
        let shown =
            Shown { phase: status.phase, reason: status.reason.clone(), message: status.message.clone() };
        if shown.phase.is_some() && self.shown.as_ref() != Some(&shown) {
            self.screen.show_now(&[state(&shown)]);
            self.shown = Some(shown);
        }
    }

    /// Listens to a pod as soon as it has something to say.
    fn listen(&mut self, pod: &Pod) {
        if logs::has_begun(pod) && self.listened.insert(pod.uid().unwrap_or_default()) {
            self.speaking += 1;
            let text = format!("Attempt {}: pod {}", self.listened.len(), pod.name_any());
            self.screen.show_now(&[Row::new(Tone::Strong, 0, text)]);
            tokio::spawn(logs::read(self.pods.clone(), pod.name_any(), self.heard.clone()));
        }
    }

    fn hear(&mut self, heard: Heard) {
        match heard {
            Heard::Line(line) => {
                let Some(event) = steps::read(&line) else { return };
                let rows = steps::rows(&event);
                // What came back stands under its command.
                if matches!(event, Event::Output { .. }) {
                    self.screen.show_below(&rows);
                } else {
                    self.screen.show_now(&rows);
                }
            }
            Heard::End => self.speaking -= 1,
            Heard::Lost(why) => {
                self.speaking -= 1;
                let text = format!("The rest of the pod's log can't be had: {}", text::joined(&why));
                self.screen.show_now(&[Row::folding(Tone::Bad, 2, text::cut(&text, REASON))]);
            }
        }
    }

    /// What the agent said last comes before what became of the task; a log that doesn't end is not waited for long.
    async fn listen_to_the_end(&mut self, inbox: &mut Receiver<Heard>) {
        let deadline = tokio::time::Instant::now() + LAST_WORDS;
        while self.speaking > 0 {
            match tokio::time::timeout_at(deadline, inbox.recv()).await {
                Ok(Some(heard)) => self.hear(heard),
                Ok(None) | Err(_) => return,
            }
        }
    }
}

fn is_over(task: &AlertTask) -> bool {
    task.task_status().and_then(|status| status.phase).is_some_and(Phase::is_final)
}

/// A phase, its reason and its message. What a final one says stands below it, in full.
fn state(shown: &Shown) -> Row {
    let phase = shown.phase.map(|phase| format!("{phase:?}")).unwrap_or_default();
    let reason = shown.reason.as_deref().unwrap_or_default();
    let tone = match shown.phase {
        Some(Phase::Succeeded) => Tone::Good,
        Some(Phase::Failed | Phase::Retrying) => Tone::Bad,
        _ => Tone::Strong,
    };
    let message = shown.message.as_deref().filter(|_| !shown.phase.is_some_and(Phase::is_final));
    let message = message.map(|message| format!(": {message}"));
    Row::folding(tone, 0, format!("{phase} ({reason}){}", message.unwrap_or_default()))
}

/// An attempt that came to no verdict; one that did is told by the task.
fn ended(number: usize, attempt: &Attempt, error: Option<&str>) -> Vec<Row> {
    if attempt.exit_code == Some(0) {
        return Vec::new();
    }
    let code = attempt.exit_code.map(|code| format!(", exit code {code}")).unwrap_or_default();
    let reason = attempt.reason.as_deref().unwrap_or("no reason given");
    let mut rows =
        vec![Row::new(Tone::Bad, 0, format!("Attempt {number} ended without a verdict: {reason}{code}"))];
    rows.extend(error.map(|error| Row::folding(Tone::Dim, 2, error)));
    rows
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_state_is_told_in_its_tone() {
        for (phase, reason, tone, text) in [
            (Phase::Pending, "Queued", Tone::Strong, "Pending (Queued): it is so"),
            (Phase::Running, "AgentRunning", Tone::Strong, "Running (AgentRunning): it is so"),
            (Phase::Retrying, "Retrying", Tone::Bad, "Retrying (Retrying): it is so"),
            (Phase::Failed, "BackoffLimitExceeded", Tone::Bad, "Failed (BackoffLimitExceeded)"),
            (Phase::Succeeded, "VerdictReached", Tone::Good, "Succeeded (VerdictReached)"),
        ] {
            let message = Some("it is so".to_owned());
            let shown = Shown { phase: Some(phase), reason: Some(reason.to_owned()), message };
            assert_eq!(state(&shown), Row::folding(tone, 0, text));
        }
    }

    #[test]
    fn an_attempt_is_told_if_it_failed() {
        let attempt =
            |exit_code| Attempt { exit_code, reason: Some("ProviderFault".to_owned()), ..Attempt::default() };
        assert_eq!(ended(1, &attempt(Some(0)), None), []);
        let told = |exit_code| ended(2, &attempt(exit_code), Some("why"))[0].text.clone();
        assert_eq!(told(Some(10)), "Attempt 2 ended without a verdict: ProviderFault, exit code 10");
        assert_eq!(told(None), "Attempt 2 ended without a verdict: ProviderFault");
    }
}
