//! The operator as a process of this host, with the rights of its own ServiceAccount: RBAC is as real as in a pod.

use std::fs::{self, File};
use std::io::Read as _;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::ExitStatus;
use std::time::Duration;

use k8s_openapi::api::authentication::v1::{TokenRequest, TokenRequestSpec};
use k8s_openapi::api::core::v1::ServiceAccount;
use kube::api::PostParams;
use kube::{Api, Client};
use punching_fist_node::process::Nursery;
use serde_json::{Value, json};

use crate::process::{Process, Program};
use crate::wait::PATIENCE;
use crate::{Error, files, images, loopback, namespaces, scripted_model, yaml};

/// The operator's ServiceAccount, in [`namespaces::OPERATOR`].
const SERVICE_ACCOUNT: &str = "punching-fist";
/// How long its token is good for: longer than anybody leaves a ground up.
const TOKEN_SECONDS: i64 = 7 * 24 * 3600;
const STOP_GRACE: Duration = Duration::from_secs(15);
/// How often other ports are tried when somebody took ours.
const PORT_ATTEMPTS: usize = 4;
/// Where the gateway finds the model's key if a profile says nothing else.
const MODEL_KEY_VARIABLE: &str = "OPENHANDS_API_KEY";
/// The scripted model's key, which takes any.
pub const MODEL_KEY: &str = "scripted-key-0123456789abcdef";

/// One replica: what it is called and what it is configured with.
#[derive(Clone, Debug)]
pub struct Settings {
    /// The name of its pod, and of its directory: one of its own for each replica.
    pub name: String,
    /// What differs from the ground's configuration: merged into it, `null` takes a key out.
    pub config: Value,
    /// The token that the webhook asks for.
    pub webhook_token: String,
    /// Where the webhook listens; a free port if nothing is said.
    pub webhook: Option<SocketAddr>,
    /// The model's key, in the operator's environment; none: it has none.
    pub model_key: Option<String>,
    /// `RUST_LOG`.
    pub log: String,
}

impl Settings {
    /// A replica with the ground's configuration.
    pub fn new(name: &str) -> Self {
        Self {
            name: name.to_owned(),
            config: json!({}),
            webhook_token: random_token(),
            webhook: None,
            model_key: Some(MODEL_KEY.to_owned()),
            log: "info".to_owned(),
        }
    }
}

/// What every replica on one ground needs.
pub(crate) struct Place<'a> {
    pub(crate) nursery: &'a Nursery,
    pub(crate) program: PathBuf,
    pub(crate) kubeconfig: String,
    pub(crate) dir: PathBuf,
}

/// A running replica.
pub struct Operator {
    process: Process,
    settings: Settings,
    listen: Listen,
    start: Start,
}

/// The replica's addresses.
#[derive(Clone, Copy, Debug)]
struct Listen {
    webhook: SocketAddr,
    probes: SocketAddr,
    gateway: SocketAddr,
}

/// How to start it, once more if need be.
struct Start {
    nursery: Nursery,
    program: PathBuf,
    dir: PathBuf,
}

impl Operator {
    /// Starts a replica and waits until it is ready; other ports are tried when somebody took ours.
    pub(crate) async fn start(place: &Place<'_>, settings: Settings) -> Result<Self, Error> {
        let mut attempt = 1;
        loop {
            let mut operator = Self::launch(place, settings.clone()).await?;
            match operator.ready(PATIENCE).await {
                Err(Error::Ended { tail, .. })
                    if attempt < PORT_ATTEMPTS && lost_its_port(&tail, &settings) =>
                {
                    attempt += 1;
                }
                ready => return ready.map(|()| operator),
            }
        }
    }

    /// Starts a replica and doesn't wait for anything.
    async fn launch(place: &Place<'_>, settings: Settings) -> Result<Self, Error> {
        let dir = &place.dir;
        fs::create_dir_all(dir).map_err(Error::file("create", dir))?;
        let listen = Listen {
            webhook: settings.webhook.map_or_else(loopback::free_address, Ok)?,
            probes: loopback::free_address()?,
            gateway: loopback::free_address()?,
        };
        files::write_private(&dir.join("kubeconfig"), &place.kubeconfig)?;
        files::write_private(&dir.join("webhook-token"), &settings.webhook_token)?;
        let config = yaml::write(&configuration(dir, &settings, listen))?;
        files::write_private(&dir.join("config.yaml"), &config)?;
        let start =
            Start { nursery: place.nursery.clone(), program: place.program.clone(), dir: dir.to_owned() };
        let process = start.process(&settings, listen).await?;
        Ok(Self { process, settings, listen, start })
    }

    /// Waits until `/readyz` says yes.
    ///
    /// # Errors
    /// It ended, or is not ready in time.
    pub async fn ready(&mut self, limit: Duration) -> Result<(), Error> {
        let probes = self.listen.probes;
        let ready =
            async || loopback::get(probes, "/readyz").await.map(drop).map_err(|error| error.to_string());
        self.process.ready(limit, ready).await
    }

    /// Starts it again, with the same name, ports and configuration, and waits until it is ready.
    ///
    /// # Errors
    /// It can't be started, or is not ready in time.
    pub async fn restart(&mut self) -> Result<(), Error> {
        self.process = self.start.process(&self.settings, self.listen).await?;
        self.ready(PATIENCE).await
    }

