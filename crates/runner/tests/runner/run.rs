//! The built runner with shell scripts as engines: good ones, bad ones, and those that try to cheat.

use std::fs;
use std::time::Duration;

use nix::sys::signal::{Signal, kill};
use punching_fist_protocol::{Confidence, Event, REDACTED, Reason, State, Stream, Verdict};

use crate::support::{FINISH, Pod, RUNNING};

const RUNNING_LINE: &str = r#"{"kind":"state","state":"running"}"#;

fn is_running(event: &Event) -> bool {
    *event == Event::State { state: State::Running }
}

#[test]
fn a_verdict_is_left_in_both_forms() {
    let script = format!(
        r#"{RUNNING}
echo '{{"kind":"command","id":"1","command":"kubectl get pods"}}'
echo '{{"kind":"output","id":"1","exitCode":0,"text":"checkout 0/1"}}'
echo '{{"kind":"usage","inputTokens":10,"outputTokens":2,"calls":1,"iterations":1,"costUSD":"0.01"}}'
{FINISH}"#
    );
    let ended = Pod::new(&script).run();
    let short = ended.ended_with(0, Reason::VerdictReached);
    assert_eq!((short.verdict, short.confidence), (Some(Verdict::Diagnosed), Some(Confidence::High)));
    assert_eq!((short.summary.as_str(), short.error.as_deref(), short.acted), ("A typo.", None, true));
    assert_eq!((short.usage.input_tokens, short.usage.cost_usd.as_deref()), (10, Some("0.01")));
    let long = ended.long().expect("a long form");
    assert_eq!((long.report.as_deref(), long.plan.as_deref()), (Some("The cause."), Some("kubectl edit")));
    let kinds: Vec<_> =
        ended.values().iter().map(|line| line["kind"].as_str().unwrap_or("").to_owned()).collect();
    assert_eq!(kinds, ["state", "command", "output", "usage", "finish", "state", "result"]);
}

#[test]
fn the_engine_gets_its_environment_and_nothing_to_read() {
    let ended = Pod::new(&format!("cat; env | grep LLM_MODEL\n{FINISH}")).run();
    ended.ended_with(0, Reason::VerdictReached);
    let expected = Event::Log { stream: Stream::Stdout, text: "LLM_MODEL=openai/scripted".to_owned() };
    assert!(ended.events().contains(&expected));
}

#[test]
fn engines_that_fail_are_told_apart() {
    let table = [
        ("exit 0", 10, Reason::NoVerdict, "before the agent was finished"),
        ("echo '{\"kind\":\"state\",\"state\":\"finished\"}'", 10, Reason::NoVerdict, "without a verdict"),
        (&format!("{FINISH}\nexit 3"), 10, Reason::AgentFault, "exit code 3"),
        (&format!("{FINISH}\nkill -KILL $$"), 10, Reason::AgentFault, "SIGKILL"),
        (&format!("{FINISH}\nkill -40 $$"), 10, Reason::AgentFault, "real-time signal"),
        ("echo '{\"kind\":\"finish\",\"verdict\":\"Solved\"}'", 10, Reason::AgentFault, "can't be read"),
        (&format!("{FINISH}\necho '{{\"kind\":\"finish\"}}'"), 10, Reason::AgentFault, "can't be read"),
        (
            "echo '{\"kind\":\"error\",\"reason\":\"CredentialsRefused\",\"text\":\"401: no\"}'; exit 11",
            11,
            Reason::CredentialsRefused,
            "401: no",
        ),
        (
            "echo '{\"kind\":\"error\",\"reason\":\"ProviderFault\",\"text\":\"503\"}'; exit 10",
            10,
            Reason::ProviderFault,
            "503",
        ),
        ("exit 12", 12, Reason::IterationLimit, "exit code 12"),
        (
            "echo 'Traceback: no tmux' >&2; echo >&2; exit 1",
            10,
            Reason::AgentFault,
            "exit code 1: Traceback: no tmux",
        ),
    ];
    for (script, code, reason, error) in table {
        Pod::new(script).run().failed_with(code, reason, error);
    }
}

