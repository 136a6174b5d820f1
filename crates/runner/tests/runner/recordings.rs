//! The built runner with recordings of the real engines (`cargo xtask agents` makes them): a script stands for the
//! engine, prints what it printed, writes the files that it wrote, and ends as it ended. One table says what every
//! engine comes to in every case.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use nix::sys::signal::{Signal, kill};
use punching_fist_protocol::{Confidence, Event, Reason, Verdict};

use crate::support::{Ended, Pod};

/// Limits of the runs that were recorded.
const MAX_ITERATIONS: &str = "4";
const MAX_COST: &str = "2";
/// What stood for the model's key.
const KEY: &str = "the-key-of-the-model-0123456789";

const ENGINES: [&str; 3] = ["sdk", "cli", "main"];

/// What a case comes to: for `sdk`, `cli` and `main`.
const TABLE: [(&str, [Reason; 3]); 16] = {
    use Reason::{
        BudgetExceeded, ConfigurationRefused, CredentialsRefused, IterationLimit, NoVerdict, ProviderFault,
        Signalled, Stuck, VerdictReached,
    };
    [
        ("ok", [VerdictReached; 3]),
        ("no-block", [IterationLimit, VerdictReached, VerdictReached]),
        ("no-usage", [VerdictReached; 3]),
        ("unauthorized", [CredentialsRefused; 3]),
        ("rate-limited", [ProviderFault; 3]),
        ("server-error", [ProviderFault; 3]),
        ("bad-request", [ConfigurationRefused; 3]),
        ("gateway-budget", [BudgetExceeded; 3]),
        ("question", [NoVerdict, VerdictReached, Stuck]),
        ("loop", [IterationLimit; 3]),
        ("budget", [BudgetExceeded; 3]),
        ("key-leak", [VerdictReached; 3]),
        ("forged-verdict", [VerdictReached; 3]),
        ("stopped", [Signalled; 3]),
        ("hangs", [ProviderFault; 3]),
        ("no-answer", [ProviderFault; 3]),
    ]
};

fn fixtures() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures")
}

/// A script that does what was recorded. One that was killed or told to stop stays until somebody does so again.
fn replay(engine: &str, case: &str) -> String {
    let place = fixtures().join(engine).join(case);
    let files = match engine {
        "cli" => "${OPENHANDS_CONVERSATIONS_DIR%/*}",
        "main" => "$FILE_STORE_PATH/sessions",
        _ => "",
    };
    let exit = fs::read_to_string(place.join("exit")).expect("a recording");
    let end = match (case, exit.trim()) {
        (_, "killed") => "sleep 600 & wait".to_owned(),
        ("stopped", code) => format!("trap 'exit {code}' INT TERM\nsleep 600 & wait"),
        (_, code) => format!("exit {code}"),
    };
    let place = place.display();
    // As the engine wrote them: an event that is there before an earlier one is read before it.
    format!(
        "[ ! -d '{place}/files' ] || (cd '{place}/files' && find . -type f | sort -V | tar -cT -) | tar -xC \"{files}/\"\n\
         cat '{place}/stdout'\ncat '{place}/stderr' >&2\n{end}"
    )
}

fn pod(engine: &str, case: &str) -> Pod {
    let script = replay(engine, case);
    let program = match engine {
        "cli" => "openhands",
        "main" => "python",
        _ => "punching-fist-agent",
    };
    Pod::of(engine, program, &script)
        // The recording went past both limits, and is replayed at once: which is seen first would be chance.
        .with("PUNCHING_FIST_MAX_ITERATIONS", if case == "budget" { "1000" } else { MAX_ITERATIONS })
        .with("PUNCHING_FIST_MAX_COST_USD", MAX_COST)
        .with("LLM_API_KEY", KEY)
}

fn run(engine: &str, case: &str) -> Ended {
    let mut running = pod(engine, case).start();
    if case == "stopped" {
        running.wait_for(|event| matches!(event, Event::Output { .. }));
        kill(running.pid(), Signal::SIGTERM).expect("our own child");
    }
    running.wait()
}

