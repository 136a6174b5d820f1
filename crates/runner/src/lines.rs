//! Lines of a stream, whatever it holds: bytes that are no text, a line of 100 MB, an end without a newline.

use std::io::{self, BufRead};

/// A longer line is cut: long enough for every event of an engine, short enough to hold a few in memory.
pub const LINE_LIMIT: usize = 256 * 1024;
/// What a line's buffer keeps between lines.
const KEPT_CAPACITY: usize = 16 * 1024;

/// One line, without its end.
#[derive(Debug, PartialEq)]
pub struct RawLine {
    /// What stands in it; bytes that are no UTF-8 are replaced.
    pub text: String,
    /// Bytes that were left out, as the line was too long.
    pub lost: usize,
}

/// Reads lines in bounded memory.
pub struct Lines<R> {
    source: R,
    buffer: Vec<u8>,
}

impl<R: BufRead> Lines<R> {
    /// Lines of `source`.
    pub fn new(source: R) -> Self {
        Self { source, buffer: Vec::new() }
    }

    /// The next line; none at the end.
    pub fn next_line(&mut self) -> io::Result<Option<RawLine>> {
        self.buffer.clear();
        self.buffer.shrink_to(KEPT_CAPACITY);
        let mut length = 0;
        loop {
            let available = match self.source.fill_buf() {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                available => available?,
            };
            let end = available.iter().position(|byte| *byte == b'\n');
            let part = &available[..end.unwrap_or(available.len())];
            let kept = part.len().min(LINE_LIMIT - self.buffer.len());
            self.buffer.extend_from_slice(&part[..kept]);
            length += part.len();
            let (read, at_end) = (part.len() + usize::from(end.is_some()), available.is_empty());
            self.source.consume(read);
            if end.is_some() || at_end {
                return Ok((end.is_some() || length > 0).then(|| self.line(length)));
            }
        }
    }

    fn line(&self, length: usize) -> RawLine {
        let bytes = self.buffer.strip_suffix(b"\r").unwrap_or(&self.buffer);
        RawLine { text: String::from_utf8_lossy(bytes).into_owned(), lost: length - self.buffer.len() }
    }
}

#[cfg(test)]
mod tests {
    use std::io::BufReader;

    use super::*;

    fn read(bytes: &[u8]) -> Vec<(String, usize)> {
        let mut lines = Lines::new(BufReader::with_capacity(7, bytes));
        let next = || lines.next_line().expect("memory doesn't fail").map(|line| (line.text, line.lost));
        std::iter::from_fn(next).collect()
    }

    #[test]
    fn lines_of_all_kinds() {
        let line = |text: &str| (text.to_owned(), 0);
        assert_eq!(read(b""), []);
        assert_eq!(
            read(b"\n\nlonger than the buffer\r\nlast"),
            [line(""), line(""), line("longer than the buffer"), line("last")]
        );
        assert_eq!(read(b"a\xff\xfeb\n"), [line("a\u{fffd}\u{fffd}b")]);
    }

    #[test]
    fn a_huge_line_is_cut_and_the_next_one_read() {
        let huge = [vec![b'x'; LINE_LIMIT + 1000], b"\nnext\n".to_vec()].concat();
        let lines = read(&huge);
        assert_eq!((lines[0].0.len(), lines[0].1), (LINE_LIMIT, 1000));
        assert_eq!(lines[1], ("next".to_owned(), 0));
    }
}
