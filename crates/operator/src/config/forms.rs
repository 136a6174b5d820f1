//! What names, images and addresses have to look like: as the API server has it, which would otherwise refuse every Job.

use http::Uri;
use http::uri::Scheme;

/// What is wrong with a namespace or a label's value, by RFC 1123: at most 63 characters.
pub fn label(name: &str) -> Option<String> {
    let fits = name.len() <= 63 && is_dns_label(name);
    (!fits).then(|| format!("`{name}` must be lower case letters, digits and dashes, at most 63 of them"))
}

/// What is wrong with the name of an object.
pub fn object_name(name: &str) -> Option<String> {
    let fits = name.len() <= 253 && name.split('.').all(is_dns_label);
    (!fits).then(|| {
        format!(
            "`{name}` must be the name of an object: lower case letters, digits, dashes and dots, at most 253"
        )
    })
}

/// What is wrong with a key of a Secret or ConfigMap.
pub fn data_key(key: &str) -> Option<String> {
    let is_allowed = |byte: u8| byte.is_ascii_alphanumeric() || b"-._".contains(&byte);
    let fits =
        (1..=253).contains(&key.len()) && key.bytes().all(is_allowed) && key != "." && !key.starts_with("..");
    (!fits).then(|| {
        format!("`{key}` must be letters, digits, dashes, underscores and dots, at most 253 of them")
    })
}

/// What is wrong with an image, or with whatever else is one word.
pub fn word(text: &str) -> Option<String> {
    if text.is_empty() {
        return Some("must not be empty".to_owned());
    }
    text.contains(char::is_whitespace).then(|| format!("`{text}` must not have spaces in it"))
}

/// What is wrong with the address of a model.
pub fn base_url(url: &str) -> Option<String> {
    let uri = url.parse::<Uri>().ok();
    let fits = uri.is_some_and(|uri| {
        let is_web = [Some(&Scheme::HTTP), Some(&Scheme::HTTPS)].contains(&uri.scheme());
        is_web && uri.host().is_some_and(|host| !host.is_empty()) && uri.query().is_none()
    });
    (!fits).then(|| {
        format!("`{url}` must start with https:// or http:// and a host, as in http://model:8000/v1")
    })
}

fn is_dns_label(name: &str) -> bool {
    let is_plain = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit();
    let bytes = name.as_bytes();
    !bytes.is_empty()
        && bytes.iter().all(|byte| is_plain(*byte) || *byte == b'-')
        && is_plain(bytes[0])
        && is_plain(bytes[bytes.len() - 1])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_what_the_api_server_takes() {
        let long = "a".repeat(64);
        for (text, is_label, is_object_name, is_data_key) in [
            ("agents", true, true, true),
            ("a-1", true, true, true),
            ("a.b", false, true, true),
            ("a..b", false, false, true),
            ("..a", false, false, false),
            ("A_b", false, false, true),
            ("-a", false, false, true),
            ("a-", false, false, true),
            ("a b", false, false, false),
            ("a/b", false, false, false),
            ("", false, false, false),
            (long.as_str(), false, true, true),
        ] {
            assert_eq!(label(text).is_none(), is_label, "{text:?} as a label");
            assert_eq!(object_name(text).is_none(), is_object_name, "{text:?} as a name");
            assert_eq!(data_key(text).is_none(), is_data_key, "{text:?} as a key");
        }
    }

    #[test]
    fn an_address_has_a_scheme_and_a_host() {
        for (url, fits) in [
            ("http://model:8000/v1", true),
            ("https://api.example.com", true),
            ("http://[::1]:8000", true),
            ("https://", false),
            ("http://:8000", false),
            ("ftp://model", false),
            ("model:80", false),
            ("/v1", false),
            ("http://a b", false),
            ("http://model?key=1", false),
        ] {
            assert_eq!(base_url(url).is_none(), fits, "{url}");
        }
    }
}
