//! The CustomResourceDefinitions as they are shipped.

use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::{
    CustomResourceDefinition, JSON, JSONSchemaProps, JSONSchemaPropsOrArray, JSONSchemaPropsOrBool,
};
use kube::CustomResourceExt;

use crate::{AlertTask, MaintenanceTask};

/// The definitions of all kinds, in the order of their names.
pub fn crds() -> Vec<CustomResourceDefinition> {
    let mut crds = vec![AlertTask::crd(), MaintenanceTask::crd()];
    for crd in &mut crds {
        for version in &mut crd.spec.versions {
            if let Some(schema) =
                version.schema.as_mut().and_then(|schema| schema.open_api_v3_schema.as_mut())
            {
                tidy(schema);
                not_observed_yet(schema);
            }
        }
    }
    crds
}

/// A status from the first moment on: kstatus takes an object without one for finished.
fn not_observed_yet(schema: &mut JSONSchemaProps) {
    if let Some(status) = schema.properties.as_mut().and_then(|properties| properties.get_mut("status")) {
        status.default = Some(JSON(serde_json::json!({"observedGeneration": -1})));
    }
}

/// Two things that the derive does otherwise. It makes every optional field nullable: the API server would keep a null
/// that a user wrote, and `has()` in a rule would be true of it. And it keeps the line ends of doc comments, which
/// `kubectl explain` prints as they are.
fn tidy(schema: &mut JSONSchemaProps) {
    schema.nullable = None;
    schema.description = schema.description.take().map(|text| text.replace('\n', " "));
    if let Some(values) = &mut schema.enum_ {
        values.retain(|value| !value.0.is_null());
    }
    schema.properties.iter_mut().flatten().for_each(|(_, property)| tidy(property));
    match schema.items.as_mut() {
        Some(JSONSchemaPropsOrArray::Schema(items)) => tidy(items),
        Some(JSONSchemaPropsOrArray::Schemas(items)) => items.iter_mut().for_each(tidy),
        None => {}
    }
    if let Some(JSONSchemaPropsOrBool::Schema(values)) = schema.additional_properties.as_mut() {
        tidy(values);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::names;

    #[test]
    fn every_kind_is_in_our_group_and_category_and_has_a_status_at_once() {
        for crd in crds() {
            let (spec, kind) = (&crd.spec, crd.spec.names.kind.as_str());
            assert_eq!(
                (spec.group.as_str(), spec.versions[0].name.as_str()),
                (names::GROUP, names::VERSION),
                "{kind}"
            );
            assert_eq!(
                spec.names.categories.as_deref(),
                Some([names::CATEGORY.to_owned()].as_slice()),
                "{kind}"
            );
            let schema = serde_json::to_value(&spec.versions[0].schema).unwrap();
            let status = &schema["openAPIV3Schema"]["properties"]["status"];
            assert_eq!(status["default"]["observedGeneration"], -1, "{kind}");
            assert!(!schema.to_string().contains("nullable"), "{kind}");
        }
    }
}
