//! Taking secrets out of text before it leaves the pod.
//!
//! What is taken: the values that a [`Redactor`] is given, as they stand, as JSON writes them and in base64 (whatever
//! stands before them, and wrapped into lines), long tokens among them in pieces too, and words in the shape of well-known
//! tokens, as they stand or in base64, private keys and passwords in addresses. Which variables hold such values,
//! [`is_secret`] tells by their names. An agent that wants to hide a value can (it may print it backwards); this is for
//! accidents, and for what an attacker gets an obedient agent to print.

mod base64;
mod encoded;
mod tokens;

use memchr::memmem::Finder;

use base64::{GRAM, Grams, base64_forms, is_base64};
use encoded::encoded_spans;
use tokens::token_spans;

/// What stands where a secret was.
pub const REDACTED: &str = "[redacted]";

/// Shorter values are no secrets, or would take half of every text with them.
const VALUE_MIN: usize = 8;
/// What is called a secret may be shorter; still shorter ones stand in every text.
const SECRET_MIN: usize = 6;
/// What base64 makes of a secret is no word of ordinary text, even in so few characters: those of the shortest one.
const FORM_MIN: usize = 7;
/// A key or a token of this length on is known by its pieces too: whoever draws for people breaks it into lines.
const PIECES_MIN: usize = 32;
/// A line of a longer secret (a private key) is a secret of its own from this length on.
const SECRET_LINE_MIN: usize = 16;

/// Hardly a secret is longer, in base64 either.
const LONGEST: usize = 8 * 1024;

const SECRET_WORDS: [&str; 5] = ["KEY", "TOKEN", "SECRET", "PASSWORD", "CREDENTIAL"];
/// Names that have one of the words and hold no secret: prices, counts, paths.
const HARMLESS_WORDS: [&str; 4] = ["COST_PER_TOKEN", "TOKENS", "_FILE", "_PATH"];

/// Knows secrets and takes them out of texts.
#[derive(Clone)]
pub struct Redactor {
    finders: Vec<Finder<'static>>,
    grams: Grams,
}

impl Redactor {
    /// A redactor for these secrets. Blanks around them are not theirs, and what is shorter than six bytes is none.
    pub fn from_values<V: AsRef<str>>(secrets: impl IntoIterator<Item = V>) -> Self {
        let mut values = Vec::new();
        let mut grams = Grams::default();
        for secret in secrets {
            let secret = secret.as_ref().trim();
            if secret.len() < SECRET_MIN {
                continue;
            }
            let lines = secret.lines().filter(|line| line.len() >= SECRET_LINE_MIN).map(str::to_owned);
            values.extend(lines.chain(json_form(secret)).chain([secret.to_owned()]));
            if is_long_token(secret) {
                secret.split('.').for_each(|part| grams.add(part.as_bytes()));
            }
            for form in base64_forms(secret.as_bytes()) {
                grams.add(form.as_bytes());
                // A longer one is found by its pieces.
                values.extend((FORM_MIN..GRAM).contains(&form.len()).then_some(form));
            }
        }
        values.sort();
        values.dedup();
        let finders = values.iter().map(|value| Finder::new(value).into_owned()).collect();
        Self { finders, grams }
    }

    /// `text` without secrets.
    pub fn redact(&self, text: &str) -> String {
        replace(text, self.spans(text.as_bytes()))
    }

    /// `text` without secrets, which was longer and has been cut. A secret that stood at the cut isn't known by its half, so
    /// the end goes, as far as one can reach.
    pub fn redact_beginning(&self, text: &str) -> String {
        let from = text.len().saturating_sub(LONGEST);
        let end = (from..text.len()).find(|at| text.is_char_boundary(*at)).unwrap_or_default();
        let spans = self.spans(text.as_bytes()).into_iter().filter(|(start, _)| *start < end);
        replace(&text[..end], spans.map(|(start, last)| (start, last.min(end))).collect())
    }

    /// Where secrets stand.
    fn spans(&self, text: &[u8]) -> Vec<(usize, usize)> {
        let mut spans = self.plain_spans(text);
        spans.extend(self.grams.spans(text));
        spans.extend(encoded_spans(text, |decoded| self.plain_spans(decoded)));
        spans
    }

