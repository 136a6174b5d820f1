//! The objects, and what each verb does to them.

use std::collections::BTreeMap;

use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use kube::Resource;
use serde_json::{Value, json};

use super::apply::{self, Owners};
use super::call::Call;
use super::failure::Failure;
use super::schema::Schemas;
use super::selector::Selector;

/// What etcd takes by default.
const MAX_OBJECT: usize = 1_572_864;
const FOREGROUND: &str = "foregroundDeletion";
/// What of its metadata no write changes.
const KEPT: [&str; 7] =
    ["name", "namespace", "uid", "creationTimestamp", "deletionTimestamp", "generation", "resourceVersion"];

/// A kind as paths name it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct ResourceName {
    pub(super) group: String,
    pub(super) version: String,
    pub(super) plural: String,
}

impl ResourceName {
    pub(super) fn of<K: Resource<DynamicType = ()>>() -> Self {
        Self {
            group: K::group(&()).into_owned(),
            version: K::version(&()).into_owned(),
            plural: K::plural(&()).into_owned(),
        }
    }
}

/// Which object.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Key {
    pub(super) resource: ResourceName,
    pub(super) namespace: Option<String>,
    pub(super) name: String,
}

/// One change, for watches.
#[derive(Clone, Debug)]
pub(super) struct Event {
    pub(super) version: u64,
    pub(super) key: Key,
    pub(super) before: Option<Value>,
    pub(super) after: Option<Value>,
}

/// All objects, and every change that led to them.
#[derive(Default)]
pub(super) struct Store {
    objects: BTreeMap<Key, Value>,
    owners: BTreeMap<Key, Owners>,
    version: u64,
    uids: u64,
    schemas: Schemas,
    pub(super) log: Vec<Event>,
    pub(super) changed: tokio::sync::watch::Sender<u64>,
}

impl Store {
    pub(super) fn know(&mut self, crds: &[CustomResourceDefinition]) {
        self.schemas = Schemas::new(crds);
    }

    pub(super) fn get(&self, key: &Key) -> Option<&Value> {
        self.objects.get(key)
    }

    pub(super) fn of_resource(&self, resource: &ResourceName) -> impl Iterator<Item = &Value> {
        self.objects.iter().filter(move |(key, _)| key.resource == *resource).map(|(_, object)| object)
    }

    /// Does what the request asks for; answers the code and the body.
    pub(super) fn answer(&mut self, call: &Call) -> Result<(u16, Value), Failure> {
        match call.verb {
            "get" => self.named(call).map(|object| (200, object)),
            "list" => self.list(call).map(|list| (200, list)),
            "create" => self.create(call).map(|object| (201, object)),
            "update" => self.update(call).map(|object| (200, object)),
            "patch" => self.patch(call).map(|object| (200, object)),
            "apply" => self.apply(call),
            "delete" => self.delete(call).map(|object| (200, object)),
            verb => Err(Failure::new(405, format!("{verb} is not served here"))),
        }
    }

    /// Puts an object as it is; what the server keeps is filled in if it is missing.
    pub(super) fn seed(&mut self, key: Key, mut object: Value) -> Value {
        self.adopt(&key, &mut object);
        self.write(key, object)
    }

    pub(super) fn remove(&mut self, key: &Key) {
        let Some(before) = self.objects.remove(key) else { return };
        self.owners.remove(key);
        self.note(key.clone(), Some(before), None);
    }

    fn named(&self, call: &Call) -> Result<Value, Failure> {
        let name = call.name.as_deref().unwrap_or_default();
        self.get(&call.key(name)).cloned().ok_or_else(|| Failure::not_found(name))
    }

    fn list(&self, call: &Call) -> Result<Value, Failure> {
        let selector = Selector::parse(call.query.get("labelSelector"), call.query.get("fieldSelector"))?;
        let in_scope = |key: &Key| {
            key.resource == call.target && (call.namespace.is_none() || key.namespace == call.namespace)
        };
        let found = self.objects.iter().filter(|(key, object)| in_scope(key) && selector.matches(object));
        let items: Vec<&Value> = found.map(|(_, object)| object).collect();
        Ok(json!({
            "apiVersion": "v1",
            "kind": "List",
            "metadata": { "resourceVersion": self.version.to_string() },
            "items": items,
        }))
    }

