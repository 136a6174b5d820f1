//! The built runner with the events and the files of the engine `cli`, which can't be told how long to wait, nor when to leave.

use punching_fist_protocol::{Reason, Verdict};

use crate::support::Pod;

/// Says what the engine says.
const EVENTS: &str = r#"
action() { echo '{"kind":"ActionEvent","source":"agent","tool_call_id":"1","action":{"kind":"TerminalAction","command":"ls"}}'; }
outcome() { echo '{"kind":"ObservationEvent","tool_call_id":"1","observation":{"kind":"TerminalObservation","exit_code":0}}'; }
words() { echo "{\"kind\":\"MessageEvent\",\"source\":\"agent\",\"llm_message\":{\"content\":[{\"text\":\"$1\"}]}}"; }
state() {
mkdir -p "$OPENHANDS_CONVERSATIONS_DIR/own"
echo "{\"execution_status\":\"$1\"}" > "$OPENHANDS_CONVERSATIONS_DIR/own/base_state.json"
}
"#;

fn pod(script: &str) -> Pod {
    Pod::of("cli", "openhands", &format!("{EVENTS}\n{script}"))
}

#[test]
fn a_model_that_never_answers_is_no_time_limit() {
    let pod = |script: &str| {
        let numbers = [("LLM_TIMEOUT", "1"), ("LLM_NUM_RETRIES", "1"), ("LLM_RETRY_MAX_WAIT", "1")];
        numbers.into_iter().fold(pod(script), |pod, (name, value)| pod.with(name, value))
    };
    let ended = pod("action; outcome; sleep 600").run();
    ended.failed_with(10, Reason::ProviderFault, "not answered for 3 s");
    // A tool may take its time.
    let ended = pod("action; sleep 600").with("PUNCHING_FIST_TIMEOUT_SECONDS", "5").run();
    ended.failed_with(12, Reason::TimeLimit, "after 5 s");
}

#[test]
fn who_ends_in_words_and_doesnt_leave_has_come_to_a_verdict() {
    let run = |script: &str| {
        let ended = pod(&format!("trap '' TERM; state running; {script}; sleep 600 & wait; sleep 600")).run();
        let short = ended.ended_with(0, Reason::VerdictReached);
        assert_eq!(
            (short.verdict, short.summary.as_str()),
            (Some(Verdict::Inconclusive), "A typo."),
            "{script}"
        );
    };
    let table = [
        "words 'A typo.'; state finished",
        "state finished; words 'A typo.'",
        "state finished; words 'Hm.'; words 'A typo.'",
    ];
    std::thread::scope(|scope| table.map(|script| drop(scope.spawn(move || run(script)))));
}
