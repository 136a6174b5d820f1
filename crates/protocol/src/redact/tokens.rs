//! Words in the shape of well-known tokens, private keys, and passwords in addresses.

use std::sync::LazyLock;

use aho_corasick::AhoCorasick;
use memchr::memmem;

use super::VALUE_MIN;
use super::base64::decode;

/// The shape of a well-known kind of token.
struct Shape {
    prefix: &'static str,
    /// Characters that may follow the prefix.
    body: fn(u8) -> bool,
    /// How many of them have to.
    min: usize,
    /// What else a token is, as words of ordinary text have the shape too.
    is_one: fn(&[u8]) -> bool,
    /// A word for the reader, in any case: it stays.
    is_word: bool,
}

const fn shape(prefix: &'static str, body: fn(u8) -> bool, min: usize) -> Shape {
    Shape { prefix, body, min, is_one: |_| true, is_word: false }
}

/// What stands behind a header's name, or behind the first word of its value.
const fn header(name: &'static str, body: fn(u8) -> bool, min: usize) -> Shape {
    Shape { is_word: true, ..shape(name, body, min) }
}

const SHAPES: [Shape; 42] = [
    Shape { is_one: has_digit, ..shape("sk-", is_url_safe, 16) },
    shape("sk_live_", is_alphanumeric, 16),
    shape("sk_test_", is_alphanumeric, 16),
    shape("rk_live_", is_alphanumeric, 16),
    shape("ghp_", is_alphanumeric, 20),
    shape("gho_", is_alphanumeric, 20),
    shape("ghu_", is_alphanumeric, 20),
    shape("ghs_", is_alphanumeric, 20),
    shape("ghr_", is_alphanumeric, 20),
    shape("github_pat_", is_url_safe, 20),
    shape("glpat-", is_url_safe, 16),
    shape("glrt-", is_url_safe, 16),
    shape("gldt-", is_url_safe, 16),
    shape("xoxb-", is_url_safe, 10),
    shape("xoxp-", is_url_safe, 10),
    shape("xoxa-", is_url_safe, 10),
    shape("xoxs-", is_url_safe, 10),
    shape("xapp-", is_url_safe, 10),
    shape("AKIA", is_alphanumeric, 16),
    shape("ASIA", is_alphanumeric, 16),
    shape("AIza", is_url_safe, 30),
    shape("ya29.", is_url_safe, 20),
    shape("hf_", is_alphanumeric, 30),
    shape("npm_", is_alphanumeric, 30),
    shape("dop_v1_", is_alphanumeric, 30),
    shape("dckr_pat_", is_url_safe, 20),
    // Every token of PyPI's begins so: packages have names with the shorter prefix.
    shape("pypi-AgE", is_url_safe, 40),
    shape("hvs.", is_url_safe, 20),
    shape("hvb.", is_url_safe, 20),
    // OpenShift's; a digest has a colon in its place.
    shape("sha256~", is_url_safe, 30),
    Shape { is_one: is_sendgrids, ..shape("SG.", is_token, 60) },
    Shape { is_one: is_jwt, ..shape("eyJ", is_token, 24) },
    header("Bearer ", is_token, VALUE_MIN),
    Shape { is_one: is_user_and_password, ..header("Basic ", is_token, VALUE_MIN) },
    header("x-api-key:", is_token, VALUE_MIN),
    header("x-api-key: ", is_token, VALUE_MIN),
    header("x-api-key\":\"", is_token, VALUE_MIN),
    header("x-api-key\": \"", is_token, VALUE_MIN),
    // Without a scheme: what stands there as a rule is a word of some configuration.
    Shape { is_one: has_digit, ..header("authorization:", is_url_safe, 16) },
    Shape { is_one: has_digit, ..header("authorization: ", is_url_safe, 16) },
    Shape { is_one: has_digit, ..header("authorization\":\"", is_url_safe, 16) },
    Shape { is_one: has_digit, ..header("authorization\": \"", is_url_safe, 16) },
];

