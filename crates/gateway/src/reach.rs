//! What a body would have the provider fetch, look up or run. None of that is bounded by the body's bytes, so no charge
//! covers it; and an address that the provider fetches is a way out past the NetworkPolicy of the agent's pod.
//!
//! One pass over the text, without a copy. What is only shown to the model (a tool's schema, the arguments of a call)
//! isn't looked at: there, any name is fine.

use std::borrow::Cow;
use std::fmt;

use serde::de::{DeserializeSeed, Error, IgnoredAny, MapAccess, SeqAccess, Visitor};

/// Members that name what lies at the provider, or where it is to connect to.
const STORED: [&str; 6] =
    ["file_id", "file_ids", "vector_store_ids", "mcp_servers", "server_url", "connector_id"];
/// Members that the provider fetches unless they hold the data themselves.
const ADDRESSES: [&str; 6] = ["url", "image_url", "file_url", "audio_url", "video_url", "file_data"];
/// Members whose content is anybody's.
const ANYTHING: [&str; 8] = [
    "input_schema",
    "input_examples",
    "parameters",
    "schema",
    "json_schema",
    "arguments",
    "action",
    "metadata",
];
/// Tools that run where the client is: exactly these, or with a date behind.
const CLIENT_TOOLS: [&str; 9] = [
    "function",
    "custom",
    "local_shell",
    "apply_patch",
    "bash_",
    "text_editor_",
    "computer",
    "computer_",
    "memory_",
];
/// The lifetime in the provider's cache that costs what the profile's prices say.
const TTL: &str = "5m";

/// Says what of a body isn't passed on.
pub(crate) fn refuse(body: &[u8]) -> Result<(), String> {
    let mut json = serde_json::Deserializer::from_slice(body);
    match (Walk { at: Place::Top }).deserialize(&mut json) {
        Ok(Seen { reach: None, .. }) => Ok(()),
        Ok(Seen { reach: Some(what), .. }) => {
            Err(format!("{what} isn't passed on: what the provider would fetch or run has no bound"))
        }
        Err(error) => Err(format!("the body can't be read: {error}")),
    }
}

/// Where in the body a value stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Place {
    Top,
    /// In the list of tools.
    Tools,
    /// What an address member holds.
    Address(&'static str),
    /// What a `type` member holds.
    Type,
    /// What a `ttl` member holds.
    Ttl,
    Else,
}

/// What a value holds.
#[derive(Debug, Default)]
struct Seen {
    /// The first thing that reaches out.
    reach: Option<String>,
    /// If it stands in a `type`: its text.
    kind: Option<String>,
    is_null: bool,
}

#[derive(Clone, Copy)]
struct Walk {
    at: Place,
}

impl Seen {
    fn reach(what: String) -> Self {
        Self { reach: Some(what), ..Self::default() }
    }
}

impl<'de> DeserializeSeed<'de> for Walk {
    type Value = Seen;

    fn deserialize<D: serde::Deserializer<'de>>(self, deserializer: D) -> Result<Seen, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Walk {
    type Value = Seen;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("JSON")
    }

    fn visit_bool<E>(self, _: bool) -> Result<Seen, E> {
        Ok(Seen::default())
    }

    fn visit_i64<E>(self, _: i64) -> Result<Seen, E> {
        Ok(Seen::default())
    }

    fn visit_u64<E>(self, _: u64) -> Result<Seen, E> {
        Ok(Seen::default())
    }

    fn visit_f64<E>(self, _: f64) -> Result<Seen, E> {
        Ok(Seen::default())
    }

    fn visit_unit<E>(self) -> Result<Seen, E> {
        Ok(Seen { is_null: true, ..Seen::default() })
    }

    fn visit_str<E>(self, text: &str) -> Result<Seen, E> {
        Ok(match self.at {
            Place::Address(name) if is_fetched(name, text) => Seen::reach(format!("an address in {name:?}")),
            Place::Ttl if text != TTL => Seen::reach(format!("a \"ttl\" of {text:?}")),
            Place::Type => Seen { kind: Some(text.to_owned()), ..Seen::default() },
            _ => Seen::default(),
        })
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Seen, A::Error> {
        let mut seen = Seen::default();
        while let Some(element) = list.next_element_seed(self)? {
            seen.reach = seen.reach.or(element.reach);
        }
        Ok(seen)
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Seen, A::Error> {
        let mut object = Object::default();
        while let Some(Name(name)) = map.next_key()? {
            if ANYTHING.contains(&&*name) {
                map.next_value::<IgnoredAny>()?;
                object.others = true;
                continue;
            }
            let value = map.next_value_seed(Walk { at: place(&name) })?;
            if object.take(&name, value) {
                return Err(A::Error::custom("\"type\" stands there twice"));
            }
        }
        Ok(object.seen(self.at))
    }
}

/// A member's name, whether it is written with escapes or not.
struct Name<'de>(Cow<'de, str>);

