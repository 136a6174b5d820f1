//! The CustomResourceDefinitions: printing ours, and seeing whether the cluster's are at least ours. A server-side apply
//! with a field that the served schema lacks is refused whole, so an operator must not work on older ones.

use std::fmt;

use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use kube::{Api, Client, ResourceExt};
use punching_fist_api::{crds, names};
use serde_json::Value;

/// How many missing fields a message names.
const NAMED: usize = 3;

/// They can't be printed.
#[derive(Debug, thiserror::Error)]
#[error("the CustomResourceDefinitions can't be written as YAML: {0}")]
pub struct PrintError(#[from] serde_saphyr::ser::Error);

/// Prints them as YAML documents.
pub fn print() -> Result<(), PrintError> {
    for definition in crds() {
        // Through a JSON value, whose keys are sorted: the output doesn't change with the order of fields in a type.
        let definition = serde_json::to_value(definition).unwrap_or_default();
        println!("---\n{}", serde_saphyr::to_string(&definition)?.trim_end());
    }
    Ok(())
}

/// Why the cluster's definitions are not ours.
#[derive(Debug, thiserror::Error)]
pub enum CrdError {
    /// The API server doesn't answer.
    #[error("the API server doesn't answer: {0}")]
    Unreachable(#[source] kube::Error),
    /// One isn't there.
    #[error(
        "the CustomResourceDefinition {0} is not installed; apply the folder crds, or what `punching-fist crds` prints"
    )]
    Missing(String),
    /// One is there and not ready to be used.
    #[error("the CustomResourceDefinition {0} is not established yet")]
    NotEstablished(String),
    /// One is older than this operator.
    #[error(
        "the CustomResourceDefinition {name} is older than this operator: it lacks {fields}; apply the folder crds, or what \
         `punching-fist crds` prints"
    )]
    Older {
        /// Its name.
        name: String,
        /// Some of what it lacks.
        fields: Fields,
    },
}

/// Paths in a schema.
#[derive(Debug)]
pub struct Fields(Vec<String>);

impl fmt::Display for Fields {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let named = self.0.len().min(NAMED);
        formatter.write_str(&self.0[..named].join(", "))?;
        match self.0.len() - named {
            0 => Ok(()),
            more => write!(formatter, " and {more} more"),
        }
    }
}

/// Whether the cluster has every definition, and knows every field of ours. Newer ones, that know more, are fine.
pub async fn check(client: &Client) -> Result<(), CrdError> {
    let api: Api<CustomResourceDefinition> = Api::all(client.clone());
    for ours in crds() {
        let name = ours.name_any();
        let theirs = api.get_opt(&name).await.map_err(CrdError::Unreachable)?;
        compare(&ours, &theirs.ok_or(CrdError::Missing(name))?)?;
    }
    Ok(())
}

fn compare(ours: &CustomResourceDefinition, theirs: &CustomResourceDefinition) -> Result<(), CrdError> {
    let name = ours.name_any();
    let mut fields = Vec::new();
    lacking("", &schema(ours), &schema(theirs), &mut fields);
    if !fields.is_empty() {
        return Err(CrdError::Older { name, fields: Fields(fields) });
    }
    let conditions = theirs.status.iter().flat_map(|status| status.conditions.iter().flatten());
    let is_established = conditions.into_iter().any(|one| one.type_ == "Established" && one.status == "True");
    if is_established { Ok(()) } else { Err(CrdError::NotEstablished(name)) }
}

/// Schema of our version as JSON; null if the definition doesn't serve it.
fn schema(definition: &CustomResourceDefinition) -> Value {
    let version =
        definition.spec.versions.iter().find(|version| version.name == names::VERSION && version.served);
    let schema = version.and_then(|version| version.schema.as_ref()?.open_api_v3_schema.as_ref());
    schema.and_then(|schema| serde_json::to_value(schema).ok()).unwrap_or_default()
}

