//! What names, images and addresses have to look like: as the API server has it, which would otherwise refuse every Job.

use http::Uri;
use http::uri::{Authority, Scheme};
use punching_fist_core::profile::Protocol;

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

/// What is wrong with the address of a model. The gateway puts a query behind the path of each call; the engines' own
/// clients would put the path behind the query.
pub fn base_url(url: &str, gateway: bool) -> Option<String> {
    let Some(uri) = web_address(url) else {
        return Some(format!(
            "`{url}` must start with https:// or http:// and a host, as in http://model:8000/v1"
        ));
    };
    overhang(url, &uri).or_else(|| {
        (!gateway && uri.query().is_some()).then(|| {
            format!(
                "`{}` can't be followed by a query without the gateway: leave it out, or set gateway: true",
                before(url, '?')
            )
        })
    })
}

/// What is wrong with the address of the gateway: agents put the path behind it.
pub fn gateway_url(url: &str) -> Option<String> {
    let uri = web_address(url).filter(|uri| uri.path() == "/" && uri.query().is_none());
    let Some(uri) = uri else {
        return Some(format!(
            "`{url}` must be https:// or http://, a host and a port and no path, as in \
             http://punching-fist.punching-fist.svc:8082"
        ));
    };
    overhang(url, &uri)
}

fn web_address(url: &str) -> Option<Uri> {
    let uri = url.parse::<Uri>().ok()?;
    let is_web = [Some(&Scheme::HTTP), Some(&Scheme::HTTPS)].contains(&uri.scheme());
    let has_host = uri.host().is_some_and(|host| !host.is_empty());
    (is_web && has_host).then_some(uri)
}

/// What an address has that no client sends: it would be lost without a word. What may be a password is not repeated.
fn overhang(url: &str, uri: &Uri) -> Option<String> {
    let authority = uri.authority().map(Authority::as_str).unwrap_or_default();
    if let Some((_, host)) = authority.rsplit_once('@') {
        return Some(format!(
            "must not have a name or password before the host: leave it at `{host}`, as each call brings a key or token of \
             its own"
        ));
    }
    url.contains('#').then(|| {
        let before = before(url, '#');
        format!("`{before}` must not be followed by a fragment (`#`…): it is not sent; end the address there")
    })
}

fn before(url: &str, mark: char) -> &str {
    url.split_once(mark).map_or(url, |(before, _)| before)
}

/// What is wrong with a model that is reached through the gateway: it speaks two protocols.
pub fn gateway_model(model: &str) -> Option<String> {
    Protocol::of(model).is_none().then(|| {
        format!(
            "`{model}` must begin with openai/ or anthropic/, the protocols that the gateway passes on; for others set \
             gateway: false"
        )
    })
}

/// What is wrong with an amount of money, as the API has it.
pub fn amount(text: &str) -> Option<String> {
    let (whole, fraction) = text.split_once('.').unwrap_or((text, "0"));
    let digits = |part: &str, most: usize| {
        (1..=most).contains(&part.len()) && part.bytes().all(|byte| byte.is_ascii_digit())
    };
    (!(digits(whole, 9) && digits(fraction, 6)))
        .then(|| format!("`{text}` is no amount of US dollars; write a decimal, as in \"2.50\""))
}

/// What is wrong with the name of a variable of the operator's own environment.
pub fn variable(name: &str) -> Option<String> {
    let is_word = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_';
    let fits = name.bytes().all(is_word) && name.bytes().next().is_some_and(|byte| !byte.is_ascii_digit());
    (!fits).then(|| format!("`{name}` must be the name of a variable, as in OPENHANDS_API_KEY"))
}

/// What is wrong with the name of a member of a request to a model.
pub fn field(name: &str) -> Option<String> {
    let is_plain = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'_';
    let fits =
        name.bytes().all(is_plain) && name.bytes().next().is_some_and(|byte| byte.is_ascii_lowercase());
    (!fits).then(|| format!("`{name}` must be lower case letters, digits and underscores, as in keep_alive"))
}

/// What is wrong with the key of a label, an annotation or a taint: `name` or `prefix/name`.
pub fn qualified_name(key: &str) -> Option<String> {
    let (prefix, name) = key.split_once('/').map_or((None, key), |(prefix, name)| (Some(prefix), name));
    let fits = prefix.is_none_or(|prefix| object_name(prefix).is_none()) && is_word_of_label(name);
    (!fits).then(|| {
        format!(
            "`{key}` must be at most 63 letters, digits, dashes, underscores and dots, with a letter or digit at both \
             ends, and perhaps a domain and a slash before them"
        )
    })
}

/// What is wrong with the name of what a container may ask for or is limited in.
pub fn resource(name: &str) -> Option<String> {
    if ["cpu", "memory", "ephemeral-storage"].contains(&name) || name.starts_with("hugepages-") {
        return None;
    }
    let message = || {
        format!(
            "`{name}` is nothing that a container can have: cpu, memory, ephemeral-storage, hugepages-SIZE, or a device as \
             `example.com/gpu`"
        )
    };
    if name.contains('/') { qualified_name(name) } else { Some(message()) }
}