impl<'de> serde::Deserialize<'de> for Name<'de> {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Reader;
        impl<'de> Visitor<'de> for Reader {
            type Value = Name<'de>;

            fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
                formatter.write_str("a name")
            }

            fn visit_borrowed_str<E>(self, name: &'de str) -> Result<Name<'de>, E> {
                Ok(Name(Cow::Borrowed(name)))
            }

            fn visit_str<E>(self, name: &str) -> Result<Name<'de>, E> {
                Ok(Name(Cow::Owned(name.to_owned())))
            }
        }
        deserializer.deserialize_str(Reader)
    }
}

/// What is known of an object while its members come.
#[derive(Default)]
struct Object {
    reach: Option<String>,
    /// What reaches out in `input`: in a call of a tool these are the model's own words.
    in_input: Option<String>,
    kind: Option<String>,
    has_id: bool,
    /// There are members beside `id` and `type`.
    others: bool,
}

impl Object {
    /// Takes a member in; true if it is a second `type`.
    fn take(&mut self, name: &str, value: Seen) -> bool {
        if name == "type" && self.kind.is_some() {
            return true;
        }
        match name {
            "type" if value.kind.is_some() => self.kind = value.kind,
            "id" => self.has_id |= !value.is_null,
            "input" => self.in_input = self.in_input.take().or(value.reach),
            _ if value.is_null => return false,
            _ if STORED.contains(&name) => {
                self.reach.get_or_insert_with(|| format!("{name:?}"));
            }
            _ => self.reach = self.reach.take().or(value.reach),
        }
        self.others |= !matches!(name, "type" | "id");
        false
    }

    fn seen(self, at: Place) -> Seen {
        let kind = self.kind.as_deref();
        let reach = match kind {
            Some("item_reference") => Some("an \"item_reference\"".to_owned()),
            Some(kind) if at == Place::Tools && !is_clients(kind) => Some(format!("a tool of type {kind:?}")),
            None if at == Place::Else && self.has_id && !self.others => {
                Some("an item with nothing but an \"id\"".to_owned())
            }
            _ => self.reach,
        };
        let is_call = at != Place::Top && kind == Some("tool_use");
        Seen { reach: reach.or(self.in_input.filter(|_| !is_call)), ..Seen::default() }
    }
}

fn place(name: &str) -> Place {
    match name {
        "tools" => Place::Tools,
        "type" => Place::Type,
        "ttl" => Place::Ttl,
        _ => ADDRESSES.iter().find(|known| **known == name).map_or(Place::Else, |name| Place::Address(name)),
    }
}

/// A file's data are given as such, too; nothing in base64 looks like an address.
fn is_fetched(name: &str, text: &str) -> bool {
    let is_data = text.get(..5).is_some_and(|start| start.eq_ignore_ascii_case("data:"));
    !is_data && (name != "file_data" || text.contains("://"))
}

