//! The schemas of custom resources: what is refused with a 422, what is pruned, what is filled in. No CEL.

use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use regex::Regex;
use serde_json::Value;

use super::failure::Failure;
use super::store::ResourceName;

/// What the API server keeps whatever a schema says.
const ALWAYS: [&str; 3] = ["apiVersion", "kind", "metadata"];

/// The schemas that are known, by kind.
#[derive(Default)]
pub(super) struct Schemas {
    known: Vec<(ResourceName, Value)>,
}

impl Schemas {
    pub(super) fn new(crds: &[CustomResourceDefinition]) -> Self {
        let known = crds.iter().flat_map(|crd| {
            crd.spec.versions.iter().map(|version| {
                let name = ResourceName {
                    group: crd.spec.group.clone(),
                    version: version.name.clone(),
                    plural: crd.spec.names.plural.clone(),
                };
                let schema = serde_json::to_value(
                    version.schema.as_ref().and_then(|schema| schema.open_api_v3_schema.as_ref()),
                );
                (name, schema.expect("a schema is JSON"))
            })
        });
        Self { known: known.collect() }
    }

    /// Prunes and fills in `object`; refuses what the schema refuses.
    pub(super) fn admit(&self, resource: &ResourceName, object: &mut Value) -> Result<(), Failure> {
        let Some((_, schema)) = self.known.iter().find(|(name, _)| name == resource) else { return Ok(()) };
        let mut problems = Vec::new();
        shape(schema, object, true);
        check(schema, object, "", true, &mut problems);
        if problems.is_empty() { Ok(()) } else { Err(Failure::new(422, problems.join(", "))) }
    }
}

/// Drops what the schema doesn't know and nulls, and sets defaults.
fn shape(schema: &Value, value: &mut Value, root: bool) {
    if let Value::Array(items) = value {
        for item in items {
            shape(&schema["items"], item, false);
        }
        return;
    }
    let Value::Object(members) = value else { return };
    let properties = schema["properties"].as_object();
    if let Some(properties) = properties {
        members.retain(|name, value| {
            (properties.contains_key(name) || root && ALWAYS.contains(&name.as_str())) && !value.is_null()
        });
        for (name, property) in properties {
            if let Some(default) = property.get("default") {
                members.entry(name.clone()).or_insert_with(|| default.clone());
            }
        }
    }
    for (name, value) in members.iter_mut().filter(|(name, _)| !(root && ALWAYS.contains(&name.as_str()))) {
        shape(
            properties.and_then(|known| known.get(name)).unwrap_or(&schema["additionalProperties"]),
            value,
            false,
        );
    }
}

/// How large it is, and what that is called in a schema.
fn size(value: &Value) -> Option<(&'static str, usize)> {
    match value {
        Value::String(text) => Some(("Length", text.chars().count())),
        Value::Array(items) => Some(("Items", items.len())),
        Value::Object(members) => Some(("Properties", members.len())),
        _ => None,
    }
}

fn check(schema: &Value, value: &Value, path: &str, root: bool, problems: &mut Vec<String>) {
    let mut require = |holds: bool, what: String| {
        if !holds {
            problems.push(format!("{path}: Invalid value: {what}"));
        }
    };
    let type_ = schema["type"].as_str().unwrap_or_default();
    require(has_type(value, type_), format!("must be of type {type_}"));
    if let Some(allowed) = schema["enum"].as_array() {
        require(allowed.contains(value), format!("{value} is not supported"));
    }
    if let Some((what, size)) = size(value) {
        let within = |bound: &str, default: u64| schema[format!("{bound}{what}")].as_u64().unwrap_or(default);
        let (min, max) = (within("min", 0), within("max", u64::MAX));
        require((min..=max).contains(&(size as u64)), format!("{what} {size} must be from {min} to {max}"));
    }
    if let Some(number) = value.as_f64() {
        let (min, max) = (schema["minimum"].as_f64(), schema["maximum"].as_f64());
        let within = min.is_none_or(|min| number >= min) && max.is_none_or(|max| number <= max);
        require(within, format!("{number} is out of range"));
    }
    if let (Some(pattern), Some(text)) = (schema["pattern"].as_str(), value.as_str()) {
        let matches = Regex::new(pattern).expect("the pattern is valid").is_match(text);
        require(matches, format!("{text:?} should match {pattern:?}"));
    }
    for name in schema["required"].as_array().into_iter().flatten().filter_map(Value::as_str) {
        require(value.get(name).is_some(), format!("{name} is required"));
    }
    descend(schema, value, path, root, problems);
}

fn descend(schema: &Value, value: &Value, path: &str, root: bool, problems: &mut Vec<String>) {
    match value {
        Value::Object(members) => {
            for (name, member) in
                members.iter().filter(|(name, _)| !(root && ALWAYS.contains(&name.as_str())))
            {
                let known = schema["properties"].get(name).or_else(|| schema.get("additionalProperties"));
                if let Some(schema) = known {
                    check(schema, member, &format!("{path}.{name}"), false, problems);
                }
            }
        }
        Value::Array(items) => {
            for (index, item) in items.iter().enumerate() {
                check(&schema["items"], item, &format!("{path}[{index}]"), false, problems);
            }
        }
        _ => {}
    }
}

fn has_type(value: &Value, type_: &str) -> bool {
    match type_ {
        "string" => value.is_string(),
        "integer" => value.is_i64() || value.is_u64(),
        "number" => value.is_number(),
        "boolean" => value.is_boolean(),
        "array" => value.is_array(),
        "object" => value.is_object(),
        _ => true,
    }
}
