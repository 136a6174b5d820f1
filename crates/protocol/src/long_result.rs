//! The long form of a result: report and plan, in the last lines of the pod's log.
//!
//! The lines say only where the parts are; that they are the runner's is known from the SHA-256 in the short form.

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::LINE_MAX;
use crate::cut::{cut_json, json_len, json_prefix_end};

/// The most that report and plan take together, as JSON.
pub const LONG_MAX: usize = 64 * 1024;
/// The most lines that a long result takes: so many of the log's last lines are enough to read it.
pub const RESULT_LINES_MAX: usize = 20;

/// A plan is worth more than the end of a long report: it keeps at least so much.
const PLAN_SHARE: usize = 16 * 1024;
/// Room in a line for all but the data.
const PART_FRAME: usize = 64;

/// What is too long for a termination message.
#[derive(Clone, Debug, Default, Deserialize, Serialize, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
pub struct LongResult {
    /// Markdown: root cause, evidence, what was done and what it did, what is left.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub report: Option<String>,
    /// What to change, where a fix is known and was not made.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub plan: Option<String>,
}

/// A long result as it is written: its lines, and the hash that vouches for them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Encoded {
    /// The lines, without their ends; each at most [`LINE_MAX`] bytes.
    pub lines: Vec<String>,
    /// SHA-256 of what they carry, in hex.
    pub sha256: String,
}

#[derive(Deserialize, Serialize)]
struct Part {
    kind: PartKind,
    #[serde(rename = "part")]
    number: usize,
    of: usize,
    data: String,
}

#[derive(Deserialize, Serialize)]
#[serde(rename_all = "camelCase")]
enum PartKind {
    Result,
}

impl LongResult {
    /// Whether there is nothing to write.
    pub fn is_empty(&self) -> bool {
        self.report.is_none() && self.plan.is_none()
    }

    /// The result as lines of a log, cut to [`LONG_MAX`].
    pub fn encode(&self) -> Encoded {
        let json = serde_json::to_string(&self.fitted()).unwrap_or_default();
        let sha256 = hex_digest(json.as_bytes());
        let chunks = chunks(&json, LINE_MAX - PART_FRAME);
        let of = chunks.len();
        let line = |(at, data): (usize, &str)| {
            let part = Part { kind: PartKind::Result, number: at + 1, of, data: data.to_owned() };
            serde_json::to_string(&part).unwrap_or_default()
        };
        Encoded { lines: chunks.into_iter().enumerate().map(line).collect(), sha256 }
    }

    /// Finds in a log the result with this hash. Other lines, and parts that somebody else wrote, are passed over.
    pub fn from_log(log: &[u8], expected_sha256: &str) -> Option<Self> {
        let mut candidate = Candidate::default();
        let parts =
            log.split(|byte| *byte == b'\n').filter_map(|line| serde_json::from_slice::<Part>(line).ok());
        for part in parts {
            if let Some(json) = candidate.add(&part)
                && hex_digest(json.as_bytes()) == expected_sha256
            {
                return serde_json::from_str(&json).ok();
            }
        }
        None
    }

    fn fitted(&self) -> Self {
        let length = |text: &Option<String>| text.as_deref().map_or(0, json_len);
        let room = LONG_MAX - r#"{"report":"","plan":""}"#.len();
        let plan_room = length(&self.plan).min(PLAN_SHARE.max(room.saturating_sub(length(&self.report))));
        let fit = |text: &Option<String>, room| text.as_deref().map(|text| cut_json(text, room));
        Self { report: fit(&self.report, room - plan_room), plan: fit(&self.plan, plan_room) }
    }
}

/// Parts that follow each other from the first to the last.
#[derive(Default)]
struct Candidate {
    json: String,
    next: usize,
    of: usize,
}

impl Candidate {
    /// Takes one more part; the whole, when it was the last.
    fn add(&mut self, part: &Part) -> Option<String> {
        if part.number == 1 {
            *self = Self { json: String::new(), next: 1, of: part.of };
        }
        if part.number != self.next || part.of != self.of || part.of > RESULT_LINES_MAX {
            *self = Self::default();
            return None;
        }
        self.json.push_str(&part.data);
        self.next += 1;
        (part.number == self.of).then(|| std::mem::take(self).json)
    }
}

