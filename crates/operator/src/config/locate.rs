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

impl fmt::Display for Step {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Key(key) => write!(formatter, ".{key}"),
            Self::Item(index) => write!(formatter, "[{index}]"),
        }
    }
}

/// Steps from a path as messages write it: `a.b[0].c`, with keys that hold neither dots nor brackets.
pub fn path(written: &str) -> Vec<Step> {
    let parts = written.split(['.', '[', ']']).filter(|part| !part.is_empty());
    parts.map(|part| part.parse().map_or_else(|_| Step::Key(part.to_owned()), Step::Item)).collect()
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
        let text = "# a comment\na: 1\nb:\n  c: x\n  d:\n    - e: 1\n      f: 2\n    - g\nh: {i: {j: 1}}\n";
        let cases = [
            ("a", Some(2)),
            ("b", Some(3)),
            ("b.c", Some(4)),
            ("b.d", Some(5)),
            ("b.d[0]", Some(6)),
            ("b.d[0].f", Some(7)),
            ("b.d[1]", Some(8)),
            ("h.i.j", Some(9)),
            ("b.d[2]", None),
            ("x", None),
            ("b.x", None),
        ];
        for (written, line) in cases {
            assert_eq!(line_of(text, &path(written)), line, "{written}");
        }
    }
}
