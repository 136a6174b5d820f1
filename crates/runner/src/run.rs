//! One attempt, from the environment to the exit code.

use std::fs;
use std::io;
use std::process::ExitCode;
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use nix::sys::prctl;
use punching_fist_protocol::pod::Runtime;
use punching_fist_protocol::{Event, LongResult, Reason, ShortResult, Usage};

use crate::journal::Journal;
use crate::judge::{self, Fault};
use crate::processes;
use crate::seccomp;
use crate::secrets;
use crate::settings::{self, Environment};
use crate::supervisor::Supervisor;
use crate::termination::TerminationLog;

/// The exit code when the message could not be left. It is none of the runner's: with one of them a message that the agent
/// has left there instead would be believed.
const NOT_TOLD: ExitCode = ExitCode::FAILURE;

/// How long processes are waited for that were killed already, and didn't go.
const LAST_WAIT: Duration = Duration::from_secs(1);
/// How long files may take to be removed.
const TIDY: Duration = Duration::from_secs(2);
/// Room for as many directories in each other as may be open at once.
const TIDY_STACK: usize = 16 * 1024 * 1024;

/// Runs the engine and leaves the result: the long form at the end of the log, then the termination message.
pub fn run(noted: io::Result<()>) -> ExitCode {
    let protected = protect(noted);
    let environment = Environment::of_this_process();
    let mut journal = Journal::new(io::stdout(), secrets::redactor(&environment));
    let path = environment.termination_log();
    let untold = |error: &io::Error| {
        let text = format!("the termination message can't be left in {}: {error}", path.display());
        Event::Error { reason: None, code: None, text }
    };
    let termination = match TerminationLog::open(&path) {
        Ok(termination) => termination,
        Err(error) => {
            // Nobody would learn what the agent found, and it would cost money all the same.
            journal.write(untold(&error));
            return NOT_TOLD;
        }
    };
    let (mut short, long) = match protected.and_then(|()| attempt(&environment, &mut journal)) {
        Ok(result) => result,
        Err(fault) => (refusal(&fault, &mut journal), LongResult::default()),
    };
    short.long_sha256 = write_long(&long, &mut journal);
    if let Some(Fault { reason, text }) = journal.fault() {
        // Nobody could see what the agent did.
        short = ShortResult::without_verdict(reason, text, short.usage);
    }
    let left = leave(&termination, &short);
    if let Err(error) = &left {
        journal.write(untold(error));
    }
    tidy();
    left.map_or(NOT_TOLD, |()| {
        ExitCode::from(u8::try_from(short.reason.exit_code().as_i32()).unwrap_or(u8::MAX))
    })
}

/// Leaves the message where only the runner can still write.
fn leave(termination: &TerminationLog, short: &ShortResult) -> io::Result<()> {
    if !processes::are_gone(LAST_WAIT) {
        return Err(io::Error::other("a process of the agent's that could write there can't be ended"));
    }
    termination.write(short)
}

/// Removes the engine's own files, which the agent may have made many. A pod goes with all of its files: there the result
/// waits for nothing.
fn tidy() {
    if std::process::id() == 1 {
        return;
    }
    let (done, is_done) = mpsc::channel();
    let tidying = thread::Builder::new().stack_size(TIDY_STACK).spawn(move || {
        let _ = fs::remove_dir_all(settings::state_directory());
        done.send(())
    });
    if tidying.is_ok() {
        let _ = is_done.recv_timeout(TIDY);
    }
}

/// The agent has our uid. Not dumpable: it can't open our descriptors, memory or environment through /proc.
/// A subreaper: what a tool leaves behind falls to us also where we aren't PID 1.
fn protect(noted: io::Result<()>) -> Result<(), Fault> {
    let protected = || Ok(prctl::set_dumpable(false).and_then(|()| prctl::set_child_subreaper(true))?);
    noted.and_then(|()| protected()).map_err(|error| {
        Fault::new(Reason::AgentFault, format!("can't keep the agent away from the result: {error}"))
    })
}

/// A privileged pod is left as it is: it has other ways.
fn confine(runtime: Runtime, journal: &mut Journal<io::Stdout>) {
    if runtime == Runtime::Docker {
        return;
    }
    if let Err(error) = seccomp::keep_to_oneself() {
        let text = format!(
            "the agent can set the runner's limits and priority: the kernel takes no filter of calls: {error}"
        );
        journal.write(Event::Error { reason: None, code: None, text });
    }
}

fn attempt(
    environment: &Environment,
    journal: &mut Journal<io::Stdout>,
) -> Result<(ShortResult, LongResult), Fault> {
    let settings = environment.settings().map_err(|error| Fault::refused(error.to_string()))?;
    confine(settings.task.runtime, journal);
    let run = Supervisor::start(&settings, journal)?.watch();
    Ok(judge::result(run.observed, settings.engine.exit_codes(), run.end, run.stop))
}

fn refusal(fault: &Fault, journal: &mut Journal<io::Stdout>) -> ShortResult {
    let text = journal.redact(&fault.text);
    journal.write(Event::Error { reason: Some(fault.reason), code: None, text: text.clone() });
    ShortResult::without_verdict(fault.reason, text, Usage::default())
}

fn write_long(long: &LongResult, journal: &mut Journal<io::Stdout>) -> Option<String> {
    if long.is_empty() {
        return None;
    }
    let encoded = long.encode();
    journal.forgive();
    for line in &encoded.lines {
        journal.write_line(line);
    }
    Some(encoded.sha256)
}
