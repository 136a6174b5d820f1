//! One matcher, with Alertmanager's meaning: regular expressions match the whole value, a label that is missing is empty.

use std::collections::BTreeMap;

use regex::{Regex, RegexBuilder};
use thiserror::Error;

use super::parse;

/// Most memory that one compiled expression may take.
const REGEX_BYTES: usize = 1024 * 1024;

/// A matcher that can't be read.
#[derive(Debug, Error)]
#[error("matcher `{matcher}`: {problem}")]
pub struct MatcherError {
    matcher: String,
    problem: Problem,
}

/// What is wrong with it.
#[derive(Debug, Error)]
pub(super) enum Problem {
    #[error("a label name is missing; write it as name=\"value\"")]
    NoName,
    #[error("after `{0}` an operator is missing: one of =, !=, =~, !~")]
    NoOperator(String),
    #[error("`{0}` is unexpected there; put label names and values with such characters in double quotes")]
    Unexpected(char),
    #[error("the quote at byte {0} is never closed")]
    Unclosed(usize),
    #[error("the closing brace is missing")]
    NoClosingBrace,
    #[error("there is no matcher in it")]
    Empty,
    #[error("the expression after {0} is not valid: {1}")]
    Regex(&'static str, String),
}

/// What a label is compared with.
#[derive(Clone, Debug)]
enum Test {
    Equal(String),
    NotEqual(String),
    Matches(Regex),
    DoesNotMatch(Regex),
}

/// What a label must or must not be.
#[derive(Clone, Debug)]
pub struct Matcher {
    label: String,
    test: Test,
}

impl Matcher {
    /// Reads `severity="critical"`, `alertname=~"Kube.*"`, `"a name in UTF-8"!=x`, or several with commas between them,
    /// with or without braces around, as Alertmanager does.
    pub fn parse(text: &str) -> Result<Vec<Self>, MatcherError> {
        let named = |problem| MatcherError { matcher: text.to_owned(), problem };
        let terms = parse::terms(text).map_err(named)?;
        terms.into_iter().map(|term| Self::of(term).map_err(named)).collect()
    }

    /// Whether a set of labels passes.
    pub fn matches(&self, labels: &BTreeMap<String, String>) -> bool {
        let value = labels.get(&self.label).map_or("", String::as_str);
        match &self.test {
            Test::Equal(wanted) => value == wanted,
            Test::NotEqual(unwanted) => value != unwanted,
            Test::Matches(wanted) => wanted.is_match(value),
            Test::DoesNotMatch(unwanted) => !unwanted.is_match(value),
        }
    }

    fn of(term: parse::Term) -> Result<Self, Problem> {
        let test = match term.operator {
            "=" => Test::Equal(term.value),
            "!=" => Test::NotEqual(term.value),
            "=~" => Test::Matches(anchored("=~", &term.value)?),
            _ => Test::DoesNotMatch(anchored("!~", &term.value)?),
        };
        Ok(Self { label: term.name, test })
    }
}

fn anchored(operator: &'static str, expression: &str) -> Result<Regex, Problem> {
    // Alone first: anchored, `a)(b` would close our group and pass.
    let compile = |text: &str| RegexBuilder::new(text).size_limit(REGEX_BYTES).build();
    let compiled = compile(expression).and_then(|_| compile(&format!("^(?:{expression})$")));
    compiled.map_err(|error| Problem::Regex(operator, last_line(&error.to_string())))
}

/// The regex crate draws a picture of the place above its message.
fn last_line(text: &str) -> String {
    let line = text.lines().last().unwrap_or_default();
    line.trim_start_matches("error: ").to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn assert_matches(cases: &[(&str, bool)]) {
        let labels: BTreeMap<String, String> =
            [("a", "b"), ("sev", "critical"), ("näme", "wert"), ("nl", "x\ny")]
                .map(|(name, value)| (name.to_owned(), value.to_owned()))
                .into();
        for (text, passes) in cases {
            let matchers = Matcher::parse(text).unwrap_or_else(|error| panic!("{error}"));
            assert_eq!(matchers.iter().all(|matcher| matcher.matches(&labels)), *passes, "{text}");
        }
    }

    #[test]
    fn values_are_compared_as_alertmanager_does() {
        assert_matches(&[
            (r#"a="b""#, true),
            ("a=b", true),
            (" a = b ", true),
            (r#"a!="b""#, false),
            ("a!=c", true),
            (r#"missing="""#, true),
            ("missing=", true),
            (r#"missing!="""#, false),
            (r#""näme"="wert""#, true),
            ("näme=wert", true),
            (r#"nl="x\ny""#, true),
            (r#"a="b",sev="critical""#, true),
            (r#"{a="b", sev!="critical"}"#, false),
            ("{a=b,}", true),
        ]);
    }

    #[test]
    fn expressions_match_as_alertmanagers_do() {
        assert_matches(&[
            (r#"sev=~"crit|warn""#, false),
            (r#"sev=~"critical|warning""#, true),
            (r#"sev=~"crit.*""#, true),
            (r#"sev=~"rit""#, false),
            (r#"sev!~"crit.*""#, false),
            ("sev=~critical|warning", true),
            (r#"missing=~".*""#, true),
            (r#"missing=~".+""#, false),
            (r#"missing!~".+""#, true),
            (r#"nl=~"x.y""#, false),
            (r#"nl=~"(?s)x.y""#, true),
        ]);
    }

    #[test]
    fn an_error_names_the_matcher_and_what_is_wrong() {
        for (text, expected) in [
            ("", "no matcher"),
            ("{}", "no matcher"),
            ("severity", "after `severity` an operator is missing"),
            ("severity~critical", "`~` is unexpected"),
            (r#"="x""#, "a label name is missing"),
            (r#"""="x""#, "a label name is missing"),
            (r#"a="x"#, "never closed"),
            (r#"a="x"y"#, "`y` is unexpected"),
            ("{a=b", "closing brace"),
            ("a=b}", "`}` is unexpected"),
            ("a=b=c", "`=` is unexpected"),
            ("a==b", "`=` is unexpected"),
            (r#"a=~"(""#, "expression after =~ is not valid: unclosed group"),
            (r#"a!~"a)(b""#, "expression after !~ is not valid: unopened group"),
            (r#"a=~"(a{1000}){1000}""#, "not valid"),
        ] {
            let error = Matcher::parse(text).unwrap_err().to_string();
            assert!(error.starts_with(&format!("matcher `{text}`: ")), "{error}");
            assert!(error.contains(expected) && !error.contains('\u{a}'), "{text}: {error}");
        }
    }
}
