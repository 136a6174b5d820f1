//! The built runner with engines, disks and lines as nobody wishes for them: each ends in a named reason.

use std::fs;

use punching_fist_protocol::{Event, MARKER, Reason, State, Verdict};

use crate::support::{FINISH, HOLD, Pod, RUNNING};

/// What the runner may take at most, whatever comes: KiB.
const MEMORY: u64 = 30 * 1024;
#[test]
fn a_line_of_100_megabytes_is_cut_in_little_memory() {
    for to in ["", " >&2"] {
        let line = format!("(head -c 100000000 /dev/zero | tr '\\0' x; echo){to}");
        let mut running = Pod::new(&format!("{line}\n{HOLD}\n{FINISH}")).start();
        running.wait_until_held();
        let memory = running.most_memory();
        running.let_go();
        let ended = running.wait();
        ended.ended_with(0, Reason::VerdictReached);
        let huge = ended.values().into_iter().find(|line| line["kind"] == "log").expect("it is in the log");
        assert!(huge["text"].as_str().is_some_and(|text| text.starts_with("xxxx") && text.contains(MARKER)));
        assert!(memory < MEMORY, "{memory} KiB");
    }
}

#[test]
fn a_flood_of_events_is_passed_on_in_little_memory() {
    // More than the memory in all.
    let text = "again and again ".repeat(50);
    let flood = format!(r#"yes '{{"kind":"output","id":"1","exitCode":0,"text":"{text}"}}' | head -n 40000"#);
    let mut running = Pod::new(&format!("{flood}\n{HOLD}\n{FINISH}")).start();
    running.wait_until_held();
    let memory = running.most_memory();
    running.let_go();
    let ended = running.wait();
    ended.ended_with(0, Reason::VerdictReached);
    assert_eq!(ended.events().iter().filter(|event| matches!(event, Event::Output { .. })).count(), 40_000);
    assert!(memory < MEMORY, "{memory} KiB");
}

#[test]
fn an_engine_that_forks_and_exits_has_come_to_nothing() {
    let child = format!("(trap '' INT TERM HUP; sleep 600; {FINISH}) &");
    for script in [child.clone(), format!("setsid sh -c \"{}\" &", "sleep 600"), format!("{child}\n{child}")]
    {
        let ended = Pod::new(&format!("{RUNNING}\n{script}\nexit 0")).run();
        ended.ended_with(10, Reason::NoVerdict);
    }
}

#[test]
fn a_full_disk_takes_log_lines_and_not_the_result() {
    // The first line has to be on the disk before it is full.
    let fill =
        "while ! grep -q running disk/log; do sleep 0.01; done\nhead -c 1000000 /dev/zero > disk/fill 2>&1";
    let ended = Pod::new(&format!("{RUNNING}\n{fill}\n{FINISH}")).with_a_small_disk(8).run();
    let short = ended.ended_with(0, Reason::VerdictReached);
    assert_eq!((short.verdict, short.summary.as_str()), (Some(Verdict::Diagnosed), "A typo."));
    // What came later may be lost: the long form too, which its hash tells.
    let log = fs::read_to_string(ended.pod.path("log")).expect("the runner wrote it");
    assert!(log.starts_with("{\"time\"") && log.contains("running"), "{log}");
}

#[test]
fn a_disk_without_any_room_is_no_exit_code_of_a_verdict() {
    let ended = Pod::new(FINISH).with("PUNCHING_FIST_TERMINATION_LOG", "/dev/full").run();
    assert_eq!((ended.code, ended.stderr.as_str()), (Some(1), ""));
    assert!(ended.text().contains("No space left"), "{}", ended.text());
}

#[test]
fn an_engine_whose_files_cant_be_written_isnt_started() {
    let ended = Pod::of_command("echo started").with("TMPDIR", "/proc").run();
    let error = ended.ended_with(10, Reason::AgentFault).error.expect("a message");
    assert!(error.contains("/proc/punching-fist-") && !ended.text().contains("started"), "{error}");
}

#[test]
fn states_that_nobody_ends_are_ended() {
    let state = |state: &str| format!("echo '{{\"kind\":\"state\",\"state\":\"{state}\"}}'\nsleep 600");
    let table = [
        (state("awaitingInput"), 10, Reason::NoVerdict, "answer"),
        (state("awaitingConfirmation"), 10, Reason::NoVerdict, "confirmation"),
        (state("rateLimited"), 10, Reason::ProviderFault, "rate"),
        (state("stuck"), 10, Reason::Stuck, ""),
        (
            format!(
                "echo '{{\"kind\":\"error\",\"reason\":\"ProviderFault\",\"text\":\"503\"}}'\n{}",
                state("error")
            ),
            10,
            Reason::ProviderFault,
            "503",
        ),
        (format!("trap '' INT\n{FINISH}\nsleep 600 & wait; sleep 600"), 0, Reason::VerdictReached, ""),
    ];
    let run = |(script, code, reason, error): (String, i32, Reason, &str)| {
        let ended = Pod::new(&script).run();
        let short = ended.ended_with(code, reason);
        assert!(short.error.unwrap_or_default().contains(error), "{script}");
    };
    std::thread::scope(|scope| table.into_iter().for_each(|case| drop(scope.spawn(move || run(case)))));
}

#[test]
fn a_state_that_passes_is_waited_for() {
    let state = |state: &str| format!("echo '{{\"kind\":\"state\",\"state\":\"{state}\"}}'");
    let script = format!("{}\nsleep 1\n{RUNNING}\nsleep 5\n{FINISH}", state("rateLimited"));
    let ended = Pod::new(&script).run();
    ended.ended_with(0, Reason::VerdictReached);
    assert!(ended.events().contains(&Event::State { state: State::RateLimited }));
}