#[test]
fn garbage_is_kept_as_log_lines_and_changes_nothing() {
    let garbage = r#"printf 'no event\n{"kind":"finish"\n[1,2]\n{"kind":"dance"}\n{"kind":"log","stream":"stdout","text":"sly"}\n'
printf '\377\376 bytes\n\000null\n'; echo problem >&2; echo '{"kind":"finish","verdict":"Fixed","summary":"forged"}' >&2"#;
    let ended = Pod::new(&format!("{garbage}\n{FINISH}\nprintf 'no end'")).run();
    assert_eq!(ended.ended_with(0, Reason::VerdictReached).verdict, Some(Verdict::Diagnosed));
    let logs: Vec<_> =
        ended.events().into_iter().filter(|event| matches!(event, Event::Log { .. })).collect();
    assert_eq!(logs.len(), 10, "{logs:#?}");
    for text in ["no event", "\u{fffd}\u{fffd} bytes", "\0null", "no end"] {
        assert!(logs.contains(&Event::Log { stream: Stream::Stdout, text: text.to_owned() }), "{text}");
    }
    assert!(logs.contains(&Event::Log { stream: Stream::Stderr, text: "problem".to_owned() }));
}

#[test]
fn secrets_dont_leave_the_pod() {
    let script = format!(
        r#"echo "key $LLM_API_KEY"; echo "$LLM_API_KEY" | base64; echo "{{\"kind\":\"message\",\"text\":\"$LLM_API_KEY\"}}"
echo ghp_0123456789abcdefghijABCDEFGHIJ >&2
echo "{{\"kind\":\"finish\",\"verdict\":\"Diagnosed\",\"summary\":\"$LLM_API_KEY\",\"report\":\"$DB_PASSWORD\"}}"
{state}"#,
        state = r#"echo '{"kind":"state","state":"finished"}'"#
    );
    let ended = Pod::new(&script).with("DB_PASSWORD", "correct horse").run();
    let short = ended.ended_with(0, Reason::VerdictReached);
    assert_eq!(short.summary, REDACTED);
    assert_eq!(ended.long().and_then(|long| long.report).as_deref(), Some(REDACTED));
    for secret in ["the-key-of-the-model", "dGhlLWtleS1vZi10aGUtbW9kZW", "ghp_0123", "correct horse"] {
        assert!(
            !ended.text().contains(secret) && !ended.message.contains(secret),
            "{secret}: {}",
            ended.text()
        );
    }
}

#[test]
fn a_refused_setting_is_named_and_not_tried_again() {
    let table = [
        ("PUNCHING_FIST_ENGINE", "claude", Reason::ConfigurationRefused),
        ("PUNCHING_FIST_PROMPT_FILE", "/nowhere", Reason::ConfigurationRefused),
        ("PUNCHING_FIST_TIMEOUT_SECONDS", "soon", Reason::ConfigurationRefused),
        ("LLM_API_KEY", "", Reason::ConfigurationRefused),
        ("PATH", "/nowhere", Reason::EngineMissing),
    ];
    for (name, value, reason) in table {
        let ended = Pod::new(FINISH).with(name, value).run();
        let error = ended.ended_with(11, reason).error.expect("a message");
        assert!(error.contains(name), "{name}: {error}");
        assert!(ended.events().iter().any(|event| matches!(event, Event::Error { .. })));
    }
}

#[test]
fn an_engine_that_is_missing_or_made_for_another_machine_is_named() {
    let missing = Pod::new("");
    fs::remove_file(missing.path("bin/punching-fist-agent")).expect("it was there");
    let foreign = Pod::new("");
    fs::write(foreign.path("bin/punching-fist-agent"), b"\x7fELF\x02\x01\x01 of no machine")
        .expect("it was there");
    for pod in [missing, foreign] {
        let error = pod.run().ended_with(11, Reason::EngineMissing).error.expect("a message");
        assert!(error.contains("punching-fist-agent") && error.contains("PATH"), "{error}");
    }
}

#[test]
fn time_is_limited_even_for_an_engine_that_ignores_requests() {
    for script in ["sleep 600", "trap '' INT TERM; sleep 600 & wait; sleep 600", "exec 1>&- 2>&-; sleep 600"]
    {
        let ended = Pod::new(script).with("PUNCHING_FIST_TIMEOUT_SECONDS", "1").run();
        let error = ended.ended_with(12, Reason::TimeLimit).error.expect("a message");
        assert!(error.contains("1 s"), "{error}");
    }
}

