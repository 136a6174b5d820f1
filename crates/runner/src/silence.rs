//! How long the model has kept an engine waiting, as its events show: no tool is at work, and nothing comes.

use std::time::{Duration, Instant};

use punching_fist_protocol::Event;

/// A clock that every event sets back, and that stands still while a tool is at work.
#[derive(Debug)]
pub struct Silence {
    /// How long it may last; none: the engine ends it by itself.
    most: Option<Duration>,
    /// What the agent has started and what hasn't come to anything yet.
    tools: usize,
    /// When the last event came. Before the first one the engine starts, and no model is asked.
    since: Option<Instant>,
}

impl Silence {
    /// Nothing has been heard yet.
    pub fn new(most: Option<Duration>) -> Self {
        Self { most, tools: 0, since: None }
    }

    /// An event came.
    pub fn heard(&mut self, event: &Event, now: Instant) {
        self.since = Some(now);
        match event {
            Event::Command { .. } => self.tools += 1,
            // An error without a reason is a tool's.
            Event::Output { .. } | Event::Edit { .. } | Event::Error { reason: None, .. } => {
                self.tools = self.tools.saturating_sub(1);
            }
            _ => {}
        }
    }

    /// When it will have lasted too long.
    pub fn until(&self) -> Option<Instant> {
        let (most, since) = self.most.zip(self.since)?;
        (self.tools == 0).then(|| since + most)
    }

    /// For people.
    pub fn seconds(&self) -> u64 {
        self.most.unwrap_or_default().as_secs()
    }
}

#[cfg(test)]
mod tests {
    use punching_fist_protocol::Reason;

    use super::*;

    fn command() -> Event {
        Event::Command { id: "1".to_owned(), command: "sleep 3600".to_owned() }
    }

    fn output() -> Event {
        Event::Output { id: "1".to_owned(), exit_code: None, text: String::new() }
    }

    fn error(reason: Option<Reason>) -> Event {
        Event::Error { reason, code: None, text: String::new() }
    }

    #[test]
    fn only_the_model_is_silent() {
        let said = Event::Message { text: "Hm.".to_owned() };
        let edit = Event::Edit { path: "/a".to_owned(), ok: false };
        let table: [(&[Event], bool); 9] = [
            (&[], false),
            (std::slice::from_ref(&said), true),
            (&[command()], false),
            (&[command(), output()], true),
            (&[command(), command(), output()], false),
            (&[command(), command(), output(), edit], true),
            (&[command(), error(None)], true),
            (&[command(), error(Some(Reason::ProviderFault))], false),
            (&[output(), output(), command()], false),
        ];
        let start = Instant::now();
        for (events, is_models) in table {
            let mut silence = Silence::new(Some(Duration::from_secs(9)));
            for (seconds, event) in (0..).zip(events) {
                silence.heard(event, start + Duration::from_secs(seconds));
            }
            let until = start + Duration::from_secs(9 + events.len().saturating_sub(1) as u64);
            assert_eq!(silence.until(), is_models.then_some(until), "{events:?}");
        }
        let mut patient = Silence::new(None);
        patient.heard(&said, start);
        assert_eq!(patient.until(), None);
    }
}
