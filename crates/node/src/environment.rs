//! The environment, command and arguments of a container, from its spec and what that refers to. Pure.

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::{Container, EnvFromSource, EnvVarSource, Pod};

use crate::fields::{self, Allocatable};
use crate::sources::{Kind, Sources};

/// Variables by name.
pub type Variables = BTreeMap<String, String>;

/// The variables of `container` on top of `defaults`, as a kubelet makes them.
///
/// # Errors
/// A reference leads nowhere and is not optional; the message is a kubelet's.
pub fn variables(
    pod: &Pod,
    container: &Container,
    sources: &Sources,
    node: &Allocatable,
    defaults: Variables,
) -> Result<Variables, String> {
    let mut known = defaults;
    for source in container.env_from.iter().flatten() {
        known.extend(bulk(source, sources)?);
    }
    for variable in container.env.iter().flatten() {
        let value = match &variable.value_from {
            None => Some(expand(variable.value.as_deref().unwrap_or_default(), &known)),
            Some(from) => referred(pod, container, from, sources, node)?,
        };
        known.extend(value.map(|value| (variable.name.clone(), value)));
    }
    Ok(known)
}

/// All keys of one object, but those that no environment can hold.
fn bulk(source: &EnvFromSource, sources: &Sources) -> Result<Variables, String> {
    let prefix = source.prefix.as_deref().unwrap_or_default();
    let references = [
        source.config_map_ref.as_ref().map(|r| (Kind::ConfigMap, &r.name, r.optional)),
        source.secret_ref.as_ref().map(|r| (Kind::Secret, &r.name, r.optional)),
    ];
    let mut variables = Variables::new();
    for (kind, name, optional) in references.into_iter().flatten() {
        match sources.object(kind, name) {
            Ok(data) => {
                let named = data.iter().map(|(key, value)| (format!("{prefix}{key}"), text(value)));
                variables.extend(named.filter(|(name, _)| !name.is_empty() && !name.contains('=')));
            }
            Err(_) if optional == Some(true) => {}
            Err(missing) => return Err(missing),
        }
    }
    Ok(variables)
}

