//! What an agent can conclude, how sure it is, and what it used on the way.

use serde::{Deserialize, Serialize};

use crate::decimal::is_decimal;

/// What became of the problem that the agent was sent to.
#[derive(Clone, Copy, Debug, Deserialize, Serialize, PartialEq, Eq, Hash)]
pub enum Verdict {
    /// The cause is removed.
    Fixed,
    /// The effect is gone or smaller; the cause is still there.
    Mitigated,
    /// The cause is known; nothing was changed.
    Diagnosed,
    /// Nothing of the problem could be seen.
    NotReproduced,
    /// A person has to decide or to do something.
    NeedsHuman,
    /// The cause could not be found.
    Inconclusive,
}

/// How sure the agent is of its verdict.
#[derive(Clone, Copy, Debug, Deserialize, Serialize, PartialEq, Eq, Hash)]
pub enum Confidence {
    /// A guess that fits.
    Low,
    /// Likely; something was not checked.
    Medium,
    /// Seen in the evidence.
    High,
}

/// Tokens, steps and money of one attempt: running totals.
#[derive(Clone, Debug, Default, Deserialize, Serialize, PartialEq, Eq)]
#[serde(rename_all = "camelCase", default)]
pub struct Usage {
    /// Tokens that went to the model.
    pub input_tokens: u64,
    /// Tokens that came from the model.
    pub output_tokens: u64,
    /// Of the input, tokens that were read from the provider's cache.
    pub cache_read_tokens: u64,
    /// Of the input, tokens that were written to the provider's cache.
    pub cache_write_tokens: u64,
    /// Calls of the model.
    pub calls: u64,
    /// Steps of the agent.
    pub iterations: u64,
    /// Cost in US dollars, as a decimal ("0.0123"); absent where no price is known.
    #[serde(rename = "costUSD", skip_serializing_if = "Option::is_none", deserialize_with = "decimal")]
    pub cost_usd: Option<String>,
}

/// Anything but a decimal is no cost.
fn decimal<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<Option<String>, D::Error> {
    let text = Option::<String>::deserialize(deserializer)?;
    Ok(text.filter(|text| is_decimal(text)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cost_is_a_plain_decimal_or_absent() {
        for (text, kept) in [
            (r#""0.0123""#, Some("0.0123")),
            (r#""2""#, Some("2")),
            (r#""""#, None),
            (r#""-1""#, None),
            (r#""1e-5""#, None),
            (r#"".5""#, None),
            (r#""NaN""#, None),
            (r#""1234567890123456789012345678901234567890""#, None),
            ("null", None),
        ] {
            let usage: Usage =
                serde_json::from_str(&format!(r#"{{"costUSD":{text}}}"#)).expect("valid usage");
            assert_eq!(usage.cost_usd.as_deref(), kept, "{text}");
        }
    }
}
