//! The cluster that the ground stands on: a control plane of our own, or one that is there already.

use std::env;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use kube::config::{KubeConfigOptions, Kubeconfig};
use kube::{Client, Config};
use serde_json::json;

use crate::control_plane::{self, ControlPlane};
use crate::process::Process;
use crate::{Binaries, Cache, Error, yaml};

/// A cluster, and how one comes in.
pub enum Cluster {
    /// Started by us, and ended by us.
    Own(Box<ControlPlane>),
    /// There already; it stays.
    Existing(Box<Existing>),
}

/// A cluster that somebody else keeps.
pub struct Existing {
    client: Client,
    config: Config,
    kubeconfig: Kubeconfig,
}

impl Existing {
    /// The current context of `$KUBECONFIG`, or of `~/.kube/config`.
    ///
    /// # Errors
    /// There is none, or it can't be used.
    pub async fn of_user() -> Result<Self, Error> {
        let kubeconfig = Kubeconfig::read()?;
        let config =
            Config::from_custom_kubeconfig(kubeconfig.clone(), &KubeConfigOptions::default()).await?;
        let client = Client::try_from(config.clone()).map_err(Error::kube("making a client"))?;
        client.apiserver_version().await.map_err(Error::kube(format!("asking {}", config.cluster_url)))?;
        Ok(Self { client, config, kubeconfig })
    }

    fn ca_certificate(&self) -> String {
        let certificates = self.config.root_cert.iter().flatten();
        certificates.map(|der| pem(der)).collect()
    }

    /// Its address, if it is on loopback: a node of ours can serve no other.
    fn on_loopback(&self) -> Option<SocketAddr> {
        let url = &self.config.cluster_url;
        let address = format!("{}:{}", url.host()?, url.port_u16()?).replace("localhost", "127.0.0.1");
        address.parse().ok().filter(|address: &SocketAddr| address.ip().is_loopback())
    }
}

impl Cluster {
    /// A client with the rights of who started or named the cluster.
    pub fn client(&self) -> Client {
        match self {
            Self::Own(control_plane) => control_plane.client(),
            Self::Existing(existing) => existing.client.clone(),
        }
    }

    /// A kubeconfig with the same rights, as YAML.
    ///
    /// # Errors
    /// It can't be written as YAML.
    pub fn kubeconfig(&self) -> Result<String, Error> {
        match self {
            Self::Own(control_plane) => control_plane.kubeconfig(),
            Self::Existing(existing) => yaml::write(&existing.kubeconfig),
        }
    }

    /// A kubeconfig for the holder of `token`, as YAML.
    ///
    /// # Errors
    /// It can't be written as YAML.
    pub fn kubeconfig_for_token(&self, token: &str) -> Result<String, Error> {
        match self {
            Self::Own(control_plane) => control_plane.kubeconfig_for_token(token),
            Self::Existing(existing) => {
                let server = existing.config.cluster_url.to_string();
                let user = json!({ "token": token });
                control_plane::kubeconfig(&server, &existing.ca_certificate(), &user)
            }
        }
    }

    /// Where the API server listens, if it is on loopback.
    pub fn api_server(&self) -> Option<SocketAddr> {
        match self {
            Self::Own(control_plane) => Some(control_plane.api_server()),
            Self::Existing(existing) => existing.on_loopback(),
        }
    }

    /// The certificate of its authority, PEM.
    pub fn ca_certificate(&self) -> String {
        match self {
            Self::Own(control_plane) => control_plane.ca_certificate().to_owned(),
            Self::Existing(existing) => existing.ca_certificate(),
        }
    }

    /// kubectl: ours with a control plane of ours, else the user's before ours.
    pub fn kubectl(&self) -> PathBuf {
        let ours = || Binaries::found(&Cache::of_user()).map(|binaries| binaries.kubectl);
        match self {
            Self::Own(control_plane) => control_plane.binaries().kubectl.clone(),
            Self::Existing(_) => on_path("kubectl").or_else(ours).unwrap_or_else(|| "kubectl".into()),
        }
    }

    /// Whether it is ours: made for this and gone afterwards.
    pub fn is_own(&self) -> bool {
        matches!(self, Self::Own(_))
    }

    /// The processes that we started for it.
    pub fn processes(&self) -> &[Process] {
        match self {
            Self::Own(control_plane) => control_plane.processes(),
            Self::Existing(_) => &[],
        }
    }

    /// Ends it, if it is ours.
    ///
    /// # Errors
    /// The system can't tell how a process ended.
    pub async fn stop(self) -> Result<(), Error> {
        match self {
            Self::Own(control_plane) => control_plane.stop().await,
            Self::Existing(_) => Ok(()),
        }
    }
}

/// Where `program` is on PATH.
pub fn on_path(program: &str) -> Option<PathBuf> {
    let path = env::var_os("PATH")?;
    env::split_paths(&path).map(|dir| dir.join(program)).find(|file| is_program(file))
}

fn is_program(file: &Path) -> bool {
    nix::unistd::access(file, nix::unistd::AccessFlags::X_OK).is_ok() && file.is_file()
}

fn pem(der: &[u8]) -> String {
    let text = BASE64_STANDARD.encode(der);
    let lines: Vec<&str> =
        text.as_bytes().chunks(64).filter_map(|line| std::str::from_utf8(line).ok()).collect();
    format!("-----BEGIN CERTIFICATE-----\n{}\n-----END CERTIFICATE-----\n", lines.join("\n"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pem_has_lines_of_64_characters() {
        let text = pem(&[7; 60]);
        let lengths: Vec<usize> = text.lines().map(str::len).collect();
        assert_eq!(lengths, [27, 64, 16, 25]);
    }

    #[test]
    fn programs_are_found_on_path() {
        assert!(on_path("sh").is_some_and(|file| file.is_file()));
        assert_eq!(on_path("no-such-program"), None);
    }
}
