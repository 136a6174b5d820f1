//! An API server in memory that records every request and fails where it is told to: for tests of what talks.
//!
//! What it does as the real one does: create, get, list, watch, update, merge patch, server-side apply and delete, with
//! UIDs, resourceVersions and generations; `status` apart from the rest of the object; optimistic locks (409
//! `Conflict`); `AlreadyExists`, also for an object that is being deleted; ownership of fields, and the loss of what
//! an apply leaves out; label and field selectors; preconditions; finalizers and foreground deletion; 413 past etcd's
//! limit.
//!
//! With the definitions of custom resources ([`RecordingApi::with_crds`]) it prunes, fills in defaults and answers 422 as
//! their schemas say.
//!
//! What it doesn't do: it evaluates no CEL rules and no formats, and without definitions it takes any shape; it has no
//! admission, no RBAC, no controller and no garbage collection; list pages (`limit` is ignored) and old resourceVersions (each list is
//! consistent, each watch can start anywhere); a strategic merge patch is taken for a merge patch, a JSON patch is
//! refused; of lists, only `conditions`, `attempts` and `env` are merged by key in an apply, all others are atomic.
//!
//! No time passes in it by itself: `creationTimestamp` is the clock's, everything else is what was asked for.

mod apply;
mod call;
mod failure;
mod fault;
mod schema;
mod selector;
mod service;
mod store;
mod watch;

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use kube::{Client, Resource};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;

pub use call::Call;
use fault::Rule;
pub use fault::{Fault, Times};
use store::{Key, ResourceName, Store};

/// The API server; clones are the same one.
#[derive(Clone, Default)]
pub struct RecordingApi {
    inner: Arc<Mutex<Inner>>,
}

#[derive(Default)]
struct Inner {
    store: Store,
    calls: Vec<Call>,
    rules: Vec<Rule>,
    serial: u64,
}

impl Inner {
    /// Keeps the request, and says under which number and what goes wrong with it.
    fn record(&mut self, call: &Call) -> (u64, Option<Fault>) {
        self.serial += 1;
        self.calls.push(Call { serial: self.serial, ..call.clone() });
        (self.serial, fault::of(&mut self.rules, call))
    }

    /// The request may have been forgotten meanwhile.
    fn note_answer(&mut self, serial: u64, code: u16) {
        if let Some(call) = self.calls.iter_mut().find(|call| call.serial == serial) {
            call.code = Some(code);
        }
    }
}

impl RecordingApi {
    /// An empty server.
    pub fn new() -> Self {
        Self::default()
    }

    /// An empty server that knows these kinds' schemas.
    pub fn with_crds(crds: &[CustomResourceDefinition]) -> Self {
        let api = Self::new();
        api.lock().store.know(crds);
        api
    }

    /// A client of this server: without kube's retry layer, and with `default` as its namespace.
    pub fn client(&self) -> Client {
        Client::new(service::Service::new(self.clone()), "default")
    }

    /// Puts an object in as it is, `status` included, and returns it with what the server adds. Not recorded.
    pub fn seed<K>(&self, object: &K) -> K
    where
        K: Resource<DynamicType = ()> + Serialize + DeserializeOwned,
    {
        let mut value = to_value(object);
        value["apiVersion"] = K::api_version(&()).into();
        value["kind"] = K::kind(&()).into();
        let key = key_of::<K>(
            object.meta().namespace.as_deref(),
            object.meta().name.as_deref().unwrap_or_default(),
        );
        from_value(self.lock().store.seed(key, value))
    }

    /// Changes an object as another writer would: any part of it, without a lock. Not recorded.
    ///
    /// # Panics
    /// If there is no such object.
    pub fn change<K>(&self, namespace: &str, name: &str, change: impl FnOnce(&mut K)) -> K
    where
        K: Resource<DynamicType = ()> + Serialize + DeserializeOwned,
    {
        let key = key_of::<K>(Some(namespace), name);
        let mut inner = self.lock();
        let mut object: K = from_value(inner.store.get(&key).expect("the object to change exists").clone());
        change(&mut object);
        from_value(inner.store.seed(key, to_value(&object)))
    }

    /// The object as it stands. Not recorded.
    pub fn read<K>(&self, namespace: &str, name: &str) -> Option<K>
    where
        K: Resource<DynamicType = ()> + DeserializeOwned,
    {
        self.lock().store.get(&key_of::<K>(Some(namespace), name)).cloned().map(from_value)
    }

    /// All objects of a kind, by namespace and name. Not recorded.
    pub fn all<K>(&self) -> Vec<K>
    where
        K: Resource<DynamicType = ()> + DeserializeOwned,
    {
        let resource = ResourceName::of::<K>();
        self.lock().store.of_resource(&resource).cloned().map(from_value).collect()
    }

    /// Takes an object away for good, finalizers or not, as the end of a deletion does. Not recorded.
    pub fn remove<K: Resource<DynamicType = ()>>(&self, namespace: &str, name: &str) {
        self.lock().store.remove(&key_of::<K>(Some(namespace), name));
    }

    /// Lets requests fail: `verb` is Kubernetes' (`get list watch create update patch apply delete`), `resource` its
    /// plural with the subresource (`alerttasks/status`); `*` is any. The newest rule that fits decides.
    pub fn inject(&self, verb: &str, resource: &str, fault: Fault, times: Times) {
        self.lock().rules.push(Rule::new(verb, resource, fault, times));
    }

    /// Lets nothing fail any more.
    pub fn heal(&self) {
        self.lock().rules.clear();
    }

    /// Every request since the start, or since [`Self::forget`], in the order in which they came.
    pub fn calls(&self) -> Vec<Call> {
        self.lock().calls.clone()
    }

    /// The requests that would change something.
    pub fn writes(&self) -> Vec<Call> {
        self.calls().into_iter().filter(Call::is_write).collect()
    }

    /// The requests with this verb and resource, as in [`Self::inject`].
    pub fn calls_of(&self, verb: &str, resource: &str) -> Vec<Call> {
        self.calls().into_iter().filter(|call| call.is(verb, resource)).collect()
    }

    /// Forgets the requests, not the objects.
    pub fn forget(&self) {
        self.lock().calls.clear();
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        // A test that panicked while it held the lock has failed already; the others want their own message.
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn key_of<K: Resource<DynamicType = ()>>(namespace: Option<&str>, name: &str) -> Key {
    Key { resource: ResourceName::of::<K>(), namespace: namespace.map(str::to_owned), name: name.to_owned() }
}

fn to_value(object: &impl Serialize) -> Value {
    serde_json::to_value(object).expect("an API object is JSON")
}

fn from_value<K: DeserializeOwned>(value: Value) -> K {
    serde_json::from_value(value).expect("the stored object has the kind's shape")
}

#[cfg(test)]
mod tests;
