//! The terminal: rows with the time since the start, in colours where they are wanted.

use std::env;
use std::io::{IsTerminal as _, Write as _, stdout};
use std::time::{Duration, Instant};

use super::text;

/// How wide lines are where nobody says.
const USUAL_WIDTH: usize = 110;
/// Lines are not cut to less, however narrow the terminal.
const LEAST_WIDTH: usize = 40;
/// The column of times.
const TIMES: usize = 7;

/// How a row looks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Tone {
    /// As it comes.
    Plain,
    /// Of less weight.
    Dim,
    /// Of more weight.
    Strong,
    /// Good news.
    Good,
    /// Bad news.
    Bad,
}

/// What becomes of a row that is longer than a line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fit {
    /// It is cut.
    Cut,
    /// It goes on in the next line.
    Fold,
    /// It stays as it is: a command that is cut or folded can't be copied.
    Whole,
}

/// A line to be shown.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Row {
    /// How it looks.
    pub tone: Tone,
    /// How far it is moved to the right.
    pub indent: usize,
    /// What it says.
    pub text: String,
    /// What becomes of it if it is too long.
    pub fit: Fit,
}

impl Row {
    /// A row that is cut.
    pub fn new(tone: Tone, indent: usize, text: impl Into<String>) -> Self {
        Self { tone, indent, text: text.into(), fit: Fit::Cut }
    }

    /// A row that goes on in the next line.
    pub fn folding(tone: Tone, indent: usize, text: impl Into<String>) -> Self {
        Self { fit: Fit::Fold, ..Self::new(tone, indent, text) }
    }

    /// A command to be copied.
    pub fn command(indent: usize, text: impl Into<String>) -> Self {
        Self { fit: Fit::Whole, ..Self::new(Tone::Strong, indent, text) }
    }

    /// Its lines, in so much room.
    fn lines(&self, width: usize) -> Vec<String> {
        let room = width.saturating_sub(self.indent).max(1);
        let lines = match self.fit {
            // What fits keeps its blanks: a table is no prose.
            Fit::Fold if self.text.chars().count() > room => text::folded(&self.text, room),
            Fit::Cut => vec![text::cut(&self.text, room)],
            Fit::Fold | Fit::Whole => vec![self.text.clone()],
        };
        let indent = " ".repeat(self.indent);
        lines.into_iter().map(|line| format!("{indent}{line}").trim_end().to_owned()).collect()
    }
}

/// The terminal.
pub struct Screen {
    started: Instant,
    colours: bool,
    width: usize,
}

impl Screen {
    /// Standard output, with the clock started.
    pub fn new() -> Self {
        let wanted = env::var_os("NO_COLOR").is_none_or(|value| value.is_empty());
        let dumb = env::var_os("TERM").is_some_and(|term| term == "dumb");
        Self { started: Instant::now(), colours: stdout().is_terminal() && wanted && !dumb, width: width() }
    }

    /// Starts the clock again.
    pub fn restart(&mut self) {
        self.started = Instant::now();
    }

    /// How long the clock has been running.
    pub fn elapsed(&self) -> Duration {
        self.started.elapsed()
    }

    /// Shows rows without a time.
    pub fn show(&self, rows: &[Row]) {
        self.write(&self.painted(rows, None));
    }

    /// Shows rows, the first one with the time.
    pub fn show_now(&self, rows: &[Row]) {
        self.write(&self.painted(rows, Some(&clock(self.elapsed()))));
    }

    /// Shows rows that belong to those before them, in line with them.
    pub fn show_below(&self, rows: &[Row]) {
        self.write(&self.painted(rows, Some("")));
    }

    /// Shows a sentence.
    pub fn say(&self, text: &str) {
        self.show(&[Row::folding(Tone::Plain, 0, text)]);
    }

    /// Shows an empty line.
    pub fn gap(&self) {
        self.write("\n");
    }

    /// Shows a heading.
    pub fn head(&self, text: &str) {
        self.gap();
        self.show(&[Row::new(Tone::Strong, 0, text)]);
    }

    /// Rows as they are written, with a margin if there is a text for its first line.
    fn painted(&self, rows: &[Row], time: Option<&str>) -> String {
        let margin = time.map_or(0, |_| TIMES);
        let mut first = time;
        let mut painted = String::new();
        for row in rows {
            for line in row.lines(self.width.saturating_sub(margin)) {
                let time = first.take().unwrap_or_default();
                painted += &self.paint(Tone::Dim, &format!("{time:<margin$}"));
                painted += &self.paint(row.tone, &line);
                painted.push('\n');
            }
        }
        painted
    }

    fn paint(&self, tone: Tone, text: &str) -> String {
        let code = match tone {
            Tone::Plain => "",
            Tone::Dim => "2",
            Tone::Strong => "1",
            Tone::Good => "1;32",
            Tone::Bad => "1;31",
        };
        if !self.colours || code.is_empty() || text.trim().is_empty() {
            return text.to_owned();
        }
        format!("\x1b[{code}m{text}\x1b[0m")
    }

    // Who reads may have gone, as `head` does: what is shown is no reason to end.
    #[allow(clippy::unused_self)]
    fn write(&self, text: &str) {
        let mut out = stdout().lock();
        let _ = out.write_all(text.as_bytes()).and_then(|()| out.flush());
    }
}

fn width() -> usize {
    let terminal = terminal_size::terminal_size_of(stdout()).map(|(width, _)| usize::from(width.0));
    terminal.filter(|width| *width > 0).unwrap_or(USUAL_WIDTH).clamp(LEAST_WIDTH, 2 * USUAL_WIDTH)
}

/// A time as ` 1:05`.
pub fn clock(time: Duration) -> String {
    format!("{:>2}:{:02}", time.as_secs() / 60, time.as_secs() % 60)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn screen(colours: bool) -> Screen {
        Screen { started: Instant::now(), colours, width: 20 }
    }

    #[test]
    fn only_the_first_line_has_a_time_and_what_is_long_fits() {
        let rows = [
            Row::new(Tone::Strong, 0, "$ kubectl get pods --all-namespaces"),
            Row::folding(Tone::Dim, 2, "one two three four"),
            Row::folding(Tone::Dim, 2, "a    b"),
            Row::command(0, "kubectl get pods --all-namespaces"),
        ];
        let painted = screen(false).painted(&rows, Some(&clock(Duration::from_secs(65))));
        let below = "         one two\n         three four\n         a    b\n       kubectl get pods --all-namespaces\n";
        assert_eq!(painted, format!(" 1:05  $ kubectl ge…\n{below}"));
        assert_eq!(screen(false).painted(&rows[1..2], None), "  one two three four\n");
    }

    #[test]
    fn colours_are_there_only_if_they_are_wanted() {
        let rows =
            [Row::new(Tone::Bad, 0, "no"), Row::new(Tone::Plain, 0, "so"), Row::new(Tone::Good, 0, "")];
        assert_eq!(screen(false).painted(&rows, None), "no\nso\n\n");
        assert_eq!(screen(true).painted(&rows, None), "\x1b[1;31mno\x1b[0m\nso\n\n");
    }
}
