//! Kubernetes quantities as numbers, for `resourceFieldRef`.

/// The value of a quantity such as `500m`, `1Gi` or `2`, in thousandths, rounded up. `None` if it can't be read.
pub fn thousandths(quantity: &str) -> Option<i128> {
    let end = quantity.find(|c: char| !matches!(c, '0'..='9' | '.' | '+' | '-')).unwrap_or(quantity.len());
    let (number, suffix) = quantity.split_at(end);
    let (numerator, denominator) = scale(suffix)?;
    let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
    let digits: i128 = format!("{whole}{fraction}").parse().ok()?;
    let denominator = denominator.checked_mul(10_i128.checked_pow(fraction.len().try_into().ok()?)?)?;
    Some(divide_up(digits.checked_mul(numerator)?.checked_mul(1000)?, denominator))
}

/// `value / divisor` as a kubelet gives it to a container: a whole number, rounded up.
pub fn in_units_of(value: &str, divisor: &str) -> Option<String> {
    let divisor = match divisor {
        "" | "0" => "1",
        divisor => divisor,
    };
    let divisor = thousandths(divisor).filter(|&divisor| divisor > 0)?;
    Some(divide_up(thousandths(value)?, divisor).to_string())
}

fn divide_up(numerator: i128, denominator: i128) -> i128 {
    numerator.div_euclid(denominator) + i128::from(numerator.rem_euclid(denominator) != 0)
}

/// A suffix as a fraction.
fn scale(suffix: &str) -> Option<(i128, i128)> {
    let decimal = |exponent: i32| {
        let power = 10_i128.checked_pow(exponent.unsigned_abs())?;
        Some(if exponent < 0 { (1, power) } else { (power, 1) })
    };
    if let Some(unit) = suffix.strip_suffix('i') {
        let index = u32::try_from("KMGTPE".find(unit).filter(|_| unit.len() == 1)?).ok()?;
        return Some((1 << (10 * (index + 1)), 1));
    }
    match suffix {
        "" => decimal(0),
        "n" => decimal(-9),
        "u" => decimal(-6),
        "m" => decimal(-3),
        "k" => decimal(3),
        "M" => decimal(6),
        "G" => decimal(9),
        "T" => decimal(12),
        "P" => decimal(15),
        "E" => decimal(18),
        _ => decimal(suffix.strip_prefix(['e', 'E'])?.parse().ok()?),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantities_become_thousandths() {
        for (text, want) in [
            ("0", Some(0)),
            ("500m", Some(500)),
            ("1", Some(1000)),
            ("0.5", Some(500)),
            (".25", Some(250)),
            ("1Ki", Some(1_024_000)),
            ("1.5Gi", Some(1_610_612_736_000)),
            ("2k", Some(2_000_000)),
            ("1e3", Some(1_000_000)),
            ("1n", Some(1)),
            ("x", None),
            ("", None),
            ("1Xi", None),
        ] {
            assert_eq!(thousandths(text), want, "{text}");
        }
    }

    #[test]
    fn values_are_given_in_units_of_the_divisor() {
        for (value, divisor, want) in [
            ("500m", "", Some("1")),
            ("500m", "1m", Some("500")),
            ("2Gi", "1Mi", Some("2048")),
            ("2Gi", "0", Some("2147483648")),
            ("1500m", "1", Some("2")),
            ("1", "-1", None),
            ("one", "1", None),
        ] {
            assert_eq!(in_units_of(value, divisor).as_deref(), want, "{value} / {divisor}");
        }
    }
}
