//! How the model gateway begins the message of a refusal: the runner looks for it in what an engine says of its errors.

use std::fmt::Display;

/// What stands before every message of the gateway's own, so that it can't be taken for the provider's.
const SOURCE: &str = "punching-fist-gateway: ";

/// Why the gateway refuses a call: one CamelCase word.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum GatewayWord {
    /// The task's money is spent.
    BudgetExceeded,
    /// The run has ended, or is about to.
    RunOver,
    /// The task, its profile or the request itself don't allow it.
    Refused,
    /// The caller isn't known.
    Unauthenticated,
    /// Something is away or too slow: another try may do better.
    Unavailable,
}

impl GatewayWord {
    const ALL: [Self; 5] =
        [Self::BudgetExceeded, Self::RunOver, Self::Refused, Self::Unauthenticated, Self::Unavailable];

    /// The word.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::BudgetExceeded => "BudgetExceeded",
            Self::RunOver => "RunOver",
            Self::Refused => "Refused",
            Self::Unauthenticated => "Unauthenticated",
            Self::Unavailable => "Unavailable",
        }
    }

    /// A message that begins with it.
    pub fn message(self, text: impl Display) -> String {
        format!("{SOURCE}{}: {text}", self.as_str())
    }

    /// The word of the first such message in `text`, wherever it stands there.
    pub fn find(text: &str) -> Option<Self> {
        let (_, word) = text.split_once(SOURCE)?;
        let word = word.split(|character: char| !character.is_ascii_alphabetic()).next()?;
        Self::ALL.into_iter().find(|known| known.as_str() == word)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_word_is_found_wherever_its_message_stands() {
        for word in GatewayWord::ALL {
            let quoted = format!("litellm: {{\"message\":\"{}\"}}", word.message("2 of 2"));
            assert_eq!(GatewayWord::find(&quoted), Some(word), "{quoted}");
        }
        assert_eq!(GatewayWord::find("punching-fist-gateway: RunOver"), Some(GatewayWord::RunOver));
        for text in
            ["", "BudgetExceeded", "punching-fist-gateway: BudgetExceededNot", "punching-fist-gateway: "]
        {
            assert_eq!(GatewayWord::find(text), None, "{text}");
        }
    }

    #[test]
    fn our_python_looks_for_the_same_words() {
        let translate = include_str!("../../../agent/punching_fist_agent/translate.py");
        assert!(translate.contains(&format!("rf\"{SOURCE}(")));
        for word in [GatewayWord::BudgetExceeded, GatewayWord::RunOver, GatewayWord::Refused] {
            assert!(translate.contains(&format!("\"{}\": (Exit.", word.as_str())), "{word:?}");
        }
    }
}
