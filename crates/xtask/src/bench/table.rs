//! The table that a benchmark prints: each figure with us, without us, what we add, and the goal.

use std::fmt;

use super::figures::{Figure, Samples};

/// What stands where there is nothing to be said.
const NOTHING: &str = "-";

/// What a figure should not pass.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Goal {
    /// There is none.
    None,
    /// The figure itself stays below.
    Below(Figure),
    /// What we add to it stays below.
    AddedBelow(Figure),
}

impl fmt::Display for Goal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let text = match self {
            Self::None => NOTHING.to_owned(),
            Self::Below(most) => format!("< {most}"),
            Self::AddedBelow(most) => format!("added < {most}"),
        };
        f.pad(&text)
    }
}

/// One line of it.
#[derive(Clone, Debug)]
pub struct Row {
    what: String,
    with: Figure,
    without: Option<Figure>,
    goal: Goal,
}

impl Row {
    /// A figure, and the same one without us where there is such a thing.
    pub fn new(what: impl Into<String>, with: Figure, without: Option<Figure>, goal: Goal) -> Self {
        Self { what: what.into(), with, without, goal }
    }

    /// One row for each of the percentiles.
    pub fn of_samples(
        what: &str,
        percents: &[usize],
        with: &Samples,
        without: &Samples,
        goal: Goal,
    ) -> Vec<Self> {
        let row = |percent: &usize| {
            let (with, without) = (with.percentile(*percent), without.percentile(*percent));
            Self::new(format!("{what}, {}", name(*percent)), with, Some(without), goal)
        };
        percents.iter().map(row).collect()
    }

    fn cells(&self) -> [String; 6] {
        let compared = self.without.map(|without| (self.with.value(), without.value()));
        let added =
            compared.map(|(with, without)| format!("{}", Signed(self.with.with_value(with - without))));
        let ratio = compared
            .filter(|(_, without)| *without > 0.0)
            .map(|(with, without)| format!("x{:.1}", with / without));
        let or_nothing = |text: Option<String>| text.unwrap_or_else(|| NOTHING.to_owned());
        [
            self.what.clone(),
            self.with.to_string(),
            or_nothing(self.without.map(|without| without.to_string())),
            or_nothing(added),
            or_nothing(ratio),
            self.goal.to_string(),
        ]
    }
}

/// A difference: its sign is always shown.
struct Signed(Figure);

impl fmt::Display for Signed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let sign = if self.0.value() < 0.0 { "" } else { "+" };
        write!(f, "{sign}{}", self.0)
    }
}

fn name(percent: usize) -> String {
    if percent == 50 { "median".to_owned() } else { format!("p{percent}") }
}

/// Rows under a title, as Markdown.
pub struct Table {
    /// What it is about.
    pub title: String,
    /// Its rows.
    pub rows: Vec<Row>,
}

impl fmt::Display for Table {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let head = [self.title.as_str(), "with", "without", "added", "ratio", "goal"].map(str::to_owned);
        let mut lines = vec![head];
        lines.extend(self.rows.iter().map(Row::cells));
        let widths: [usize; 6] = std::array::from_fn(|column| {
            lines.iter().map(|cells| cells[column].chars().count()).max().unwrap_or_default()
        });
        for (number, cells) in lines.iter().enumerate() {
            write_line(f, cells, &widths)?;
            if number == 0 {
                write_line(f, &widths.map(|width| "-".repeat(width)), &widths)?;
            }
        }
        Ok(())
    }
}

fn write_line(f: &mut fmt::Formatter<'_>, cells: &[String; 6], widths: &[usize; 6]) -> fmt::Result {
    for (cell, width) in cells.iter().zip(widths) {
        write!(f, "| {cell:<width$} ")?;
    }
    writeln!(f, "|")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_we_add_stands_beside_what_is_compared() {
        let goal = Goal::AddedBelow(Figure::Seconds(0.02));
        let rows = vec![
            Row::new("start", Figure::Seconds(0.003), Some(Figure::Seconds(0.001)), goal),
            Row::new("noise", Figure::Seconds(0.001), Some(Figure::Seconds(0.002)), Goal::None),
            Row::new("memory", Figure::Kibibytes(2048.0), None, Goal::Below(Figure::Kibibytes(10240.0))),
        ];
        let text = Table { title: "Runner".to_owned(), rows }.to_string();
        let cells: Vec<Vec<&str>> =
            text.lines().map(|line| line.split('|').map(str::trim).collect()).collect();
        assert_eq!(cells[2][1..7], ["start", "3.00 ms", "1.00 ms", "+2.00 ms", "x3.0", "added < 20.0 ms"]);
        assert_eq!(cells[3][1..7], ["noise", "1.00 ms", "2.00 ms", "-1.00 ms", "x0.5", "-"]);
        assert_eq!(cells[4][1..7], ["memory", "2.0 MiB", "-", "-", "-", "< 10.0 MiB"]);
    }
}
