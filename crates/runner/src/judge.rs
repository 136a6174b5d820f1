//! How an attempt ended: decided from what was seen, how the engine's process ended, and why we stopped it, if we did.
//! No I/O.

use nix::sys::signal::Signal;
use punching_fist_protocol::{
    ExitCode, Finish, GatewayWord, LongResult, Reason, SHORT_MAX, ShortResult, State, VERSION, json_len,
};

use crate::engine::ExitCodes;
use crate::observed::Observed;

/// So many bytes of a summary, in JSON, find room in the short form beside all else.
const SUMMARY_KEPT: usize = SHORT_MAX / 4 * 3;

/// How the engine's process ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ProcessEnd {
    /// By itself, with this code.
    Exited(i32),
    /// By a signal.
    Killed(Signal),
    /// By a real-time signal: they have no names.
    KilledInRealTime,
    /// By us, after it had said that it is done.
    Lingered,
    /// It didn't: it can't be ended.
    Unknown,
}

/// Why an attempt ended without a verdict.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fault {
    /// One word.
    pub reason: Reason,
    /// The same for people.
    pub text: String,
}

impl Fault {
    /// A fault.
    pub fn new(reason: Reason, text: impl Into<String>) -> Self {
        Self { reason, text: text.into() }
    }

    /// With the gateway's own reason, if the text tells one.
    fn in_the_gateways_words(self) -> Self {
        Self { reason: gateway_word(&self.text).unwrap_or(self.reason), ..self }
    }

    /// A setting that can't be worked with.
    pub fn refused(text: impl Into<String>) -> Self {
        Self::new(Reason::ConfigurationRefused, text)
    }
}

/// Both forms of the result.
pub fn result(
    observed: Observed,
    codes: ExitCodes,
    end: ProcessEnd,
    stop: Option<Fault>,
) -> (ShortResult, LongResult) {
    if let Some(finish) = verdict(&observed, codes, end) {
        return concluded(&observed, finish.clone());
    }
    let refusal = observed.gateway.clone().or(stop);
    let Fault { reason, text } = refusal.unwrap_or_else(|| fault(&observed, codes, end));
    let short = ShortResult::without_verdict(reason, text, observed.usage);
    (ShortResult { summary: observed.last_words, acted: observed.acted, ..short }, LongResult::default())
}

/// The conclusion, if everything agrees: it can be read, the engine calls itself finished, and its exit code, if it
/// means anything, says so. Why we stopped it doesn't matter then: it was done.
fn verdict(observed: &Observed, codes: ExitCodes, end: ProcessEnd) -> Option<&Finish> {
    let ended_well = match end {
        ProcessEnd::Exited(code) => code == 0 || codes == ExitCodes::Meaningless,
        ProcessEnd::Lingered => true,
        ProcessEnd::Killed(_) | ProcessEnd::KilledInRealTime | ProcessEnd::Unknown => false,
    };
    let agrees = observed.is_done() && ended_well;
    observed.finish.as_ref().filter(|_| agrees)?.as_ref().ok()
}

fn concluded(observed: &Observed, finish: Finish) -> (ShortResult, LongResult) {
    let short = ShortResult {
        version: VERSION,
        reason: Reason::VerdictReached,
        verdict: Some(finish.verdict),
        confidence: finish.confidence,
        summary: one_paragraph(&finish.summary),
        error: None,
        usage: observed.usage.clone(),
        acted: observed.acted,
        long_sha256: None,
    };
    let longer = || (!is_short(&finish.summary)).then(|| finish.summary.clone());
    (short, LongResult { report: finish.report.or_else(longer), plan: finish.plan })
}

/// Whether the short form keeps all of a summary, as it was written. What it doesn't keep is still to be read.
fn is_short(summary: &str) -> bool {
    summary.trim().lines().count() <= 1 && json_len(summary) <= SUMMARY_KEPT
}

