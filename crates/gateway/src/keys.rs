//! The models' keys: where the operator's environment or its files have them.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::SystemTime;

use bytes::Bytes;
use http::HeaderValue;
use memchr::memmem;
use punching_fist_core::profile::{ModelKey, Settings};
use punching_fist_protocol::{REDACTED, Redactor};

/// A shorter key is none that anybody gave out, such as servers without keys are told: it is a word of other texts too.
const KEY_MIN: usize = 16;

/// A model's key, and what takes it out of texts.
pub struct Key {
    text: String,
    redactor: Redactor,
}

/// The keys by agent profile; clones share what was read.
#[derive(Clone)]
pub struct Keys {
    sources: Arc<BTreeMap<String, Source>>,
}

enum Source {
    /// Variables don't change while a process lives.
    Env(Option<Arc<Key>>),
    File(PathBuf, Mutex<Option<Content>>),
}

/// A file as it was read.
struct Content {
    seen: (SystemTime, u64),
    key: Option<Arc<Key>>,
}

impl Keys {
    /// The keys of all profiles that use the gateway.
    pub fn new(settings: &Settings) -> Self {
        let profiles = settings.profiles.iter().filter(|(_, profile)| profile.gateway);
        let sources = profiles.map(|(name, profile)| (name.clone(), Source::of(&profile.key)));
        Self { sources: Arc::new(sources.collect()) }
    }

    /// The key of that profile, if there is one. A file is read again when it has changed.
    pub fn read(&self, profile: &str) -> Option<Arc<Key>> {
        match self.sources.get(profile)? {
            Source::Env(key) => key.clone(),
            Source::File(path, content) => {
                let mut content = content.lock().unwrap_or_else(PoisonError::into_inner);
                refresh(path, &mut content);
                content.as_ref()?.key.clone()
            }
        }
    }
}

impl Source {
    fn of(key: &ModelKey) -> Self {
        match key {
            ModelKey::Env(name) => Self::Env(std::env::var(name).ok().as_deref().and_then(usable)),
            ModelKey::File(path) => Self::File(path.clone(), Mutex::new(None)),
        }
    }
}

fn refresh(path: &Path, content: &mut Option<Content>) {
    let seen = fs::metadata(path).and_then(|data| Ok((data.modified()?, data.len()))).ok();
    if content.as_ref().map(|content| content.seen) == seen {
        return;
    }
    *content =
        seen.map(|seen| Content { seen, key: fs::read_to_string(path).ok().as_deref().and_then(usable) });
}

/// A key is sent in a header: what can't stand there is none.
fn usable(text: &str) -> Option<Arc<Key>> {
    let key = text.trim();
    (!key.is_empty() && HeaderValue::from_str(key).is_ok()).then(|| Arc::new(Key::new(key)))
}

impl Key {
    fn new(text: &str) -> Self {
        let secret = Some(text).filter(|text| text.len() >= KEY_MIN);
        Self { text: text.to_owned(), redactor: Redactor::from_values(secret) }
    }

    /// The key itself.
    pub(crate) fn text(&self) -> &str {
        &self.text
    }

    /// Takes it out of texts, with words in the shape of well-known tokens.
    pub(crate) fn redactor(&self) -> &Redactor {
        &self.redactor
    }

    /// Whether a text says it.
    pub(crate) fn is_in(&self, text: &[u8]) -> bool {
        self.text.len() >= KEY_MIN && memmem::find(text, self.text.as_bytes()).is_some()
    }

    /// An answer without it.
    pub(crate) fn out_of(&self, bytes: Bytes) -> Bytes {
        if !self.is_in(&bytes) {
            return bytes;
        }
        String::from_utf8_lossy(&bytes).replace(&self.text, REDACTED).into()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn keys(key: &serde_json::Value) -> Keys {
        let profile = serde_json::json!({"image": "i", "model": "openai/m", "gateway": true, "key": key});
        let settings = Settings {
            profiles: BTreeMap::from([("a".to_owned(), serde_json::from_value(profile).unwrap())]),
            ..Settings::default()
        };
        Keys::new(&settings)
    }

    #[test]
    fn a_file_is_read_when_it_changes() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("key");
        let keys = keys(&serde_json::json!({"file": path}));
        assert!(keys.read("a").is_none());
        for (text, key) in
            [("sk-one\n", Some("sk-one")), ("", None), ("sk-\none", None), ("sk-three", Some("sk-three"))]
        {
            fs::write(&path, text).unwrap();
            assert_eq!(keys.read("a").as_deref().map(Key::text), key, "{text:?}");
        }
        fs::remove_file(&path).unwrap();
        assert!(keys.read("a").is_none() && keys.read("another").is_none());
    }

    #[test]
    fn a_variable_that_is_not_set_is_no_key() {
        let unset = keys(&serde_json::json!({"env": "PUNCHING_FIST_NO_SUCH_VARIABLE"}));
        assert!(unset.read("a").is_none());
        assert!(keys(&serde_json::json!({"env": "PATH"})).read("a").is_some());
    }

    #[test]
    fn a_key_that_is_a_word_is_not_looked_for() {
        let text = "ask ollama or EMPTY, with 0123456789abcdef";
        for (key, expected) in [
            ("0123456789abcdef", "ask ollama or EMPTY, with [redacted]"),
            ("ollama", text),
            ("EMPTY", text),
            ("a", text),
        ] {
            let key = usable(key).unwrap();
            assert_eq!(key.redactor().redact(text), expected);
            assert_eq!(key.out_of(text.into()), expected);
            assert_eq!(key.is_in(text.as_bytes()), text != expected);
        }
    }
}
