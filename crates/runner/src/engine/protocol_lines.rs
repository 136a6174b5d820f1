//! Lines that are the protocol's own events, for engines that speak it.

use punching_fist_protocol::Event;
use serde_json::Value;

use super::Reading;

/// What a line says, if it is one of the protocol's.
pub fn read(line: &str) -> Option<Reading> {
    let value: Value = serde_json::from_str(line).ok()?;
    let is_finish = value["kind"] == "finish";
    match serde_json::from_value(value) {
        // How lines that are no events stand in the log is for the runner alone to say.
        Ok(Event::Log { .. }) => None,
        Ok(Event::Error { reason, code, text }) => {
            let reason = reason.filter(|reason| reason.is_engines());
            Some(Reading::Event(Event::Error { reason, code, text }))
        }
        Ok(event) => Some(Reading::Event(event)),
        Err(error) if is_finish => Some(Reading::UnreadableFinish(error.to_string())),
        Err(_) => None,
    }
}

#[cfg(test)]
mod tests {
    use punching_fist_protocol::Reason;

    use super::*;

    #[test]
    fn lines_are_events_bad_finishes_or_something_else() {
        assert!(matches!(
            read(r#"{"kind":"thought","text":"x"}"#),
            Some(Reading::Event(Event::Thought { .. }))
        ));
        assert!(matches!(
            read(r#"{"kind":"finish","verdict":"Fixed","summary":"s"}"#),
            Some(Reading::Event(Event::Finish(_)))
        ));
        for bad in [
            r#"{"kind":"finish"}"#,
            r#"{"kind":"finish","verdict":"Great","summary":"s"}"#,
            r#"{"kind":"finish","verdict":"Fixed","summary":7}"#,
        ] {
            assert!(matches!(read(bad), Some(Reading::UnreadableFinish(_))), "{bad}");
        }
        for other in [
            "",
            "finish",
            "[]",
            "7",
            r#"{"kind":"thought"}"#,
            r#"{"kind":"log","stream":"stdout","text":""}"#,
        ] {
            assert_eq!(read(other), None, "{other}");
        }
    }

    #[test]
    fn an_engine_says_no_reason_that_is_the_runners() {
        for (word, expected) in [
            ("ProviderFault", Some(Reason::ProviderFault)),
            ("Signalled", None),
            ("VerdictReached", None),
            ("Great", None),
        ] {
            let line = format!(r#"{{"kind":"error","reason":"{word}","text":"t"}}"#);
            let error = Event::Error { reason: expected, code: None, text: "t".to_owned() };
            assert_eq!(read(&line), Some(Reading::Event(error)), "{word}");
        }
    }
}