/// The value that a reference leads to; `None` if it is optional and leads nowhere.
fn referred(
    pod: &Pod,
    container: &Container,
    from: &EnvVarSource,
    sources: &Sources,
    node: &Allocatable,
) -> Result<Option<String>, String> {
    if let Some(selector) = &from.field_ref {
        return fields::field(pod, &selector.field_path).map(Some);
    }
    if let Some(selector) = &from.resource_field_ref {
        return fields::resource(pod, Some(&container.name), selector, node).map(Some);
    }
    let reference = from.config_map_key_ref.as_ref().map(|r| (Kind::ConfigMap, &r.name, &r.key, r.optional));
    let secret = from.secret_key_ref.as_ref().map(|r| (Kind::Secret, &r.name, &r.key, r.optional));
    let Some((kind, name, key, optional)) = reference.or(secret) else { return Ok(None) };
    let namespace = pod.metadata.namespace.as_deref().unwrap_or_default();
    let value = sources.object(kind, name).and_then(|data| {
        let missing = || format!("couldn't find key {key} in {kind:?} {namespace}/{name}");
        data.get(key).map(|value| text(value)).ok_or_else(missing)
    });
    match value {
        Err(_) if optional == Some(true) => Ok(None),
        value => value.map(Some),
    }
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// Replaces `$(NAME)` by the variable's value and `$$` by `$`. What refers to nothing stays as it is.
pub fn expand(text: &str, variables: &Variables) -> String {
    let mut expanded = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find('$') {
        expanded.push_str(&rest[..at]);
        let (piece, length) = reference(&rest[at..], variables);
        expanded.push_str(&piece);
        rest = &rest[at + length..];
    }
    expanded + rest
}

/// What stands for the beginning of `text`, which starts with `$`, and how long that beginning is.
fn reference(text: &str, variables: &Variables) -> (String, usize) {
    if text.starts_with("$$") {
        return ("$".to_owned(), 2);
    }
    let name = text.strip_prefix("$(").and_then(|inner| inner.split_once(')')).map(|(name, _)| name);
    let Some(name) = name else { return ("$".to_owned(), 1) };
    let written = &text[..name.len() + 3];
    (variables.get(name).map_or(written, String::as_str).to_owned(), written.len())
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    #[test]
    fn references_are_expanded() {
        let variables =
            Variables::from([("A".to_owned(), "1".to_owned()), ("B".to_owned(), "$(A)".to_owned())]);
        for (text, want) in [
            ("plain", "plain"),
            ("$(A)-$(B)", "1-$(A)"),
            ("$$(A) $(NONE) $A", "$(A) $(NONE) $A"),
            ("$(A", "$(A"),
            ("$", "$"),
            ("$$$(A)é$(A)", "$1é1"),
            ("$()", "$()"),
        ] {
            assert_eq!(expand(text, &variables), want, "{text}");
        }
    }

    fn made(container: Value) -> Result<Vec<String>, String> {
        let mut container = container;
        container["name"] = json!("main");
        let container: Container = serde_json::from_value(container).unwrap();
        let pod: Pod =
            serde_json::from_value(json!({"metadata": {"name": "web", "namespace": "shop"}})).unwrap();
        let sources = Sources::default()
            .with(Kind::ConfigMap, "settings", &[("COLOUR", "blue"), ("bad=key", "x")])
            .with(Kind::Secret, "login", &[("password", "p$(COLOUR)")]);
        let node = Allocatable { cpu: "4".to_owned(), memory: "1Gi".to_owned() };
        let defaults = Variables::from([("HOST".to_owned(), "h".to_owned())]);
        let variables = variables(&pod, &container, &sources, &node, defaults)?;
        Ok(variables.into_iter().map(|(name, value)| format!("{name}={value}")).collect())
    }

    #[test]
    fn variables_come_from_all_sources() {
        let from = |from: Value| json!({"env": [{"name": "V", "valueFrom": from}]});
        for (container, want) in [
            (json!({}), Ok(vec!["HOST=h"])),
            (json!({"env": [{"name": "HOST", "value": "$(HOST)2"}]}), Ok(vec!["HOST=h2"])),
            (
                json!({"envFrom": [{"prefix": "P_", "configMapRef": {"name": "settings"}}],
                       "env": [{"name": "X", "value": "$(P_COLOUR)"}]}),
                Ok(vec!["HOST=h", "P_COLOUR=blue", "X=blue"]),
            ),
            (
                from(json!({"secretKeyRef": {"name": "login", "key": "password"}})),
                Ok(vec!["HOST=h", "V=p$(COLOUR)"]),
            ),
            (from(json!({"fieldRef": {"fieldPath": "metadata.name"}})), Ok(vec!["HOST=h", "V=web"])),
            (
                from(json!({"secretKeyRef": {"name": "login", "key": "user"}})),
                Err("couldn't find key user in Secret shop/login"),
            ),
            (
                from(json!({"secretKeyRef": {"name": "login", "key": "user", "optional": true}})),
                Ok(vec!["HOST=h"]),
            ),
            (
                from(json!({"configMapKeyRef": {"name": "nope", "key": "a"}})),
                Err("configmap \"nope\" not found"),
            ),
            (json!({"envFrom": [{"secretRef": {"name": "nope"}}]}), Err("secret \"nope\" not found")),
            (json!({"envFrom": [{"secretRef": {"name": "nope", "optional": true}}]}), Ok(vec!["HOST=h"])),
        ] {
            let want = want.map(|v| v.into_iter().map(str::to_owned).collect()).map_err(str::to_owned);
            assert_eq!(made(container.clone()), want, "{container}");
        }
    }
}
