//! Measured times and sizes, and what is told of many of them.

use std::fmt;
use std::time::Duration;

/// A number with its unit.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Figure {
    /// A time, in seconds.
    Seconds(f64),
    /// Memory, in KiB.
    Kibibytes(f64),
}

impl Figure {
    /// The number alone.
    pub fn value(self) -> f64 {
        match self {
            Self::Seconds(value) | Self::Kibibytes(value) => value,
        }
    }

    /// The same unit with another number.
    pub fn with_value(self, value: f64) -> Self {
        match self {
            Self::Seconds(_) => Self::Seconds(value),
            Self::Kibibytes(_) => Self::Kibibytes(value),
        }
    }
}

impl From<Duration> for Figure {
    fn from(time: Duration) -> Self {
        Self::Seconds(time.as_secs_f64())
    }
}

impl fmt::Display for Figure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Self::Seconds(value) if value.abs() >= 1.0 => write!(f, "{value:.2} s"),
            Self::Seconds(value) if value.abs() >= 0.01 => write!(f, "{:.1} ms", value * 1e3),
            Self::Seconds(value) => write!(f, "{:.2} ms", value * 1e3),
            Self::Kibibytes(value) => write!(f, "{:.1} MiB", value / 1024.0),
        }
    }
}

/// Many times of one thing.
#[derive(Clone, Debug, Default)]
pub struct Samples(Vec<Duration>);

impl Samples {
    /// Adds one.
    pub fn add(&mut self, time: Duration) {
        self.0.push(time);
    }

    /// Adds those of another round.
    pub fn extend(&mut self, others: Self) {
        self.0.extend(others.0);
    }

    /// How many there are.
    pub fn count(&self) -> usize {
        self.0.len()
    }

    /// The least time that so many per cent of all don't pass; nothing of nothing.
    pub fn percentile(&self, percent: usize) -> Figure {
        let mut sorted = self.0.clone();
        sorted.sort_unstable();
        let rank = (sorted.len() * percent).div_ceil(100).max(1);
        sorted.get(rank - 1).copied().unwrap_or_default().into()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_are_the_nearest_rank() {
        for (count, percent, expected) in
            [(0, 50, 0), (1, 50, 1), (1, 99, 1), (4, 50, 2), (5, 50, 3), (100, 95, 95), (100, 99, 99)]
        {
            let mut samples = Samples::default();
            (1..=count).rev().for_each(|millis| samples.add(Duration::from_millis(millis)));
            let figure = Figure::from(Duration::from_millis(expected));
            assert_eq!(samples.percentile(percent), figure, "{percent} % of {count}");
        }
    }

    #[test]
    fn a_figure_is_shown_in_a_unit_that_fits() {
        for (figure, text) in [
            (Figure::Seconds(0.000_123_4), "0.12 ms"),
            (Figure::Seconds(-0.001), "-1.00 ms"),
            (Figure::Seconds(0.012_34), "12.3 ms"),
            (Figure::Seconds(1.5), "1.50 s"),
            (Figure::Kibibytes(2560.0), "2.5 MiB"),
        ] {
            assert_eq!(figure.to_string(), text);
        }
    }
}