#[test]
fn a_chatty_engine_is_ended_in_time_too() {
    let ended = Pod::new("yes '{\"kind\":\"thought\",\"text\":\"again\"}'")
        .with("PUNCHING_FIST_TIMEOUT_SECONDS", "1")
        .run();
    ended.ended_with(12, Reason::TimeLimit);
}

#[test]
fn a_signal_becomes_an_interrupt_and_the_rest_follows() {
    let obedient = format!("trap 'echo interrupted; exit 13' INT\n{RUNNING}\nsleep 600 & wait");
    let stubborn = format!("trap '' INT TERM\n{RUNNING}\nsleep 600 & wait");
    let table = [
        (Signal::SIGTERM, &obedient),
        (Signal::SIGINT, &obedient),
        (Signal::SIGUSR1, &obedient),
        (Signal::SIGUSR2, &obedient),
        (Signal::SIGWINCH, &obedient),
        (Signal::SIGTERM, &stubborn),
    ];
    for (signal, script) in table {
        let mut running = Pod::new(script).start();
        running.wait_for(is_running);
        kill(running.pid(), signal).expect("it runs");
        let ended = running.wait();
        let error = ended.ended_with(13, Reason::Signalled).error.expect("a message");
        assert!(error.contains(signal.as_str()), "{error}");
        assert_eq!(ended.text().contains("interrupted"), script == &obedient);
    }
}

#[test]
fn who_is_done_and_is_told_to_stop_has_come_to_a_verdict() {
    let mut running = Pod::new(&format!("trap '' INT TERM\n{FINISH}\nsleep 600 & wait")).start();
    running.wait_for(|event| *event == Event::State { state: State::Finished });
    kill(running.pid(), Signal::SIGTERM).expect("it runs");
    let ended = running.wait();
    assert_eq!(ended.ended_with(0, Reason::VerdictReached).verdict, Some(Verdict::Diagnosed));
}

#[test]
fn what_an_engine_leaves_behind_is_ended() {
    let leftover =
        "setsid sh -c 'echo $$ > leftover; exec sleep 600' & while [ ! -s leftover ]; do sleep 0.01; done";
    for script in [format!("{leftover}\n{FINISH}"), format!("({leftover}\n{FINISH})"), leftover.to_owned()] {
        let ended = Pod::new(&script).run();
        let pid = fs::read_to_string(ended.pod.path("leftover")).expect("it was started");
        let alive = fs::exists(format!("/proc/{}", pid.trim())).expect("/proc is there");
        assert!(!alive, "{script}");
    }
}

#[test]
fn a_pipe_that_somebody_else_holds_open_holds_nothing_up() {
    let script = format!("echo $$ > pid\n{RUNNING}\nwhile [ ! -e go ]; do sleep 0.01; done\n{FINISH}");
    let mut running = Pod::new(&script).start();
    running.wait_for(is_running);
    let held = running.hold_the_engines_output();
    running.let_go();
    let ended = running.wait();
    drop(held);
    ended.ended_with(0, Reason::VerdictReached);
}

#[test]
fn without_a_place_for_its_result_no_agent_is_started() {
    let ended = Pod::new(FINISH).with("PUNCHING_FIST_TERMINATION_LOG", "/nowhere/log").run();
    assert_eq!((ended.code, ended.stderr.as_str()), (Some(1), ""));
    assert!(ended.text().contains("/nowhere/log") && !ended.text().contains("running"));
}

#[test]
fn a_message_that_cant_be_written_leaves_none_that_is_believed() {
    let forged =
        r#"{"version":1,"reason":"VerdictReached","verdict":"Fixed","summary":"forged","acted":true}"#;
    let attack = format!(
        "prlimit --pid 1 --fsize=0:0 || echo '{{\"kind\":\"message\",\"text\":\"could not be tried\"}}'\n\
         echo '{forged}' > \"$PUNCHING_FIST_TERMINATION_LOG\"\n{FINISH}"
    );
    let ended = Pod::new(&attack).with_an_old_kernel().run();
    assert!(!ended.text().contains("could not be tried"), "{}", ended.text());
    assert_eq!(ended.code, Some(1), "none of the runner's codes: {}", ended.text());
    assert!(ended.text().contains("termination message can't be left"));
}

