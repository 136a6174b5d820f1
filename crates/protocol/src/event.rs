//! What an agent does, as it does it: one JSON object per line.

use serde::{Deserialize, Serialize};

use crate::cut::{cut_json, cut_json_middle};
use crate::{Confidence, Reason, Usage, Verdict};

/// The longest line that the runner prints, in bytes: the container runtime splits lines at 16 KiB.
pub const LINE_MAX: usize = 8 * 1024;

/// Room in a line for all that isn't its main text: keys, time, and the short fields.
const FRAME: usize = 2 * 1024;
/// The most that a short field (an id, a path, an error's code) takes of it.
const SHORT_FIELD: usize = 512;

/// One thing that happened in an agent's run.
#[derive(Clone, Debug, Deserialize, Serialize, PartialEq)]
#[serde(tag = "kind", rename_all = "camelCase", rename_all_fields = "camelCase")]
pub enum Event {
    /// What the agent thinks before it acts.
    Thought {
        /// The thought.
        text: String,
    },
    /// A command that the agent starts.
    Command {
        /// What its output refers to.
        id: String,
        /// The command as a shell reads it.
        command: String,
    },
    /// What a command gave.
    Output {
        /// The command's id.
        id: String,
        /// Its exit code; absent while it runs, or where the engine doesn't say.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        exit_code: Option<i32>,
        /// What it printed.
        text: String,
    },
    /// A file that the agent changed or tried to change.
    Edit {
        /// The file.
        path: String,
        /// Whether it was changed.
        ok: bool,
    },
    /// What the agent says to nobody in particular.
    Message {
        /// Its words.
        text: String,
    },
    /// Something went wrong.
    Error {
        /// Which of the reasons for an end it is, where it is one.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        reason: Option<Reason>,
        /// The engine's own name for it.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        code: Option<String>,
        /// What went wrong.
        text: String,
    },
    /// What was used so far.
    Usage(Usage),
    /// The engine's state changed.
    State {
        /// The new state.
        state: State,
    },
    /// A line that the engine printed and that is no event.
    Log {
        /// Where it was printed.
        stream: Stream,
        /// The line.
        text: String,
    },
    /// The agent's conclusion.
    Finish(Finish),
}

/// An agent's conclusion.
#[derive(Clone, Debug, Deserialize, Serialize, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct Finish {
    /// What became of the problem.
    pub verdict: Verdict,
    /// One paragraph.
    pub summary: String,
    /// How sure the agent is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub confidence: Option<Confidence>,
    /// Markdown: root cause, evidence, what was done and what it did, what is left.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub report: Option<String>,
    /// What to change, where a fix is known and was not made.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub plan: Option<String>,
}

/// How far an engine is.
#[derive(Clone, Copy, Debug, Deserialize, Serialize, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
pub enum State {
    /// It works.
    Running,
    /// It came to its end in order.
    Finished,
    /// It waits for an answer that nobody will give.
    AwaitingInput,
    /// It waits for a confirmation that nobody will give.
    AwaitingConfirmation,
    /// It waits, as the model's provider refuses more calls for a while.
    RateLimited,
    /// It goes in circles.
    Stuck,
    /// It gave up.
    Error,
    /// It was told to stop.
    Stopped,
}

/// One of the two ways a program prints.
#[derive(Clone, Copy, Debug, Deserialize, Serialize, PartialEq, Eq, Hash)]
#[serde(rename_all = "camelCase")]
pub enum Stream {
    /// Standard output.
    Stdout,
    /// Standard error.
    Stderr,
}

impl Event {
    /// Every text in the event that came from outside, to be redacted.
    pub fn texts_mut(&mut self) -> Vec<&mut String> {
        match self {
            Self::Thought { text } | Self::Message { text } | Self::Log { text, .. } => vec![text],
            Self::Command { id, command } => vec![id, command],
            Self::Output { id, text, .. } => vec![id, text],
            Self::Edit { path, .. } => vec![path],
            Self::Error { code, text, .. } => code.iter_mut().chain([text]).collect(),
            Self::Finish(Finish { summary, report, plan, .. }) => {
                [summary].into_iter().chain(report).chain(plan).collect()
            }
            Self::Usage(_) | Self::State { .. } => Vec::new(),
        }
    }