fn chunks(text: &str, max: usize) -> Vec<&str> {
    let mut rest = text;
    let mut chunks = Vec::new();
    while !rest.is_empty() {
        let (chunk, after) = rest.split_at(json_prefix_end(rest, max));
        chunks.push(chunk);
        rest = after;
    }
    chunks
}

fn hex_digest(bytes: &[u8]) -> String {
    let digit = |value: u8| char::from_digit(u32::from(value), 16).unwrap_or_default();
    Sha256::digest(bytes).iter().flat_map(|byte| [digit(byte >> 4), digit(byte & 15)]).collect()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn long(report: &str, plan: &str) -> LongResult {
        LongResult { report: Some(report.to_owned()), plan: Some(plan.to_owned()) }
    }

    fn log(lines: &[String]) -> Vec<u8> {
        lines.iter().flat_map(|line| [line.as_bytes(), b"\n"].concat()).collect()
    }

    #[test]
    fn is_found_among_anything() {
        let result = long(&"## Cause\n\"x\" \\ 🥊\n".repeat(2000), "kubectl edit");
        let real = result.encode();
        assert!(real.lines.len() > 2);
        let forged = long("forged", "rm -rf /").encode();
        let mut lines = vec!["garbage".to_owned(), "{}".to_owned(), r#"{"kind":"result"}"#.to_owned()];
        lines.extend(forged.lines.clone());
        lines.push(real.lines[0].clone());
        lines.push(format!(r#"{{"kind":"result","part":2,"of":{},"data":"forged"}}"#, real.lines.len()));
        lines.push(r#"{"kind":"result","part":1,"of":18446744073709551615,"data":"endless"}"#.to_owned());
        let before = [log(&lines), b"\xff\xfe not text\n".to_vec()].concat();
        let whole = [before.clone(), log(&real.lines), b"after\n".to_vec()].concat();
        assert_eq!(LongResult::from_log(&whole, &real.sha256), Some(result));
        assert_eq!(LongResult::from_log(&before, &real.sha256), None);
        assert_eq!(LongResult::from_log(&whole, "00"), None);
    }

    #[test]
    fn a_lost_or_changed_line_is_no_result() {
        let real = long(&"r".repeat(30_000), "").encode();
        for missing in 0..real.lines.len() {
            let mut lines = real.lines.clone();
            lines.remove(missing);
            assert_eq!(LongResult::from_log(&log(&lines), &real.sha256), None);
        }
        let changed: Vec<_> = real.lines.iter().map(|line| line.replacen("rr", "rs", 1)).collect();
        assert_eq!(LongResult::from_log(&log(&changed), &real.sha256), None);
    }

    #[test]
    fn the_plan_survives_a_long_report() {
        let encoded = long(&"r".repeat(200_000), &"p".repeat(10_000)).encode();
        let read = LongResult::from_log(&log(&encoded.lines), &encoded.sha256).expect("found");
        assert_eq!(read.plan.expect("a plan").len(), 10_000);
        assert!(read.report.expect("a report").ends_with(crate::MARKER));
    }

    proptest! {
        #[test]
        fn any_text_stays_within_the_limits(report in any::<Option<String>>(), plan in any::<Option<String>>(), times in 1usize..2000) {
            let repeat = |text: Option<String>| text.map(|text| text.repeat(times));
            let result = LongResult { report: repeat(report), plan: repeat(plan) };
            let encoded = result.encode();
            prop_assert!(encoded.lines.iter().all(|line| line.len() <= LINE_MAX));
            prop_assert!(encoded.lines.len() <= RESULT_LINES_MAX);
            let read = LongResult::from_log(&log(&encoded.lines), &encoded.sha256).expect("found");
            prop_assert!(serde_json::to_string(&read).expect("JSON").len() <= LONG_MAX);
            prop_assert_eq!((read.report.is_some(), read.plan.is_some()), (result.report.is_some(), result.plan.is_some()));
        }
    }
}
