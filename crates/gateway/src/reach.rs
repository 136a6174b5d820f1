//! What a body would have the provider fetch, look up or run, and what in it has more tokens than bytes. None of the
//! former is bounded by the body, so no charge covers it; and an address that the provider fetches is a way out past the
//! NetworkPolicy of the agent's pod.
//!
//! One pass over the text, without a copy. What is only shown to the model (a tool's schema, the arguments of a call)
//! isn't looked at: there, any name is fine.

use std::borrow::Cow;
use std::fmt;

use serde::de::{DeserializeSeed, Error, IgnoredAny, MapAccess, SeqAccess, Visitor};

use crate::names;

/// Says what of a body isn't passed on; if there is nothing, whether it holds images, documents or films.
pub(crate) fn look(body: &[u8]) -> Result<bool, String> {
    let mut json = serde_json::Deserializer::from_slice(body);
    match (Walk { at: Position::Top }).deserialize(&mut json) {
        Ok(Seen { reach: None, media, .. }) => Ok(media),
        Ok(Seen { reach: Some(what), .. }) => Err(format!(
            "{what} isn't passed on: what the provider would fetch or run, and what has other prices, has no bound"
        )),
        Err(error) => Err(format!("the body can't be read: {error}")),
    }
}

/// Where in the body a value stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Position<'a> {
    Top,
    /// In the list of tools.
    Tools,
    /// In `context_management`.
    Context,
    /// In the list of what is done to the context.
    Edits,
    /// What an address member holds.
    Address(&'a str),
    /// What a `type` member holds.
    Type,
    /// What a member holds that has a price by its value.
    Value(&'a str, &'static [&'static str]),
    /// What a member holds that is text for the model.
    Text,
    Member(&'a str),
}

impl<'a> Position<'a> {
    fn of(name: &'a str) -> Self {
        match name {
            // Of a change of tools in the midst of messages.
            "tools" | "definition" => Self::Tools,
            "context_management" => Self::Context,
            "type" => Self::Type,
            _ if names::is_address(name) => Self::Address(name),
            _ if names::is_text(name) => Self::Text,
            _ => names::values(name).map_or(Self::Member(name), |values| Self::Value(name, values)),
        }
    }

    /// Whether an object that stands there is an item or a part of one.
    fn is_part(self) -> bool {
        matches!(self, Self::Text | Self::Member(_))
    }
}

/// What a value holds.
#[derive(Debug, Default)]
struct Seen {
    /// The first thing that reaches out.
    reach: Option<String>,
    /// What has more tokens than bytes.
    media: bool,
    /// If it stands in a `type`: its text.
    kind: Option<String>,
    is_nothing: bool,
}

#[derive(Clone, Copy)]
struct Walk<'a> {
    at: Position<'a>,
}

impl Seen {
    fn reach(what: String) -> Self {
        Self { reach: Some(what), ..Self::default() }
    }
}

impl Walk<'_> {
    /// What is neither text nor made of other values.
    fn plain(self) -> Seen {
        match self.at {
            Position::Value(name, _) => Seen::reach(format!("a {name:?} that is no text")),
            _ => Seen::default(),
        }
    }

    fn text(self, text: &str) -> Seen {
        match self.at {
            Position::Type => Seen { kind: Some(text.to_owned()), ..Seen::default() },
            Position::Value(name, known) if !known.contains(&text) => {
                Seen::reach(format!("a {name:?} of {text:?}"))
            }
            Position::Address(name) if is_fetched(name, text) => {
                Seen::reach(format!("an address in {name:?}"))
            }
            Position::Member(name) if is_address(text) => Seen::reach(format!("an address in {name:?}")),
            Position::Address(_) | Position::Member(_) => match data_type(text) {
                Some(kind) if kind.starts_with("audio/") => Seen::reach("a sound".to_owned()),
                kind => Seen { media: kind.is_some(), ..Seen::default() },
            },
            _ => Seen::default(),
        }
    }
}

impl<'de> DeserializeSeed<'de> for Walk<'_> {
    type Value = Seen;

    fn deserialize<D: serde::Deserializer<'de>>(self, deserializer: D) -> Result<Seen, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Walk<'_> {
    type Value = Seen;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("JSON")
    }

    fn visit_bool<E>(self, _: bool) -> Result<Seen, E> {
        Ok(self.plain())
    }

    fn visit_i64<E>(self, _: i64) -> Result<Seen, E> {
        Ok(self.plain())
    }

    fn visit_u64<E>(self, _: u64) -> Result<Seen, E> {
        Ok(self.plain())
    }

    fn visit_f64<E>(self, _: f64) -> Result<Seen, E> {
        Ok(self.plain())
    }

    fn visit_unit<E>(self) -> Result<Seen, E> {
        Ok(Seen { is_nothing: true, ..Seen::default() })
    }

    fn visit_str<E>(self, text: &str) -> Result<Seen, E> {
        Ok(self.text(text))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Seen, A::Error> {
        let mut seen = Seen { is_nothing: true, ..Seen::default() };
        while let Some(element) = list.next_element_seed(self)? {
            seen.is_nothing = false;
            seen.media |= element.media;
            seen.reach = seen.reach.or(element.reach);
        }
        Ok(seen)
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Seen, A::Error> {
        let mut object = Object::default();
        while let Some(Name(written)) = map.next_key()? {
            let name = names::plain(&written);
            object.know(self.at, &name);
            if names::is_anything(&name) {
                map.next_value::<IgnoredAny>()?;
                continue;
            }
            let at = if self.at == Position::Context && name == "edits" {
                Position::Edits
            } else {
                Position::of(&name)
            };
            let value = map.next_value_seed(Walk { at })?;
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
    /// What stands in its members, but for `input`.
    inside: Seen,
    /// What stands in `input`: in a call of a tool these are the model's own words.
    input: Seen,
    kind: Option<String>,
    has_id: bool,
    has_schema: bool,
    /// There are members beside `id` and `type`.
    others: bool,
}

impl Object {
    /// Takes note of a member's name, whatever it holds.
    fn know(&mut self, at: Position<'_>, name: &str) {
        self.has_schema |= name == "input_schema";
        self.others |= names::is_anything(name);
        let unknown = match at {
            Position::Tools => !names::is_of_tool(name),
            Position::Context => name != "edits",
            _ => false,
        };
        if unknown {
            let whose = if at == Position::Tools { "a tool" } else { "context_management" };
            self.inside.reach.get_or_insert_with(|| format!("{name:?} of {whose}"));
        }
    }

    /// Takes a member in; true if it is a second `type`.
    fn take(&mut self, name: &str, value: Seen) -> bool {
        if name == "type" && self.kind.is_some() {
            return true;
        }
        match name {
            "type" if value.kind.is_some() => self.kind = value.kind,
            "id" => self.has_id |= !value.is_nothing,
            "input" => self.input = value,
            _ if value.is_nothing => return false,
            _ if names::is_stored(name) || names::is_sound(name) => {
                self.inside.reach.get_or_insert_with(|| format!("{name:?}"));
            }
            _ => {
                self.inside.media |= value.media || names::is_media(name);
                self.inside.reach = self.inside.reach.take().or(value.reach);
            }
        }
        self.others |= !matches!(name, "type" | "id");
        false
    }

    fn seen(mut self, at: Position<'_>) -> Seen {
        let refused = self.refused(at);
        let is_call = at != Position::Top && self.kind.as_deref() == Some("tool_use");
        let input = if is_call { Seen::default() } else { std::mem::take(&mut self.input) };
        let is_media = at.is_part() && self.kind.as_deref().is_some_and(names::is_media);
        Seen {
            reach: refused.or(self.inside.reach).or(input.reach),
            media: at != Position::Tools && (is_media || self.inside.media || input.media),
            ..Seen::default()
        }
    }

    /// What isn't passed on for what the object is, whatever else it holds.
    fn refused(&self, at: Position<'_>) -> Option<String> {
        let kind = self.kind.as_deref();
        match (at, kind) {
            (_, Some(kind)) if names::is_costly_item(kind) => Some(format!("an item of type {kind:?}")),
            (Position::Tools, Some(kind)) if names::is_client_tool(kind) => None,
            (Position::Tools, Some(kind)) => Some(format!("a tool of type {kind:?}")),
            (Position::Tools, None) if self.has_schema => None,
            (Position::Tools, None) if self.inside.reach.is_none() => {
                Some("a tool without a type".to_owned())
            }
            (Position::Edits, kind) if !kind.is_some_and(|kind| kind.starts_with("clear_")) => {
                Some(format!("an edit of the context of type {:?}", kind.unwrap_or_default()))
            }
            (at, Some(kind)) if at.is_part() && names::is_sound(kind) => Some(format!("{kind:?}")),
            (at, None) if at.is_part() && self.has_id && !self.others => {
                Some("an item with nothing but an \"id\"".to_owned())
            }
            _ => None,
        }
    }
}

/// A file's data are given as such, too; nothing in base64 looks like an address.
fn is_fetched(name: &str, text: &str) -> bool {
    let is_data = text.get(..5).is_some_and(|start| start.eq_ignore_ascii_case("data:"));
    !is_data && (name != "file_data" || text.contains("://"))
}

/// Whether all of it is an address.
fn is_address(text: &str) -> bool {
    let is_scheme = |scheme: &str| {
        let fits = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'+' | b'-' | b'.');
        scheme.starts_with(|first: char| first.is_ascii_alphabetic()) && scheme.bytes().all(fits)
    };
    let text = text.trim();
    !text.contains(char::is_whitespace) && text.split_once("://").is_some_and(|(scheme, _)| is_scheme(scheme))
}

/// What a `data:` URL says that it holds.
fn data_type(text: &str) -> Option<String> {
    let start = text.get(..5).filter(|start| start.eq_ignore_ascii_case("data:"))?;
    let kind = text[start.len()..].split([';', ',']).next()?;
    let is_type = kind.contains('/') && !kind.contains(char::is_whitespace);
    is_type.then(|| kind.to_ascii_lowercase())
}

#[cfg(test)]
mod tests;
