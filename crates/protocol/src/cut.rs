//! Cutting text to a size in bytes, at a character boundary and so that a reader sees it.

/// What stands where text was cut away.
pub const MARKER: &str = "… [cut]";

/// `text` in at most `max` bytes: whole, or its beginning and [`MARKER`].
pub fn cut(text: &str, max: usize) -> String {
    cut_by(text, max, char::len_utf8)
}

/// `text` so that its JSON form, without the quotes, has at most `max` bytes: whole, or its beginning and [`MARKER`].
pub fn cut_json(text: &str, max: usize) -> String {
    cut_by(text, max, char_json_len)
}

/// Like [`cut_json`], but what is cut away is the middle: a command's error stands at the end of its output.
pub fn cut_json_middle(text: &str, max: usize) -> String {
    if json_len(text) <= max {
        return text.to_owned();
    }
    let room = max.saturating_sub(MARKER.len());
    let tail_room = room / 3;
    let head = prefix_end(text, room - tail_room, char_json_len);
    let tail = suffix_start(text, tail_room, char_json_len);
    format!("{}{}{}", &text[..head], marker_in(max), &text[tail.max(head)..])
}

/// Bytes of the JSON form of `text`, without the quotes.
pub fn json_len(text: &str) -> usize {
    text.chars().map(char_json_len).sum()
}

/// Where the longest beginning of `text` ends whose JSON form has at most `max` bytes.
pub(crate) fn json_prefix_end(text: &str, max: usize) -> usize {
    prefix_end(text, max, char_json_len)
}

fn cut_by(text: &str, max: usize, len: fn(char) -> usize) -> String {
    if text.chars().map(len).sum::<usize>() <= max {
        return text.to_owned();
    }
    let end = prefix_end(text, max.saturating_sub(MARKER.len()), len);
    format!("{}{}", &text[..end], marker_in(max))
}

fn marker_in(max: usize) -> &'static str {
    if max >= MARKER.len() { MARKER } else { "" }
}

fn prefix_end(text: &str, max: usize, len: fn(char) -> usize) -> usize {
    let mut used = 0;
    for (at, character) in text.char_indices() {
        used += len(character);
        if used > max {
            return at;
        }
    }
    text.len()
}

fn suffix_start(text: &str, max: usize, len: fn(char) -> usize) -> usize {
    let mut used = 0;
    for (at, character) in text.char_indices().rev() {
        used += len(character);
        if used > max {
            return at + character.len_utf8();
        }
    }
    0
}

/// As serde_json escapes: the short forms where JSON has them, `\u00XX` for other control characters.
fn char_json_len(character: char) -> usize {
    match character {
        '"' | '\\' | '\n' | '\r' | '\t' | '\u{8}' | '\u{c}' => 2,
        '\0'..='\u{1f}' => 6,
        _ => character.len_utf8(),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn what_fits_is_left_alone() {
        for text in ["", "a", "päch", "line\nline", "🥊🥊"] {
            assert_eq!(cut(text, text.len()), text);
            assert_eq!(cut_json(text, json_len(text)), text);
            assert_eq!(cut_json_middle(text, json_len(text)), text);
        }
    }

    #[test]
    fn what_is_cut_shows_it() {
        assert_eq!(cut(&"ä".repeat(20), 20), format!("{}{MARKER}", "ä".repeat(5)));
        let both_ends = cut_json_middle(&format!("head{}tail", "-".repeat(100)), 40);
        assert!(both_ends.starts_with("head") && both_ends.contains(MARKER) && both_ends.ends_with("tail"));
    }

    proptest! {
        #[test]
        fn never_longer_than_asked(text in any::<String>(), max in 0usize..200) {
            prop_assert!(cut(&text, max).len() <= max);
            prop_assert!(json_len(&cut_json(&text, max)) <= max);
            prop_assert!(json_len(&cut_json_middle(&text, max)) <= max);
        }

        #[test]
        fn counts_as_serde_json_writes(text in any::<String>()) {
            let written = serde_json::to_string(&text).expect("a string is always JSON");
            prop_assert_eq!(json_len(&text) + 2, written.len());
        }
    }
}
