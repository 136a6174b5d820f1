//! The string literals of a JSON text, changed where they stand: everything else stays as it was written, byte for byte,
//! so that no number and no order of keys is touched.

use std::borrow::Cow;

/// Fields whose text is of no use once it is changed: signed, encrypted, or a file in base64.
const OPAQUE: [&str; 8] = [
    "data",
    "file_data",
    "b64_json",
    "signature",
    "thought_signature",
    "thinking",
    "encrypted_content",
    "redacted_content",
];

/// What is shorter may be a secret, and is no file.
const OPAQUE_MIN: usize = 65;
/// What tokens begin with whose other characters are those of base64.
const TOKENS: [&str; 9] = ["sk-", "ghp_", "gho_", "ghu_", "ghs_", "github_pat_", "glpat-", "xox", "AKIA"];

/// Gives every string value of `json` to `change`, which says what it becomes, if anything.
pub(crate) fn change_strings(json: &str, change: impl Fn(&str) -> Option<String>) -> Cow<'_, str> {
    let mut out = String::new();
    let (mut copied, mut at, mut key) = (0, 0, "");
    while let Some((start, end)) = next_literal(json, at) {
        let literal = &json[start..end];
        at = end;
        if json[end..].trim_start().starts_with(':') {
            key = &literal[1..literal.len() - 1];
            continue;
        }
        if is_opaque(key, literal) {
            continue;
        }
        if let Some(changed) = changed(literal, &change) {
            out.push_str(&json[copied..start]);
            out.push_str(&changed);
            copied = end;
        }
    }
    if copied == 0 {
        return Cow::Borrowed(json);
    }
    out.push_str(&json[copied..]);
    Cow::Owned(out)
}

/// Where the next literal begins and ends, quotes included.
fn next_literal(json: &str, from: usize) -> Option<(usize, usize)> {
    let bytes = json.as_bytes();
    let start = from + bytes[from..].iter().position(|byte| *byte == b'"')?;
    let mut at = start + 1;
    loop {
        at += bytes.get(at..)?.iter().position(|byte| matches!(byte, b'"' | b'\\'))?;
        if bytes[at] == b'"' {
            return Some((start, at + 1));
        }
        at += 2;
    }
}

/// Elements of a list go by the list's key.
fn is_opaque(key: &str, literal: &str) -> bool {
    let text = &literal[1..literal.len() - 1];
    match key {
        "thinking" => true,
        _ if OPAQUE.contains(&key) => is_base64(text.split_once(";base64,").map_or(text, |(_, data)| data)),
        _ => {
            text.starts_with("data:") && text.split_once(";base64,").is_some_and(|(_, data)| is_base64(data))
        }
    }
}

/// Whether that is long enough for something in base64, and no token.
fn is_base64(text: &str) -> bool {
    if text.len() < OPAQUE_MIN || TOKENS.iter().any(|start| text.starts_with(start)) {
        return false;
    }
    text.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'+' | b'/' | b'-' | b'_' | b'='))
}

fn changed(literal: &str, change: &impl Fn(&str) -> Option<String>) -> Option<String> {
    let text: Cow<'_, str> = if literal.contains('\\') {
        Cow::Owned(serde_json::from_str(literal).ok()?)
    } else {
        Cow::Borrowed(&literal[1..literal.len() - 1])
    };
    serde_json::to_string(&change(&text)?).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hide(json: &str) -> String {
        change_strings(json, |text| text.contains("hunter2").then(|| text.replace("hunter2", "*")))
            .into_owned()
    }

    #[test]
    fn strings_change_and_nothing_else_does() {
        let file = |key: &str, start: &str| format!(r#"{{"{key}":"{start}{}hunter2"}}"#, "a".repeat(60));
        for key in ["signature", "thought_signature", "data", "encrypted_content", "thinking"] {
            assert_eq!(hide(&file(key, "")), file(key, ""));
        }
        assert_eq!(hide(&file("url", "data:image/png;base64,")), file("url", "data:image/png;base64,"));
        for start in ["ghp_", "sk-", "AKIA"] {
            assert!(!hide(&file("data", start)).contains("hunter2"), "{start}");
        }
        for (json, expected) in [
            (r#"{"b": 1.50, "a":"hunter2"}"#, r#"{"b": 1.50, "a":"*"}"#),
            (
                r#"{"hunter2" : "x", "l":["hunter2",{"z":"a\nhunter2\""}]}"#,
                r#"{"hunter2" : "x", "l":["*",{"z":"a\n*\""}]}"#,
            ),
            (r#"["\u0068unter2","\\","hunter2"]"#, r#"["*","\\","*"]"#),
            (
                r#"{"signature":"hunter2","data":"hunter2==","thinking":"is hunter2"}"#,
                r#"{"signature":"*","data":"*==","thinking":"is hunter2"}"#,
            ),
            (r#"{"data":"is hunter2"}"#, r#"{"data":"is *"}"#),
            (r#"{"url":"data:image/png;base64,hunter2"}"#, r#"{"url":"data:image/png;base64,*"}"#),
            (r#"{"url":"data:text/plain,hunter2"}"#, r#"{"url":"data:text/plain,*"}"#),
            ("17", ""),
            (r#""""#, ""),
        ] {
            let expected = if expected.is_empty() { json } else { expected };
            assert_eq!(hide(json), expected);
        }
    }

    proptest::proptest! {
        #[test]
        fn what_holds_nothing_stays_the_same(texts: Vec<String>) {
            let json = serde_json::to_string(&texts).unwrap();
            proptest::prop_assert_eq!(change_strings(&json, |_| None), json.as_str());
            let all = change_strings(&json, |text| Some(format!("{text}!")));
            let expected: Vec<String> = texts.iter().map(|text| format!("{text}!")).collect();
            let read: Vec<String> = serde_json::from_str(&all).unwrap();
            proptest::prop_assert_eq!(read, expected);
        }
    }
}
