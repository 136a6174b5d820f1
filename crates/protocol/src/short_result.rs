//! The short form of a result: the container's termination message.

use serde::{Deserialize, Serialize};

use crate::cut::{cut_json, json_len};
use crate::{Confidence, ExitCode, Reason, Usage, Verdict};

/// Kubernetes keeps this many bytes of a termination message.
pub const SHORT_MAX: usize = 4096;
/// Version of the form.
pub const VERSION: u32 = 1;

/// What an attempt came to: all that an honest status needs.
#[derive(Clone, Debug, Deserialize, Serialize, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct ShortResult {
    /// Version of the form: [`VERSION`].
    pub version: u32,
    /// Why the attempt ended.
    pub reason: Reason,
    /// What became of the problem; absent if the agent came to no verdict.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub verdict: Option<Verdict>,
    /// How sure the agent is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub confidence: Option<Confidence>,
    /// One paragraph; without a verdict the last that the agent said.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub summary: String,
    /// What went wrong: which limit or fault it was.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
    /// What the attempt used.
    #[serde(default)]
    pub usage: Usage,
    /// Whether a command or an edit of the agent succeeded. `Fixed` and `Mitigated` can't be believed without.
    #[serde(default)]
    pub acted: bool,
    /// SHA-256 of the long form, in hex; absent if there is none.
    #[serde(default, rename = "longSHA256", skip_serializing_if = "Option::is_none")]
    pub long_sha256: Option<String>,
}

/// Why a termination message isn't believed.
#[derive(Debug, thiserror::Error)]
pub enum Disbelief {
    /// The container's exit code isn't one of the runner's.
    #[error("exit code {0} is not one of the runner's")]
    ExitCode(i32),
    /// The message isn't the runner's JSON.
    #[error("the termination message can't be read: {0}")]
    Unreadable(#[from] serde_json::Error),
    /// The message is of a version that this program doesn't know.
    #[error("the termination message has version {0}; this program reads version {VERSION}")]
    Version(u32),
    /// Message and exit code contradict each other.
    #[error("the termination message says {reason}, which doesn't go with exit code {code}")]
    Contradiction {
        /// The message's reason.
        reason: Reason,
        /// The container's exit code.
        code: i32,
    },
}

impl ShortResult {
    /// A result without a verdict.
    pub fn without_verdict(reason: Reason, error: impl Into<String>, usage: Usage) -> Self {
        Self {
            version: VERSION,
            reason,
            verdict: None,
            confidence: None,
            summary: String::new(),
            error: Some(error.into()),
            usage,
            acted: false,
            long_sha256: None,
        }
    }

    /// The termination message: JSON in at most [`SHORT_MAX`] bytes. What is too long is cut, visibly.
    pub fn to_message(&self) -> String {
        let frame = Self { summary: String::new(), error: None, ..self.clone() };
        // Both keys with their quotes, colons and commas.
        let used = frame.to_json().len() + r#","summary":"","error":"""#.len();
        let room = SHORT_MAX.saturating_sub(used);
        let error_room = json_len(self.error.as_deref().unwrap_or_default()).min(room / 2);
        let summary = cut_json(&self.summary, room - error_room);
        let error_room = room - json_len(&summary);
        let error = self.error.as_deref().map(|error| cut_json(error, error_room));
        Self { summary, error, ..frame }.to_json()
    }

    fn to_json(&self) -> String {
        serde_json::to_string(self).unwrap_or_default()
    }

    /// Reads a termination message. It is believed only with the exit code that goes with it.
    pub fn from_message(message: &str, exit_code: i32) -> Result<Self, Disbelief> {
        let code = ExitCode::from_i32(exit_code).ok_or(Disbelief::ExitCode(exit_code))?;
        let result: Self = serde_json::from_str(message)?;
        if result.version != VERSION {
            return Err(Disbelief::Version(result.version));
        }
        let agrees = result.reason == Reason::Unknown && code != ExitCode::Verdict
            || result.reason.exit_code() == code && result.verdict.is_some() == (code == ExitCode::Verdict);
        if agrees {
            Ok(result)
        } else {
            Err(Disbelief::Contradiction { reason: result.reason, code: exit_code })
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn result(summary: &str, error: Option<&str>) -> ShortResult {
        ShortResult {
            version: VERSION,
            reason: Reason::VerdictReached,
            verdict: Some(Verdict::NotReproduced),
            confidence: Some(Confidence::Medium),
            summary: summary.to_owned(),
            error: error.map(str::to_owned),
            usage: Usage {
                input_tokens: u64::MAX,
                output_tokens: u64::MAX,
                cache_read_tokens: u64::MAX,
                cache_write_tokens: u64::MAX,
                calls: u64::MAX,
                iterations: u64::MAX,
                cost_usd: Some("9".repeat(32)),
            },
            acted: true,
            long_sha256: Some("f".repeat(64)),
        }
    }

    #[test]
    fn a_short_result_is_kept_whole() {
        let whole = result("All is well.\nReally \"well\".", Some("no"));
        assert_eq!(ShortResult::from_message(&whole.to_message(), 0).expect("believed"), whole);
    }

    #[test]
    fn a_long_error_leaves_room_for_the_summary_and_the_other_way_round() {
        let both =
            ShortResult::from_message(&result(&"s".repeat(9000), Some(&"e".repeat(9000))).to_message(), 0);
        let both = both.expect("believed");
        assert!(both.summary.len() > 1000 && both.error.expect("an error").len() > 1000);
        let one = ShortResult::from_message(&result(&"s".repeat(9000), Some("e")).to_message(), 0)
            .expect("believed");
        assert!(one.summary.len() > 3000);
    }

    #[test]
    fn a_message_is_believed_only_with_its_exit_code() {
        let verdict = result("s", None).to_message();
        let fault = ShortResult::without_verdict(Reason::ProviderFault, "503", Usage::default()).to_message();
        let future = fault.replace("ProviderFault", "FromTheFuture");
        let table = [
            (verdict.as_str(), 0, true),
            (&verdict, 10, false),
            (&verdict, 137, false),
            (&fault, 10, true),
            (&fault, 0, false),
            (&fault, 12, false),
            (&future, 10, true),
            (&future, 0, false),
            ("", 0, false),
            ("{}", 0, false),
            (r#"{"version":2,"reason":"ProviderFault"}"#, 10, false),
            (r#"{"version":1,"reason":"VerdictReached"}"#, 0, false),
            (r#"{"version":1,"reason":"VerdictReached","verdict":"Great"}"#, 0, false),
        ];
        for (message, code, believed) in table {
            assert_eq!(ShortResult::from_message(message, code).is_ok(), believed, "{code}: {message}");
        }
    }

    proptest! {
        #[test]
        fn any_text_stays_within_the_limit(summary in any::<String>(), error in any::<Option<String>>(), times in 1usize..500) {
            let long = result(&summary.repeat(times), error.map(|error| error.repeat(times)).as_deref());
            let message = long.to_message();
            prop_assert!(message.len() <= SHORT_MAX);
            let read = ShortResult::from_message(&message, 0).expect("believed");
            prop_assert_eq!((read.verdict, &read.usage, &read.long_sha256), (long.verdict, &long.usage, &long.long_sha256));
        }
    }
}
