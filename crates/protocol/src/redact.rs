//! Taking secrets out of text before it leaves the pod.
//!
//! What is taken: the values of environment variables whose names say that they are secret, as they stand, as JSON
//! writes them and in base64 (whatever stands before them, and wrapped into lines), and words in the shape of
//! well-known tokens. An agent that wants to hide a value can (it may print it backwards); this is for accidents, and
//! for what an attacker gets an obedient agent to print.

use std::collections::HashSet;

use memchr::memmem::Finder;

/// What stands where a secret was.
pub const REDACTED: &str = "[redacted]";

/// Shorter values are no secrets, or would take half of every text with them.
const VALUE_MIN: usize = 8;
/// What is called a secret may be shorter; still shorter ones stand in every text.
const SECRET_MIN: usize = 6;
/// A line of a longer secret (a private key) is a secret of its own from this length on.
const SECRET_LINE_MIN: usize = 16;
/// Any so long piece of a secret's base64 form is found, so that line breaks in it don't hide the rest.
const GRAM: usize = 16;

const SECRET_WORDS: [&str; 5] = ["KEY", "TOKEN", "SECRET", "PASSWORD", "CREDENTIAL"];
/// Names that have one of the words and hold no secret: prices, counts, paths.
const HARMLESS_WORDS: [&str; 4] = ["COST_PER_TOKEN", "TOKENS", "_FILE", "_PATH"];

/// Knows the secrets of a process and takes them out of texts.
#[derive(Clone)]
pub struct Redactor {
    finders: Vec<Finder<'static>>,
    grams: HashSet<[u8; GRAM]>,
}

impl Redactor {
    /// A redactor for the secrets among these environment variables.
    pub fn from_env<N: AsRef<str>, V: AsRef<str>>(variables: impl IntoIterator<Item = (N, V)>) -> Self {
        let secret = |(name, value): &(N, V)| {
            is_secret_name(name.as_ref()) && value.as_ref().trim().len() >= VALUE_MIN
        };
        Self::from_values(variables.into_iter().filter(secret).map(|(_, value)| value))
    }

    /// A redactor for these secrets. Blanks around them are not theirs, and what is shorter than six bytes is none.
    pub fn from_values<V: AsRef<str>>(secrets: impl IntoIterator<Item = V>) -> Self {
        let mut values = Vec::new();
        let mut grams = HashSet::new();
        for secret in secrets {
            let secret = secret.as_ref().trim();
            if secret.len() < SECRET_MIN {
                continue;
            }
            let lines = secret.lines().filter(|line| line.len() >= SECRET_LINE_MIN).map(str::to_owned);
            values.extend(lines.chain(json_form(secret)).chain([secret.to_owned()]));
            for form in base64_forms(secret.as_bytes()) {
                grams.extend(
                    form.as_bytes().windows(GRAM).filter_map(|gram| <[u8; GRAM]>::try_from(gram).ok()),
                );
                // A longer one is found by its pieces.
                values.extend((VALUE_MIN..GRAM).contains(&form.len()).then_some(form));
            }
        }
        values.sort();
        values.dedup();
        let finders = values.iter().map(|value| Finder::new(value).into_owned()).collect();
        Self { finders, grams }
    }

    /// `text` without secrets.
    pub fn redact(&self, text: &str) -> String {
        replace(text, self.spans(text))
    }

    /// Where secrets stand.
    fn spans(&self, text: &str) -> Vec<(usize, usize)> {
        let mut spans = self.value_spans(text.as_bytes());
        spans.extend(self.gram_spans(text.as_bytes()));
        spans.extend(token_spans(text));
        spans
    }

    fn value_spans(&self, text: &[u8]) -> Vec<(usize, usize)> {
        let found = |finder: &Finder<'_>| {
            let length = finder.needle().len();
            finder.find_iter(text).map(|at| (at, at + length)).collect::<Vec<_>>()
        };
        self.finders.iter().flat_map(found).collect()
    }

    fn gram_spans(&self, text: &[u8]) -> Vec<(usize, usize)> {
        if self.grams.is_empty() {
            return Vec::new();
        }
        let mut spans = Vec::new();
        for (start, end) in base64_runs(text) {
            let windows = (start..=end - GRAM).map(|at| (at, at + GRAM));
            let is_known = |(from, to): &(usize, usize)| {
                <&[u8; GRAM]>::try_from(&text[*from..*to]).is_ok_and(|gram| self.grams.contains(gram))
            };
            spans.extend(windows.filter(is_known));
        }
        spans
    }
}

