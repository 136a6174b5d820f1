//! Why an attempt ended, and the exit code that tells Kubernetes whether another one makes sense.

use std::fmt;

use serde::{Deserialize, Serialize};

/// The runner's exit codes. The Job's `podFailurePolicy` rests on them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ExitCode {
    /// The agent came to a verdict.
    Verdict = 0,
    /// The model's provider or the agent failed; another attempt may do better.
    Fault = 10,
    /// Credentials or configuration are refused; another attempt would be refused alike.
    Refused = 11,
    /// Budget, iterations or time are spent; another attempt would spend them again.
    LimitReached = 12,
    /// Ended by a signal, as at an eviction; another attempt may do better.
    Signalled = 13,
}

impl ExitCode {
    /// Every code that the runner uses.
    pub const ALL: [Self; 5] =
        [Self::Verdict, Self::Fault, Self::Refused, Self::LimitReached, Self::Signalled];

    /// The meaning of a container's exit code; none if it isn't the runner's (137: killed; 127: not started).
    pub fn from_i32(code: i32) -> Option<Self> {
        Self::ALL.into_iter().find(|known| known.as_i32() == code)
    }

    /// The code as a process has it.
    pub fn as_i32(self) -> i32 {
        self as i32
    }

    /// Whether another attempt makes sense.
    pub fn is_retryable(self) -> bool {
        matches!(self, Self::Fault | Self::Signalled)
    }
}

/// Why an attempt ended: one CamelCase word.
#[derive(Clone, Copy, Debug, Deserialize, Serialize, PartialEq, Eq, Hash)]
#[serde(from = "String", into = "&'static str")]
pub enum Reason {
    /// The agent came to a verdict.
    VerdictReached,
    /// The model's provider failed or could not be reached.
    ProviderFault,
    /// The engine failed by itself: a crash, a verdict that can't be read, an exit code that means nothing.
    AgentFault,
    /// The agent ended without a verdict.
    NoVerdict,
    /// The agent goes in circles.
    Stuck,
    /// The model's provider refuses the key.
    CredentialsRefused,
    /// A setting is missing, can't be read, or is refused by the model's provider.
    ConfigurationRefused,
    /// The engine's program isn't in the image.
    EngineMissing,
    /// The attempt took all the time it had.
    TimeLimit,
    /// The attempt took all the steps it had.
    IterationLimit,
    /// The task's money is spent.
    BudgetExceeded,
    /// The pod was told to stop.
    Signalled,
    /// A word that this version doesn't know: written by a newer runner.
    Unknown,
}

impl Reason {
    const ALL: [Self; 12] = [
        Self::VerdictReached,
        Self::ProviderFault,
        Self::AgentFault,
        Self::NoVerdict,
        Self::Stuck,
        Self::CredentialsRefused,
        Self::ConfigurationRefused,
        Self::EngineMissing,
        Self::TimeLimit,
        Self::IterationLimit,
        Self::BudgetExceeded,
        Self::Signalled,
    ];

    /// Whether an engine can say so of itself; the others are the runner's to say, and some of them end all trying.
    pub fn is_engines(self) -> bool {
        !matches!(self, Self::VerdictReached | Self::TimeLimit | Self::Signalled | Self::Unknown)
    }

    /// The word.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::VerdictReached => "VerdictReached",
            Self::ProviderFault => "ProviderFault",
            Self::AgentFault => "AgentFault",
            Self::NoVerdict => "NoVerdict",
            Self::Stuck => "Stuck",
            Self::CredentialsRefused => "CredentialsRefused",
            Self::ConfigurationRefused => "ConfigurationRefused",
            Self::EngineMissing => "EngineMissing",
            Self::TimeLimit => "TimeLimit",
            Self::IterationLimit => "IterationLimit",
            Self::BudgetExceeded => "BudgetExceeded",
            Self::Signalled => "Signalled",
            Self::Unknown => "Unknown",
        }
    }

    /// The exit code that goes with it.
    pub fn exit_code(self) -> ExitCode {
        match self {
            Self::VerdictReached => ExitCode::Verdict,
            Self::ProviderFault | Self::AgentFault | Self::NoVerdict | Self::Stuck | Self::Unknown => {
                ExitCode::Fault
            }
            Self::CredentialsRefused | Self::ConfigurationRefused | Self::EngineMissing => ExitCode::Refused,
            Self::TimeLimit | Self::IterationLimit | Self::BudgetExceeded => ExitCode::LimitReached,
            Self::Signalled => ExitCode::Signalled,
        }
    }
}

impl From<String> for Reason {
    fn from(word: String) -> Self {
        Self::ALL.into_iter().find(|reason| reason.as_str() == word).unwrap_or(Self::Unknown)
    }
}

impl From<Reason> for &'static str {
    fn from(reason: Reason) -> Self {
        reason.as_str()
    }
}

impl fmt::Display for Reason {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_keep_their_meaning() {
        let table = [(0, false), (10, true), (11, false), (12, false), (13, true)];
        for (number, retryable) in table {
            let code = ExitCode::from_i32(number).expect("one of the runner's");
            assert_eq!(code.as_i32(), number);
            assert_eq!(code.is_retryable(), retryable, "{number}");
        }
        for foreign in [-1, 1, 2, 9, 14, 126, 127, 137, 143, 255] {
            assert_eq!(ExitCode::from_i32(foreign), None, "{foreign}");
        }
    }

    #[test]
    fn reasons_go_through_json_and_back() {
        for reason in Reason::ALL {
            let json = serde_json::to_string(&reason).expect("a word");
            assert_eq!(json, format!("\"{reason}\""));
            assert_eq!(serde_json::from_str::<Reason>(&json).expect("a word"), reason);
        }
        assert_eq!(serde_json::from_str::<Reason>("\"FromTheFuture\"").expect("a word"), Reason::Unknown);
    }
}
