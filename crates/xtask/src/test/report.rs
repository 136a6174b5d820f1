//! What `cargo xtask test` shows at its end: each step with its outcome and time, and the tests that took longest.

use std::fmt;
use std::time::Duration;

use super::steps::{Outcome, Step};

/// How many of the slowest tests are shown.
const SLOWEST: usize = 10;
/// A test that is quicker than this is no news.
const QUICK: f64 = 0.5;

/// What has run so far.
#[derive(Default)]
pub struct Report {
    /// How long all of it took.
    pub time: Duration,
    steps: Vec<Ran>,
    tests: Vec<Test>,
}

struct Ran {
    step: Step,
    failure: Option<String>,
    tests: usize,
    time: Duration,
}

#[derive(Debug, PartialEq)]
struct Test {
    name: String,
    seconds: f64,
}

impl Report {
    /// Adds a step that has run.
    pub fn add(&mut self, step: Step, outcome: Outcome, time: Duration) {
        let Outcome { lines, failure } = outcome;
        let tests: Vec<Test> = lines.iter().filter_map(|line| test(line)).collect();
        self.steps.push(Ran { step, failure, tests: tests.len(), time });
        self.tests.extend(tests);
    }

    /// Whether every step passed.
    pub fn passed(&self) -> bool {
        self.steps.iter().all(|ran| ran.failure.is_none())
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for ran in &self.steps {
            let outcome = match (&ran.failure, ran.tests) {
                (Some(why), _) => format!("FAILED ({why})"),
                (None, 0) => "ok".to_owned(),
                (None, tests) => format!("ok, {tests} tests"),
            };
            writeln!(f, "{:<12}{:>8.1}s  {outcome}", ran.step.to_string(), ran.time.as_secs_f64())?;
        }
        let mut slow: Vec<&Test> = self.tests.iter().filter(|test| test.seconds >= QUICK).collect();
        slow.sort_by(|one, other| other.seconds.total_cmp(&one.seconds));
        if !slow.is_empty() {
            writeln!(f, "The slowest tests:")?;
        }
        for test in slow.iter().take(SLOWEST) {
            writeln!(f, "{:>8.1}s  {}", test.seconds, test.name)?;
        }
        let outcome = if self.passed() { "Everything passed" } else { "Not everything passed" };
        write!(f, "{outcome}, in {:.1} s.", self.time.as_secs_f64())
    }
}

/// `test name ... ok <1.234s>`, as libtest writes it.
fn test(line: &str) -> Option<Test> {
    let (name, rest) = line.strip_prefix("test ")?.split_once(" ... ")?;
    let (_, time) = rest.rsplit_once('<')?;
    let seconds = time.strip_suffix("s>")?.parse().ok()?;
    Some(Test { name: name.to_owned(), seconds })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_test_and_its_time_are_read() {
        let read = |name: &str, seconds| Some(Test { name: name.to_owned(), seconds });
        for (line, expected) in [
            ("test a::b ... ok <1.234s>", read("a::b", 1.234)),
            ("test a::b - should panic ... ok <0.000s>", read("a::b - should panic", 0.0)),
            ("test a::b ... FAILED <2.000s>", read("a::b", 2.0)),
            ("test a::b ... ok", None),
            ("test result: ok. 3 passed; 0 failed; finished in 1.00s", None),
            ("running 3 tests", None),
        ] {
            assert_eq!(test(line), expected, "{line}");
        }
    }

    #[test]
    fn one_failure_is_a_failure() {
        let mut report = Report { time: Duration::from_secs(5), ..Report::default() };
        let said = ["test slow ... ok <3.000s>", "test quick ... ok <0.001s>"].map(str::to_owned);
        report.add(Step::Unit, Outcome { lines: said.to_vec(), failure: None }, Duration::from_secs(4));
        assert!(report.passed());
        let failed = Outcome { lines: Vec::new(), failure: Some("exit status: 1".to_owned()) };
        report.add(Step::Lint, failed, Duration::from_secs(1));
        assert!(!report.passed());
        let text = report.to_string();
        for expected in
            ["ok, 2 tests", "FAILED (exit status: 1)", "3.0s  slow", "Not everything passed, in 5.0 s."]
        {
            assert!(text.contains(expected), "{expected} in {text}");
        }
        assert!(!text.contains("quick"), "{text}");
    }
}
