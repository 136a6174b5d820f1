//! The grammar of matchers: Alertmanager's of 0.27 and later (UTF-8 names, quotes), and the older one's readings of what
//! that refuses and people write: `name=` for empty, and backslashes that escape nothing, as in `"10\.0\..*"`.

use std::str::Chars;

use super::matcher::Problem;

/// One matcher's three parts.
pub(super) struct Term {
    pub(super) name: String,
    pub(super) operator: &'static str,
    pub(super) value: String,
}

const OPERATORS: [&str; 4] = ["=~", "!~", "!=", "="];

/// The matchers in `text`; at least one.
pub(super) fn terms(text: &str) -> Result<Vec<Term>, Problem> {
    let mut cursor = Cursor { text, at: 0 };
    let braced = cursor.take("{");
    let mut terms = Vec::new();
    while !(cursor.at_end() || braced && cursor.sees("}")) {
        terms.push(term(&mut cursor)?);
        if !cursor.take(",") {
            break;
        }
    }
    if braced && !cursor.take("}") {
        return Err(cursor.next_char().map_or(Problem::NoClosingBrace, Problem::Unexpected));
    }
    match cursor.next_char() {
        Some(c) => Err(Problem::Unexpected(c)),
        None if terms.is_empty() => Err(Problem::Empty),
        None => Ok(terms),
    }
}

fn term(cursor: &mut Cursor<'_>) -> Result<Term, Problem> {
    let name = cursor.token()?.filter(|name| !name.is_empty()).ok_or(Problem::NoName)?;
    let found = OPERATORS.into_iter().find(|operator| cursor.take(operator));
    let operator = found.ok_or_else(|| match cursor.next_char() {
        Some(c) => Problem::Unexpected(c),
        None => Problem::NoOperator(name.clone()),
    })?;
    let value = cursor.token()?.unwrap_or_default();
    Ok(Term { name, operator, value })
}

/// Where the reading has come to; blanks between tokens mean nothing.
struct Cursor<'a> {
    text: &'a str,
    at: usize,
}

impl Cursor<'_> {
    fn rest(&self) -> &str {
        self.text[self.at..].trim_start()
    }

    fn at_end(&self) -> bool {
        self.rest().is_empty()
    }

    fn sees(&self, token: &str) -> bool {
        self.rest().starts_with(token)
    }

    fn next_char(&self) -> Option<char> {
        self.rest().chars().next()
    }

    fn take(&mut self, token: &str) -> bool {
        let sees = self.sees(token);
        if sees {
            self.at = self.text.len() - self.rest().len() + token.len();
        }
        sees
    }

    /// A quoted or bare token; none if something else stands there.
    fn token(&mut self) -> Result<Option<String>, Problem> {
        self.at = self.text.len() - self.rest().len();
        let rest = &self.text[self.at..];
        if let Some(inner) = rest.strip_prefix('"') {
            let length = closing_quote(inner).ok_or(Problem::Unclosed(self.at))?;
            self.at += length + 2;
            return Ok(Some(unquote(&inner[..length])));
        }
        let length = rest.find(|c: char| c.is_whitespace() || RESERVED.contains(c)).unwrap_or(rest.len());
        let token = rest[..length].to_owned();
        self.at += length;
        Ok(Some(token).filter(|token| !token.is_empty()))
    }
}

/// What a bare token can't hold.
const RESERVED: &str = "{}!=~,\\\"'`";

fn closing_quote(text: &str) -> Option<usize> {
    let mut escaped = false;
    text.char_indices().find_map(|(index, c)| {
        let closes = c == '"' && !escaped;
        escaped = c == '\\' && !escaped;
        closes.then_some(index)
    })
}

/// With all of Go's escapes if every one is one of them, else only with `\n`, `\"` and `\\`.
fn unquote(text: &str) -> String {
    go_unescaped(text).unwrap_or_else(|| classic_unescaped(text))
}

fn go_unescaped(text: &str) -> Option<String> {
    let mut plain = String::with_capacity(text.len());
    let mut chars = text.chars();
    while let Some(c) = chars.next() {
        plain.push(if c == '\\' { go_escape(&mut chars)? } else { c });
    }
    Some(plain)
}

fn go_escape(chars: &mut Chars<'_>) -> Option<char> {
    Some(match chars.next()? {
        'a' => '\u{7}',
        'b' => '\u{8}',
        'f' => '\u{c}',
        'n' => '\n',
        'r' => '\r',
        't' => '\t',
        'v' => '\u{b}',
        '\\' => '\\',
        '"' => '"',
        'x' => hex_digits(chars, 2).filter(char::is_ascii)?,
        'u' => hex_digits(chars, 4)?,
        'U' => hex_digits(chars, 8)?,
        _ => return None,
    })
}

fn hex_digits(chars: &mut Chars<'_>, count: usize) -> Option<char> {
    let digits: String = chars.take(count).collect();
    let number = (digits.len() == count).then(|| u32::from_str_radix(&digits, 16).ok())??;
    char::from_u32(number)
}

fn classic_unescaped(text: &str) -> String {
    let mut plain = String::with_capacity(text.len());
    let mut chars = text.chars();
    while let Some(c) = chars.next() {
        match (c, chars.clone().next()) {
            ('\\', Some('n')) => plain.push('\n'),
            ('\\', Some(escaped @ ('"' | '\\'))) => plain.push(escaped),
            _ => {
                plain.push(c);
                continue;
            }
        }
        chars.next();
    }
    plain
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn unquotes_as_go_does_and_else_as_alertmanager_always_did() {
        for (quoted, plain) in [
            (r"plain", "plain"),
            (r#"a \"quoted\" word"#, "a \"quoted\" word"),
            (r"tab\tnew\nline", "tab\tnew\nline"),
            (r"\u00e4\x41\U0001F525", "äA🔥"),
            (r"10\.0\.0\..*", r"10\.0\.0\..*"),
            (r"\d+\n", "\\d+\n"),
            (r"\t\d", r"\t\d"),
            (r"back\\slash", r"back\slash"),
            (r"\u12", r"\u12"),
        ] {
            assert_eq!(unquote(quoted), plain, "{quoted}");
        }
    }
}