fn is_clients(kind: &str) -> bool {
    CLIENT_TOOLS.iter().any(|known| kind == *known || (known.ends_with('_') && kind.starts_with(known)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_reaches_out_is_named() {
        for (body, why) in [
            (r#"{"m":[{"type":"image_url","image_url":{"url":"https://a/b"}}]}"#, "\"url\""),
            (r#"{"m":[{"type":"input_image","image_url":"https://a/b"}]}"#, "\"image_url\""),
            (r#"{"m":[{"type":"input_image","image\u005furl":" \u0068ttp://a"}]}"#, "\"image_url\""),
            (r#"{"m":[{"source":{"type":"url","url":"HTTP://a/b"}}]}"#, "\"url\""),
            (r#"{"m":[{"url":"https://a","url":"data:,a"}]}"#, "\"url\""),
            (r#"{"m":[{"type":"input_file","file_url":"https://a"}]}"#, "\"file_url\""),
            (r#"{"m":[{"file":{"file_data":"https://a"}}]}"#, "\"file_data\""),
            (r#"{"m":[{"source":{"type":"file","file_id":"f"}}]}"#, "\"file_id\""),
            (r#"{"input":[{"type":"item_reference","id":"i"}]}"#, "item_reference"),
            (r#"{"input":[{"type":null,"id":"i"}]}"#, "nothing but an \"id\""),
            (r#"{"mcp_servers":[{"name":"a"}]}"#, "mcp_servers"),
            (r#"{"tools":[{"type":"function"},{"type":"web_search"}]}"#, "\"web_search\""),
            (r#"{"tools":[{"type":"web_fetch_20250910","name":"f"}]}"#, "web_fetch"),
            (r#"{"tools":[{"type":"code_execution_20250522"}]}"#, "code_execution"),
            (r#"{"tools":[{"type":"mcp","server_url":"https://a"}]}"#, "\"mcp\""),
            (r#"{"tools":[{"type":"function","type":"mcp"}]}"#, "twice"),
            (r#"{"tools":[{"type":"mcp","type":null}]}"#, "twice"),
            (r#"{"type":"tool_use","input":[{"image_url":"https://a"}]}"#, "image_url"),
            (r#"{"m":[{"cache_control":{"type":"ephemeral","ttl":"1h"}}]}"#, "\"1h\""),
        ] {
            let error = refuse(body.as_bytes()).unwrap_err();
            assert!(error.contains(why), "{body}: {error}");
        }
    }

    #[test]
    fn what_an_agent_says_passes() {
        for body in [
            r#"{"m":[{"type":"image_url","image_url":{"url":"data:image/png;base64,aaaa"}}]}"#,
            r#"{"m":[{"type":"input_image","image_url":"DATA:image/png;base64,aaaa","file_id":null}]}"#,
            r#"{"m":[{"source":{"type":"base64","data":"aaaa"}},{"file":{"file_data":"JVBERi0x"}}]}"#,
            r#"{"m":[{"role":"user","content":"look at https://a/b"}]}"#,
            r#"{"m":[{"type":"tool_use","id":"t","input":{"url":"https://a","file_id":1}}]}"#,
            r#"{"m":[{"id":"t","input":{"url":"https://a"},"type":"tool_use"}]}"#,
            r#"{"m":[{"type":"function_call","arguments":"{\"url\":\"https://a\"}"}]}"#,
            r#"{"tools":[{"type":"function","function":{"parameters":{"properties":{"url":{"type":"string","default":"https://a"}}}}}]}"#,
            r#"{"tools":[{"name":"f","input_schema":{"properties":{"file_id":{"type":"string"},"type":{"type":"string"}}}}]}"#,
            r#"{"tools":[{"type":"bash_20250124","name":"bash"},{"type":"custom"},{"type":"local_shell"}]}"#,
            r#"{"input":[{"type":"reasoning","id":"r","encrypted_content":"a"},{"role":"user","content":"a"}]}"#,
            r#"{"metadata":{"url":"https://a"},"system":[{"cache_control":{"type":"ephemeral","ttl":"5m"}}]}"#,
        ] {
            assert_eq!(refuse(body.as_bytes()), Ok(()), "{body}");
        }
    }

    #[test]
    fn what_nests_too_deep_is_refused() {
        assert!(refuse(format!("{{\"a\":{}", "[".repeat(1_000_000)).as_bytes()).is_err());
    }
}
