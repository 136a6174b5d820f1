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
    /// Only this stream: `stdout` or `stderr`.
    pub stream: Option<&'static str>,
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
        let all = Selection { stream: selection.stream, ..Selection::default() };
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
            if let Some(record) = self.wanted(&line) {
                open = !record.full;
                count += usize::from(record.full);
            }
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
            let Some(mut piece) = self.wanted(&line).and_then(|record| self.selected(&record)) else {
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

    /// The record in a line, if it is of a stream that is wanted.
    fn wanted<'a>(&self, line: &'a [u8]) -> Option<Record<'a>> {
        let asked = self.selection.stream.map(str::as_bytes);
        Record::parse(line).filter(|record| asked.is_none_or(|stream| stream == record.stream))
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

#[cfg(test)]
mod tests {
    use std::io::{self, Write as _};
    use std::os::fd::OwnedFd;

    use tokio::net::unix::pipe;

    use super::*;

    fn receiver(pipe: io::PipeReader) -> pipe::Receiver {
        pipe::Receiver::from_owned_fd(OwnedFd::from(pipe)).unwrap()
    }

    async fn recorded(text: &[u8]) -> (tempfile::TempDir, Arc<Log>) {
        let scratch = tempfile::tempdir().unwrap();
        let log = Log::create(scratch.path().join("log")).await.unwrap();
        let (out_reader, mut out) = io::pipe().unwrap();
        let (err_reader, err) = io::pipe().unwrap();
        drop(err);
        let text = text.to_owned();
        let writer = std::thread::spawn(move || out.write_all(&text));
        log.record(receiver(out_reader), receiver(err_reader)).await.unwrap();
        writer.join().unwrap().unwrap();
        (scratch, log)
    }

    async fn read(log: &Arc<Log>, selection: Selection) -> String {
        let mut reader = LogReader::open(Arc::clone(log), selection).await.unwrap();
        let mut text = Vec::new();
        while let Some(piece) = reader.next().await.unwrap() {
            text.extend(piece);
        }
        String::from_utf8(text).unwrap()
    }

    #[tokio::test]
    async fn a_selection_is_what_kubectl_asks_for() {
        let (_scratch, log) = recorded(b"one\ntwo\n\nthree").await;
        let all = Selection::default;
        for (selection, want) in [
            (all(), "one\ntwo\n\nthree"),
            (Selection { follow: true, ..all() }, "one\ntwo\n\nthree"),
            (Selection { tail: Some(0), ..all() }, ""),
            (Selection { tail: Some(1), ..all() }, "three"),
            (Selection { tail: Some(3), ..all() }, "two\n\nthree"),
            (Selection { tail: Some(9), ..all() }, "one\ntwo\n\nthree"),
            (Selection { limit_bytes: Some(5), ..all() }, "one\nt"),
            (Selection { since: Some(Timestamp::MAX), ..all() }, ""),
            (Selection { stream: Some("stderr"), ..all() }, ""),
            (Selection { stream: Some("stdout"), tail: Some(1), ..all() }, "three"),
        ] {
            assert_eq!(read(&log, selection.clone()).await, want, "{selection:?}");
        }
        let stamped = read(&log, Selection { timestamps: true, tail: Some(1), ..all() }).await;
        let (time, line) = stamped.split_once(' ').unwrap();
        assert!(time.parse::<Timestamp>().is_ok() && time.len() == 30 && line == "three", "{stamped}");
    }

    #[tokio::test]
    async fn of_a_long_log_the_end_is_kept() {
        let text = "0123456789".repeat(1700) + "\n";
        let (scratch, log) = recorded(text.repeat(2500).as_bytes()).await;
        let kept = read(&log, Selection::default()).await;
        assert!(kept.len() > 10_000_000 && kept.len() < 30_000_000, "{}", kept.len());
        assert!(kept.ends_with(&text));
        assert_eq!(read(&log, Selection { tail: Some(2), ..Selection::default() }).await, text.repeat(2));
        assert!(std::fs::read_dir(scratch.path().join("log")).unwrap().count() <= 2);
    }

    #[tokio::test]
    async fn a_follower_waits_for_more() {
        let scratch = tempfile::tempdir().unwrap();
        let log = Log::create(scratch.path().join("log")).await.unwrap();
        let (out_reader, mut out) = io::pipe().unwrap();
        let (err_reader, mut err) = io::pipe().unwrap();
        let recording = Arc::clone(&log);
        let (stdout, stderr) = (receiver(out_reader), receiver(err_reader));
        let recorder = tokio::spawn(async move { recording.record(stdout, stderr).await });
        let selection = Selection { follow: true, ..Selection::default() };
        let mut reader = LogReader::open(log, selection).await.unwrap();
        for _ in 0..3 {
            out.write_all(b"out\n").unwrap();
            assert_eq!(reader.next().await.unwrap().unwrap(), b"out\n");
            err.write_all(b"err\n").unwrap();
            assert_eq!(reader.next().await.unwrap().unwrap(), b"err\n");
        }
        drop((out, err));
        assert_eq!(reader.next().await.unwrap(), None);
        recorder.await.unwrap().unwrap();
    }
}
