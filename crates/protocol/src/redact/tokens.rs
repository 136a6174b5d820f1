//! Words in the shape of well-known tokens.

use memchr::memmem;

use super::VALUE_MIN;

/// The shape of a well-known kind of token.
struct Shape {
    prefix: &'static str,
    /// Characters that may follow the prefix.
    body: fn(u8) -> bool,
    /// How many of them have to.
    min: usize,
    /// Words of ordinary text have the shape too; a token has a digit.
    digit: bool,
    /// The prefix stays, for the reader.
    keep_prefix: bool,
}

const fn shape(prefix: &'static str, body: fn(u8) -> bool, min: usize) -> Shape {
    Shape { prefix, body, min, digit: false, keep_prefix: false }
}

const SHAPES: [Shape; 14] = [
    Shape { digit: true, ..shape("sk-", is_url_safe, 16) },
    shape("ghp_", is_alphanumeric, 20),
    shape("gho_", is_alphanumeric, 20),
    shape("ghu_", is_alphanumeric, 20),
    shape("ghs_", is_alphanumeric, 20),
    shape("github_pat_", is_url_safe, 20),
    shape("glpat-", is_url_safe, 16),
    shape("xoxb-", is_url_safe, 10),
    shape("xoxp-", is_url_safe, 10),
    shape("xoxa-", is_url_safe, 10),
    shape("xoxs-", is_url_safe, 10),
    shape("AKIA", is_alphanumeric, 16),
    shape("eyJ", is_token, 24),
    Shape { keep_prefix: true, ..shape("Bearer ", is_token, VALUE_MIN) },
];

/// Where tokens stand.
pub fn token_spans(text: &str) -> Vec<(usize, usize)> {
    SHAPES.iter().flat_map(|shape| shape.spans(text)).collect()
}

impl Shape {
    fn spans(&self, text: &str) -> Vec<(usize, usize)> {
        let text = text.as_bytes();
        let mut spans = Vec::new();
        let mut judged = 0;
        for at in memmem::find_iter(text, self.prefix).filter(|at| begins_word(text, *at)) {
            // What is no token has none in it: it would be shorter, with fewer digits and parts.
            if at < judged {
                continue;
            }
            let body_at = at + self.prefix.len();
            let body = text[body_at..].split(|byte| !(self.body)(*byte)).next().unwrap_or_default();
            judged = body_at + body.len();
            if self.is_token(body) {
                spans.push((if self.keep_prefix { body_at } else { at }, judged));
            }
        }
        spans
    }

    fn is_token(&self, body: &[u8]) -> bool {
        let long = body.len() >= self.min && (!self.digit || body.iter().any(u8::is_ascii_digit));
        // Of what begins like a JWT only that with three parts is one: any JSON in base64 begins so.
        long && (self.prefix != "eyJ" || body.split(|byte| *byte == b'.').count() >= 3)
    }
}

fn begins_word(text: &[u8], at: usize) -> bool {
    at == 0 || !text[at - 1].is_ascii_alphanumeric()
}

fn is_alphanumeric(byte: u8) -> bool {
    byte.is_ascii_alphanumeric()
}

fn is_url_safe(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_')
}

fn is_token(byte: u8) -> bool {
    is_url_safe(byte) || matches!(byte, b'.' | b'+' | b'/' | b'=' | b'~')
}
