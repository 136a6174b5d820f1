//! A stream of server-sent events on its way: whole events go on as they come, and what they say of usage is kept.

use bytes::{Bytes, BytesMut};
use memchr::memmem;
use serde::Deserialize;
use serde::de::IgnoredAny;
use serde_json::Value;

use crate::budget::Tokens;
use crate::endpoint::Endpoint;
use crate::events::{Events, Piece};
use crate::usage::Said;

/// Reads the events of one stream.
#[derive(Debug)]
pub(crate) struct Relay {
    endpoint: Endpoint,
    /// Whether what only says usage is kept from the client.
    hides_usage: bool,
    events: Events,
    said: Said,
    /// Whether the last word on usage was said.
    is_told: bool,
    /// Whether an event said that none follows.
    is_complete: bool,
}

/// What of an event matters here, in the three forms.
#[derive(Deserialize)]
struct Told {
    #[serde(rename = "type")]
    kind: Option<String>,
    usage: Option<Value>,
    choices: Option<Vec<IgnoredAny>>,
    message: Option<Part>,
    response: Option<Part>,
}

#[derive(Deserialize)]
struct Part {
    usage: Option<Value>,
}

impl Relay {
    pub(crate) fn new(endpoint: Endpoint, hides_usage: bool) -> Self {
        Self {
            endpoint,
            hides_usage,
            events: Events::default(),
            said: Said::default(),
            is_told: false,
            is_complete: false,
        }
    }

    /// Takes in what came; gives what goes on now.
    pub(crate) fn pass(&mut self, chunk: &[u8]) -> Bytes {
        self.events.push(chunk);
        let mut out = BytesMut::new();
        while let Some(piece) = self.events.next() {
            out.unsplit(self.seen(piece));
        }
        out.freeze()
    }

    /// How many bytes of an event that hasn't ended are kept.
    pub(crate) fn held(&self) -> usize {
        self.events.len()
    }

    /// What is left when the stream has ended: an event that nothing closes.
    pub(crate) fn rest(&mut self) -> Bytes {
        let rest = self.events.rest();
        self.seen(rest).freeze()
    }

    /// What of a piece the client sees.
    fn seen(&mut self, piece: Piece) -> BytesMut {
        match piece {
            Piece::Event(event) if !self.hear(&event) => BytesMut::new(),
            Piece::Event(bytes) | Piece::Part(bytes) => bytes,
        }
    }

    /// What the stream used, if it said so and came to its end. `ended`: nothing follows, and nothing broke.
    pub(crate) fn tokens(&self, ended: bool) -> Option<Tokens> {
        let final_word = self.is_told && (ended || self.is_complete);
        final_word.then(|| self.said.tokens(self.endpoint)).flatten()
    }

    /// Hears what an event says, and whether the client sees it.
    fn hear(&mut self, event: &[u8]) -> bool {
        let Some(data) = data(event) else { return true };
        if data == b"[DONE]" {
            self.is_complete = true;
            return true;
        }
        if !worth_reading(data) {
            return true;
        }
        let Ok(told) = serde_json::from_slice::<Told>(data) else { return true };
        let kind = told.kind.as_deref().unwrap_or_default();
        self.is_complete |=
            matches!(kind, "message_stop" | "response.completed" | "response.incomplete" | "response.failed");
        if let Some(usage) = told.message.and_then(|message| message.usage) {
            self.said.hear(&usage);
        }
        let last_word = told.usage.filter(|usage| !usage.is_null());
        let says_it = last_word.is_some();
        if let Some(usage) = last_word.or(told.response.and_then(|response| response.usage)) {
            self.said.hear(&usage);
            self.is_told = true;
        }
        let holds_nothing_else = says_it && told.choices.is_some_and(|choices| choices.is_empty());
        !(self.hides_usage && holds_nothing_else)
    }
}

/// Most events are a word of text: they are not read.
fn worth_reading(data: &[u8]) -> bool {
    let holds = |word: &str| memmem::find(data, word.as_bytes()).is_some();
    holds("\"usage\"") || holds("message_stop") || holds("\"response.")
}

