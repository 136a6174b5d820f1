//! What an agent can conclude, how sure it is, and what it used on the way.

use serde::{Deserialize, Serialize};

use crate::decimal::{compare_decimals, is_decimal};

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

impl Usage {
    /// Raises each total to the other's, where that is more: running totals don't fall, whoever says so.
    pub fn raise_to(&mut self, other: &Self) {
        let pairs = [
            (&mut self.input_tokens, other.input_tokens),
            (&mut self.output_tokens, other.output_tokens),
            (&mut self.cache_read_tokens, other.cache_read_tokens),
            (&mut self.cache_write_tokens, other.cache_write_tokens),
            (&mut self.calls, other.calls),
            (&mut self.iterations, other.iterations),
        ];
        for (total, told) in pairs {
            *total = told.max(*total);
        }
        let known = self.cost_usd.as_deref().unwrap_or("0");
        let is_more = |cost: &&String| self.cost_usd.is_none() || compare_decimals(cost, known).is_gt();
        if let Some(cost) = other.cost_usd.as_ref().filter(is_more) {
            self.cost_usd = Some(cost.clone());
        }
    }
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

    #[test]
    fn totals_never_fall() {
        let told = |iterations, cost: Option<&str>| Usage {
            iterations,
            cost_usd: cost.map(str::to_owned),
            ..Usage::default()
        };
        let mut usage = Usage::default();
        for (next, iterations, cost) in [
            (told(3, None), 3, None),
            (told(4, Some("0.10")), 4, Some("0.10")),
            (told(0, Some("0")), 4, Some("0.10")),
            (told(5, None), 5, Some("0.10")),
            (told(5, Some("0.2")), 5, Some("0.2")),
        ] {
            usage.raise_to(&next);
            assert_eq!((usage.iterations, usage.cost_usd.as_deref()), (iterations, cost));
        }
    }
}