    fn create(&mut self, call: &Call) -> Result<Value, Failure> {
        if let Some(subresource) = &call.subresource {
            return Err(Failure::new(405, format!("create of {subresource} is not served here")));
        }
        let mut object = call.body.clone();
        let name = self.new_name(&object)?;
        let key = call.key(&name);
        if self.objects.contains_key(&key) {
            return Err(Failure::already_exists(&name));
        }
        object["metadata"]["name"] = name.into();
        for given in ["uid", "resourceVersion", "creationTimestamp", "deletionTimestamp", "generation"] {
            remove_member(&mut object["metadata"], given);
        }
        remove_member(&mut object, "status");
        self.schemas.admit(&key.resource, &mut object)?;
        within_limit(&object)?;
        self.adopt(&key, &mut object);
        Ok(self.write(key, object))
    }

    fn new_name(&mut self, object: &Value) -> Result<String, Failure> {
        let metadata = &object["metadata"];
        if let Some(name) = metadata["name"].as_str().filter(|name| !name.is_empty()) {
            return Ok(name.to_owned());
        }
        let base = metadata["generateName"].as_str();
        let base = base.ok_or_else(|| Failure::new(422, "name or generateName is required"))?;
        self.uids += 1;
        Ok(format!("{base}{:05x}", self.uids))
    }

    fn update(&mut self, call: &Call) -> Result<Value, Failure> {
        let before = self.named(call)?;
        self.change(call, &before, &call.body)
    }

    fn patch(&mut self, call: &Call) -> Result<Value, Failure> {
        if call.content_type.starts_with("application/json-patch") {
            return Err(Failure::new(415, "JSON patches are not served here"));
        }
        let before = self.named(call)?;
        let mut after = before.clone();
        merge(&mut after, &call.body);
        self.change(call, &before, &after)
    }

    fn apply(&mut self, call: &Call) -> Result<(u16, Value), Failure> {
        let name = call.name.clone().unwrap_or_default();
        let key = call.key(&name);
        let Some(before) = self.get(&key).cloned() else {
            if call.subresource.is_some() {
                return Err(Failure::not_found(&name));
            }
            self.create(&Call { body: named_body(&call.body, &name), ..call.clone() })?;
            return self.apply(call).map(|(_, made)| (201, made));
        };
        locked(&call.body, &before, &name)?;
        let manager = call.query.get("fieldManager").cloned();
        let manager = manager.ok_or_else(|| Failure::new(400, "fieldManager is required for apply"))?;
        let force = call.query.get("force").is_some_and(|force| force == "true");
        let owner = (manager, call.subresource.clone().unwrap_or_default());
        let mut after = before.clone();
        let owners = self.owners.entry(key).or_default();
        apply::apply(&mut after, owners, &owner, &applied_part(call), force)?;
        self.change(call, &before, &after).map(|object| (200, object))
    }

    /// Writes what `after` may change of `before`: all but `status`, or `status` alone.
    fn change(&mut self, call: &Call, before: &Value, after: &Value) -> Result<Value, Failure> {
        let name = call.name.as_deref().unwrap_or_default();
        locked(after, before, name)?;
        let (main, status) = if call.subresource.is_some() { (before, after) } else { (after, before) };
        let mut object = main.clone();
        set_member(&mut object, "status", &status["status"]);
        for kept in KEPT {
            set_member(&mut object["metadata"], kept, &before["metadata"][kept]);
        }
        self.schemas.admit(&call.target, &mut object)?;
        within_limit(&object)?;
        if object == *before {
            return Ok(object);
        }
        if object["spec"] != before["spec"] {
            let generation = before["metadata"]["generation"].as_i64().unwrap_or(0);
            object["metadata"]["generation"] = (generation + 1).into();
        }
        let key = call.key(name);
        let gone = !object["metadata"]["deletionTimestamp"].is_null() && finalizers(&object).is_empty();
        let written = self.write(key.clone(), object);
        if gone {
            self.remove(&key);
        }
        Ok(written)
    }

