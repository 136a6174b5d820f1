//! The engine `sdk`: our own Python around the OpenHands SDK. It speaks the protocol's events itself.

use std::ffi::OsString;

use nix::sys::signal::Signal;
use punching_fist_protocol::Event;
use serde_json::Value;

use super::{Engine, Reading};

/// `punching-fist-agent`, from the folder `agent/` of this repository.
pub struct Sdk;

impl Engine for Sdk {
    fn name(&self) -> &'static str {
        "sdk"
    }

    fn program(&self) -> &'static str {
        "punching-fist-agent"
    }

    fn arguments(&self) -> Vec<OsString> {
        Vec::new()
    }

    fn stop_signal(&self) -> Signal {
        Signal::SIGINT
    }

    fn read(&self, line: &str) -> Reading {
        let Ok(value) = serde_json::from_str::<Value>(line) else { return Reading::Other };
        let is_finish = value["kind"] == "finish";
        match serde_json::from_value(value) {
            // How lines that are no events stand in the log is for the runner alone to say.
            Ok(Event::Log { .. }) => Reading::Other,
            Ok(event) => Reading::Event(event),
            Err(error) if is_finish => Reading::UnreadableFinish(error.to_string()),
            Err(_) => Reading::Other,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_events_bad_finishes_or_something_else() {
        assert!(matches!(
            Sdk.read(r#"{"kind":"thought","text":"x"}"#),
            Reading::Event(Event::Thought { .. })
        ));
        assert!(matches!(
            Sdk.read(r#"{"kind":"finish","verdict":"Fixed","summary":"s"}"#),
            Reading::Event(Event::Finish(_))
        ));
        for bad in [
            r#"{"kind":"finish"}"#,
            r#"{"kind":"finish","verdict":"Great","summary":"s"}"#,
            r#"{"kind":"finish","verdict":"Fixed","summary":7}"#,
        ] {
            assert!(matches!(Sdk.read(bad), Reading::UnreadableFinish(_)), "{bad}");
        }
        for other in [
            "",
            "finish",
            "[]",
            "7",
            r#"{"kind":"thought"}"#,
            r#"{"kind":"log","stream":"stdout","text":""}"#,
        ] {
            assert_eq!(Sdk.read(other), Reading::Other, "{other}");
        }
    }
}
