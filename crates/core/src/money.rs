//! US dollars as decimal strings: Kubernetes has no floats, and a float would not add up.

/// Digits after the point that are kept: a token can cost less than a millionth of a dollar.
const SCALE: usize = 12;
/// Digits before the point: with more, a sum would not fit into the field that holds it.
const LONGEST: usize = 15;

/// The sum of two amounts; what isn't a decimal counts as nothing. None if neither is known.
pub fn add(one: Option<&str>, other: Option<&str>) -> Option<String> {
    match (one.and_then(parse), other.and_then(parse)) {
        (None, None) => None,
        (one, other) => Some(format(one.unwrap_or(0).saturating_add(other.unwrap_or(0)))),
    }
}

fn parse(text: &str) -> Option<u128> {
    let (whole, fraction) = text.split_once('.').unwrap_or((text, ""));
    let digits = |part: &str| part.bytes().all(|byte| byte.is_ascii_digit());
    if whole.is_empty() || !digits(whole) || !digits(fraction) || whole.len() > LONGEST {
        return None;
    }
    let fraction = &fraction[..fraction.len().min(SCALE)];
    format!("{whole}{fraction:0<SCALE$}").parse().ok()
}

fn format(amount: u128) -> String {
    let unit = 10_u128.pow(12);
    let fraction = format!("{:0>SCALE$}", amount % unit);
    let fraction = fraction.trim_end_matches('0');
    if fraction.is_empty() { (amount / unit).to_string() } else { format!("{}.{fraction}", amount / unit) }
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
}
