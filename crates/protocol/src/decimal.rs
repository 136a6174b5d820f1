//! Money as Kubernetes' users can read and sum it: digits and a point, nothing else.

use std::cmp::Ordering;

/// The longest decimal that is taken.
const LENGTH_MAX: usize = 32;

/// Whether the text is a decimal.
pub fn is_decimal(text: &str) -> bool {
    let (whole, fraction) = text.split_once('.').unwrap_or((text, "0"));
    let digits = |part: &str| !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_digit());
    text.len() <= LENGTH_MAX && digits(whole) && digits(fraction)
}

/// Compares two decimals, exactly.
pub fn compare_decimals(a: &str, b: &str) -> Ordering {
    let ((a, a_fraction), (b, b_fraction)) = (parts(a), parts(b));
    let whole = a.len().cmp(&b.len()).then_with(|| a.cmp(b));
    // Without zeros at the end, what is longer and begins alike is greater: as text is ordered.
    whole.then_with(|| a_fraction.cmp(b_fraction))
}

fn parts(decimal: &str) -> (&str, &str) {
    let (whole, fraction) = decimal.split_once('.').unwrap_or((decimal, ""));
    (whole.trim_start_matches('0'), fraction.trim_end_matches('0'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn decimals_are_compared_as_numbers() {
        let table = [
            ("0", "0.000", Ordering::Equal),
            ("2.50", "2.5", Ordering::Equal),
            ("002", "2", Ordering::Equal),
            ("10", "9.99", Ordering::Greater),
            ("0.1", "0.09", Ordering::Greater),
            ("0.12", "0.119999", Ordering::Greater),
            ("1.000001", "1", Ordering::Greater),
            ("99999999999999999999999999999999", "100000000000000000000000000000.5", Ordering::Greater),
        ];
        for (a, b, order) in table {
            assert!(is_decimal(a) && is_decimal(b));
            assert_eq!((compare_decimals(a, b), compare_decimals(b, a)), (order, order.reverse()), "{a} {b}");
        }
    }
}