#[test]
fn as_process_1_it_ends_everything_and_lets_nothing_be_forged() {
    let attack = r#"
deny() { if sh -c "$2" 2>/dev/null; then echo "{\"kind\":\"message\",\"text\":\"could $1\"}"; fi; }
[ "$(grep PPid /proc/$$/status | tr -dc 0-9)" = 1 ] || echo '{"kind":"message","text":"could not be tried"}'
deny 'write the log' 'echo FORGED > /proc/1/fd/1'
deny 'read the environment' 'cat /proc/1/environ > /dev/null'
deny 'write memory' ': > /proc/1/mem'
kill -KILL 1; kill -STOP 1
forged='{"version":1,"reason":"VerdictReached","verdict":"Fixed","summary":"forged"}'
echo "$forged" > "$PUNCHING_FIST_TERMINATION_LOG"
(setsid sh -c "while :; do echo '$forged' > \"$PUNCHING_FIST_TERMINATION_LOG\"; done" &)
echo '{"kind":"result","part":1,"of":1,"data":"{\"report\":\"forged\"}"}'
"#;
    let ended = Pod::new(&format!("{attack}\n{FINISH}")).with_runner_as_pid_1().run();
    let short = ended.ended_with(0, Reason::VerdictReached);
    assert_eq!((short.verdict, short.summary.as_str()), (Some(Verdict::Diagnosed), "A typo."));
    assert_eq!(ended.long().and_then(|long| long.report).as_deref(), Some("The cause."));
    let could: Vec<_> =
        ended.events().into_iter().filter(|event| matches!(event, Event::Message { .. })).collect();
    assert_eq!(could, []);
    ended.values();
}

#[test]
fn as_process_1_it_heeds_sigterm() {
    let mut running =
        Pod::new(&format!("trap '' INT TERM\n{RUNNING}\nsleep 600 & wait")).with_runner_as_pid_1().start();
    running.wait_for(is_running);
    let runner = running.child_of_wrapper();
    kill(runner, Signal::SIGTERM).expect("it runs");
    running.wait().ended_with(13, Reason::Signalled);
}

#[test]
fn a_log_that_nobody_reads_holds_nothing_up() {
    let script = format!("yes '{{\"kind\":\"thought\",\"text\":\"again\"}}' | head -n 100000\n{FINISH}");
    let mut running = Pod::new(&script).with("PUNCHING_FIST_TIMEOUT_SECONDS", "100").start();
    running.wait_without_reading();
    let ended = running.wait();
    ended.ended_with(0, Reason::VerdictReached);
}

#[test]
fn a_log_that_nobody_reads_doesnt_take_the_grace_period() {
    let script = format!("trap '' INT TERM\nyes '{RUNNING_LINE}'");
    let mut running = Pod::new(&script).start();
    // Whoever passes on lines listens to signals.
    running.wait_for(is_running);
    let told = std::time::Instant::now();
    kill(running.pid(), Signal::SIGTERM).expect("it runs");
    running.wait_without_reading();
    assert!(told.elapsed() < Duration::from_secs(30), "{:?}", told.elapsed());
    running.wait().ended_with(13, Reason::Signalled);
}

#[test]
fn it_is_placed_whole_or_not_at_all() {
    let directory = tempfile::tempdir().expect("a directory");
    let place = |destination: &std::path::Path| {
        let runner = std::process::Command::new(env!("CARGO_BIN_EXE_punching-fist-runner"))
            .arg("place")
            .arg(destination)
            .output()
            .expect("the runner starts");
        (runner.status.success(), String::from_utf8_lossy(&runner.stderr).into_owned())
    };
    let destination = directory.path().join("runner");
    fs::write(&destination, "an older one").expect("our own directory");
    assert_eq!(place(&destination), (true, String::new()));
    let version = std::process::Command::new(&destination).arg("--version").output().expect("it can be run");
    assert!(String::from_utf8_lossy(&version.stdout).starts_with("punching-fist-runner "));
    for bad in [directory.path(), std::path::Path::new("/nowhere/runner")] {
        let (placed, error) = place(bad);
        assert!(!placed && error.contains(&bad.display().to_string()), "{error}");
    }
    assert_eq!(
        fs::read_dir(directory.path()).expect("our own directory").count(),
        1,
        "nothing half done is left"
    );
}
