//! One request, read as Kubernetes reads it: verb, resource, namespace, name, subresource.

use std::collections::BTreeMap;

use http::{Method, request::Parts};
use serde_json::Value;

use super::store::{Key, ResourceName};

/// One request as it came.
#[derive(Clone, Debug)]
pub struct Call {
    /// `get`, `list`, `watch`, `create`, `update`, `patch`, `apply`, `delete` or `deletecollection`.
    pub verb: &'static str,
    /// Plural of the kind, with the subresource: `alerttasks/status`.
    pub resource: String,
    /// Namespace, if the path names one.
    pub namespace: Option<String>,
    /// Name, if the path names one.
    pub name: Option<String>,
    /// What stands behind the `?`, decoded.
    pub query: BTreeMap<String, String>,
    /// The body; null if there was none.
    pub body: Value,
    /// What was answered; none while it isn't, or was left hanging.
    pub code: Option<u16>,
    pub(super) serial: u64,
    pub(super) content_type: String,
    pub(super) subresource: Option<String>,
    pub(super) target: ResourceName,
}

impl Call {
    /// Whether verb and resource are these; `*` is any.
    pub fn is(&self, verb: &str, resource: &str) -> bool {
        (verb == "*" || verb == self.verb) && (resource == "*" || resource == self.resource)
    }

    /// Whether it would change something.
    pub fn is_write(&self) -> bool {
        !matches!(self.verb, "get" | "list" | "watch")
    }

    pub(super) fn key(&self, name: &str) -> Key {
        Key { resource: self.target.clone(), namespace: self.namespace.clone(), name: name.to_owned() }
    }

    /// Reads a request; none if its path is no resource's.
    pub(super) fn read(parts: &Parts, body: &[u8]) -> Option<Self> {
        let path: Vec<&str> = parts.uri.path().trim_matches('/').split('/').collect();
        let (group, version, rest) = match path.as_slice() {
            ["api", version, rest @ ..] => ("", *version, rest),
            ["apis", group, version, rest @ ..] => (*group, *version, rest),
            _ => return None,
        };
        let (namespace, rest) = match rest {
            ["namespaces", namespace, rest @ ..] if !rest.is_empty() => (Some(*namespace), rest),
            rest => (None, rest),
        };
        let (plural, name, subresource) = match rest {
            [plural] => (*plural, None, None),
            [plural, name] => (*plural, Some(*name), None),
            [plural, name, subresource] => (*plural, Some(*name), Some(*subresource)),
            _ => return None,
        };
        let query = decode_query(parts.uri.query().unwrap_or_default());
        let content_type = content_type(parts);
        Some(Self {
            verb: verb(&parts.method, name.is_some(), &query, &content_type)?,
            resource: subresource.map_or_else(|| plural.to_owned(), |sub| format!("{plural}/{sub}")),
            namespace: namespace.map(str::to_owned),
            name: name.map(str::to_owned),
            query,
            body: serde_json::from_slice(body).unwrap_or(Value::Null),
            code: None,
            serial: 0,
            content_type,
            subresource: subresource.map(str::to_owned),
            target: ResourceName { group: group.into(), version: version.into(), plural: plural.into() },
        })
    }
}

fn verb(
    method: &Method,
    named: bool,
    query: &BTreeMap<String, String>,
    content_type: &str,
) -> Option<&'static str> {
    let watches = query.get("watch").is_some_and(|value| value == "true" || value == "1");
    Some(match (method.as_str(), named) {
        ("GET", true) => "get",
        ("GET", false) if watches => "watch",
        ("GET", false) => "list",
        ("POST", _) => "create",
        ("PUT", true) => "update",
        ("PATCH", true) if content_type.starts_with("application/apply-patch") => "apply",
        ("PATCH", true) => "patch",
        ("DELETE", true) => "delete",
        ("DELETE", false) => "deletecollection",
        _ => return None,
    })
}

fn content_type(parts: &Parts) -> String {
    let value = parts.headers.get(http::header::CONTENT_TYPE).and_then(|value| value.to_str().ok());
    value.unwrap_or_default().to_owned()
}

fn decode_query(query: &str) -> BTreeMap<String, String> {
    form_urlencoded::parse(query.as_bytes())
        .map(|(key, value)| (key.into_owned(), value.into_owned()))
        .collect()
}
