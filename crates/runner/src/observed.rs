//! What an engine's events have shown so far.

use punching_fist_protocol::{Event, Finish, Reason, State, Stream, Usage, cut};

use crate::judge::{Fault, gateway_word};

/// So much of a line on standard error says what it is about.
const COMPLAINT_MAX: usize = 500;

/// The code of an error of the model's call that is tried again.
const MODEL_RETRY: &str = "ModelRetry";

/// What is remembered of a run: enough to judge it.
#[derive(Debug, Default)]
pub struct Observed {
    /// The last conclusion, or why it can't be read.
    pub finish: Option<Result<Finish, String>>,
    /// The last state.
    pub state: Option<State>,
    /// The last error that is an end of a run.
    pub error: Option<Fault>,
    /// What the last one says that is none: the run went on behind it.
    pub remark: Option<String>,
    /// What the model's gateway refused, and why.
    pub gateway: Option<Fault>,
    /// The last line on standard error that isn't empty.
    pub last_complaint: Option<String>,
    /// The last that the agent said.
    pub last_words: String,
    /// What was used: the most that was told, as nothing is given back.
    pub usage: Usage,
    /// A command or an edit succeeded.
    pub acted: bool,
}

impl Observed {
    /// Whether the agent has come to a conclusion, and calls itself finished.
    pub fn is_done(&self) -> bool {
        self.state == Some(State::Finished) && matches!(self.finish, Some(Ok(_)))
    }

    /// Takes one more event.
    pub fn observe(&mut self, event: &Event) {
        self.acted |= event.is_success();
        match event {
            Event::Finish(finish) => self.finish = Some(Ok(finish.clone())),
            Event::State { state } => self.state(*state),
            Event::Error { reason, code, text } => self.complain(*reason, code.as_deref(), text),
            Event::Log { stream: Stream::Stderr, text } if !text.trim().is_empty() => {
                self.last_complaint = Some(cut(text.trim(), COMPLAINT_MAX));
            }
            Event::Message { text } => text.clone_into(&mut self.last_words),
            Event::Usage(usage) => self.usage.raise_to(usage),
            Event::Thought { .. }
            | Event::Command { .. }
            | Event::Output { .. }
            | Event::Edit { .. }
            | Event::Log { .. } => {}
        }
    }

    fn state(&mut self, state: State) {
        // It has been borne: whatever ends the run later is something else.
        if state == State::Running && self.state == Some(State::RateLimited) {
            self.error = None;
        }
        self.state = Some(state);
    }

    fn complain(&mut self, reason: Option<Reason>, code: Option<&str>, text: &str) {
        // What a tool shows may quote the gateway: its word is what ends the run, or a call of the model.
        let is_quoted = reason.is_none() && code != Some(MODEL_RETRY);
        let refused = || gateway_word(text).filter(|_| !is_quoted).map(|word| Fault::new(word, text));
        self.gateway = self.gateway.take().or_else(refused);
        match reason.filter(|reason| *reason != Reason::VerdictReached) {
            Some(reason) => self.error = Some(Fault::new(reason, text)),
            None => self.remark = Some(text.to_owned()),
        }
    }
}
