//! On which line of a YAML document a key stands. The parser tells the position of an error and of nothing else, so the
//! document is walked to the place and an error is raised there.

use std::fmt;

use serde::de::{DeserializeSeed, Deserializer, Error, IgnoredAny, MapAccess, SeqAccess, Visitor};

/// One step of the way from the document's root to a place in it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Step {
    /// Into a mapping.
    Key(String),
    /// Into a list.
    Item(usize),
}

/// Characters that a key can't have without quotes, as messages and [`path`] write it.
const QUOTED: [char; 4] = ['.', '[', ']', '"'];

impl fmt::Display for Step {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Key(key) if key.is_empty() || key.contains(QUOTED) => write!(formatter, "[\"{key}\"]"),
            Self::Key(key) => write!(formatter, ".{key}"),
            Self::Item(index) => write!(formatter, "[{index}]"),
        }
    }
}

/// The way to a key of what stands at `path`.
pub fn below(path: &str, key: &str) -> String {
    format!("{path}{}", Step::Key(key.to_owned()))
}

/// Steps from a path as messages write it: `a.b[0].c`, `a["b.c/d"]`.
pub fn path(written: &str) -> Vec<Step> {
    let (mut steps, mut rest) = (Vec::new(), written);
    while !rest.is_empty() {
        let (step, after) = first(rest);
        steps.push(step);
        rest = after;
    }
    steps
}

/// The first step of a path, and what comes after it.
fn first(path: &str) -> (Step, &str) {
    if let Some((key, rest)) = path.strip_prefix("[\"").and_then(|path| path.split_once("\"]")) {
        return (Step::Key(key.to_owned()), rest);
    }
    let item = path.strip_prefix('[').and_then(|path| path.split_once(']'));
    if let Some((Ok(index), rest)) = item.map(|(index, rest)| (index.parse(), rest)) {
        return (Step::Item(index), rest);
    }
    let key = path.strip_prefix('.').unwrap_or(path);
    let end = key.char_indices().skip(1).find(|(_, end)| ['.', '['].contains(end));
    let (key, rest) = key.split_at(end.map_or(key.len(), |(index, _)| index));
    (Step::Key(key.to_owned()), rest)
}

/// The line, counted from one, on which the last step of `path` begins; none if the document doesn't have it.
pub fn line_of(text: &str, path: &[Step]) -> Option<usize> {
    let document = serde_yaml::Deserializer::from_str(text);
    let error = Walk { path }.deserialize(document).err()?;
    error.location().map(|location| location.line())
}

/// Goes down `path`; an error is the arrival, a success means that the place doesn't exist.
#[derive(Clone, Copy)]
struct Walk<'a> {
    path: &'a [Step],
}

impl<'de> DeserializeSeed<'de> for Walk<'_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Walk<'_> {
    type Value = ();

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("the end of the path")
    }

    /// An empty document.
    fn visit_none<E: Error>(self) -> Result<(), E> {
        self.visit_unit()
    }

    fn visit_unit<E: Error>(self) -> Result<(), E> {
        if self.path.is_empty() { Err(E::custom("here")) } else { Ok(()) }
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
        let Some((Step::Key(wanted), rest)) = self.path.split_first() else {
            return Err(A::Error::custom("here"));
        };
        while let Some(found) = map.next_key_seed(Key { wanted, is_last: rest.is_empty() })? {
            if found {
                map.next_value_seed(Walk { path: rest })?;
            } else {
                map.next_value::<IgnoredAny>()?;
            }
        }
        Ok(())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<(), A::Error> {
        let Some((Step::Item(wanted), rest)) = self.path.split_first() else {
            return Err(A::Error::custom("here"));
        };
        for _ in 0..*wanted {
            if list.next_element::<IgnoredAny>()?.is_none() {
                return Ok(());
            }
        }
        list.next_element_seed(Walk { path: rest })?;
        while list.next_element::<IgnoredAny>()?.is_some() {}
        Ok(())
    }
}

/// A key of a mapping: the arrival if it is the wanted one and the last.
struct Key<'a> {
    wanted: &'a str,
    is_last: bool,
}

impl<'de> DeserializeSeed<'de> for Key<'_> {
    type Value = bool;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<bool, D::Error> {
        deserializer.deserialize_str(self)
    }
}

impl Visitor<'_> for Key<'_> {
    type Value = bool;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("a key")
    }

    fn visit_str<E: Error>(self, key: &str) -> Result<bool, E> {
        match key == self.wanted {
            true if self.is_last => Err(E::custom("here")),
            found => Ok(found),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn finds_the_line_of_every_place() {
        let text = "# a comment\na: 1\nb:\n  c: x\n  d:\n    - e: 1\n      f: 2\n    - g\nh: {i: {j: 1}}\nk:\n  l.m/n: 1\n  \"5\": 2\n";
        let cases = [
            ("a", Some(2)),
            ("b", Some(3)),
            ("b.c", Some(4)),
            ("b.d", Some(5)),
            ("b.d[0]", Some(6)),
            ("b.d[0].f", Some(7)),
            ("b.d[1]", Some(8)),
            ("h.i.j", Some(9)),
            (r#"k["l.m/n"]"#, Some(11)),
            ("k.5", Some(12)),
            ("b.d[2]", None),
            ("x", None),
            ("b.x", None),
        ];
        for (written, line) in cases {
            assert_eq!(line_of(text, &path(written)), line, "{written}");
        }
    }

    #[test]
    fn what_has_nothing_in_it_has_no_places() {
        for text in ["", "# a comment\n", "---\n", "null", "~", "{}"] {
            for written in ["a", "a.b"] {
                assert_eq!(line_of(text, &path(written)), None, "{written} in {text:?}");
            }
        }
        let text = "a:\nb:\n  -\n  - c:\n";
        let cases = [("a", Some(1)), ("a.b", None), ("b[0]", Some(3)), ("b[1].c", Some(4)), ("b[0].c", None)];
        for (written, line) in cases {
            assert_eq!(line_of(text, &path(written)), line, "{written}");
        }
    }

    #[test]
    fn a_path_is_read_as_it_is_written() {
        for written in ["a.b[0].c", r#"a["b.c/d"].e"#, r#"a[1]["b.c"]"#, "a.5"] {
            let told: String = path(written).iter().map(ToString::to_string).collect();
            assert_eq!(told.trim_start_matches('.'), written);
        }
        assert_eq!(below("agents", "a.b"), r#"agents["a.b"]"#);
        assert_eq!(path("["), [Step::Key("[".to_owned())]);
    }
}
