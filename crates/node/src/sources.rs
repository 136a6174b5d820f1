//! The ConfigMaps and Secrets that a pod reads, fetched from the API server when they are needed.

use std::collections::{BTreeMap, BTreeSet};

use k8s_openapi::ByteString;
use k8s_openapi::api::core::v1::{ConfigMap, Container, Secret, Volume};
use kube::{Api, Client};

use crate::calls::{self, CallError};

/// Which kind of object keys are read from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Kind {
    ConfigMap,
    Secret,
}

/// The data of the objects that were looked for. One that does not exist is not in it.
#[derive(Debug, Default)]
pub struct Sources(BTreeMap<(Kind, String), BTreeMap<String, Vec<u8>>>);

impl Sources {
    /// Fetches all that `wanted` names and that exists.
    ///
    /// # Errors
    /// The API server does not say whether one exists.
    pub async fn fetch(
        client: &Client,
        namespace: &str,
        wanted: BTreeSet<(Kind, String)>,
    ) -> Result<Self, CallError> {
        let mut sources = Self::default();
        for (kind, name) in wanted {
            let data = match kind {
                Kind::ConfigMap => {
                    let api: Api<ConfigMap> = Api::namespaced(client.clone(), namespace);
                    calls::bounded(api.get_opt(&name)).await?.map(config_map_data)
                }
                Kind::Secret => {
                    let api: Api<Secret> = Api::namespaced(client.clone(), namespace);
                    calls::bounded(api.get_opt(&name)).await?.map(secret_data)
                }
            };
            sources.0.extend(data.map(|data| ((kind, name), data)));
        }
        Ok(sources)
    }

    /// All keys of an object.
    ///
    /// # Errors
    /// It does not exist; the message is a kubelet's.
    pub fn object(&self, kind: Kind, name: &str) -> Result<&BTreeMap<String, Vec<u8>>, String> {
        self.0.get(&(kind, name.to_owned())).ok_or_else(|| match kind {
            Kind::ConfigMap => format!("configmap \"{name}\" not found"),
            Kind::Secret => format!("secret \"{name}\" not found"),
        })
    }

    #[cfg(test)]
    pub fn with(mut self, kind: Kind, name: &str, data: &[(&str, &str)]) -> Self {
        let data = data.iter().map(|&(key, value)| (key.to_owned(), value.as_bytes().to_vec())).collect();
        self.0.insert((kind, name.to_owned()), data);
        self
    }
}

fn config_map_data(map: ConfigMap) -> BTreeMap<String, Vec<u8>> {
    let text = map.data.into_iter().flatten().map(|(key, value)| (key, value.into_bytes()));
    let binary = map.binary_data.into_iter().flatten().map(|(key, ByteString(bytes))| (key, bytes));
    text.chain(binary).collect()
}

fn secret_data(secret: Secret) -> BTreeMap<String, Vec<u8>> {
    secret.data.into_iter().flatten().map(|(key, ByteString(bytes))| (key, bytes)).collect()
}

/// What the environment of a container reads.
pub fn of_environment(container: &Container) -> BTreeSet<(Kind, String)> {
    let mut wanted = BTreeSet::new();
    for source in container.env_from.iter().flatten() {
        wanted.extend(source.config_map_ref.iter().map(|r| (Kind::ConfigMap, r.name.clone())));
        wanted.extend(source.secret_ref.iter().map(|r| (Kind::Secret, r.name.clone())));
    }
    for from in container.env.iter().flatten().filter_map(|variable| variable.value_from.as_ref()) {
        wanted.extend(from.config_map_key_ref.iter().map(|r| (Kind::ConfigMap, r.name.clone())));
        wanted.extend(from.secret_key_ref.iter().map(|r| (Kind::Secret, r.name.clone())));
    }
    wanted
}

/// What the files of a volume come from.
pub fn of_volume(volume: &Volume) -> BTreeSet<(Kind, String)> {
    let mut wanted = BTreeSet::new();
    wanted.extend(volume.config_map.iter().map(|v| (Kind::ConfigMap, v.name.clone())));
    let secret = volume.secret.as_ref().and_then(|v| v.secret_name.clone());
    wanted.extend(secret.map(|name| (Kind::Secret, name)));
    for part in volume.projected.iter().flat_map(|v| v.sources.iter().flatten()) {
        wanted.extend(part.config_map.iter().map(|p| (Kind::ConfigMap, p.name.clone())));
        wanted.extend(part.secret.iter().map(|p| (Kind::Secret, p.name.clone())));
    }
    wanted
}
