//! US dollars: decimal strings outside, as Kubernetes has no floats, and whole numbers inside, as floats don't add up.

use std::fmt;
use std::iter::Sum;
use std::ops::Add;

/// Digits after the point that are kept: a token can cost less than a millionth of a dollar.
const SCALE: usize = 12;
/// A dollar in units of an amount.
const DOLLAR: u128 = 10_u128.pow(12);
/// Digits before the point: with more, a sum would not fit into the field that holds it.
const LONGEST: usize = 15;

/// An amount of US dollars, in millionths of a millionth. It never wraps: what is too much stays at the most there is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Money(u128);

impl Money {
    /// Nothing.
    pub const ZERO: Self = Self(0);

    /// The amount that a decimal such as "2.50" says; none if it says no amount.
    pub fn parse(text: &str) -> Option<Self> {
        let (whole, fraction) = text.split_once('.').unwrap_or((text, ""));
        let digits = |part: &str| part.bytes().all(|byte| byte.is_ascii_digit());
        if whole.is_empty() || !digits(whole) || !digits(fraction) || whole.len() > LONGEST {
            return None;
        }
        let fraction = &fraction[..fraction.len().min(SCALE)];
        format!("{whole}{fraction:0<SCALE$}").parse().ok().map(Self)
    }

    /// What `count` tokens cost if a million of them costs this.
    #[must_use]
    pub fn for_tokens(self, count: u64) -> Self {
        Self(self.0.saturating_mul(u128::from(count)) / 1_000_000)
    }
}

impl Add for Money {
    type Output = Self;

    fn add(self, other: Self) -> Self {
        Self(self.0.saturating_add(other.0))
    }
}

impl Sum for Money {
    fn sum<I: Iterator<Item = Self>>(amounts: I) -> Self {
        amounts.fold(Self::ZERO, Add::add)
    }
}

impl fmt::Display for Money {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let fraction = format!("{:0>SCALE$}", self.0 % DOLLAR);
        match fraction.trim_end_matches('0') {
            "" => write!(formatter, "{}", self.0 / DOLLAR),
            fraction => write!(formatter, "{}.{fraction}", self.0 / DOLLAR),
        }
    }
}

/// The sum of two amounts; what isn't a decimal counts as nothing. None if neither is known.
pub fn add(one: Option<&str>, other: Option<&str>) -> Option<String> {
    match (one.and_then(Money::parse), other.and_then(Money::parse)) {
        (None, None) => None,
        (one, other) => Some((one.unwrap_or_default() + other.unwrap_or_default()).to_string()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn adds_without_losing_a_fraction() {
        let rows = [
            (Some("0.1"), Some("0.2"), Some("0.3")),
            (Some("1"), Some("2.50"), Some("3.5")),
            (Some("0.000000000001"), Some("0"), Some("0.000000000001")),
            (Some("9.999999999999"), Some("0.000000000001"), Some("10")),
            (None, Some("1.25"), Some("1.25")),
            (Some("free"), None, None),
            (Some("1000000000000000"), Some("1"), Some("1")),
            (None, None, None),
        ];
        for (one, other, sum) in rows {
            assert_eq!(add(one, other).as_deref(), sum, "{one:?} + {other:?}");
        }
    }

    #[test]
    fn tokens_are_charged_by_the_million() {
        for (price, count, cost) in [
            ("3", 1_000_000, "3"),
            ("0.075", 1, "0.000000075"),
            ("15", 1234, "0.01851"),
            ("0", 5, "0"),
            ("0.000001", 1, "0.000000000001"),
        ] {
            let price = Money::parse(price).unwrap();
            assert_eq!(price.for_tokens(count).to_string(), cost, "{count} at {price}");
        }
        assert!(Money::parse("999999999999999").unwrap().for_tokens(u64::MAX) > Money::ZERO);
    }
}
