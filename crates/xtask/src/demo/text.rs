//! Text that came from outside, made fit for a terminal: without control sequences, cut or folded to a width.

/// What stands where something was cut.
const MARK: char = '…';
/// A tab's distance.
const TAB: usize = 8;

/// `line` without escape sequences and other characters that move a terminal's cursor or turn its text round; of a line
/// that was rewritten with carriage returns, the last state.
pub fn clean(line: &str) -> String {
    let last = line.trim_end().rsplit('\r').find(|part| !part.is_empty()).unwrap_or_default();
    let mut clean = String::with_capacity(last.len());
    let mut rest = last.chars();
    while let Some(char) = rest.next() {
        match char {
            '\x1b' => skip_sequence(&mut rest),
            '\t' => {
                let column = clean.chars().count();
                clean.extend(std::iter::repeat_n(' ', TAB - column % TAB));
            }
            char if char.is_control() || turns_round(char) => {}
            char => clean.push(char),
        }
    }
    clean
}

/// Skips what follows an escape character: `[` and parameters up to a letter, `]` and text up to its end, or one
/// character.
fn skip_sequence(rest: &mut std::str::Chars<'_>) {
    match rest.next() {
        Some('[') => drop(rest.find(|char| ('@'..='~').contains(char))),
        Some(']') => drop(rest.find(|char| matches!(char, '\x07' | '\\'))),
        _ => {}
    }
}

/// Marks that reorder what is written after them: a log line could show another command than it ran.
fn turns_round(char: char) -> bool {
    matches!(char, '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

/// All of `text` in one line.
pub fn joined(text: &str) -> String {
    let lines: Vec<String> = text.lines().map(clean).collect();
    lines.join(" ").split_whitespace().collect::<Vec<_>>().join(" ")
}

/// At most `width` characters of `line`.
pub fn cut(line: &str, width: usize) -> String {
    if line.chars().count() <= width {
        return line.to_owned();
    }
    let mut cut: String = line.chars().take(width.saturating_sub(1)).collect();
    cut.push(MARK);
    cut
}

/// `text` in lines of at most `width` characters, broken between words where there are any.
pub fn folded(text: &str, width: usize) -> Vec<String> {
    let mut lines = vec![String::new()];
    for word in text.split_whitespace() {
        let mut word: Vec<char> = word.chars().collect();
        let used = lines.last().map_or(0, |line| line.chars().count());
        if used > 0 && used + 1 + word.len() > width {
            lines.push(String::new());
        }
        while word.len() > width {
            let rest = word.split_off(width);
            append(&mut lines, &word);
            lines.push(String::new());
            word = rest;
        }
        append(&mut lines, &word);
    }
    lines.retain(|line| !line.is_empty());
    lines
}

fn append(lines: &mut [String], word: &[char]) {
    if let Some(line) = lines.last_mut() {
        if !line.is_empty() {
            line.push(' ');
        }
        line.extend(word);
    }
}

/// The first `most` lines of `text` that are not empty at its start and end, and how many more there are.
pub fn first_lines(text: &str, most: usize) -> (Vec<String>, usize) {
    let lines: Vec<String> = text.trim_matches(['\n', '\r']).trim_end().lines().map(clean).collect();
    let shown: Vec<String> = lines.iter().take(most).cloned().collect();
    let left = lines.len() - shown.len();
    (shown, left)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_moves_the_cursor() {
        for (line, expected) in [
            ("plain", "plain"),
            ("\x1b[31mred\x1b[0m and \x1b[1;32mgreen", "red and green"),
            ("\x1b]0;title\x07after", "after"),
            ("\x1b]8;;http://x\x1b\\link", "link"),
            ("\x1bcreset", "reset"),
            ("10%\r55%\r100%\r\n", "100%"),
            ("a\tb", "a       b"),
            ("beep\x07 null\0 \u{9b}31m", "beep null 31m"),
            ("rm \u{202e}txt.exe", "rm txt.exe"),
            ("\x1b[", ""),
        ] {
            assert_eq!(clean(line), expected, "{line:?}");
        }
    }

    #[test]
    fn a_cut_is_seen() {
        for (line, width, expected) in
            [("abc", 3, "abc"), ("abcd", 3, "ab…"), ("äöüß", 3, "äö…"), ("", 0, ""), ("a", 0, "…")]
        {
            assert_eq!(cut(line, width), expected);
        }
    }

    #[test]
    fn folding_keeps_every_word() {
        for (text, width, expected) in [
            ("one two three", 7, &["one two", "three"][..]),
            ("one", 7, &["one"]),
            ("", 7, &[]),
            ("abcdefghij k", 4, &["abcd", "efgh", "ij k"]),
            ("a abcdefgh", 4, &["a", "abcd", "efgh"]),
        ] {
            assert_eq!(folded(text, width), expected, "{text}");
        }
    }

    #[test]
    fn what_is_left_out_is_counted() {
        let first = |text, most| {
            let (lines, left) = first_lines(text, most);
            (lines.join("|"), left)
        };
        assert_eq!(first("\na\nb\nc\n\n", 2), ("a|b".to_owned(), 1));
        assert_eq!(first("  indented\nb", 5), ("  indented|b".to_owned(), 0));
        assert_eq!(first("\n", 5), (String::new(), 0));
    }
}