    /// SIGKILL: as a node's power failure. [`Self::restart`] brings it back.
    ///
    /// # Errors
    /// The system can't tell how it ended.
    pub async fn kill(&mut self) -> Result<ExitStatus, Error> {
        self.process.signal(nix::sys::signal::Signal::SIGKILL);
        self.process.wait().await
    }

    /// SIGTERM, as a kubelet does it, and SIGKILL if that is not enough.
    ///
    /// # Errors
    /// The system can't tell how it ended.
    pub async fn stop(self) -> Result<ExitStatus, Error> {
        self.process.stop(STOP_GRACE).await
    }

    /// Where the webhook listens.
    pub fn webhook(&self) -> SocketAddr {
        self.listen.webhook
    }

    /// Where Alertmanager posts to.
    pub fn webhook_url(&self) -> String {
        format!("http://{}/webhook/alertmanager", self.listen.webhook)
    }

    /// The token that the webhook asks for.
    pub fn webhook_token(&self) -> &str {
        &self.settings.webhook_token
    }

    /// Where probes and metrics are.
    pub fn probes(&self) -> SocketAddr {
        self.listen.probes
    }

    /// Where agents reach the model.
    pub fn gateway(&self) -> SocketAddr {
        self.listen.gateway
    }

    /// The process, for who shows it.
    pub fn process(&self) -> &Process {
        &self.process
    }

    /// The process, for who watches it.
    pub fn process_mut(&mut self) -> &mut Process {
        &mut self.process
    }
}

impl Start {
    async fn process(&self, settings: &Settings, listen: Listen) -> Result<Process, Error> {
        Program::new(&settings.name, &self.program, self.dir.join("log"))
            .args(["run".into(), "--config".into(), self.dir.join("config.yaml")])
            .env("KUBECONFIG", self.dir.join("kubeconfig"))
            .env("NAMESPACE", namespaces::OPERATOR)
            .env("POD_NAME", &settings.name)
            .env("RUST_LOG", &settings.log)
            // Without a key an empty one, so that none of who runs this counts.
            .env(MODEL_KEY_VARIABLE, settings.model_key.as_deref().unwrap_or_default())
            .address(listen.webhook)
            .start(&self.nursery)
            .await
    }
}

/// A token of the operator's own ServiceAccount.
pub(crate) async fn token(client: &Client) -> Result<String, Error> {
    let api: Api<ServiceAccount> = Api::namespaced(client.clone(), namespaces::OPERATOR);
    let spec = TokenRequestSpec { expiration_seconds: Some(TOKEN_SECONDS), ..TokenRequestSpec::default() };
    let request = TokenRequest { spec, ..TokenRequest::default() };
    let made = api.create_token_request(SERVICE_ACCOUNT, &PostParams::default(), &request).await;
    let made =
        made.map_err(Error::kube(format!("asking for a token of ServiceAccount {SERVICE_ACCOUNT}")))?;
    Ok(made.status.map(|status| status.token).unwrap_or_default())
}

/// 128 bits that nobody else on this host can guess.
fn random_token() -> String {
    let mut bytes = [0; 16];
    let read = File::open("/dev/urandom").and_then(|mut source| source.read_exact(&mut bytes));
    read.expect("every Linux has /dev/urandom");
    format!("{:032x}", u128::from_le_bytes(bytes))
}

fn configuration(dir: &Path, settings: &Settings, listen: Listen) -> Value {
    let Listen { webhook, probes, gateway } = listen;
    let mut config = json!({
        "listen": { "webhook": webhook, "probes": probes, "gateway": gateway },
        // Pods are processes of this host.
        "gateway": { "url": format!("http://{gateway}") },
        "receivers": { "prometheus": { "http_config": { "bearer_token_file": dir.join("webhook-token") } } },
        "defaultRoute": { "namespace": namespaces::AGENTS },
        "agents": { "openhands": {
            "engine": "sdk",
            "image": images::AGENT,
            "model": scripted_model::MODEL,
            "prices": scripted_model::prices(),
        } },
        "runner": { "image": images::OPERATOR },
    });
    merge(&mut config, &settings.config);
    config
}

/// JSON merge patch (RFC 7396).
fn merge(into: &mut Value, patch: &Value) {
    let Value::Object(changes) = patch else {
        into.clone_from(patch);
        return;
    };
    if !into.is_object() {
        *into = json!({});
    }
    for (key, change) in changes {
        match (change, into.as_object_mut()) {
            (Value::Null, Some(fields)) => drop(fields.remove(key)),
            _ => merge(&mut into[key], change),
        }
    }
}

fn lost_its_port(log: &str, settings: &Settings) -> bool {
    settings.webhook.is_none() && log.to_lowercase().contains("address already in use")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_configuration_is_merged_with_what_differs() {
        let address = SocketAddr::from(([127, 0, 0, 1], 1));
        let changes = json!({
            "limits": { "maxConcurrent": 2 },
            "agents": { "openhands": { "image": "shell-agent", "prices": null } },
            "runner": null,
        });
        let settings = Settings { config: changes, ..Settings::new("a") };
        let listen = Listen { webhook: address, probes: address, gateway: address };
        let config = configuration(Path::new("/d"), &settings, listen);
        assert_eq!(
            config["agents"]["openhands"],
            json!({ "engine": "sdk", "image": "shell-agent", "model": "openai/scripted" })
        );
        assert_eq!(config["limits"]["maxConcurrent"], 2);
        assert_eq!(config["gateway"]["url"], "http://127.0.0.1:1");
        assert_eq!(config.get("runner"), None);
    }
}
