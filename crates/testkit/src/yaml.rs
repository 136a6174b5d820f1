//! YAML in and out, by way of JSON values. Writing goes through a writer that quotes what YAML 1.1 readers (kubectl,
//! Helm) would take for a boolean or a number: `no`, `on`, `2026-01-01`.

use serde::Deserialize as _;
use serde::Serialize;
use serde_json::Value;

use crate::Error;

/// `value` as a YAML document.
///
/// # Errors
/// It has a shape that YAML can't hold.
pub fn write(value: &impl Serialize) -> Result<String, Error> {
    serde_saphyr::to_string(value).map_err(|error| Error::Yaml(error.to_string()))
}

/// The documents of `text`, the empty ones left out.
///
/// # Errors
/// It is no YAML.
pub fn read(text: &str) -> Result<Vec<Value>, Error> {
    let documents = serde_yaml::Deserializer::from_str(text).map(Value::deserialize);
    let documents: Vec<Value> =
        documents.collect::<Result<_, _>>().map_err(|error| Error::Yaml(error.to_string()))?;
    Ok(documents.into_iter().filter(|document| !document.is_null()).collect())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn what_old_readers_mistake_is_quoted() {
        for text in ["no", "on", "y", "2026-01-01", "1e3", "0x1f", "012", "null", "~", "1_000", "12:30:45"] {
            let written = write(&json!({ "a": text })).unwrap();
            assert!(written.contains('"') || written.contains('\''), "{text}: {written}");
            assert_eq!(read(&written).unwrap(), [json!({ "a": text })], "{written}");
        }
    }

    #[test]
    fn many_documents_are_read_and_empty_ones_left_out() {
        let text = "# comment\n---\na: 1\n---\n---\nb: [x]\n";
        assert_eq!(read(text).unwrap(), [json!({ "a": 1 }), json!({ "b": ["x"] })]);
    }
}
