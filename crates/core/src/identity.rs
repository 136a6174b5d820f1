//! Which incident an alert belongs to, and the name of each of its tasks. The name is the lock: who makes it, made it.

use sha2::{Digest, Sha256};

/// Hex digits of a key: they fit a label value (63) with room to spare.
const KEY_DIGITS: usize = 40;
/// Hex digits of the hash in a name.
const HASH_DIGITS: usize = 10;
/// Longest name: with it, the names of what is made for the task stay below 63 characters.
pub const MAX_NAME: usize = 52;
/// What stands in a name if the alert's name has nothing to give.
const NAMELESS: &str = "alert";

/// The incident's key: 40 hex digits from the route and what the route groups by.
pub fn key(route_namespace: &str, route_name: &str, group_key: &str) -> String {
    digest([route_namespace, route_name, group_key], KEY_DIGITS)
}

/// The task that a new one follows.
#[derive(Clone, Copy, Debug)]
pub struct Newest<'a> {
    /// Its name.
    pub name: &'a str,
    /// Its UID.
    pub uid: &'a str,
}

/// Name of the task that follows `newest`, the newest task of the key; none makes it the first.
///
/// Whoever sees the same newest task arrives at the same name: Alertmanager's repeats, its twins and our own replicas
/// collide there, whatever their caches show. So the readable part must not vary between two notifications of one key:
/// `title` has to be a function of it (as group labels are of a group), and a successor takes over what its
/// predecessor is called.
pub fn task_name(title: &str, key: &str, newest: Option<Newest<'_>>) -> String {
    let hash = digest([key, newest.map_or("", |newest| newest.uid)], HASH_DIGITS);
    let readable =
        newest.map_or(title, |newest| newest.name.rsplit_once('-').map_or("", |(readable, _)| readable));
    format!("{}-{hash}", slug(readable))
}

/// Letters, digits and dashes of `text`, in lower case: all that reaches a name.
fn slug(text: &str) -> String {
    let limit = MAX_NAME - HASH_DIGITS - 1;
    let mut slug = String::new();
    for c in text.chars() {
        if slug.len() == limit {
            break;
        }
        if c.is_ascii_alphanumeric() {
            slug.push(c.to_ascii_lowercase());
        } else if !slug.is_empty() && !slug.ends_with('-') {
            slug.push('-');
        }
    }
    let slug = slug.trim_end_matches('-');
    if slug.is_empty() { NAMELESS.to_owned() } else { slug.to_owned() }
}

/// The first `digits` of the SHA-256 of the parts, each with its length before it: no separator can be forged, and
/// two lists that read alike when joined stay apart.
pub(crate) fn digest<'a>(parts: impl IntoIterator<Item = &'a str>, digits: usize) -> String {
    let mut hash = Sha256::new();
    for part in parts {
        hash.update((part.len() as u64).to_be_bytes());
        hash.update(part);
    }
    hex(&hash.finalize(), digits)
}

/// The first `digits` of `bytes` in hex.
fn hex(bytes: &[u8], digits: usize) -> String {
    let digit = |nibble: u8| char::from_digit(u32::from(nibble), 16).unwrap_or('0');
    bytes.iter().flat_map(|byte| [digit(byte >> 4), digit(byte & 0xf)]).take(digits).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const KEY: &str = "0123456789012345678901234567890123456789";

    #[test]
    fn a_key_is_of_its_parts_and_of_where_they_end() {
        let keys = [
            key("agents", "default", "{}:{alertname=\"A\"}"),
            key("agents", "default", "{}:{alertname=\"B\"}"),
            key("agents", "other", "{}:{alertname=\"A\"}"),
            key("agent", "sdefault", "{}:{alertname=\"A\"}"),
            key("agentsd", "efault", "{}:{alertname=\"A\"}"),
            key("", "", ""),
        ];
        for (i, key) in keys.iter().enumerate() {
            assert!(
                key.len() == 40 && key.chars().all(|c| c.is_ascii_hexdigit() && !c.is_uppercase()),
                "{key}"
            );
            assert!(!keys[..i].contains(key));
        }
        assert_eq!(
            keys[0],
            key("agents", "default", "{}:{alertname=\"A\"}"),
            "the same parts give the same key"
        );
    }

    #[test]
    fn only_a_slug_of_the_title_reaches_a_name() {
        for (title, slug) in [
            ("KubePodCrashLooping", "kubepodcrashlooping"),
            ("disk almost full (95 %)", "disk-almost-full-95"),
            ("-- Ünïcode 🔥 --", "n-code"),
            ("", "alert"),
            ("🔥{{ alert }}\n\"'$(rm -rf /)", "alert-rm-rf"),
            ("日本語", "alert"),
            (&"x".repeat(300), &"x".repeat(41)),
            (&format!("{}-y", "x".repeat(40)), &"x".repeat(40)),
        ] {
            let name = task_name(title, KEY, None);
            let (readable, hash) = name.rsplit_once('-').unwrap();
            assert_eq!(readable, slug, "of {title:?}");
            assert_eq!(hash.len(), 10);
            assert!(name.len() <= MAX_NAME, "{name}");
        }
    }

    #[test]
    fn a_name_is_of_the_key_and_of_the_newest_task() {
        let first = task_name("Alert", KEY, None);
        assert_eq!(first, task_name("Alert", KEY, None));
        assert_ne!(first, task_name("Alert", "other", None));
        let second = task_name("Alert", KEY, Some(Newest { name: &first, uid: "uid-1" }));
        assert_ne!(second, first);
        let renamed = task_name("Quite another", KEY, Some(Newest { name: &first, uid: "uid-1" }));
        assert_eq!(second, renamed, "what arrives can't change the name of a successor");
        assert_ne!(second, task_name("Alert", KEY, Some(Newest { name: &first, uid: "uid-2" })));
        assert!(second.starts_with("alert-"), "{second}");
    }
}
