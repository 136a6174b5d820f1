//! What is to be taken out of all that leaves the pod.

use std::fs;

use punching_fist_protocol::{Redactor, is_secret_name};

use crate::kubeconfig;
use crate::settings::{Environment, KUBECONFIG};

/// The names of the variables that come from Secrets.
const SECRETS: &str = "PUNCHING_FIST_SECRETS";
const TOKEN_FILE: &str = "PUNCHING_FIST_TOKEN_FILE";
/// The token for the cluster's own API server, if the pod has one.
const SERVICE_ACCOUNT_TOKEN: &str = "/var/run/secrets/kubernetes.io/serviceaccount/token";
/// Shorter values of variables that only look like secrets by their name are none.
const GUESSED_MIN: usize = 8;

/// Knows every secret that the engine is given. What can't be read is refused later, where it is used.
pub fn redactor(environment: &Environment) -> Redactor {
    let named: Vec<_> = environment.get(SECRETS).unwrap_or_default().split(',').map(str::trim).collect();
    let is_secret = |(name, value): &(&str, &str)| {
        named.contains(name) || is_secret_name(name) && value.trim().len() >= GUESSED_MIN
    };
    let values = environment.variables().filter(is_secret).map(|(_, value)| value.to_owned());
    let files = [environment.get(TOKEN_FILE), Some(SERVICE_ACCOUNT_TOKEN)];
    let tokens = files.into_iter().flatten().filter_map(|path| fs::read_to_string(path).ok());
    let kubeconfig = environment.get(KUBECONFIG).and_then(|path| fs::read_to_string(path).ok());
    let clusters = kubeconfig.and_then(|text| kubeconfig::check(&text).ok()).unwrap_or_default();
    Redactor::from_values(values.chain(tokens).chain(clusters))
}
