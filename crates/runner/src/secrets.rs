//! What is to be taken out of all that leaves the pod.

use std::fs;

use punching_fist_protocol::pod::paths::SERVICE_ACCOUNT_TOKEN;
use punching_fist_protocol::pod::variables::{KUBECONFIG, SECRETS, TOKEN_FILE};
use punching_fist_protocol::{Redactor, is_secret};

use crate::kubeconfig;
use crate::settings::Environment;

/// Knows every secret that the engine is given. What can't be read is refused later, where it is used.
pub fn redactor(environment: &Environment) -> Redactor {
    let named: Vec<_> = environment.get(SECRETS).unwrap_or_default().split(',').map(str::trim).collect();
    let is_one = |(name, value): &(&str, &str)| named.contains(name) || is_secret(name, value);
    let values = environment.variables().filter(is_one).map(|(_, value)| value.to_owned());
    let files = [environment.get(TOKEN_FILE), Some(SERVICE_ACCOUNT_TOKEN)];
    let tokens = files.into_iter().flatten().filter_map(|path| fs::read_to_string(path).ok());
    let kubeconfig = environment.get(KUBECONFIG).and_then(|path| fs::read_to_string(path).ok());
    let cluster = kubeconfig.and_then(|text| kubeconfig::read(&text).ok());
    let cluster = cluster.map(|cluster| cluster.secrets).unwrap_or_default();
    Redactor::from_values(values.chain(tokens).chain(cluster))
}
