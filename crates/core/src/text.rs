//! Cutting text to what an object may hold, with a marker that shows it.

/// What stands where text was cut.
pub const MARKER: &str = "… [cut]";

/// `text` in at most `limit` bytes, cut at a character boundary and ended by [`MARKER`] if something is missing.
pub fn cut(text: &str, limit: usize) -> String {
    if text.len() <= limit {
        return text.to_owned();
    }
    let end = text.floor_char_boundary(limit.saturating_sub(MARKER.len()));
    format!("{}{MARKER}", &text[..end])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cuts_at_a_character_and_says_so() {
        assert_eq!(cut("short", 10), "short");
        assert_eq!(cut("0123456789abcdef", 14), format!("0123{MARKER}"));
        let emoji = "🔥".repeat(100);
        let short = cut(&emoji, 50);
        assert!(short.len() <= 50 && short.ends_with(MARKER) && short.starts_with('🔥'));
    }
}
