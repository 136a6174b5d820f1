//! A control plane of one's own: etcd, kube-apiserver and kube-controller-manager as processes on loopback, with
//! certificates of their own, RBAC on, and a data directory that is thrown away.

mod arguments;
mod credentials;

use std::fs;
use std::net::SocketAddr;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::time::Duration;

use k8s_openapi::api::core::v1::ServiceAccount;
use kube::config::{KubeConfigOptions, Kubeconfig};
use kube::{Api, Client, Config};
use punching_fist_node::process::Nursery;
use tokio::net::TcpStream;

use crate::loopback::free_address;
use crate::pki::Pair;
use crate::process::{Process, Program};
use crate::wait::PATIENCE;
use crate::{Binaries, Error};
use arguments::Addresses;
use credentials::Credentials;
pub(crate) use credentials::kubeconfig;

/// How long one of them may take to end.
const STOP_GRACE: Duration = Duration::from_secs(5);
/// How often other ports are tried when somebody took ours between choosing and using them.
const PORT_ATTEMPTS: usize = 4;

/// A running control plane.
pub struct ControlPlane {
    client: Client,
    credentials: Credentials,
    binaries: Binaries,
    addresses: Addresses,
    processes: Vec<Process>,
}

impl ControlPlane {
    /// Starts one with its data, logs and certificates in `dir`, and waits until it serves.
    ///
    /// # Errors
    /// A process ends or is not ready in time; the error shows the end of its log.
    pub async fn start(nursery: &Nursery, binaries: &Binaries, dir: &Path) -> Result<Self, Error> {
        let mut attempt = 1;
        loop {
            match Self::try_start(nursery, binaries, dir).await {
                Err(error) if attempt < PORT_ATTEMPTS && lost_its_port(&error) => attempt += 1,
                other => return other,
            }
        }
    }

    async fn try_start(nursery: &Nursery, binaries: &Binaries, dir: &Path) -> Result<Self, Error> {
        prepare(dir)?;
        let addresses = Addresses {
            etcd: free_address()?,
            api_server: free_address()?,
            controller_manager: free_address()?,
        };
        let credentials = Credentials::write(dir, addresses.api_server)?;
        let client = client_of(&credentials.admin_kubeconfig()?).await?;
        let start = Start { nursery, binaries, dir, at: &addresses };
        let mut processes = vec![start.etcd().await?];
        processes.push(start.api_server(&client).await?);
        processes.push(start.controller_manager(&client).await?);
        Ok(Self { client, credentials, binaries: binaries.clone(), addresses, processes })
    }

    /// A client with all rights.
    pub fn client(&self) -> Client {
        self.client.clone()
    }

    /// Where the API server listens.
    pub fn api_server(&self) -> SocketAddr {
        self.addresses.api_server
    }

    /// The programs that it runs.
    pub fn binaries(&self) -> &Binaries {
        &self.binaries
    }

    /// The processes, for who shows them.
    pub fn processes(&self) -> &[Process] {
        &self.processes
    }

    /// A kubeconfig with all rights, as YAML.
    ///
    /// # Errors
    /// It can't be written as YAML.
    pub fn kubeconfig(&self) -> Result<String, Error> {
        self.credentials.admin_kubeconfig()
    }

    /// A kubeconfig for the holder of `token`, as YAML.
    ///
    /// # Errors
    /// It can't be written as YAML.
    pub fn kubeconfig_for_token(&self, token: &str) -> Result<String, Error> {
        self.credentials.token_kubeconfig(token)
    }

    /// The certificate of the authority that everything here trusts, PEM.
    pub fn ca_certificate(&self) -> &str {
        self.credentials.ca_certificate()
    }

    /// A serving certificate for a node on loopback.
    ///
    /// # Errors
    /// It can't be made.
    pub fn node_certificate(&self, node: &str) -> Result<Pair, Error> {
        self.credentials.node_certificate(node)
    }

