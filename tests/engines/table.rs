//! A table in a document: read, compared with what runs came to, written.

use std::fmt::{self, Display, Formatter, Write as _};
use std::fs;
use std::path::PathBuf;

use punching_fist_e2e::{Failure, Outcome};
use punching_fist_testkit::repository;

/// What a row is found by: what it is about, and the engine, as they are written in its first two cells.
pub type Key = [String; 2];

/// Where a table stands.
pub struct Place {
    /// The document, from the repository's root.
    pub file: &'static str,
    /// The table's first two lines.
    pub head: &'static str,
}

/// A row, as it is written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Row {
    key: Key,
    line: String,
}

/// The document around its table.
pub struct Table {
    place: &'static Place,
    /// All rows that there can be, in their order.
    keys: Vec<Key>,
    before: String,
    rows: Vec<Row>,
    after: String,
}

impl Row {
    pub fn new(key: Key, more: impl IntoIterator<Item = String>) -> Self {
        let cells = key.iter().cloned().chain(more).map(|cell| format!("| {cell} "));
        let line = cells.collect::<String>().replace("|  |", "| |") + "|";
        Self { key, line }
    }

    fn read(line: &str) -> Option<Self> {
        let mut cells = line.split('|').map(|cell| cell.trim().to_owned()).skip(1);
        Some(Self { key: [cells.next()?, cells.next()?], line: line.to_owned() })
    }
}

impl Display for Row {
    fn fmt(&self, formatter: &mut Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.line)
    }
}

impl Table {
    pub fn read(place: &'static Place, keys: Vec<Key>) -> Result<Self, Failure> {
        let Place { file, head } = place;
        let text = fs::read_to_string(path(file))?;
        let (before, rest) = text.split_once(head).ok_or_else(|| format!("{file} has no line {head}"))?;
        let end = rest.split_inclusive('\n').take_while(|line| line.starts_with('|')).map(str::len).sum();
        let (rows, after) = rest.split_at(end);
        let rows = rows.lines().filter_map(Row::read).collect();
        Ok(Self { place, keys, before: before.to_owned(), rows, after: after.to_owned() })
    }

    /// Whether each of these rows is there, a row for whatever was not run now, and none of a case or an engine that is no
    /// more.
    pub fn compare(&self, rows: &[Row]) -> Outcome {
        let mut differences = String::new();
        for row in rows {
            let written = self.row(&row.key).map_or("nothing", |row| &row.line);
            if written != row.line {
                writeln!(differences, "docs: {written}\nruns: {}\n", row.line)?;
            }
        }
        for row in self.rows.iter().filter(|row| !self.keys.contains(&row.key)) {
            writeln!(differences, "docs: {}\nruns: there is no such case\n", row.line)?;
        }
        let is_told = |key: &&Key| self.row(key).is_some() || rows.iter().any(|row| row.key == **key);
        for [what, engine] in self.keys.iter().filter(|key| !is_told(key)) {
            writeln!(differences, "docs: nothing on {what} with {engine}\nruns: not made this time\n")?;
        }
        if differences.is_empty() {
            return Ok(());
        }
        let file = self.place.file;
        Err(format!("the table in {file} is no longer true; UPDATE_DOCS=1 writes it anew:\n{differences}")
            .into())
    }

    /// Writes the document with these rows in place of their like.
    pub fn write(&self, rows: &[Row]) -> Outcome {
        let mut text = format!("{}{}", self.before, self.place.head);
        for key in &self.keys {
            let row = rows.iter().find(|row| row.key == *key).or(self.row(key));
            row.map_or(Ok(()), |row| writeln!(text, "{}", row.line))?;
        }
        Ok(fs::write(path(self.place.file), text + &self.after)?)
    }

    fn row(&self, key: &Key) -> Option<&Row> {
        self.rows.iter().find(|row| row.key == *key)
    }
}

fn path(file: &str) -> PathBuf {
    repository::root().join(file)
}
