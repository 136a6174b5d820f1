//! Secrets within base64: well-known tokens are only seen once it is decoded, and known values wherever lines break.

use super::base64::{base64_runs, decode, is_base64};

/// How many characters make whole bytes.
const GROUP: usize = 4;

/// Lines of base64 that belong together.
struct Block {
    decoded: Vec<u8>,
    /// Where each line begins: in what is decoded, and in the text.
    lines: Vec<(usize, usize)>,
    end: usize,
}

/// Where there is in base64 what `find` finds in plain text.
pub fn encoded_spans(text: &[u8], find: impl Fn(&[u8]) -> Vec<(usize, usize)>) -> Vec<(usize, usize)> {
    let mut spans = Vec::new();
    let mut done = 0;
    for (start, end) in base64_runs(text) {
        if start < done {
            continue;
        }
        // What was encoded may begin behind other letters, such as those of a path.
        for skipped in 0..GROUP {
            let block = Block::read(text, start + skipped, end);
            done = done.max(block.end);
            spans.extend(find(&block.decoded).into_iter().flat_map(|span| block.in_text(span)));
        }
    }
    spans
}

impl Block {
    /// Reads on from a first line, as long as lines are whole and the next one follows.
    fn read(text: &[u8], start: usize, end: usize) -> Self {
        let mut block = Self { decoded: Vec::new(), lines: Vec::new(), end };
        let mut line = Some((start, end));
        while let Some((start, end)) = line {
            block.lines.push((block.decoded.len(), start));
            block.decoded.extend(decode(&text[start..end]));
            block.end = end;
            line = (end - start).is_multiple_of(GROUP).then(|| next_line(text, end)).flatten();
        }
        block
    }

    /// The characters that a part of what is decoded was, line by line.
    fn in_text(&self, (start, end): (usize, usize)) -> impl Iterator<Item = (usize, usize)> {
        let first = self.lines.partition_point(|(decoded_at, _)| *decoded_at <= start).saturating_sub(1);
        let ends = self.lines[first..].iter().skip(1).map(|(decoded_at, _)| *decoded_at);
        let lines = self.lines[first..].iter().zip(ends.chain([self.decoded.len()]));
        let lines = lines.take_while(move |((decoded_at, _), _)| *decoded_at < end);
        lines.map(move |((decoded_at, text_at), decoded_end)| {
            let (start, end) = (start.max(*decoded_at) - decoded_at, end.min(decoded_end) - decoded_at);
            (text_at + start * 4 / 3, text_at + (end * 4).div_ceil(3))
        })
    }
}

/// The line of base64 behind a line's end, as it stands or as JSON writes it.
fn next_line(text: &[u8], at: usize) -> Option<(usize, usize)> {
    let rest = &text[at..];
    let breaks: [&[u8]; 4] = [b"\n", b"\r\n", b"\\n", b"\\r\\n"];
    let start = at + breaks.iter().find(|line_break| rest.starts_with(line_break))?.len();
    let length = text[start..].iter().position(|byte| !is_base64(*byte)).unwrap_or(text.len() - start);
    (length > 0).then_some((start, start + length))
}

#[cfg(test)]
mod tests {
    use super::super::base64::base64;
    use super::super::{REDACTED, Redactor};

    const TOKEN: &str = "ghp_0123456789abcdefghijABCDEFGHIJ";

    fn redact(text: &str) -> String {
        Redactor::from_values([""; 0]).redact(text)
    }

    #[test]
    fn a_token_in_base64_goes_wherever_it_begins() {
        for before in ["", " ", "a ", "user:", "token = \u{fc} "] {
            for after in ["", "\n", "@host", " and so on"] {
                let encoded = base64(format!("{before}{TOKEN}{after}").as_bytes(), *b"+/");
                for text in [format!("{encoded}=="), format!("key: {encoded}"), format!("a/bc/{encoded}\n")] {
                    let redacted = redact(&text);
                    assert!(
                        redacted.contains(REDACTED) && redacted.len() < text.len() - 20,
                        "{text}: {redacted}"
                    );
                }
            }
        }
    }

    #[test]
    fn a_token_goes_over_the_ends_of_lines() {
        let jwt = format!("eyJ{}.{}.{}", "a".repeat(60), "b".repeat(120), "c".repeat(80));
        let encoded = base64(format!("users:\n- token: {jwt}\n").as_bytes(), *b"+/");
        let lines: Vec<&str> =
            encoded.as_bytes().chunks(76).map(|line| std::str::from_utf8(line).unwrap()).collect();
        for line_break in ["\n", "\r\n", "\\n"] {
            let text = lines.join(line_break);
            let redacted = redact(&text);
            assert!(redacted.len() < 100 && redacted.starts_with(&encoded[..16]), "{redacted}");
        }
    }

    #[test]
    fn other_base64_stays() {
        for text in [
            base64("just a long line of text that means nothing at all".as_bytes(), *b"+/"),
            base64(br#"{"apiVersion":"v1","kind":"Pod","metadata":{"name":"web"}}"#, *b"-_"),
            "/usr/lib/python3/site-packages/kubernetes/client/api/core_v1_api".to_owned(),
            "aaaaaaaaaaaaaaaaaaaa\nbbbbbbbbbbbbbbbbbbbb\n".repeat(100),
        ] {
            assert_eq!(redact(&text), text);
        }
    }
}