    /// The event cut so that it fits into one line of [`LINE_MAX`] bytes. A finish loses report and plan: they are in
    /// the result.
    #[must_use]
    pub fn fitted(self) -> Self {
        let short = |text: String| cut_json(&text, SHORT_FIELD);
        let long = |text: String| cut_json(&text, LINE_MAX - FRAME);
        match self {
            Self::Thought { text } => Self::Thought { text: long(text) },
            Self::Message { text } => Self::Message { text: long(text) },
            Self::Log { stream, text } => Self::Log { stream, text: long(text) },
            Self::Command { id, command } => Self::Command { id: short(id), command: long(command) },
            Self::Output { id, exit_code, text } => {
                Self::Output { id: short(id), exit_code, text: cut_json_middle(&text, LINE_MAX - FRAME) }
            }
            Self::Edit { path, ok } => Self::Edit { path: short(path), ok },
            Self::Error { reason, code, text } => {
                Self::Error { reason, code: code.map(short), text: long(text) }
            }
            Self::Finish(finish) => {
                Self::Finish(Finish { summary: long(finish.summary), report: None, plan: None, ..finish })
            }
            unchanged @ (Self::Usage(_) | Self::State { .. }) => unchanged,
        }
    }

    /// Whether the event shows that the agent did something that worked: a command or an edit.
    pub fn is_success(&self) -> bool {
        matches!(self, Self::Output { exit_code: Some(0), .. } | Self::Edit { ok: true, .. })
    }
}

/// An event as it stands in the pod's log.
#[derive(Clone, Debug, Deserialize, Serialize, PartialEq)]
pub struct Line {
    /// When the runner saw it: RFC 3339, UTC.
    pub time: String,
    /// What it saw.
    #[serde(flatten)]
    pub event: Event,
}

impl Line {
    /// Reads a line of a pod's log; none if it isn't an event (a part of the result, or not the runner's).
    pub fn parse(line: &str) -> Option<Self> {
        serde_json::from_str(line).ok()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const TABLE: [(&str, &str); 4] = [
        (r#"{"kind":"command","id":"1","command":"kubectl get pods"}"#, "command"),
        (r#"{"kind":"output","id":"1","exitCode":1,"text":"no"}"#, "output"),
        (r#"{"kind":"usage","inputTokens":5,"costUSD":"0.01"}"#, "usage"),
        (r#"{"kind":"finish","verdict":"Diagnosed","summary":"s","unknown":1}"#, "finish"),
    ];

    #[test]
    fn events_are_read_and_keep_their_kind() {
        for (line, kind) in TABLE {
            let event: Event = serde_json::from_str(line).expect(line);
            let written =
                serde_json::to_value(Line { time: "t".to_owned(), event: event.clone() }).expect("JSON");
            assert_eq!(written["kind"], kind);
            assert_eq!(Line::parse(&written.to_string()).expect("a line").event, event);
        }
    }

    #[test]
    fn what_is_no_event_is_not_read_as_one() {
        for line in
            ["", "hello", "{}", r#"{"kind":"finish"}"#, r#"{"kind":"finish","verdict":"Great","summary":""}"#]
        {
            assert!(serde_json::from_str::<Event>(line).is_err(), "{line}");
        }
    }

    #[test]
    fn only_success_counts_as_success() {
        let output = |exit_code| Event::Output { id: String::new(), exit_code, text: String::new() };
        assert!(output(Some(0)).is_success());
        assert!(!output(Some(1)).is_success() && !output(None).is_success());
        assert!(!Event::Edit { path: String::new(), ok: false }.is_success());
    }

    proptest! {
        #[test]
        fn a_fitted_event_fits(text in any::<String>(), times in 1usize..2000) {
            let text = text.repeat(times);
            let finish = Finish { verdict: Verdict::Fixed, summary: text.clone(), confidence: None, report: None, plan: None };
            for event in [
                Event::Thought { text: text.clone() },
                Event::Command { id: text.clone(), command: text.clone() },
                Event::Output { id: text.clone(), exit_code: Some(-1), text: text.clone() },
                Event::Edit { path: text.clone(), ok: true },
                Event::Error { reason: Some(Reason::CredentialsRefused), code: Some(text.clone()), text: text.clone() },
                Event::Log { stream: Stream::Stderr, text: text.clone() },
                Event::Finish(finish),
            ] {
                let line = Line { time: "2026-01-01T00:00:00.000Z".to_owned(), event: event.fitted() };
                prop_assert!(serde_json::to_string(&line).expect("JSON").len() <= LINE_MAX);
            }
        }
    }
}
