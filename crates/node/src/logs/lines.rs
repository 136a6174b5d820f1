//! The format of a log's file: `TIME STREAM TAG CONTENT`, one record a line. The tag is `F` for a full line and `P` for a
//! part of one, which the next record of the stream goes on.

use k8s_openapi::jiff::Timestamp;

/// Longer lines are kept in parts.
const PART: usize = 16 * 1024;

/// One stream of a container, cut into records.
pub struct Lines {
    stream: &'static str,
    pending: Vec<u8>,
}

impl Lines {
    pub fn new(stream: &'static str) -> Self {
        Self { stream, pending: Vec::new() }
    }

    /// The records that `bytes` complete. No bytes are the end of the stream: what is left becomes a part.
    pub fn push(&mut self, bytes: &[u8], now: Timestamp) -> Vec<u8> {
        let mut records = Vec::new();
        for piece in bytes.split_inclusive(|&byte| byte == b'\n') {
            self.pending.extend_from_slice(piece);
            if self.pending.last() == Some(&b'\n') {
                self.pending.pop();
                self.finish(b'F', now, &mut records);
            } else if self.pending.len() >= PART {
                self.finish(b'P', now, &mut records);
            }
        }
        if bytes.is_empty() && !self.pending.is_empty() {
            self.finish(b'P', now, &mut records);
        }
        records
    }

    fn finish(&mut self, tag: u8, now: Timestamp, records: &mut Vec<u8>) {
        records.extend_from_slice(format!("{now:.9} {} ", self.stream).as_bytes());
        records.extend_from_slice(&[tag, b' ']);
        records.append(&mut self.pending);
        records.push(b'\n');
    }
}

/// A record as it is read.
#[derive(Debug, PartialEq, Eq)]
pub struct Record<'a> {
    pub time: &'a [u8],
    pub stream: &'a [u8],
    /// The line ends here.
    pub full: bool,
    pub content: &'a [u8],
}

impl<'a> Record<'a> {
    /// Reads a line of the file. `None` if it is no record.
    pub fn parse(line: &'a [u8]) -> Option<Self> {
        let mut words = line.strip_suffix(b"\n")?.splitn(4, |&byte| byte == b' ');
        let (time, stream, tag, content) = (words.next()?, words.next()?, words.next()?, words.next()?);
        Some(Self { time, stream, full: tag == b"F", content })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn content_survives_as_records() {
        let long = vec![b'x'; PART + 5];
        for (chunks, want) in [
            (vec!["a\nb\n".as_bytes()], vec![("a", true), ("b", true)]),
            (vec![b"a", b"b\nc"], vec![("ab", true), ("c", false)]),
            (vec![b"\n\n"], vec![("", true), ("", true)]),
            (vec![b"a b  c\n"], vec![("a b  c", true)]),
            (vec![&long, b"\n"], vec![(std::str::from_utf8(&long).unwrap(), false), ("", true)]),
            (vec![b"end"], vec![("end", false)]),
        ] {
            let mut lines = Lines::new("stdout");
            let ends = chunks.into_iter().chain([&b""[..]]);
            let file: Vec<u8> = ends.flat_map(|chunk| lines.push(chunk, Timestamp::UNIX_EPOCH)).collect();
            let records: Vec<_> = file.split_inclusive(|&byte| byte == b'\n').map(Record::parse).collect();
            let got: Vec<_> =
                records.iter().flatten().map(|r| (str::from_utf8(r.content).unwrap(), r.full)).collect();
            assert_eq!(got, want);
            assert!(records.iter().flatten().all(|r| r.time == b"1970-01-01T00:00:00.000000000Z"));
        }
    }
}
