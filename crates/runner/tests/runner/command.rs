//! The built runner with programs that are no OpenHands: the engine `command`.

use std::fs;
use std::process::Command;

use nix::sys::signal::{Signal, kill};
use punching_fist_protocol::{Confidence, Event, MARKER, Reason, State, Stream, Verdict};

use crate::support::{FINISH, Pod, RUNNING};

const RESULT: &str = r#"echo '{"verdict":"Diagnosed","summary":"A typo.","confidence":"High","report":"The cause.","plan":"kubectl edit"}' > "$PUNCHING_FIST_RESULT""#;

#[test]
fn a_result_file_is_a_verdict() {
    let output = r#"echo '{"kind":"output","id":"1","exitCode":0,"text":"checkout 0/1"}'"#;
    let ended =
        Pod::of_command(&format!("cat \"$PUNCHING_FIST_PROMPT_FILE\"; echo\n{output}\n{RESULT}")).run();
    let short = ended.ended_with(0, Reason::VerdictReached);
    assert_eq!((short.verdict, short.confidence), (Some(Verdict::Diagnosed), Some(Confidence::High)));
    assert_eq!((short.summary.as_str(), short.acted), ("A typo.", true));
    let long = ended.long().expect("a long form");
    assert_eq!((long.report.as_deref(), long.plan.as_deref()), (Some("The cause."), Some("kubectl edit")));
    let prompt = Event::Log { stream: Stream::Stdout, text: "What is wrong with checkout?".to_owned() };
    assert_eq!(ended.events().first(), Some(&prompt));
    assert_eq!(ended.events().last(), Some(&Event::State { state: State::Finished }));
    assert_eq!(
        fs::read_dir(ended.pod.path("tmp")).expect("a directory").count(),
        0,
        "nothing is left behind"
    );
}

#[test]
fn a_stray_byte_or_a_mark_at_the_beginning_loses_no_conclusion() {
    let bytes =
        r#"printf '\357\273\277{"verdict":"Diagnosed","summary":"a \377 b"}' > "$PUNCHING_FIST_RESULT""#;
    let short = Pod::of_command(bytes).run().ended_with(0, Reason::VerdictReached);
    assert_eq!((short.verdict, short.summary.as_str()), (Some(Verdict::Diagnosed), "a \u{fffd} b"));
}

#[test]
fn files_without_end_dont_hold_up_the_result() {
    let deep = r#"cd "$(dirname "$PUNCHING_FIST_RESULT")" && mkdir -p "$(printf 'd/%.0s' $(seq 1800))""#;
    for is_pod in [true, false] {
        let pod = Pod::of_command(&format!("{RESULT}\n{deep}"));
        let ended = if is_pod { pod.with_runner_as_pid_1() } else { pod }.run();
        ended.ended_with(0, Reason::VerdictReached);
        // Deeper than the standard library removes.
        let removed = Command::new("rm").arg("-rf").arg(ended.pod.path("tmp")).status();
        assert!(removed.expect("rm").success());
    }
}

#[test]
fn only_a_good_file_and_a_good_exit_code_are_a_verdict() {
    let file = |text: &str| format!("printf '%s' '{text}' > \"$PUNCHING_FIST_RESULT\"");
    let table = [
        ("exit 0".to_owned(), Reason::NoVerdict, ""),
        (format!("{RESULT}\necho no >&2; exit 3"), Reason::AgentFault, "exit code 3: no"),
        (format!("{RESULT}\nexit 11"), Reason::AgentFault, "exit code 11"),
        (format!("{RESULT}\nkill -KILL $$"), Reason::AgentFault, "SIGKILL"),
        (file(""), Reason::AgentFault, "no conclusion"),
        (file("{\"verdict\":\"Diagnosed\",\"summ"), Reason::AgentFault, "no conclusion"),
        (file("{\"verdict\":\"Solved\",\"summary\":\"s\"}"), Reason::AgentFault, "unknown variant"),
        (file("{\"summary\":\"s\"}"), Reason::AgentFault, "verdict"),
        (
            "head -c 10000001 /dev/zero > \"$PUNCHING_FIST_RESULT\"".to_owned(),
            Reason::AgentFault,
            "more than 10000000",
        ),
        ("mkdir \"$PUNCHING_FIST_RESULT\"".to_owned(), Reason::AgentFault, "no file"),
        ("mkfifo \"$PUNCHING_FIST_RESULT\"".to_owned(), Reason::AgentFault, "no file"),
        (
            "ln -s /proc/self/environ \"$PUNCHING_FIST_RESULT\"".to_owned(),
            Reason::AgentFault,
            "PUNCHING_FIST_RESULT",
        ),
        ("ln -s /dev/zero \"$PUNCHING_FIST_RESULT\"".to_owned(), Reason::AgentFault, "PUNCHING_FIST_RESULT"),
        // What the program prints is no conclusion.
        (FINISH.to_owned(), Reason::NoVerdict, "without a verdict"),
    ];
    for (script, reason, error) in table {
        Pod::of_command(&script).run().failed_with(10, reason, error);
    }
}

#[test]
fn a_result_of_almost_10_megabytes_is_cut() {
    let script = r#"{ printf '{"verdict":"Diagnosed","summary":"s","report":"'; head -c 9900000 /dev/zero | tr '\\0' x; printf '"}'; } > "$PUNCHING_FIST_RESULT""#;
    let ended = Pod::of_command(&script.replace("\\\\", "\\")).run();
    ended.ended_with(0, Reason::VerdictReached);
    let report = ended.long().and_then(|long| long.report).expect("a report");
    assert!(
        report.starts_with("xxxx") && report.ends_with(MARKER) && report.len() > 60_000,
        "{}",
        report.len()
    );
}

#[test]
fn a_program_needs_no_model_but_has_to_be_named() {
    let without_model = |script: &str| Pod::of_command(script).with("LLM_MODEL", "").with("LLM_API_KEY", "");
    without_model(RESULT).run().ended_with(0, Reason::VerdictReached);
    for command in ["", "[]", "ls", "[1]", "{}"] {
        let ended = without_model(RESULT).with("PUNCHING_FIST_COMMAND", command).run();
        let error = ended.ended_with(11, Reason::ConfigurationRefused).error.expect("a message");
        assert!(error.contains("PUNCHING_FIST_COMMAND"), "{error}");
    }
    let ended = without_model(RESULT).with("PUNCHING_FIST_COMMAND", r#"["no-such-program"]"#).run();
    ended.ended_with(11, Reason::EngineMissing);
}

#[test]
fn it_is_told_to_end_by_sigterm() {
    let script = format!("trap 'echo interrupted; exit 1' TERM\n{RUNNING}\nsleep 600 & wait");
    let mut running = Pod::of_command(&script).start();
    running.wait_for(|event| *event == Event::State { state: State::Running });
    kill(running.pid(), Signal::SIGTERM).expect("it runs");
    let ended = running.wait();
    ended.ended_with(13, Reason::Signalled);
    assert!(ended.text().contains("interrupted"));
}
