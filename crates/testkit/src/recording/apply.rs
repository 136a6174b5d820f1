//! Server-side apply: who owns which field, and what becomes of a field that its owner leaves out.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Map, Value};

use super::failure::Failure;

/// The way to a field: member names, and `[key=value]` for an element of a list that is a map.
pub(super) type Path = Vec<String>;

/// Which fields each manager owns (per manager and subresource).
pub(super) type Owners = BTreeMap<(String, String), BTreeSet<Path>>;

/// Lists that the kinds here declare as maps, and the member that is their key.
fn list_key(member: &str) -> Option<&'static str> {
    match member {
        "conditions" => Some("type"),
        "attempts" => Some("podUID"),
        "env" => Some("name"),
        _ => None,
    }
}

/// `applied` by `manager` onto `object`. Without `force`, another manager's different value is a conflict.
pub(super) fn apply(
    object: &mut Value,
    owners: &mut Owners,
    manager: &(String, String),
    applied: &Value,
    force: bool,
) -> Result<(), Failure> {
    let mut leaves = Vec::new();
    collect(applied, &mut Vec::new(), &mut leaves);
    if !force {
        refuse_conflicts(object, owners, manager, &leaves)?;
    }
    let new: BTreeSet<Path> = leaves.iter().map(|(path, _)| path.clone()).collect();
    let old = owners.insert(manager.clone(), new.clone()).unwrap_or_default();
    for path in old.difference(&new) {
        if !owners.values().any(|paths| paths.contains(path)) {
            remove(object, path);
        }
    }
    for (path, value) in leaves {
        if get(object, &path) != Some(&value) {
            disown(owners, manager, &path);
        }
        set(object, &path, value);
    }
    Ok(())
}

fn refuse_conflicts(
    object: &Value,
    owners: &Owners,
    manager: &(String, String),
    leaves: &[(Path, Value)],
) -> Result<(), Failure> {
    for (path, value) in leaves {
        let other = owners.iter().find(|(owner, paths)| *owner != manager && paths.contains(path));
        if let Some(((other, _), _)) = other
            && get(object, path) != Some(value)
        {
            return Err(Failure::new(
                409,
                format!("Apply failed with 1 conflict: conflict with {other:?}: .{}", path.join(".")),
            ));
        }
    }
    Ok(())
}

fn disown(owners: &mut Owners, manager: &(String, String), path: &Path) {
    for (owner, paths) in owners.iter_mut() {
        if owner != manager {
            paths.remove(path);
        }
    }
}

/// Every leaf below `value`; an empty object and an atomic list are leaves, null is nothing.
fn collect(value: &Value, path: &mut Path, leaves: &mut Vec<(Path, Value)>) {
    match value {
        Value::Null => {}
        Value::Object(members) if !members.is_empty() => {
            for (name, member) in members {
                path.push(name.clone());
                collect(member, path, leaves);
                path.pop();
            }
        }
        Value::Array(items) => match path.last().and_then(|member| list_key(member)) {
            Some(key) => collect_items(items, key, path, leaves),
            None => leaves.push((path.clone(), value.clone())),
        },
        leaf => leaves.push((path.clone(), leaf.clone())),
    }
}

fn collect_items(items: &[Value], key: &str, path: &mut Path, leaves: &mut Vec<(Path, Value)>) {
    for item in items {
        path.push(format!("[{key}={}]", item[key].as_str().unwrap_or_default()));
        collect(item, path, leaves);
        path.pop();
    }
}

fn element(step: &str) -> Option<(&str, &str)> {
    step.strip_prefix('[')?.strip_suffix(']')?.split_once('=')
}

fn get<'a>(value: &'a Value, path: &[String]) -> Option<&'a Value> {
    path.iter().try_fold(value, |value, step| match element(step) {
        Some((key, wanted)) => value.as_array()?.iter().find(|item| item[key] == wanted),
        None => value.get(step),
    })
}

fn set(value: &mut Value, path: &[String], leaf: Value) {
    let Some((step, rest)) = path.split_first() else {
        // An empty object says that it is there, not that it is empty.
        if !(is_empty(&leaf) && leaf.is_object() && value.is_object()) {
            *value = leaf;
        }
        return;
    };
    let child = match element(step) {
        Some((key, wanted)) => item_of(value, key, wanted),
        None => member_of(value, step),
    };
    set(child, rest, leaf);
}

fn member_of<'a>(value: &'a mut Value, name: &str) -> &'a mut Value {
    if !value.is_object() {
        *value = Value::Object(Map::new());
    }
    &mut value[name]
}

fn item_of<'a>(value: &'a mut Value, key: &str, wanted: &str) -> &'a mut Value {
    if !value.is_array() {
        *value = Value::Array(Vec::new());
    }
    let items = value.as_array_mut().expect("made an array just now");
    let index = items.iter().position(|item| item[key] == wanted).unwrap_or_else(|| {
        items.push(serde_json::json!({ key: wanted }));
        items.len() - 1
    });
    &mut items[index]
}

fn remove(value: &mut Value, path: &[String]) {
    let Some((step, rest)) = path.split_first() else { return };
    match element(step) {
        Some((key, wanted)) => remove_item(value, key, wanted, rest),
        None if rest.is_empty() => {
            value.as_object_mut().and_then(|members| members.remove(step));
        }
        None => {
            let Some(child) = value.get_mut(step) else { return };
            remove(child, rest);
            if is_empty(child) {
                value.as_object_mut().and_then(|members| members.remove(step));
            }
        }
    }
}

/// An element of which only the key is left goes as a whole.
fn remove_item(value: &mut Value, key: &str, wanted: &str, rest: &[String]) {
    let Some(items) = value.as_array_mut() else { return };
    let Some(index) = items.iter().position(|item| item[key] == wanted) else { return };
    if rest.len() == 1 && rest[0] == key {
        items.remove(index);
    } else {
        remove(&mut items[index], rest);
    }
}

fn is_empty(value: &Value) -> bool {
    value.as_object().is_some_and(Map::is_empty) || value.as_array().is_some_and(Vec::is_empty)
}