/// The text on one line, for tables and conditions.
fn one_paragraph(text: &str) -> String {
    let lines: Vec<&str> = text.lines().map(str::trim).filter(|line| !line.is_empty()).collect();
    lines.join(" ")
}

fn fault(observed: &Observed, codes: ExitCodes, end: ProcessEnd) -> Fault {
    if let Some(Err(problem)) = &observed.finish {
        return Fault::new(Reason::AgentFault, format!("the agent's verdict can't be read: {problem}"));
    }
    match end {
        ProcessEnd::Exited(0) | ProcessEnd::Lingered => without_conclusion(observed),
        ProcessEnd::Exited(code) => exited(observed, codes, code),
        ProcessEnd::Killed(Signal::SIGKILL) => Fault::new(
            Reason::AgentFault,
            "the engine was killed (SIGKILL): out of memory, or by the agent itself",
        ),
        ProcessEnd::Killed(signal) => {
            Fault::new(Reason::AgentFault, format!("the engine was ended by {signal}"))
        }
        ProcessEnd::KilledInRealTime => {
            Fault::new(Reason::AgentFault, "the engine was ended by a real-time signal")
        }
        ProcessEnd::Unknown => Fault::new(Reason::AgentFault, "the engine can't be ended"),
    }
}

fn without_conclusion(observed: &Observed) -> Fault {
    let text = match observed.state {
        Some(State::AwaitingInput) => "the agent asked a question, which nobody answers, and gave no verdict",
        Some(State::AwaitingConfirmation) => "the agent waited for a confirmation, which nobody gives",
        Some(State::Finished) if observed.finish.is_none() => "the agent ended without a verdict",
        _ => "the engine ended before the agent was finished",
    };
    let remark = observed.remark.as_deref().map(|remark| format!(": {remark}")).unwrap_or_default();
    let unsaid = || Fault::new(by_state(observed.state), format!("{text}{remark}"));
    observed.error.clone().unwrap_or_else(unsaid)
}

/// What an end is without a verdict and without an error that says more.
fn by_state(state: Option<State>) -> Reason {
    match state {
        Some(State::Stuck) => Reason::Stuck,
        Some(State::RateLimited) => Reason::ProviderFault,
        _ => Reason::NoVerdict,
    }
}

/// An engine's last error says more than its exit code, if it goes with the code. Without one its last line on standard
/// error does: what a tool couldn't do long before has nothing to do with it.
fn exited(observed: &Observed, codes: ExitCodes, code: i32) -> Fault {
    let said = observed.error.as_ref().map(|error| error.reason);
    let reason = match codes {
        ExitCodes::Ours => by_code(said, code),
        ExitCodes::Plain | ExitCodes::Meaningless => said.unwrap_or(Reason::AgentFault),
    };
    if let Some(error) = &observed.error {
        return Fault::new(reason, &error.text);
    }
    let last = observed.last_complaint.as_deref().map(|line| format!(": {line}")).unwrap_or_default();
    Fault::new(reason, format!("the engine ended with exit code {code}{last}")).in_the_gateways_words()
}

/// The reason for one of the runner's own exit codes.
fn by_code(said: Option<Reason>, code: i32) -> Reason {
    let known = ExitCode::from_i32(code);
    let default = match known {
        Some(ExitCode::Refused) => Reason::ConfigurationRefused,
        Some(ExitCode::LimitReached) => Reason::IterationLimit,
        _ => Reason::AgentFault,
    };
    said.filter(|reason| Some(reason.exit_code()) == known).unwrap_or(default)
}

/// What the model's gateway says in an error's text, wherever the engine puts it. It outranks all that an engine makes
/// of it: to most, a budget that is spent is a provider that refuses.
pub fn gateway_word(text: &str) -> Option<Reason> {
    match GatewayWord::find(text)? {
        GatewayWord::BudgetExceeded => Some(Reason::BudgetExceeded),
        GatewayWord::RunOver | GatewayWord::Refused => Some(Reason::ConfigurationRefused),
        GatewayWord::Unauthenticated | GatewayWord::Unavailable => None,
    }
}