/// Finds the prefixes of all shapes in one pass.
static PREFIXES: LazyLock<Option<AhoCorasick>> = LazyLock::new(|| {
    let prefixes = SHAPES.iter().map(|shape| shape.prefix);
    AhoCorasick::builder().ascii_case_insensitive(true).build(prefixes).ok()
});

/// How long the first line of a private key is at most.
const HEAD_MAX: usize = 64;

/// Where tokens stand.
pub fn token_spans(text: &[u8]) -> Vec<(usize, usize)> {
    let mut spans = shaped(text);
    spans.extend(private_keys(text));
    spans.extend(passwords(text));
    spans
}

fn shaped(text: &[u8]) -> Vec<(usize, usize)> {
    let mut spans = Vec::new();
    let mut judged = [0; SHAPES.len()];
    let found = PREFIXES.iter().flat_map(|prefixes| prefixes.find_overlapping_iter(text));
    for (which, at, body_at) in found.map(|found| (found.pattern().as_usize(), found.start(), found.end())) {
        let shape = &SHAPES[which];
        // What is no token has none in it: it would be shorter, with fewer digits and parts.
        if at < judged[which] || !shape.begins(text, at) {
            continue;
        }
        let body = text[body_at..].split(|byte| !(shape.body)(*byte)).next().unwrap_or_default();
        judged[which] = body_at + body.len();
        if body.len() >= shape.min && (shape.is_one)(body) {
            spans.push((if shape.is_word { body_at } else { at }, judged[which]));
        }
    }
    spans
}

impl Shape {
    fn begins(&self, text: &[u8], at: usize) -> bool {
        let is_start = at == 0 || !text[at - 1].is_ascii_alphanumeric();
        is_start && (self.is_word || text[at..].starts_with(self.prefix.as_bytes()))
    }
}

/// What stands between the first and the last line of private keys.
fn private_keys(text: &[u8]) -> Vec<(usize, usize)> {
    const BEGIN: &[u8] = b"-----BEGIN ";
    const HEAD: &[u8] = b"PRIVATE KEY-----";
    let begins = |before: &[u8]| {
        memmem::rfind(before, BEGIN).is_some_and(|at| !before[at + BEGIN.len()..].contains(&b'-'))
    };
    let mut spans: Vec<(usize, usize)> = Vec::new();
    for at in memmem::find_iter(text, HEAD) {
        let start = at + HEAD.len();
        let is_judged = spans.last().is_some_and(|(_, end)| at < *end);
        if !is_judged && begins(&text[at.saturating_sub(HEAD_MAX)..at]) {
            let end = memmem::find(&text[start..], b"-----END").map_or(text.len(), |length| start + length);
            spans.push((start, end));
        }
    }
    spans.retain(|(start, end)| start < end);
    spans
}

/// Passwords before the hosts of addresses.
fn passwords(text: &[u8]) -> Vec<(usize, usize)> {
    let password = |at: usize| {
        let start = at + 3;
        let ends = |byte: &u8| {
            matches!(byte, b'/' | b'@' | b'?' | b'#' | b'"' | b'\'') || byte.is_ascii_whitespace()
        };
        let end = start + text[start..].iter().position(ends)?;
        let colon = start + memchr::memchr(b':', &text[start..end])?;
        (text[end] == b'@' && colon + 1 < end).then_some((colon + 1, end))
    };
    memmem::find_iter(text, "://").filter_map(password).collect()
}

fn has_digit(body: &[u8]) -> bool {
    body.iter().any(u8::is_ascii_digit)
}

/// Of what begins like a JWT only that with three parts is one: any JSON in base64 begins so.
fn is_jwt(body: &[u8]) -> bool {
    body.split(|byte| *byte == b'.').count() >= 3
}

/// An id and a key.
fn is_sendgrids(body: &[u8]) -> bool {
    let lengths: Vec<usize> = body.split(|byte| *byte == b'.').map(<[u8]>::len).collect();
    matches!(lengths.as_slice(), [id, key] if *id >= 16 && *key >= 32)
}

fn is_user_and_password(body: &[u8]) -> bool {
    let text = decode(body);
    text.contains(&b':') && text.iter().all(|byte| byte.is_ascii_graphic() || *byte == b' ')
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
