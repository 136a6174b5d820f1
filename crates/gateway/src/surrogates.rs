//! Halves of characters in a JSON text: Python writes `\udc80` for a byte that is no UTF-8, as when a tool's output is
//! binary. No text can hold one, so whatever reads the body would refuse it, and a secret beside one would not be seen.

use memchr::memchr;

/// `\u` and four digits.
const ESCAPE: usize = 6;
/// What stands for a character that can't be read; as long as what it replaces.
const REPLACEMENT: &[u8] = br"\ufffd";

/// Puts a character that can be read in the place of each half that has no other.
pub(crate) fn mend(body: &mut [u8]) {
    let mut at = 0;
    while let Some(found) = memchr(b'\\', &body[at..]) {
        at += found;
        at += match (unit(&body[at..]), body.get(at + ESCAPE..).and_then(unit)) {
            (Some(0xD800..0xDC00), Some(0xDC00..0xE000)) => 2 * ESCAPE,
            (Some(0xD800..0xE000), _) => {
                body[at..at + ESCAPE].copy_from_slice(REPLACEMENT);
                ESCAPE
            }
            // What is escaped may be a backslash.
            _ => 2,
        };
        if at >= body.len() {
            return;
        }
    }
}

/// The number of the escape that stands at the beginning, if one does.
fn unit(text: &[u8]) -> Option<u32> {
    let digits = text.get(..ESCAPE)?.strip_prefix(br"\u")?;
    digits.iter().try_fold(0, |number, digit| Some(number * 16 + char::from(*digit).to_digit(16)?))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mended(text: &str) -> String {
        let mut body = text.as_bytes().to_vec();
        mend(&mut body);
        String::from_utf8(body).unwrap()
    }

    #[test]
    fn halves_are_replaced_and_pairs_are_not() {
        for (text, expected) in [
            (r#"{"a":"x\udc80y"}"#, r#"{"a":"x\ufffdy"}"#),
            (r#""\uD83D\uDE00""#, r#""\uD83D\uDE00""#),
            (r#""\uD83D""#, r#""\ufffd""#),
            (r#""\ud83d\ud83d\ude00\ude00""#, r#""\ufffd\ud83d\ude00\ufffd""#),
            (r#""\\udc80\\""#, r#""\\udc80\\""#),
            (r#""\\\udc80\n""#, r#""\\\ufffd\n""#),
            (r#""\u00e9\ud7ff\ue000""#, r#""\u00e9\ud7ff\ue000""#),
            (r"\udc8", r"\udc8"),
            (r"\", r"\"),
            ("", ""),
        ] {
            assert_eq!(mended(text), expected);
        }
    }

    proptest::proptest! {
        #[test]
        fn what_serde_writes_stays_as_it_is(texts: Vec<String>) {
            let json = serde_json::to_string(&texts).unwrap();
            proptest::prop_assert_eq!(mended(&json), json);
        }

        #[test]
        fn any_literal_can_be_read_then(inside in r"(x|\\\\|\\n|\\u[0-9a-f]{4}|\\ud[89c-f][0-9a-f]{2}){0,20}") {
            let literal = mended(&format!("\"{inside}\""));
            proptest::prop_assert!(serde_json::from_str::<String>(&literal).is_ok(), "{}", literal);
        }
    }
}