#[cfg(test)]
mod tests {
    use punching_fist_protocol::{Event, Verdict};

    use super::*;

    fn events(lines: &[&str]) -> Observed {
        let mut observed = Observed::default();
        for line in lines {
            let event: Event = serde_json::from_str(line).expect(line);
            observed.observe(&event);
        }
        observed
    }

    const FINISH: &str = r#"{"kind":"finish","verdict":"Diagnosed","summary":"s","report":"r"}"#;
    const FINISHED: &str = r#"{"kind":"state","state":"finished"}"#;
    const ERROR: &str = r#"{"kind":"state","state":"error"}"#;
    const RUNNING: &str = r#"{"kind":"state","state":"running"}"#;
    const QUESTION: &str = r#"{"kind":"state","state":"awaitingInput"}"#;
    const PROVIDER: &str = r#"{"kind":"error","reason":"ProviderFault","text":"503"}"#;
    const REFUSED: &str = r#"{"kind":"error","reason":"CredentialsRefused","text":"401"}"#;
    const STUCK: &str = r#"{"kind":"error","reason":"Stuck","text":"circles"}"#;
    const LIMITED: &str = r#"{"kind":"state","state":"rateLimited"}"#;
    const CIRCLES: &str = r#"{"kind":"state","state":"stuck"}"#;
    const CONFIRMATION: &str = r#"{"kind":"state","state":"awaitingConfirmation"}"#;
    const SPENT: &str = r#"{"kind":"error","reason":"CredentialsRefused","text":"403 punching-fist-gateway: BudgetExceeded: 1"}"#;
    const TOOL: &str = r#"{"kind":"error","code":"ToolCallRefused","text":"no such file"}"#;
    const TRACEBACK: &str = r#"{"kind":"log","stream":"stderr","text":"MemoryError: 9"}"#;
    const LIAR: &str = r#"{"kind":"error","reason":"VerdictReached","text":"ha"}"#;

    fn assert_judged(lines: &[&str], end: ProcessEnd, expected: Reason) {
        let (short, _) = result(events(lines), ExitCodes::Ours, end, None);
        assert_eq!(short.reason, expected, "{lines:?} {end:?}");
        assert_eq!(short.verdict.is_some(), expected == Reason::VerdictReached);
        assert_eq!(short.error.is_none(), expected == Reason::VerdictReached);
        let code = short.reason.exit_code().as_i32();
        assert!(ShortResult::from_message(&short.to_message(), code).is_ok(), "message and exit code agree");
    }

    #[test]
    fn every_end_has_its_reason() {
        use ProcessEnd::{Exited, Killed, Unknown};
        let table: [(&[&str], ProcessEnd, Reason); 21] = [
            (&[FINISH, FINISHED], Exited(0), Reason::VerdictReached),
            (&[FINISHED, FINISH], Exited(0), Reason::VerdictReached),
            (&[FINISH], Exited(0), Reason::NoVerdict),
            (&[FINISHED], Exited(0), Reason::NoVerdict),
            (&[], Exited(0), Reason::NoVerdict),
            (&[QUESTION], Exited(0), Reason::NoVerdict),
            (&[FINISH, FINISHED, ERROR], Exited(0), Reason::NoVerdict),
            (&[FINISH, FINISHED, PROVIDER, ERROR], Exited(0), Reason::ProviderFault),
            (&[LIAR, FINISHED], Exited(0), Reason::NoVerdict),
            (&[FINISH, FINISHED], Exited(1), Reason::AgentFault),
            (&[FINISH, FINISHED], Exited(10), Reason::AgentFault),
            (&[FINISH, FINISHED], Killed(Signal::SIGKILL), Reason::AgentFault),
            (&[FINISH, FINISHED], Killed(Signal::SIGSEGV), Reason::AgentFault),
            (&[FINISH, FINISHED], Unknown, Reason::AgentFault),
            (&[PROVIDER], Exited(10), Reason::ProviderFault),
            (&[STUCK], Exited(10), Reason::Stuck),
            (&[REFUSED], Exited(11), Reason::CredentialsRefused),
            (&[REFUSED], Exited(12), Reason::IterationLimit),
            (&[PROVIDER], Exited(11), Reason::ConfigurationRefused),
            (&[], Exited(13), Reason::AgentFault),
            (&[], Exited(127), Reason::AgentFault),
        ];
        for (lines, end, expected) in table {
            assert_judged(lines, end, expected);
        }
    }