    fn plain_spans(&self, text: &[u8]) -> Vec<(usize, usize)> {
        let mut spans = self.value_spans(text);
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
}

/// Whether an environment variable is taken for a secret, by its name; a short value is none all the same.
pub fn is_secret(name: &str, value: &str) -> bool {
    let name = name.to_ascii_uppercase();
    SECRET_WORDS.iter().any(|word| name.contains(word))
        && !HARMLESS_WORDS.iter().any(|word| name.contains(word))
        && value.trim().len() >= VALUE_MIN
}

/// Of addresses and sentences, pieces are words of ordinary text: they are known as a whole alone.
fn is_long_token(secret: &str) -> bool {
    let is_part = |byte: u8| is_base64(byte) || byte == b'.';
    secret.len() >= PIECES_MIN
        && secret.bytes().all(is_part)
        && secret.bytes().any(|byte| byte.is_ascii_digit())
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

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::base64::base64;
    use super::*;

    const KEY: &str = "hunter2-hunter2-and-a-long-tail-so-that-base64-wraps-it-into-two-lines";

    fn redactor() -> Redactor {
        let variables = [
            ("LLM_API_KEY", KEY),
            ("DB_PASSWORD", "short-pw"),
            ("SSH_KEY", "-----BEGIN-----\nMIIEowIBAAKCAQEA\n\"quoted\"\n"),
            ("API_TOKEN", "tiny"),
            ("LLM_INPUT_COST_PER_TOKEN", "0.0000025"),
            ("HOME", "/home/agent"),
        ];
        let secrets = variables.into_iter().filter(|(name, value)| is_secret(name, value));
        Redactor::from_values(secrets.map(|(_, value)| value))
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
            "agent@sha256:9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08",
            "pypi-attestations-for-many-packages-0123456789-and-more-of-them",
            "SG.security-group-of-the-cluster.eu-central-1.amazonaws.com/and-some-more-text",
            "authorization: mode: Webhook, authorization:rbac.authorization.k8s.io/v1beta1",
            "x-api-key: missing",
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

    /// What is left of a text in base64 in which nothing but zeros stands beside a secret.
    fn left(redacted: &str) -> String {
        redacted.replace(REDACTED, "").replace(['A', '\n', '='], "")
    }

    #[test]
    fn base64_of_secrets_of_every_length_goes_wherever_they_stand_in_a_line() {
        let alphabet = "~q7}w9{e5|r3>t1^y8_u6<i4?o2p0]s-";
        for length in SECRET_MIN..=30 {
            let redactor = Redactor::from_values([&alphabet[..length]]);
            for before in 0..=57 {
                let zeros = "\0".repeat(before);
                let encoded = base64(format!("{zeros}{}\0\0\0", &alphabet[..length]).as_bytes(), *b"+/");
                let lines: Vec<&str> =
                    encoded.as_bytes().chunks(76).map(|line| std::str::from_utf8(line).unwrap()).collect();
                for text in [lines.join("\n"), encoded.clone()] {
                    let left = left(&redactor.redact(&text));
                    // The characters at both ends that are a neighbour's as well.
                    assert!(left.len() <= 2, "{length} bytes behind {before}: {left} of {text}");
                }
            }
        }
    }

    #[test]
    fn a_long_token_goes_though_it_is_drawn_in_pieces() {
        let token = format!("{}.{}.{}", "kT4u-Zq9_".repeat(9), "Lw8xJ2".repeat(30), "pY6b3".repeat(19));
        let redactor = Redactor::from_values([&token]);
        for width in GRAM..=100 {
            let pieces = token.as_bytes().chunks(width).map(|piece| std::str::from_utf8(piece).unwrap());
            let drawn: Vec<String> = pieces.map(|piece| format!("│ {piece:width$} │\n")).collect();
            let redacted = redactor.redact(&drawn.concat());
            // What a piece at the end of a line or of a part is too short for.
            let longest = redacted.replace(REDACTED, " ").split(['│', ' ', '\n']).map(str::len).max();
            assert!(longest.is_some_and(|longest| longest < 2 * GRAM), "{width}: {redacted}");
            assert!(redacted.matches(REDACTED).count() >= token.len() / width / 2, "{width}: {redacted}");
        }
        let address = "postgres.shop-of-the-team.svc.cluster.local:5432/orders1";
        let redactor = Redactor::from_values([address]);
        assert_eq!(
            redactor.redact("at shop-of-the-team.svc.cluster.local"),
            "at shop-of-the-team.svc.cluster.local"
        );
        let words = "correct-horse-battery-staple-and-more";
        assert_eq!(Redactor::from_values([words]).redact("horse-battery-staple"), "horse-battery-staple");
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
            ("authorization: bearer abcdefgh12345", "authorization: bearer [redacted]"),
            ("Authorization: Basic dXNlcjpwYXNzd29yZDEy", "Authorization: Basic [redacted]"),
            ("Basic authentication", "Basic authentication"),
            (r#"{"x-api-key": "abcdefgh12345678"}"#, r#"{"x-api-key": "[redacted]"}"#),
            ("postgres://user:pa55-word@db:5432/app", "postgres://user:[redacted]@db:5432/app"),
            (
                "http://[::1]:8080/a@b http://web:80 git@host:a",
                "http://[::1]:8080/a@b http://web:80 git@host:a",
            ),
            ("ASIAIOSFODNN7EXAMPLE in Asia", "[redacted] in Asia"),
            ("AIzaSyA-1234567890abcdefghijklmnopqrstu", "[redacted]"),
            ("hf_abcdefghijklmnopqrstuvwxyz012345 hf_hub_download", "[redacted] hf_hub_download"),
            ("sk_live_4eC39HqLyjWDarjtT1zdp7dc", "[redacted]"),
            (
                "-----BEGIN EC PRIVATE KEY-----\nMHcCAQEE\nIIh2\n-----END EC PRIVATE KEY-----\nrest",
                "-----BEGIN EC PRIVATE KEY-----[redacted]-----END EC PRIVATE KEY-----\nrest",
            ),
            ("-----BEGIN PRIVATE KEY-----\nMHcCAQEE", "-----BEGIN PRIVATE KEY-----[redacted]"),
            (
                "oc login --token=sha256~Zq9Lw8xJ2pY6b3kT4uNcVd0RsWmHfGgE1Aa5Bb7Cc8D",
                "oc login --token=[redacted]",
            ),
            (
                "VAULT: hvs.CAESIJlWkT4uZq9Lw8xJ2pY6b3 hvb.AAAAAQJlWkT4uZq9Lw8xJ2",
                "VAULT: [redacted] [redacted]",
            ),
            ("dckr_pat_kT4u-Zq9Lw8xJ2pY6b3kT4u-Zq9", "[redacted]"),
            ("pypi-AgEIcHlwaS5vcmcCJGtUNHVacTlMdzh4SjJwWTZiM2tUNHVacTlM", "[redacted]"),
            ("SG.kT4uZq9Lw8xJ2pY6b3kT4u.Zq9Lw8xJ2pY6b3kT4uZq9Lw8xJ2pY6b3kT4uZq9Lw8x", "[redacted]"),
            ("glrt-kT4uZq9Lw8xJ2pY6b3kT gldt-kT4uZq9Lw8xJ2pY6b3kT", "[redacted] [redacted]"),
            ("curl -H X-Api-Key:abcdefgh12345678 -H", "curl -H X-Api-Key:[redacted] -H"),
            (r#"{"x-api-key":"abcdefgh12345678"}"#, r#"{"x-api-key":"[redacted]"}"#),
            ("Authorization:kT4uZq9Lw8xJ2pY6b3", "Authorization:[redacted]"),
            (r#"{"authorization":"kT4uZq9Lw8xJ2pY6b3"}"#, r#"{"authorization":"[redacted]"}"#),
            ("authorization:Bearer abcdefgh12345", "authorization:Bearer [redacted]"),
            ("-----BEGIN CERTIFICATE-----\nMIIB\n", "-----BEGIN CERTIFICATE-----\nMIIB\n"),
        ];
        for (text, expected) in table {
            assert_eq!(redactor().redact(text), expected);
        }
    }

    #[test]
    fn half_a_secret_at_a_cut_goes_and_whole_ones_before_it() {
        for length in [0, 100, LONGEST, LONGEST + 1, 3 * LONGEST, 3 * LONGEST + 35] {
            let text = format!("ü{KEY}|").repeat(1000);
            let cut: String = text.chars().take(length).collect();
            let redacted = redactor().redact_beginning(&cut);
            let left = redacted.replace(REDACTED, "").replace(['ü', '|'], "");
            assert_eq!(left, "", "{length}");
            let kept = cut.len().saturating_sub(LONGEST) / (KEY.len() + 3);
            assert!(redacted.matches(REDACTED).count() >= kept, "{length}: {redacted}");
        }
    }

    #[test]
    fn what_is_called_a_secret_goes_even_if_it_is_short() {
        let redactor = Redactor::from_values([" hunter ", "ab", ""]);
        assert_eq!(redactor.redact("hunter ab"), format!("{REDACTED} ab"));
        assert_eq!(redactor.redact("\"hunter\""), format!("\"{REDACTED}\""));
    }

    #[test]
    fn a_secret_within_another_takes_nothing_of_it_out_of_sight() {
        let redactor = Redactor::from_values(["abcdefgh", "efghijkl", "fghi-and-more"]);
        assert_eq!(redactor.redact("<abcdefghijkl>"), format!("<{REDACTED}>"));
        assert_eq!(redactor.redact("<fghi-and-more>"), format!("<{REDACTED}>"));
    }

    #[test]
    fn hostile_text_costs_no_more_than_any_other() {
        let start = std::time::Instant::now();
        for text in [
            "-eyJ",
            "eyJ.",
            "-sk-",
            "Bearer ",
            "QUJD",
            "[redacted]",
            "the-key-",
            "QUJD\n",
            "PRIVATE KEY-----",
            "-----BEGIN PRIVATE KEY-----",
            "://a:",
            "Z2hwXw",
            "QUJDQUJDQUJDQUJD\\n",
        ] {
            redactor().redact(&text.repeat(500_000 / text.len()));
        }
        // Anything that grows with the square of the length takes minutes; this takes seconds on a busy machine too.
        assert!(start.elapsed() < std::time::Duration::from_secs(20), "{:?}", start.elapsed());
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