    /// Ends the processes, the last started first.
    ///
    /// # Errors
    /// The system can't tell how one of them ended.
    pub async fn stop(self) -> Result<(), Error> {
        for process in self.processes.into_iter().rev() {
            process.stop(STOP_GRACE).await?;
        }
        Ok(())
    }
}

/// A client for the holder of `kubeconfig`.
///
/// # Errors
/// It is no kubeconfig.
pub async fn client_of(kubeconfig: &str) -> Result<Client, Error> {
    let kubeconfig = Kubeconfig::from_yaml(kubeconfig)?;
    let mut config = Config::from_custom_kubeconfig(kubeconfig, &KubeConfigOptions::default()).await?;
    // Where a dozen tests start at once, the handshake may take longer than the 30 s of kube.
    config.connect_timeout = Some(PATIENCE);
    Client::try_from(config).map_err(Error::kube("making a client"))
}

/// What starts the three.
struct Start<'a> {
    nursery: &'a Nursery,
    binaries: &'a Binaries,
    dir: &'a Path,
    at: &'a Addresses,
}

impl Start<'_> {
    async fn etcd(&self) -> Result<Process, Error> {
        let (address, arguments) = (self.at.etcd, arguments::etcd(self.dir, self.at));
        let mut process = self.process("etcd", &self.binaries.etcd, address, arguments).await?;
        let accepts = async || TcpStream::connect(address).await.map(drop).map_err(|error| error.to_string());
        process.ready(PATIENCE, accepts).await?;
        Ok(process)
    }

    async fn api_server(&self, client: &Client) -> Result<Process, Error> {
        let (address, arguments) = (self.at.api_server, arguments::api_server(self.dir, self.at));
        let binary = &self.binaries.kube_apiserver;
        let mut process = self.process("kube-apiserver", binary, address, arguments).await?;
        process.ready(PATIENCE, async || probe(client, "/readyz").await).await?;
        Ok(process)
    }

    async fn controller_manager(&self, client: &Client) -> Result<Process, Error> {
        let arguments = arguments::controller_manager(self.dir, self.at);
        let (address, binary) = (self.at.controller_manager, &self.binaries.kube_controller_manager);
        let mut process = self.process("kube-controller-manager", binary, address, arguments).await?;
        // It is at work when it has made what every namespace gets; pods are refused until then.
        let accounts: Api<ServiceAccount> = Api::namespaced(client.clone(), "default");
        let works = async || accounts.get("default").await.map(drop).map_err(|error| error.to_string());
        process.ready(PATIENCE, works).await?;
        Ok(process)
    }

    async fn process(
        &self,
        name: &str,
        binary: &Path,
        address: SocketAddr,
        arguments: Vec<String>,
    ) -> Result<Process, Error> {
        let log = self.dir.join(format!("{name}.log"));
        Program::new(name, binary, log).address(address).args(arguments).start(self.nursery).await
    }
}

/// `GET path` of the API server.
///
/// # Errors
/// No connection, or a status that is no success: what it answered.
pub async fn probe(client: &Client, path: &str) -> Result<(), String> {
    let request = http::Request::get(path).body(Vec::new()).map_err(|error| error.to_string())?;
    client.request_text(request).await.map(drop).map_err(|error| error.to_string())
}

/// A directory without the traces of an earlier attempt, closed to others: keys are kept in it.
fn prepare(dir: &Path) -> Result<(), Error> {
    fs::create_dir_all(dir).map_err(Error::file("create", dir))?;
    fs::set_permissions(dir, fs::Permissions::from_mode(0o700)).map_err(Error::file("close", dir))?;
    let data = dir.join("etcd");
    if data.exists() {
        fs::remove_dir_all(&data).map_err(Error::file("remove", data))?;
    }
    Ok(())
}

fn lost_its_port(error: &Error) -> bool {
    matches!(error, Error::Ended { tail, .. } if tail.contains("address already in use"))
}