    #[test]
    fn a_verdict_that_cant_be_read_is_a_fault_even_after_a_good_one() {
        let mut observed = events(&[FINISH, FINISHED]);
        observed.finish = Some(Err("unknown variant".to_owned()));
        let (short, long) = result(observed, ExitCodes::Ours, ProcessEnd::Exited(0), None);
        assert_eq!((short.reason, short.verdict), (Reason::AgentFault, None));
        assert!(short.error.is_some_and(|error| error.contains("unknown variant")) && long.is_empty());
    }

    #[test]
    fn a_stop_gives_its_reason_unless_the_agent_was_done() {
        let stop = || Some(Fault::new(Reason::TimeLimit, "time is over"));
        for (end, lines) in [
            (ProcessEnd::Killed(Signal::SIGINT), [FINISH, FINISHED].as_slice()),
            (ProcessEnd::Exited(0), &[]),
            (ProcessEnd::Exited(10), &[PROVIDER]),
        ] {
            assert_eq!(
                result(events(lines), ExitCodes::Ours, end, stop()).0.reason,
                Reason::TimeLimit,
                "{lines:?}"
            );
        }
        let (short, long) =
            result(events(&[FINISH, FINISHED]), ExitCodes::Ours, ProcessEnd::Exited(0), stop());
        assert_eq!((short.verdict, long.report.as_deref()), (Some(Verdict::Diagnosed), Some("r")));
    }

    #[test]
    fn a_summary_is_one_paragraph_and_nothing_of_it_is_lost() {
        let long = "# Cause\n\nThe disk\n  is full.\n";
        let endless = "full ".repeat(1000).trim_end().to_owned();
        for (summary, expected, report) in [
            ("The disk is full.", "The disk is full.", None),
            (" The disk is full.\n", "The disk is full.", None),
            ("The disk\nis full.", "The disk is full.", Some("The disk\nis full.")),
            (long, "# Cause The disk is full.", Some(long)),
            (&endless, &endless, Some(endless.as_str())),
        ] {
            let finish = serde_json::json!({"kind": "finish", "verdict": "Diagnosed", "summary": summary});
            let observed = events(&[&finish.to_string(), FINISHED]);
            let (short, full) = result(observed, ExitCodes::Ours, ProcessEnd::Exited(0), None);
            assert_eq!((short.summary.as_str(), full.report.as_deref()), (expected, report));
            assert!(report.is_some() || short.to_message().contains(expected), "what fits is not cut");
        }
    }

