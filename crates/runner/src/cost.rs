//! What an attempt costs, where the engine doesn't say it.

use std::cmp::Ordering;

use punching_fist_protocol::{Usage, compare_decimals, is_decimal};

/// What a token costs, in US dollars; 0 where no price is known.
#[derive(Clone, Copy, Debug, Default)]
pub struct Prices {
    /// One that goes to the model.
    pub input: f64,
    /// One that comes from it.
    pub output: f64,
}

impl Prices {
    /// The cost, if the engine gives none or zero and a price is known. Cached tokens are counted in full: never too low.
    pub fn complete(self, usage: &mut Usage) {
        usage.cost_usd = usage.cost_usd.take().filter(|cost| is_decimal(cost));
        let is_told =
            usage.cost_usd.as_deref().is_some_and(|cost| compare_decimals(cost, "0") != Ordering::Equal);
        // Token counts are far below what a float holds exactly.
        #[allow(clippy::cast_precision_loss)]
        let cost = self.input * usage.input_tokens as f64 + self.output * usage.output_tokens as f64;
        if !is_told && cost > 0.0 {
            usage.cost_usd = Some(format!("{cost:.6}"));
        }
    }
}

/// Whether a budget is used up.
pub fn is_spent(cost: Option<&str>, budget: Option<&str>) -> bool {
    cost.zip(budget).is_some_and(|(cost, budget)| compare_decimals(cost, budget) != Ordering::Less)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cost_is_worked_out_where_none_is_told() {
        let prices = Prices { input: 0.000_002_5, output: 0.000_01 };
        let table = [
            (None, prices, Some("0.003500")),
            (Some("0"), prices, Some("0.003500")),
            (Some("NaN"), prices, Some("0.003500")),
            (Some("-1"), Prices::default(), None),
            (Some("0.5"), prices, Some("0.5")),
            (None, Prices::default(), None),
        ];
        for (told, prices, expected) in table {
            let mut usage = Usage {
                input_tokens: 1000,
                output_tokens: 100,
                cost_usd: told.map(str::to_owned),
                ..Usage::default()
            };
            prices.complete(&mut usage);
            assert_eq!(usage.cost_usd.as_deref(), expected, "{told:?} {prices:?}");
        }
    }

    #[test]
    fn a_budget_is_spent_when_it_is_reached() {
        let table = [
            (Some("0.99"), Some("1"), false),
            (Some("1.0"), Some("1"), true),
            (Some("1.5"), Some("1"), true),
            (None, Some("1"), false),
            (Some("9"), None, false),
        ];
        for (cost, budget, spent) in table {
            assert_eq!(is_spent(cost, budget), spent, "{cost:?} {budget:?}");
        }
    }
}