/// Where so many characters of base64 follow each other that a piece can stand there: ordinary text has few such places.
fn base64_runs(text: &[u8]) -> Vec<(usize, usize)> {
    let mut runs = Vec::new();
    let mut at = 0;
    while at + GRAM <= text.len() {
        // From the end: the last character that is none says how far the next place is.
        match text[at..at + GRAM].iter().rposition(|byte| !is_base64(*byte)) {
            Some(foreign) => at += foreign + 1,
            None => {
                let rest = text[at + GRAM..].iter().position(|byte| !is_base64(*byte));
                let end = rest.map_or(text.len(), |rest| at + GRAM + rest);
                runs.push((at, end));
                at = end + 1;
            }
        }
    }
    runs
}

const BASE64: [bool; 256] = {
    let mut table = [false; 256];
    let mut byte = 0u8;
    while byte < 128 {
        table[byte as usize] = byte.is_ascii_alphanumeric() || matches!(byte, b'+' | b'/' | b'-' | b'_');
        byte += 1;
    }
    table
};

fn is_base64(byte: u8) -> bool {
    BASE64[usize::from(byte)]
}

/// Whether a variable of this name is taken for a secret.
pub fn is_secret_name(name: &str) -> bool {
    let name = name.to_ascii_uppercase();
    SECRET_WORDS.iter().any(|word| name.contains(word))
        && !HARMLESS_WORDS.iter().any(|word| name.contains(word))
}

/// Overlapping and touching spans are one secret.
fn replace(text: &str, mut spans: Vec<(usize, usize)>) -> String {
    spans.sort_unstable();
    let mut out = String::with_capacity(text.len());
    let mut done = 0;
    for (start, end) in spans {
        if start > done || (start == 0 && done == 0) {
            out.push_str(&text[done..start]);
            out.push_str(REDACTED);
        }
        done = done.max(end);
    }
    out.push_str(&text[done..]);
    out
}

/// The secret as JSON writes it, where that differs.
fn json_form(secret: &str) -> Option<String> {
    let quoted = serde_json::to_string(secret).ok()?;
    let form = quoted.strip_prefix('"')?.strip_suffix('"')?;
    (form != secret).then(|| form.to_owned())
}

/// What base64 makes of the secret wherever it begins in the encoded text, in both alphabets: the characters at both
/// ends that depend on its neighbours are left out.
fn base64_forms(secret: &[u8]) -> Vec<String> {
    let mut forms = Vec::new();
    for shift in 0..3 {
        let shifted = [vec![0; shift], secret.to_vec()].concat();
        // Six bits a character: how many of them belong to the bytes before, and how many are complete.
        let (first, last) = ((shift * 8).div_ceil(6), shifted.len() * 8 / 6);
        for alphabet in [b"+/", b"-_"] {
            forms.push(base64(&shifted, *alphabet)[first..last].to_owned());
        }
    }
    forms.sort();
    forms.dedup();
    forms
}

fn base64(bytes: &[u8], last_two: [u8; 2]) -> String {
    let letter = |index: u8| match index {
        0..26 => b'A' + index,
        26..52 => b'a' + index - 26,
        52..62 => b'0' + index - 52,
        _ => last_two[usize::from(index) - 62],
    };
    let mut out = String::new();
    for group in bytes.chunks(3) {
        let [a, b, c] = [0, 1, 2].map(|at| group.get(at).copied().unwrap_or_default());
        for index in [a >> 2, (a & 3) << 4 | b >> 4, (b & 15) << 2 | c >> 6, c & 63] {
            out.push(char::from(letter(index)));
        }
    }
    out
}

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

fn token_spans(text: &str) -> Vec<(usize, usize)> {
    SHAPES.iter().flat_map(|shape| shape.spans(text)).collect()
}

impl Shape {
    fn spans(&self, text: &str) -> Vec<(usize, usize)> {
        text.match_indices(self.prefix).filter_map(|(at, _)| self.span(text.as_bytes(), at)).collect()
    }

