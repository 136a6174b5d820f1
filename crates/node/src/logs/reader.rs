//! Reading a log, from where the reader wants it and for as long as it is written.

use std::io;
use std::sync::Arc;

use k8s_openapi::jiff::Timestamp;
use tokio::fs::File;
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::sync::watch;

use super::lines::Record;
use super::{Log, Written};

/// What of a log is wanted, in the words of `kubectl logs`.
#[derive(Clone, Debug, Default)]
pub struct Selection {
    pub follow: bool,
    pub timestamps: bool,
    pub tail: Option<usize>,
    pub since: Option<Timestamp>,
    pub limit_bytes: Option<usize>,
}

/// Reads what a [`Selection`] wants.
pub struct LogReader {
    log: Arc<Log>,
    selection: Selection,
    written: watch::Receiver<Written>,
    file: Option<BufReader<File>>,
    number: u64,
    position: u64,
    /// Lines still to be passed over.
    skip: usize,
    /// The last record of each stream did not end its line.
    within: Vec<Vec<u8>>,
}

impl LogReader {
    /// Opens a log.
    ///
    /// # Errors
    /// A file can't be read.
    pub async fn open(log: Arc<Log>, selection: Selection) -> io::Result<Self> {
        let all = Selection { follow: false, ..Selection::default() };
        let skip = match selection.tail {
            Some(tail) => Self::at_start(&log, all).count().await?.saturating_sub(tail),
            None => 0,
        };
        Ok(Self { skip, ..Self::at_start(&log, selection) })
    }

    fn at_start(log: &Arc<Log>, selection: Selection) -> Self {
        let written = log.written.subscribe();
        let number = written.borrow().file.saturating_sub(1);
        Self {
            log: Arc::clone(log),
            selection,
            written,
            file: None,
            number,
            position: 0,
            skip: 0,
            within: Vec::new(),
        }
    }

    /// How many lines there are now.
    async fn count(mut self) -> io::Result<usize> {
        let mut count = 0;
        let mut open = false;
        while let Some(line) = self.record().await? {
            open = Record::parse(&line).is_some_and(|record| !record.full);
            count += usize::from(!open);
        }
        Ok(count + usize::from(open))
    }

    /// The next piece of what is wanted; `None` at the end.
    ///
    /// # Errors
    /// A file can't be read.
    pub async fn next(&mut self) -> io::Result<Option<Vec<u8>>> {
        while self.selection.limit_bytes != Some(0) {
            let Some(line) = self.record().await? else { return Ok(None) };
            let Some(mut piece) = Record::parse(&line).and_then(|record| self.selected(&record)) else {
                continue;
            };
            if let Some(limit) = &mut self.selection.limit_bytes {
                piece.truncate(*limit);
                *limit -= piece.len();
            }
            return Ok(Some(piece));
        }
        Ok(None)
    }

    /// The text of a record, if it is wanted.
    fn selected(&mut self, record: &Record<'_>) -> Option<Vec<u8>> {
        let begins = !self.within.iter().any(|stream| stream == record.stream);
        self.within.retain(|stream| stream != record.stream);
        if !record.full {
            self.within.push(record.stream.to_owned());
        }
        if self.skip > 0 {
            self.skip -= usize::from(record.full);
            return None;
        }
        let time = || str::from_utf8(record.time).ok()?.parse::<Timestamp>().ok();
        if self.selection.since.is_some_and(|since| time().is_some_and(|time| time < since)) {
            return None;
        }
        let mut text = Vec::new();
        if self.selection.timestamps && begins {
            text.extend_from_slice(record.time);
            text.push(b' ');
        }
        text.extend_from_slice(record.content);
        text.extend(record.full.then_some(b'\n'));
        Some(text)
    }

    /// The next line of the files, waiting for it if the log is followed.
    async fn record(&mut self) -> io::Result<Option<Vec<u8>>> {
        loop {
            let written = *self.written.borrow_and_update();
            let complete = written.file != self.number;
            if (complete || self.position < written.length)
                && let Some(line) = self.line().await?
            {
                return Ok(Some(line));
            }
            if complete {
                (self.number, self.position, self.file) = (self.number + 1, 0, None);
            } else if written.ended || !self.selection.follow || self.written.changed().await.is_err() {
                return Ok(None);
            }
        }
    }

    /// The next line of the current file. A file that was removed has none.
    async fn line(&mut self) -> io::Result<Option<Vec<u8>>> {
        let file = match &mut self.file {
            Some(file) => file,
            None => match File::open(self.log.path(self.number)).await {
                Ok(file) => self.file.insert(BufReader::new(file)),
                Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
                Err(error) => return Err(error),
            },
        };
        let mut line = Vec::new();
        self.position += file.read_until(b'\n', &mut line).await? as u64;
        Ok(Some(line).filter(|line| !line.is_empty()))
    }
}
