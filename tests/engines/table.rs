//! The table in docs/agent.md: read, compared, written.

use std::fmt::{self, Debug, Display, Formatter, Write as _};
use std::fs;
use std::path::PathBuf;

use punching_fist_api::TaskStatus;
use punching_fist_e2e::{Failure, Outcome};
use punching_fist_testkit::repository;

use crate::runs::Run;

const FILE: &str = "docs/agent.md";
const HEAD: &str = "| the agent, its model, its pod | engine | phase | verdict | reason | exit codes | attempts |\n|---|---|---|---|---|---|---|\n";

/// A row, as it is written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Row {
    key: (String, String),
    line: String,
}

/// The document around its table.
pub struct Table {
    before: String,
    rows: Vec<Row>,
    after: String,
}

impl Row {
    pub fn of(run: &Run, status: &TaskStatus) -> Self {
        let verdict = status.result.as_ref().and_then(|found| found.verdict);
        let codes = status
            .attempts
            .iter()
            .map(|attempt| attempt.exit_code.map_or_else(String::new, |code| code.to_string()));
        let reasons = status.attempts.iter().map(|attempt| attempt.reason.clone().unwrap_or_default());
        let key = key(run);
        let cells = [
            key.0.clone(),
            key.1.clone(),
            word(status.phase),
            word(verdict),
            status.reason.clone().unwrap_or_default(),
            list(codes),
            format!("{}: {}", status.attempts.len(), list(reasons)),
        ];
        let line = cells.map(|cell| format!("| {cell} ")).concat().replace("|  |", "| |") + "|";
        Self { key, line }
    }

    fn read(line: &str) -> Option<Self> {
        let mut cells = line.split('|').map(|cell| cell.trim().to_owned()).skip(1);
        Some(Self { key: (cells.next()?, cells.next()?), line: line.to_owned() })
    }
}

impl Display for Row {
    fn fmt(&self, formatter: &mut Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.line)
    }
}

impl Table {
    pub fn read() -> Result<Self, Failure> {
        let text = fs::read_to_string(path())?;
        let (before, rest) = text.split_once(HEAD).ok_or_else(|| format!("{FILE} has no line {HEAD}"))?;
        let end = rest.split_inclusive('\n').take_while(|line| line.starts_with('|')).map(str::len).sum();
        let (rows, after) = rest.split_at(end);
        let rows = rows.lines().filter_map(Row::read).collect();
        Ok(Self { before: before.to_owned(), rows, after: after.to_owned() })
    }

    /// Whether each of these rows is there, and no other of a case or an engine that is no more.
    pub fn compare(&self, rows: &[Row]) -> Outcome {
        let mut differences = String::new();
        for row in rows {
            let written = self.row(&row.key).map_or("nothing", |row| &row.line);
            if written != row.line {
                writeln!(differences, "docs: {written}\nruns: {}\n", row.line)?;
            }
        }
        for row in self.rows.iter().filter(|row| !keys().contains(&row.key)) {
            writeln!(differences, "docs: {}\nruns: there is no such case\n", row.line)?;
        }
        if differences.is_empty() {
            return Ok(());
        }
        Err(format!("the table in {FILE} is no longer true; UPDATE_DOCS=1 writes it anew:\n{differences}")
            .into())
    }

    /// Writes the document with these rows in place of their like.
    pub fn write(&self, rows: &[Row]) -> Outcome {
        let mut text = format!("{}{HEAD}", self.before);
        for key in keys() {
            let row = rows.iter().find(|row| row.key == key).or(self.row(&key));
            row.map_or(Ok(()), |row| writeln!(text, "{}", row.line))?;
        }
        Ok(fs::write(path(), text + &self.after)?)
    }

    fn row(&self, key: &(String, String)) -> Option<&Row> {
        self.rows.iter().find(|row| row.key == *key)
    }
}

fn path() -> PathBuf {
    repository::root().join(FILE)
}

/// What a row is found by: case and engine, as they are written.
fn key(run: &Run) -> (String, String) {
    (run.case.title.to_owned(), format!("`{}`", run.engine.name()))
}

/// All of them, in the table's order.
fn keys() -> Vec<(String, String)> {
    Run::all().iter().map(key).collect()
}

fn word(word: Option<impl Debug>) -> String {
    word.map(|word| format!("{word:?}")).unwrap_or_default()
}

fn list(parts: impl Iterator<Item = String>) -> String {
    parts.collect::<Vec<_>>().join(", ")
}