/// The text behind `data:`. Providers send it on one line.
fn data(event: &[u8]) -> Option<&[u8]> {
    let mut lines = event.split(|byte| *byte == b'\n');
    lines.find_map(|line| line.strip_prefix(b"data:")).map(<[u8]>::trim_ascii)
}

#[cfg(test)]
mod tests {
    use super::*;

    const OPENAI: &str = concat!(
        "data: {\"choices\":[{\"delta\":{\"content\":\"a\"}}],\"usage\":null}\n\n",
        ": a comment\n\n",
        "data: {\"choices\":[],\"usage\":{\"prompt_tokens\":9,\"completion_tokens\":2}}\n\n",
        "data: [DONE]\n\n",
    );
    const ANTHROPIC: &str = concat!(
        "event: message_start\r\ndata: {\"type\":\"message_start\",\"message\":{\"usage\":{\"input_tokens\":5,",
        "\"cache_read_input_tokens\":4,\"output_tokens\":1}}}\r\n\r\n",
        "event: content_block_delta\r\ndata: {\"type\":\"content_block_delta\",\"delta\":{\"text\":\"\\\"usage\\\"\"}}\r\n\r\n",
        "event: message_delta\r\ndata: {\"type\":\"message_delta\",\"usage\":{\"output_tokens\":2}}\r\n\r\n",
        "event: message_stop\r\ndata: {\"type\":\"message_stop\"}\r\n\r\n",
    );
    const RESPONSES: &str = concat!(
        "data: {\"type\":\"response.created\",\"response\":{\"usage\":null}}\n\n",
        "data: {\"type\":\"response.completed\",\"response\":{\"usage\":{\"input_tokens\":9,\"output_tokens\":2}}}\n\n",
    );

    fn through(relay: &mut Relay, text: &str, size: usize) -> String {
        let mut out = Vec::new();
        for chunk in text.as_bytes().chunks(size) {
            out.extend_from_slice(&relay.pass(chunk));
        }
        out.extend_from_slice(&relay.rest());
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn streams_go_through_whatever_their_pieces_and_say_their_usage() {
        let cached = |cache_read| Some(Tokens { input: 9, output: 2, cache_read, cache_write: 0 });
        for (endpoint, text, tokens) in [
            (Endpoint::ChatCompletions, OPENAI, cached(0)),
            (Endpoint::Messages, ANTHROPIC, cached(4)),
            (Endpoint::Responses, RESPONSES, cached(0)),
        ] {
            for size in [1, 2, 3, 7, 50, 10_000] {
                let mut relay = Relay::new(endpoint, false);
                assert_eq!(through(&mut relay, text, size), text);
                assert_eq!(
                    (relay.tokens(false), relay.tokens(true)),
                    (tokens, tokens),
                    "{endpoint:?} {size}"
                );
            }
        }
    }

    #[test]
    fn what_breaks_off_says_nothing() {
        for (endpoint, text) in [
            (Endpoint::ChatCompletions, OPENAI),
            (Endpoint::Messages, ANTHROPIC),
            (Endpoint::Responses, RESPONSES),
        ] {
            let first = text.find("\n\n").or(text.find("\r\n\r\n")).unwrap();
            for cut in [0, first, first + 4] {
                let mut relay = Relay::new(endpoint, false);
                through(&mut relay, &text[..cut], 10);
                assert_eq!((relay.tokens(false), relay.tokens(true)), (None, None), "{endpoint:?} {cut}");
            }
        }
    }

    #[test]
    fn usage_that_was_not_asked_for_is_not_shown() {
        let mut relay = Relay::new(Endpoint::ChatCompletions, true);
        let seen = through(&mut relay, OPENAI, 11);
        assert_eq!(seen.matches("data:").count(), 2);
        assert!(!seen.contains("prompt_tokens") && seen.ends_with("[DONE]\n\n"), "{seen}");
        assert!(relay.tokens(true).is_some());
    }

    #[test]
    fn whole_events_are_not_held_back() {
        let mut relay = Relay::new(Endpoint::ChatCompletions, true);
        assert_eq!(relay.pass(b"data: 1\n\ndata: 2\n"), "data: 1\n\n");
        assert_eq!(relay.pass(b"\n"), "data: 2\n\n");
    }
}