/// What is wrong with the value of a label.
pub fn label_value(value: &str) -> Option<String> {
    (!(value.is_empty() || is_word_of_label(value))).then(|| {
        format!(
            "`{value}` must be at most 63 letters, digits, dashes, underscores and dots, with a letter or digit at both \
             ends"
        )
    })
}

fn is_word_of_label(text: &str) -> bool {
    let bytes = text.as_bytes();
    let is_allowed = |byte: &u8| byte.is_ascii_alphanumeric() || b"-._".contains(byte);
    let ends = [bytes.first(), bytes.last()];
    bytes.len() <= 63
        && bytes.iter().all(is_allowed)
        && ends.iter().all(|end| end.is_some_and(u8::is_ascii_alphanumeric))
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
    fn a_container_has_resources_of_a_few_names_and_devices() {
        for (name, fits) in [
            ("cpu", true),
            ("memory", true),
            ("ephemeral-storage", true),
            ("hugepages-2Mi", true),
            ("nvidia.com/gpu", true),
            ("memmory", false),
            ("pods", false),
            ("nvidia.com/", false),
            ("", false),
        ] {
            assert_eq!(resource(name).is_none(), fits, "{name:?}");
        }
    }

    #[test]
    fn an_address_has_a_scheme_and_a_host() {
        let (no_address, no_login, no_fragment) =
            ("must start with https://", "before the host", "a fragment");
        for (url, wrong) in [
            ("http://model:8000/v1", None),
            ("https://api.example.com", None),
            ("http://[::1]:8000", None),
            ("http://model:8000/v1?key=1", None),
            ("http://model?key=1", None),
            ("http://model/a@b", None),
            ("https://", Some(no_address)),
            ("http://:8000", Some(no_address)),
            ("ftp://model", Some(no_address)),
            ("model:80", Some(no_address)),
            ("/v1", Some(no_address)),
            ("http://a b", Some(no_address)),
            ("http://user:pw@model/v1", Some(no_login)),
            ("http://user@model:8000", Some(no_login)),
            ("http://model/v1#x", Some(no_fragment)),
            ("http://model/v1?key=1#", Some(no_fragment)),
        ] {
            let said = base_url(url, true);
            assert_eq!(said.is_none(), wrong.is_none(), "{url}");
            let said = said.unwrap_or_default();
            assert!(said.contains(wrong.unwrap_or_default()) && !said.contains("pw"), "{url}: {said}");
        }
    }

    #[test]
    fn only_the_gateway_knows_where_a_query_goes() {
        let said = base_url("http://model:8000/v1?key=1", false).unwrap();
        assert!(said.contains("`http://model:8000/v1` can't be followed by a query"), "{said}");
        assert!(base_url("http://model:8000/v1", false).is_none());
    }

    #[test]
    fn the_gateway_has_an_address_without_a_path() {
        for (url, fits) in [
            ("http://punching-fist.ops.svc:8082", true),
            ("https://gateway.example", true),
            ("http://gateway:8082/", true),
            ("http://gateway:8082/v1", false),
            ("http://gateway:8082?a=b", false),
            ("http://gateway:8082#x", false),
            ("http://user:pw@gateway:8082", false),
            ("gateway:8082", false),
            ("http://", false),
        ] {
            assert_eq!(gateway_url(url).is_none(), fits, "{url}");
        }
    }

    #[test]
    fn the_gateway_speaks_two_protocols() {
        for (model, fits) in [
            ("openai/gpt", true),
            ("anthropic/claude", true),
            ("openai/org/model", true),
            ("openai/", false),
            ("gemini/pro", false),
            ("gpt", false),
        ] {
            assert_eq!(gateway_model(model).is_none(), fits, "{model}");
        }
    }

    #[test]
    fn money_is_a_decimal() {
        for (text, fits) in [
            ("2.50", true),
            ("3", true),
            ("0", true),
            ("0.000001", true),
            ("", false),
            ("2.", false),
            (".5", false),
            ("-1", false),
            ("1e3", false),
            ("2,50", false),
            ("0.0000001", false),
            ("1234567890", false),
        ] {
            assert_eq!(amount(text).is_none(), fits, "{text:?}");
        }
    }

    #[test]
    fn labels_are_what_the_api_server_takes() {
        let long = "a".repeat(64);
        for (text, is_name, is_value) in [
            ("team", true, true),
            ("example.com/Team_1", true, false),
            ("a.b", true, true),
            ("", false, true),
            ("/a", false, false),
            ("a/", false, false),
            ("A.com/b", false, false),
            ("a/b/c", false, false),
            ("-a", false, false),
            ("a-", false, false),
            ("a b", false, false),
            (long.as_str(), false, false),
        ] {
            assert_eq!(qualified_name(text).is_none(), is_name, "{text:?} as a key");
            assert_eq!(label_value(text).is_none(), is_value, "{text:?} as a value");
        }
        for (name, fits) in [("A_1", true), ("_", true), ("1A", false), ("A-B", false), ("", false)] {
            assert_eq!(variable(name).is_none(), fits, "{name:?}");
        }
    }
}