    fn delete(&mut self, call: &Call) -> Result<Value, Failure> {
        let mut object = self.named(call)?;
        let name = call.name.as_deref().unwrap_or_default();
        for (member, wanted) in call.body["preconditions"].as_object().into_iter().flatten() {
            if !wanted.is_null() && object["metadata"][member] != *wanted {
                return Err(Failure::new(
                    409,
                    format!("the {member} in the precondition is not that of {name:?}"),
                ));
            }
        }
        let policy = call.body["propagationPolicy"]
            .as_str()
            .or(call.query.get("propagationPolicy").map(String::as_str));
        if policy == Some("Foreground")
            && !finalizers(&object).iter().any(|finalizer| finalizer == FOREGROUND)
        {
            let with = finalizers(&object).into_iter().chain([FOREGROUND.to_owned()]).collect::<Vec<_>>();
            object["metadata"]["finalizers"] = json!(with);
        }
        let key = call.key(name);
        if finalizers(&object).is_empty() {
            self.remove(&key);
            return Ok(object);
        }
        if object["metadata"]["deletionTimestamp"].is_null() {
            object["metadata"]["deletionTimestamp"] = now().into();
        }
        Ok(self.write(key, object))
    }

    fn adopt(&mut self, key: &Key, object: &mut Value) {
        let metadata = &mut object["metadata"];
        metadata["name"] = key.name.clone().into();
        if let Some(namespace) = &key.namespace {
            metadata["namespace"] = namespace.clone().into();
        }
        if metadata["uid"].is_null() {
            self.uids += 1;
            metadata["uid"] = format!("00000000-0000-4000-8000-{:012x}", self.uids).into();
        }
        if metadata["creationTimestamp"].is_null() {
            metadata["creationTimestamp"] = now().into();
        }
        if metadata["generation"].is_null() {
            metadata["generation"] = 1.into();
        }
    }

    fn write(&mut self, key: Key, mut object: Value) -> Value {
        object["metadata"]["resourceVersion"] = (self.version + 1).to_string().into();
        let before = self.objects.insert(key.clone(), object.clone());
        self.note(key, before, Some(object.clone()));
        object
    }

    fn note(&mut self, key: Key, before: Option<Value>, after: Option<Value>) {
        self.version += 1;
        self.log.push(Event { version: self.version, key, before, after });
        self.changed.send_replace(self.version);
    }
}

/// The optimistic lock: a resourceVersion that is given must be the object's.
fn locked(given: &Value, stored: &Value, name: &str) -> Result<(), Failure> {
    let version = &given["metadata"]["resourceVersion"];
    let uid = &given["metadata"]["uid"];
    if !version.is_null() && *version != stored["metadata"]["resourceVersion"] {
        return Err(Failure::modified(name));
    }
    // An apply on a custom resource's status ignores the UID; nothing else does.
    if !uid.is_null() && *uid != stored["metadata"]["uid"] && given.get("spec").is_some() {
        return Err(Failure::modified(name));
    }
    Ok(())
}

/// What of the body an apply is about.
fn applied_part(call: &Call) -> Value {
    if call.subresource.is_some() {
        return json!({ "status": call.body["status"] });
    }
    let mut part = call.body.clone();
    remove_member(&mut part, "status");
    for member in ["apiVersion", "kind"] {
        remove_member(&mut part, member);
    }
    for member in ["name", "namespace", "resourceVersion", "uid"] {
        remove_member(&mut part["metadata"], member);
    }
    part
}

fn named_body(body: &Value, name: &str) -> Value {
    let mut body = body.clone();
    body["metadata"]["name"] = name.into();
    body
}

/// RFC 7386.
fn merge(target: &mut Value, patch: &Value) {
    let Some(members) = patch.as_object() else {
        *target = patch.clone();
        return;
    };
    if !target.is_object() {
        *target = json!({});
    }
    for (name, value) in members {
        if value.is_null() {
            remove_member(target, name);
        } else {
            merge(&mut target[name], value);
        }
    }
}

fn set_member(object: &mut Value, name: &str, value: &Value) {
    if value.is_null() {
        remove_member(object, name);
    } else {
        object[name] = value.clone();
    }
}

fn remove_member(object: &mut Value, name: &str) {
    if let Some(members) = object.as_object_mut() {
        members.remove(name);
    }
}

fn finalizers(object: &Value) -> Vec<String> {
    let list = object["metadata"]["finalizers"].as_array();
    list.into_iter().flatten().filter_map(|name| name.as_str().map(str::to_owned)).collect()
}

fn within_limit(object: &Value) -> Result<(), Failure> {
    let size = object.to_string().len();
    if size > MAX_OBJECT {
        return Err(Failure::new(413, format!("etcdserver: request is too large ({size} bytes)")));
    }
    Ok(())
}

fn now() -> String {
    let now = jiff::Timestamp::now();
    jiff::Timestamp::from_second(now.as_second()).unwrap_or(now).to_string()
}
