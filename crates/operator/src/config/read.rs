//! From YAML text to types, with the line of whatever is wrong. What is read is not judged here.

use serde::de::DeserializeOwned;
use serde_ignored::Path;
use serde_yaml::{Deserializer, Value};

use super::limits::QUANTITY;
use super::locate::{Step, line_of};
use super::{Problem, Problems};

/// Reads one document. Wrong types, duplicate keys and unknown keys are problems, wherever they stand.
pub fn read<T: DeserializeOwned>(text: &str) -> Result<T, Problems> {
    // A map silently keeps the last of two equal keys; a `Value` refuses them.
    let document: Value = serde_yaml::from_str(text).map_err(|error| vec![from_yaml(&error)])?;
    let text = if document.is_null() { "{}" } else { text };
    // serde can only say that neither a text nor a number stands there, and not where.
    let mut wrong = Vec::new();
    no_quantities(&document, &[], &mut wrong);
    if !wrong.is_empty() {
        let message = format!("is no quantity; {QUANTITY}");
        return Err(wrong.iter().map(|path| Problem::at(text, path, &message)).collect());
    }

    let mut unknown = Vec::new();
    let read = serde_ignored::deserialize(Deserializer::from_str(text), |path| unknown.push(steps(&path)))
        .map_err(|error| vec![from_yaml(&error)])?;
    if unknown.is_empty() {
        return Ok(read);
    }
    Err(unknown.iter().map(|path| Problem::at(text, path, "unknown key")).collect())
}

/// Where an amount of a resource is neither a text nor a number.
fn no_quantities(value: &Value, path: &[Step], found: &mut Vec<Vec<Step>>) {
    let Value::Mapping(fields) = value else { return };
    let is_amount = match path {
        [.., Step::Key(resources), Step::Key(bound)] => {
            resources == "resources" && ["limits", "requests"].contains(&bound.as_str())
        }
        _ => false,
    };
    for (key, value) in fields {
        let Some(key) = key.as_str() else { continue };
        let path = [path, &[Step::Key(key.to_owned())]].concat();
        let is_one = value.is_string() || value.as_f64().is_some_and(f64::is_finite);
        if is_amount && !is_one {
            found.push(path);
        } else {
            no_quantities(value, &path, found);
        }
    }
}

/// What the parser says, with its position taken out of the words and put in front.
fn from_yaml(error: &serde_yaml::Error) -> Problem {
    let message = error.to_string();
    match error.location() {
        Some(location) => {
            let place = format!(" at line {} column {}", location.line(), location.column());
            Problem { line: Some(location.line()), message: in_words(&message.replacen(&place, "", 1)) }
        }
        None => Problem { line: None, message },
    }
}

/// What serde says of a value of another kind, without the names of our types: `limits: is a list, must be a mapping`.
fn in_words(message: &str) -> String {
    let kind = ["invalid type: ", "invalid value: "].iter().find_map(|begin| message.split_once(begin));
    let Some((place, (found, wanted))) =
        kind.and_then(|(place, rest)| Some((place, rest.rsplit_once(", expected ")?)))
    else {
        return message.to_owned();
    };
    let place = if place.is_empty() { "the file " } else { place };
    format!("{place}is {}, must be {}", found_word(found), wanted_word(wanted))
}

fn found_word(found: &str) -> &str {
    match found {
        "sequence" => "a list",
        "map" => "a mapping",
        "unit value" => "nothing",
        other => {
            let kinds = ["boolean ", "integer ", "floating point ", "string "];
            kinds.iter().find_map(|kind| other.strip_prefix(kind)).unwrap_or(other)
        }
    }
}

fn wanted_word(wanted: &str) -> &str {
    match wanted {
        "struct File" => "keys with values, as in `limits: {maxConcurrent: 10}`",
        "usize" | "u32" | "u64" => "a whole number that isn't negative",
        "i32" => "a whole number, at most 2147483647",
        "i64" => "a whole number",
        "a sequence" => "a list",
        "a map" => "a mapping",
        "a boolean" => "true or false",
        "a string" => "a text",
        // The name of a type: ours, or one of Kubernetes'.
        other if other.starts_with("struct ") || other.starts_with(char::is_uppercase) => "a mapping",
        other => other,
    }
}

fn steps(path: &Path<'_>) -> Vec<Step> {
    let (parent, step) = match path {
        Path::Root => return Vec::new(),
        Path::Seq { parent, index } => (parent, Some(Step::Item(*index))),
        Path::Map { parent, key } => (parent, Some(Step::Key(key.clone()))),
        Path::Some { parent } | Path::NewtypeStruct { parent } | Path::NewtypeVariant { parent } => {
            (parent, None)
        }
    };
    steps(parent).into_iter().chain(step).collect()
}

impl Problem {
    /// Something wrong at this place of the document; the line is that of the place, or of the nearest one above it that
    /// was written at all.
    pub fn at(text: &str, path: &[Step], message: impl std::fmt::Display) -> Self {
        let line = (1..=path.len()).rev().find_map(|length| line_of(text, &path[..length]));
        let path: String = path.iter().map(ToString::to_string).collect();
        Self { line, message: format!("{}: {message}", path.trim_start_matches('.')) }
    }
}