    #[test]
    fn what_an_exit_code_means_is_the_engines_to_say() {
        use ExitCodes::{Meaningless, Ours, Plain};
        use ProcessEnd::{Exited, Killed, Lingered, Unknown};
        let table: [(&[&str], ExitCodes, ProcessEnd, Reason); 20] = [
            (&[FINISH, FINISHED], Meaningless, Exited(0), Reason::VerdictReached),
            (&[FINISH, FINISHED], Meaningless, Exited(1), Reason::VerdictReached),
            (&[FINISH, FINISHED], Meaningless, Killed(Signal::SIGKILL), Reason::AgentFault),
            (&[FINISH, FINISHED], Plain, Exited(11), Reason::AgentFault),
            (&[FINISH, FINISHED], Ours, Lingered, Reason::VerdictReached),
            (&[FINISH, FINISHED], Meaningless, Lingered, Reason::VerdictReached),
            (&[FINISH, FINISHED], Meaningless, Unknown, Reason::AgentFault),
            (&[FINISH, ERROR], Meaningless, Exited(0), Reason::NoVerdict),
            (&[FINISHED], Meaningless, Exited(0), Reason::NoVerdict),
            (&[FINISH], Meaningless, Exited(0), Reason::NoVerdict),
            (&[REFUSED, ERROR], Meaningless, Exited(0), Reason::CredentialsRefused),
            (&[REFUSED, ERROR], Meaningless, Exited(1), Reason::CredentialsRefused),
            (&[LIAR, ERROR], Meaningless, Exited(1), Reason::AgentFault),
            (&[], Meaningless, Exited(12), Reason::AgentFault),
            (&[PROVIDER], Plain, Exited(11), Reason::ProviderFault),
            (&[LIMITED], Meaningless, Exited(0), Reason::ProviderFault),
            (&[CIRCLES], Meaningless, Lingered, Reason::Stuck),
            (&[CONFIRMATION], Meaningless, Exited(0), Reason::NoVerdict),
            (&[SPENT, ERROR], Meaningless, Exited(0), Reason::BudgetExceeded),
            (&[SPENT, PROVIDER, ERROR], Ours, Exited(10), Reason::BudgetExceeded),
        ];
        for (lines, codes, end, expected) in table {
            let (short, _) = result(events(lines), codes, end, None);
            assert_eq!(short.reason, expected, "{lines:?} {codes:?} {end:?}");
        }
    }

    #[test]
    fn what_a_run_went_on_behind_is_no_end() {
        use ExitCodes::{Meaningless, Ours};
        use ProcessEnd::{Exited, Lingered};
        let table: [(&[&str], ExitCodes, ProcessEnd, Reason, &str); 8] = [
            (&[TOOL, TRACEBACK], Ours, Exited(1), Reason::AgentFault, "exit code 1: MemoryError: 9"),
            (&[TOOL], Meaningless, Exited(3), Reason::AgentFault, "exit code 3"),
            (&[PROVIDER, TOOL], Ours, Exited(10), Reason::ProviderFault, "503"),
            (&[PROVIDER, TOOL], Meaningless, Exited(0), Reason::ProviderFault, "503"),
            (&[TOOL, CIRCLES], Meaningless, Lingered, Reason::Stuck, "no such file"),
            (&[TOOL, LIMITED], Meaningless, Exited(0), Reason::ProviderFault, "no such file"),
            (
                &[PROVIDER, LIMITED, RUNNING, TRACEBACK],
                Meaningless,
                Exited(1),
                Reason::AgentFault,
                "Error: 9",
            ),
            (&[RUNNING, PROVIDER, RUNNING], Meaningless, Exited(0), Reason::ProviderFault, "503"),
        ];
        for (lines, codes, end, expected, said) in table {
            let (short, _) = result(events(lines), codes, end, None);
            let error = short.error.unwrap_or_default();
            assert_eq!(short.reason, expected, "{lines:?} {codes:?} {end:?}: {error}");
            assert!(error.ends_with(said), "{lines:?}: {error}");
        }
    }

    #[test]
    fn the_gateways_words_are_found_wherever_they_stand() {
        let table = [
            ("punching-fist-gateway: BudgetExceeded: 2 of 2", Some(Reason::BudgetExceeded)),
            ("litellm: {\"message\":\"punching-fist-gateway: RunOver\"}", Some(Reason::ConfigurationRefused)),
            ("punching-fist-gateway: Refused: no", Some(Reason::ConfigurationRefused)),
            ("punching-fist-gateway: BudgetExceededNot", None),
            ("punching-fist-gateway: Unavailable: later", None),
            ("BudgetExceeded", None),
        ];
        for (text, reason) in table {
            assert_eq!(gateway_word(text), reason, "{text}");
        }
    }
}
