//! The limits that the API server keeps for a task, kept here for what the configuration puts into every task: a route
//! that the API server refuses later would lose its alerts one by one.

use punching_fist_api::OBJECT_NAME;
use regex::Regex;
use schemars::JsonSchema;
use schemars::generate::SchemaSettings;
use serde::Serialize;
use serde_json::Value;

/// What a quantity looks like.
pub const QUANTITY: &str =
    "write a number that isn't negative, with a unit if need be, as in 2, 0.5, 500m, 512Mi or 1Gi";

/// What of `value` its schema refuses: the place below `path`, and what would be right.
pub fn refused<T: JsonSchema + Serialize>(path: &str, value: &T) -> Vec<(String, String)> {
    let mut settings = SchemaSettings::openapi3();
    settings.inline_subschemas = true;
    let schema = settings.into_generator().into_root_schema_for::<T>();
    let value = serde_json::to_value(value).unwrap_or_default();
    let mut found = Vec::new();
    walk(path, schema.as_value(), &value, &mut found);
    found
}

fn walk(path: &str, schema: &Value, value: &Value, found: &mut Vec<(String, String)>) {
    found.extend(refusal(schema, value).map(|message| (path.to_owned(), message)));
    match value {
        Value::Object(fields) => {
            for (key, field) in fields {
                let known = schema["properties"].get(key).unwrap_or(&schema["additionalProperties"]);
                walk(&format!("{path}.{key}"), known, field, found);
            }
        }
        Value::Array(items) => {
            for (index, item) in items.iter().enumerate() {
                walk(&format!("{path}[{index}]"), &schema["items"], item, found);
            }
        }
        _ => {}
    }
}

/// What of this one value its schema refuses, without what is below it.
fn refusal(schema: &Value, value: &Value) -> Option<String> {
    let most = |key: &str, count: usize| schema[key].as_u64().filter(|limit| (count as u64) > *limit);
    let least = |key: &str, count: usize| schema[key].as_u64().filter(|limit| (count as u64) < *limit);
    match value {
        Value::Number(number) => out_of_range(schema, number.as_f64()?),
        Value::String(text) => {
            let length = text.chars().count();
            most("maxLength", length)
                .map(|limit| format!("has {length} characters, at most {limit} are allowed"))
                .or_else(|| least("minLength", length).map(|_| "must not be empty".to_owned()))
                .or_else(|| mismatch(schema, text))
        }
        Value::Array(items) => most("maxItems", items.len())
            .map(|limit| format!("has {} entries, at most {limit} are allowed", items.len())),
        _ => None,
    }
}

fn out_of_range(schema: &Value, number: f64) -> Option<String> {
    let (least, most) = (&schema["minimum"], &schema["maximum"]);
    let below = least.as_f64().is_some_and(|least| number < least);
    let above = most.as_f64().is_some_and(|most| number > most);
    (below || above).then(|| match most {
        Value::Null => format!("is {number}, must be at least {least}"),
        _ => format!("is {number}, must be from {least} to {most}"),
    })
}

fn mismatch(schema: &Value, text: &str) -> Option<String> {
    // Of names of objects `forms` says it in words.
    let pattern = schema["pattern"].as_str().filter(|pattern| *pattern != OBJECT_NAME)?;
    let matches = Regex::new(pattern).is_ok_and(|regex| regex.is_match(text));
    (!matches).then(|| {
        if schema["x-kubernetes-int-or-string"] == true {
            format!("`{text}` is no quantity; {QUANTITY}")
        } else {
            format!("`{text}` does not match {pattern}")
        }
    })
}