    fn span(&self, text: &[u8], at: usize) -> Option<(usize, usize)> {
        let begins_word = at == 0 || !text[at - 1].is_ascii_alphanumeric();
        let body_at = at + self.prefix.len();
        let body: &[u8] = text[body_at..].split(|byte| !(self.body)(*byte)).next()?;
        let long = body.len() >= self.min && (!self.digit || body.iter().any(u8::is_ascii_digit));
        let start = if self.keep_prefix { body_at } else { at };
        // Of what begins like a JWT only that with three parts is one: any JSON in base64 begins so.
        let whole = self.prefix != "eyJ" || body.split(|byte| *byte == b'.').count() == 3;
        (begins_word && long && whole).then_some((start, body_at + body.len()))
    }
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

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const KEY: &str = "hunter2-hunter2-and-a-long-tail-so-that-base64-wraps-it-into-two-lines";

    fn redactor() -> Redactor {
        Redactor::from_env([
            ("LLM_API_KEY", KEY),
            ("DB_PASSWORD", "short-pw"),
            ("SSH_KEY", "-----BEGIN-----\nMIIEowIBAAKCAQEA\n\"quoted\"\n"),
            ("API_TOKEN", "tiny"),
            ("LLM_INPUT_COST_PER_TOKEN", "0.0000025"),
            ("HOME", "/home/agent"),
        ])
    }

    #[test]
    fn values_of_secret_variables_go() {
        let table = [
            (format!("key={KEY};"), format!("key={REDACTED};")),
            ("pw short-pw short-pw".to_owned(), format!("pw {REDACTED} {REDACTED}")),
            ("MIIEowIBAAKCAQEA".to_owned(), REDACTED.to_owned()),
            (r"-----BEGIN-----\nMIIEowIBAAKCAQEA\n\".to_owned() + r#""quoted\""#, REDACTED.to_owned()),
        ];
        for (text, expected) in table {
            assert_eq!(redactor().redact(&text), expected);
        }
    }

    #[test]
    fn what_is_no_secret_stays() {
        for text in [
            "",
            "tiny",
            "0.0000025",
            "/home/agent",
            "risk-assessment-of-the-day 1",
            "sk-but-no-digit-in-here-at-all",
            "ünïcödé 🥊",
            "eyJhcGlWZXJzaW9uIjoidjEiLCJraW5kIjoiUG9kIn0",
        ] {
            assert_eq!(redactor().redact(text), text);
        }
    }

    #[test]
    fn base64_forms_go_wherever_they_begin_and_break() {
        for before in ["", "a", "ab", "abc", "user:"] {
            for after in ["", "x", "xy", "@host"] {
                let encoded = base64(format!("{before}{KEY}{after}").as_bytes(), *b"+/");
                for text in [encoded.clone(), format!("{}\n{}", &encoded[..76], &encoded[76..])] {
                    let redacted = redactor().redact(&text);
                    assert!(redacted.len() < 40, "{before:?} {after:?}: {redacted}");
                }
            }
        }
        let short = base64(b"short-pw", *b"+/");
        assert!(!redactor().redact(&short).contains(&short[..8]));
    }

    #[test]
    fn well_known_tokens_go() {
        let bearer = format!("Authorization: Bearer {REDACTED}");
        let table = [
            ("use sk-proj-Abc123def456ghi789jkl now", "use [redacted] now"),
            ("https://x:ghp_abcdefghijklmnopqrstuvwx0123@github.com", "https://x:[redacted]@github.com"),
            ("github_pat_11ABCDEFG0abcdefghijkl_mnop", "[redacted]"),
            ("xoxb-1234567890-abcdef", "[redacted]"),
            ("AKIAIOSFODNN7EXAMPLE", "[redacted]"),
            ("eyJhbGciOiJSUzI1NiJ9.eyJpc3MiOiJrdWJlIn0.c2lnbmF0dXJl-_x", "[redacted]"),
            ("Authorization: Bearer abcdefgh12345", &bearer),
        ];
        for (text, expected) in table {
            assert_eq!(redactor().redact(text), expected);
        }
    }

    proptest! {
        #[test]
        fn never_breaks_text_and_never_lets_a_value_through(before in any::<String>(), after in any::<String>()) {
            let redacted = redactor().redact(&format!("{before}{KEY}{after}"));
            prop_assert!(!redacted.contains(KEY));
            prop_assert!(redacted.contains(REDACTED));
        }
    }
}
