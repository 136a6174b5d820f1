//! A stream of bytes cut into server-sent events: each ends with an empty line.

use bytes::BytesMut;

/// An event that is longer goes on as it comes, unread.
const EVENT_MAX: usize = 4 << 20;
/// What takes more than this leaves no memory behind.
const KEPT_MAX: usize = 64 << 10;
/// The longest beginning of an event's end: `\n\r`, and the line's own `\r`.
const END_LEN: usize = 3;

/// What has come and not gone on yet.
#[derive(Debug, Default)]
pub(crate) struct Events {
    pending: BytesMut,
    /// How much of it has been looked at for an event's end.
    looked: usize,
    /// Whether a part of the event under way has gone on.
    in_parts: bool,
}

/// What goes on.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Piece {
    /// A whole event, with the empty line.
    Event(BytesMut),
    /// A part of one that is too long to be read.
    Part(BytesMut),
}

impl Events {
    pub(crate) fn push(&mut self, chunk: &[u8]) {
        self.pending.extend_from_slice(chunk);
    }

    /// How many bytes are kept.
    pub(crate) fn len(&self) -> usize {
        self.pending.len()
    }

    /// What can go on now.
    pub(crate) fn next(&mut self) -> Option<Piece> {
        if let Some(end) = self.end() {
            let event = self.take(end);
            return Some(if std::mem::take(&mut self.in_parts) {
                Piece::Part(event)
            } else {
                Piece::Event(event)
            });
        }
        let is_long = self.in_parts || self.pending.len() > EVENT_MAX;
        let ready = self.pending.len().saturating_sub(END_LEN);
        (is_long && ready > 0).then(|| {
            self.in_parts = true;
            Piece::Part(self.take(ready))
        })
    }

    /// What is left when nothing follows.
    pub(crate) fn rest(&mut self) -> Piece {
        let rest = self.take(self.pending.len());
        if self.in_parts { Piece::Part(rest) } else { Piece::Event(rest) }
    }

    fn take(&mut self, count: usize) -> BytesMut {
        self.looked = 0;
        let taken = self.pending.split_to(count);
        if count > KEPT_MAX {
            // The rest would keep the whole buffer for as long as the stream lasts.
            self.pending = BytesMut::from(&self.pending[..]);
        }
        taken
    }

    /// Where the first event ends.
    fn end(&mut self) -> Option<usize> {
        let from = self.looked.saturating_sub(END_LEN);
        self.looked = self.pending.len();
        let bytes = &self.pending[from..];
        let lines = bytes.iter().enumerate().filter(|(_, byte)| **byte == b'\n');
        let mut ends = lines.filter_map(|(at, _)| match &bytes[at + 1..] {
            [b'\n', ..] => Some(at + 2),
            [b'\r', b'\n', ..] => Some(at + 3),
            _ => None,
        });
        ends.next().map(|end| from + end)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn event(text: &str) -> Piece {
        Piece::Event(text.into())
    }

    #[test]
    fn events_end_with_an_empty_line() {
        let mut events = Events::default();
        events.push(b"a\n\nb\r\n\r");
        assert_eq!((events.next(), events.next()), (Some(event("a\n\n")), None));
        events.push(b"\nc");
        assert_eq!((events.next(), events.next()), (Some(event("b\r\n\r\n")), None));
        assert_eq!(events.rest(), event("c"));
    }

    #[test]
    fn one_that_is_too_long_goes_on_in_parts() {
        let text = format!("data: {}\n\ndata: 1\n\n", "x".repeat(EVENT_MAX + 200_000));
        let (mut events, mut parts, mut whole) = (Events::default(), 0, Vec::new());
        for chunk in text.as_bytes().chunks(65_536) {
            events.push(chunk);
            while let Some(piece) = events.next() {
                match piece {
                    Piece::Part(part) => parts += part.len(),
                    Piece::Event(event) => whole.push(event),
                }
            }
            assert!(events.pending.len() <= EVENT_MAX);
        }
        assert!(whole == ["data: 1\n\n"], "{} events", whole.len());
        assert_eq!(parts, text.len() - whole[0].len());
    }

    #[test]
    fn a_long_one_leaves_no_memory_behind() {
        let long = format!("data: {}\n\n", "x".repeat(EVENT_MAX - 100));
        for rest in ["", "data: 1\n"] {
            let mut events = Events::default();
            for chunk in [&*long, rest].concat().as_bytes().chunks(65_536) {
                events.push(chunk);
            }
            assert!(matches!(events.next(), Some(Piece::Event(event)) if event.len() == long.len()));
            // More than is left of the buffer, which would be used again.
            events.push(&[b'x'; 1000]);
            assert!(events.pending.capacity() <= KEPT_MAX, "{} are kept", events.pending.capacity());
        }
    }
}
