//! The files with which the parts of a control plane know each other, and the kubeconfigs for who comes from outside.

use std::fs;
use std::net::SocketAddr;
use std::path::Path;

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use serde_json::{Value, json};

use crate::Error;
use crate::pki::{Authority, Pair, TokenKeys};

/// Names under which clients reach the API server.
const API_SERVER_NAMES: [&str; 6] = [
    "127.0.0.1",
    "localhost",
    "10.0.0.1",
    "kubernetes",
    "kubernetes.default.svc",
    "kubernetes.default.svc.cluster.local",
];

/// What was made for one control plane.
pub(super) struct Credentials {
    authority: Authority,
    ca_certificate: String,
    admin: Pair,
    api_server: SocketAddr,
}

impl Credentials {
    /// Makes everything and writes what the processes read into `dir`.
    pub(super) fn write(dir: &Path, api_server: SocketAddr) -> Result<Self, Error> {
        let authority = Authority::new()?;
        let ca_certificate = authority.certificate();
        let admin = authority.client("admin", Some("system:masters"))?;
        let made = Self { authority, ca_certificate, admin, api_server };
        write(dir, "ca.crt", &made.ca_certificate)?;
        write_pair(dir, "apiserver", &made.authority.server("kube-apiserver", &API_SERVER_NAMES)?)?;
        write_pair(dir, "kubelet-client", &made.authority.client("kube-apiserver-kubelet-client", None)?)?;
        let tokens = TokenKeys::new()?;
        write(dir, "tokens.key", &tokens.private)?;
        write(dir, "tokens.pub", &tokens.public)?;
        let controller_manager = made.authority.client("system:kube-controller-manager", None)?;
        write(
            dir,
            "controller-manager.kubeconfig",
            &made.kubeconfig(&certificate_user(&controller_manager))?,
        )?;
        Ok(made)
    }

    pub(super) fn ca_certificate(&self) -> &str {
        &self.ca_certificate
    }

    pub(super) fn node_certificate(&self, node: &str) -> Result<Pair, Error> {
        self.authority.server(&format!("system:node:{node}"), &["127.0.0.1", "localhost", node])
    }

    pub(super) fn admin_kubeconfig(&self) -> Result<String, Error> {
        self.kubeconfig(&certificate_user(&self.admin))
    }

    pub(super) fn token_kubeconfig(&self, token: &str) -> Result<String, Error> {
        self.kubeconfig(&json!({ "token": token }))
    }

    fn kubeconfig(&self, user: &Value) -> Result<String, Error> {
        let server = format!("https://{}", self.api_server);
        kubeconfig(&server, &self.ca_certificate, user)
    }
}

/// A kubeconfig for one cluster and one user.
pub(crate) fn kubeconfig(server: &str, ca_certificate: &str, user: &Value) -> Result<String, Error> {
    let name = "punching-fist";
    let config = json!({
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [{
            "name": name,
            "cluster": { "server": server, "certificate-authority-data": BASE64_STANDARD.encode(ca_certificate) },
        }],
        "users": [{ "name": name, "user": user }],
        "contexts": [{ "name": name, "context": { "cluster": name, "user": name } }],
        "current-context": name,
    });
    crate::yaml::write(&config)
}

fn certificate_user(pair: &Pair) -> Value {
    json!({
        "client-certificate-data": BASE64_STANDARD.encode(&pair.certificate),
        "client-key-data": BASE64_STANDARD.encode(&pair.key),
    })
}

fn write_pair(dir: &Path, name: &str, pair: &Pair) -> Result<(), Error> {
    write(dir, &format!("{name}.crt"), &pair.certificate)?;
    write(dir, &format!("{name}.key"), &pair.key)
}

fn write(dir: &Path, name: &str, text: &str) -> Result<(), Error> {
    let path = dir.join(name);
    fs::write(&path, text).map_err(Error::file("write", path))
}