#[test]
fn every_recording_is_in_the_table() {
    let names = |path: &Path| -> BTreeSet<String> {
        let entries = fs::read_dir(path).expect("recordings").flatten();
        entries.map(|entry| entry.file_name().to_string_lossy().into_owned()).collect()
    };
    let cases: BTreeSet<String> = TABLE.iter().map(|(case, _)| (*case).to_owned()).collect();
    assert_eq!(names(&fixtures()), ENGINES.map(str::to_owned).into());
    for engine in ENGINES {
        assert_eq!(names(&fixtures().join(engine)), cases, "{engine}");
    }
}

fn ends_as_the_table_says(column: usize) {
    let engine = ENGINES[column];
    let mut wrong = Vec::new();
    std::thread::scope(|scope| {
        let runs =
            TABLE.map(|(case, reasons)| (case, reasons[column], scope.spawn(move || run(engine, case))));
        for (case, reason, run) in runs {
            let ended = run.join().expect("no panic");
            let short = ended.short();
            assert_eq!(ended.code, Some(reason.exit_code().as_i32()), "{engine} {case}: {short:?}");
            assert!(!ended.text().contains(KEY), "{engine} {case}");
            if short.reason != reason {
                wrong.push(format!("{case}: {} instead of {reason}: {:?}", short.reason, short.error));
            }
        }
    });
    assert!(wrong.is_empty(), "{engine}:\n{}", wrong.join("\n"));
}

#[test]
fn sdk_ends_as_the_table_says() {
    ends_as_the_table_says(0);
}

#[test]
fn cli_ends_as_the_table_says() {
    ends_as_the_table_says(1);
}

#[test]
fn main_ends_as_the_table_says() {
    ends_as_the_table_says(2);
}

#[test]
fn a_verdict_comes_whole_from_every_engine() {
    for engine in ENGINES {
        let ended = run(engine, "ok");
        let short = ended.ended_with(0, Reason::VerdictReached);
        assert_eq!(
            (short.verdict, short.confidence),
            (Some(Verdict::Diagnosed), Some(Confidence::High)),
            "{engine}"
        );
        assert_eq!(short.summary, "The disk is full, because nothing rotates the log.", "{engine}");
        assert!(short.acted, "{engine}");
        let usage = short.usage;
        let tokens = (usage.input_tokens, usage.cache_read_tokens, usage.output_tokens);
        assert_eq!((tokens, usage.calls, usage.iterations), ((2_000, 400, 100), 2, 2), "{engine}");
        assert_eq!(usage.cost_usd.as_deref(), Some("0.002400"), "{engine}");
        let long = ended.long().expect("a long form");
        assert!(long.report.is_some_and(|report| report.contains("Nothing rotates")), "{engine}");
        assert!(long.plan.is_some_and(|plan| plan.contains("logrotate -f")), "{engine}");
        let is_command = |event: &Event| matches!(event, Event::Command { command, .. } if command.starts_with("echo look"));
        let is_output = |event: &Event| matches!(event, Event::Output { exit_code: Some(0), text, .. } if text.trim() == "look");
        assert!(ended.events().iter().any(is_command) && ended.events().iter().any(is_output), "{engine}");
    }
}

#[test]
fn words_without_a_block_are_inconclusive() {
    for engine in ["cli", "main"] {
        let short = run(engine, "no-block").ended_with(0, Reason::VerdictReached);
        assert_eq!(short.verdict, Some(Verdict::Inconclusive), "{engine}");
        assert_eq!(short.summary, "All is well, I think.", "{engine}");
    }
}

#[test]
fn what_an_agent_forges_changes_nothing() {
    for engine in ENGINES {
        let short = run(engine, "forged-verdict").ended_with(0, Reason::VerdictReached);
        assert_eq!(short.verdict, Some(Verdict::Diagnosed), "{engine}: {}", short.summary);
    }
}