/// The fields and enum values that `ours` has and `theirs` lacks.
fn lacking(path: &str, ours: &Value, theirs: &Value, found: &mut Vec<String>) {
    if theirs.is_null() {
        return found.push(if path.is_empty() { names::VERSION.to_owned() } else { path.to_owned() });
    }
    for (name, field) in ours["properties"].as_object().into_iter().flatten() {
        lacking(&format!("{path}.{name}"), field, &theirs["properties"][name], found);
    }
    for (key, mark) in [("items", "[]"), ("additionalProperties", "{}")] {
        if ours[key].is_object() {
            lacking(&format!("{path}{mark}"), &ours[key], &theirs[key], found);
        }
    }
    let known = theirs["enum"].as_array();
    for value in ours["enum"].as_array().into_iter().flatten() {
        if known.is_some_and(|known| !known.contains(value)) {
            found.push(format!("{path}={value}"));
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn ours() -> CustomResourceDefinition {
        crds().into_iter().find(|definition| definition.spec.names.kind == "MaintenanceTask").unwrap()
    }

    /// Ours as the API server shows it once it is in use, changed by `change`.
    fn served(change: impl FnOnce(&mut Value)) -> CustomResourceDefinition {
        let mut value = serde_json::to_value(ours()).unwrap();
        let condition = json!({"type": "Established", "status": "True"});
        value["status"] = json!({"conditions": [condition], "acceptedNames": {"kind": "", "plural": ""}, "storedVersions": []});
        change(&mut value);
        serde_json::from_value(value).unwrap()
    }

    fn message(change: impl FnOnce(&mut Value)) -> String {
        compare(&ours(), &served(change)).unwrap_err().to_string()
    }

    const SCHEMA: &str = "/spec/versions/0/schema/openAPIV3Schema";

    #[test]
    fn equal_and_newer_ones_are_fine() {
        compare(&ours(), &served(|_| {})).unwrap();
        let newer = served(|value| {
            let spec = value.pointer_mut(&format!("{SCHEMA}/properties/spec/properties")).unwrap();
            spec["schedule"] = json!({"type": "string"});
        });
        compare(&ours(), &newer).unwrap();
    }

    #[test]
    fn an_older_one_is_named_with_what_it_lacks() {
        let message = message(|value| {
            let spec = value.pointer_mut(&format!("{SCHEMA}/properties/spec/properties")).unwrap();
            spec.as_object_mut().unwrap().remove("cancel");
            let agent = spec.pointer_mut("/agent/properties/env/items/properties").unwrap();
            agent.as_object_mut().unwrap().remove("value");
        });
        assert!(message.contains("maintenancetasks.punching-fist.io is older"), "{message}");
        assert!(message.contains(".spec.agent.env[].value, .spec.cancel"), "{message}");
        assert!(message.contains("punching-fist crds"), "{message}");
    }

    #[test]
    fn an_enum_that_lacks_a_value_is_older() {
        let message = message(|value| {
            let phase =
                value.pointer_mut(&format!("{SCHEMA}/properties/status/properties/phase/enum")).unwrap();
            phase.as_array_mut().unwrap().retain(|phase| phase != "Retrying");
        });
        assert!(message.contains(".status.phase=\"Retrying\""), "{message}");
    }

    #[test]
    fn another_version_alone_is_older() {
        let message = message(|value| value["spec"]["versions"][0]["name"] = json!("v1alpha0"));
        assert!(message.contains("lacks v1alpha1"), "{message}");
    }

    #[test]
    fn one_that_is_not_established_has_to_be_waited_for() {
        let message = message(|value| value["status"]["conditions"] = json!([]));
        assert!(message.contains("not established"), "{message}");
    }

    #[test]
    fn what_is_printed_reads_as_ours() {
        for definition in crds() {
            let definition = serde_json::to_value(definition).unwrap();
            let text = serde_saphyr::to_string(&definition).unwrap();
            assert_eq!(serde_yaml::from_str::<Value>(&text).unwrap(), definition);
        }
    }
}
