//! A real Alertmanager on loopback that posts to one webhook.

use std::fs;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use punching_fist_node::process::Nursery;
use serde_json::{Value, json};

use crate::process::{Process, Program};
use crate::wait::PATIENCE;
use crate::{Error, files, loopback, yaml};

const STOP_GRACE: Duration = Duration::from_secs(5);
/// How often another port is tried when somebody took ours.
const PORT_ATTEMPTS: usize = 4;

/// Where Alertmanager sends to, and how it groups.
#[derive(Clone, Debug)]
pub struct Settings {
    /// What it is called, and its directory: one of its own for each.
    pub name: String,
    /// The webhook's URL.
    pub webhook: String,
    /// The token that it asks for.
    pub bearer_token: Option<String>,
    /// `group_by`.
    pub group_by: Vec<String>,
    /// `group_wait`: before the first notification of a group.
    pub group_wait: Duration,
    /// `group_interval`: before a changed group is sent again.
    pub group_interval: Duration,
    /// `repeat_interval`: before an unchanged group is sent again.
    pub repeat_interval: Duration,
}

impl Settings {
    /// Grouped as Prometheus users do, but without the long waits.
    pub fn new(webhook: impl Into<String>, bearer_token: Option<String>) -> Self {
        Self {
            name: "alertmanager".to_owned(),
            webhook: webhook.into(),
            bearer_token,
            group_by: vec!["alertname".to_owned(), "namespace".to_owned()],
            group_wait: Duration::from_secs(1),
            group_interval: Duration::from_secs(2),
            repeat_interval: Duration::from_secs(3600),
        }
    }

    fn configuration(&self) -> Value {
        let mut webhook = json!({ "url": self.webhook, "send_resolved": true });
        if let Some(token) = &self.bearer_token {
            webhook["http_config"] = json!({ "authorization": { "type": "Bearer", "credentials": token } });
        }
        json!({
            "route": {
                "receiver": "punching-fist",
                "group_by": self.group_by,
                "group_wait": milliseconds(self.group_wait),
                "group_interval": milliseconds(self.group_interval),
                "repeat_interval": milliseconds(self.repeat_interval),
            },
            "receivers": [{ "name": "punching-fist", "webhook_configs": [webhook] }],
        })
    }
}

/// A running Alertmanager.
pub struct Alertmanager {
    process: Process,
    address: SocketAddr,
}

impl Alertmanager {
    /// Starts `binary` with its configuration, data and log in `dir`, and waits until it is ready.
    ///
    /// # Errors
    /// It ends, or is not ready in time.
    pub async fn start(
        nursery: &Nursery,
        binary: &Path,
        dir: &Path,
        settings: &Settings,
    ) -> Result<Self, Error> {
        fs::create_dir_all(dir).map_err(Error::file("create", dir))?;
        let config = Self::config_in(dir);
        let text = yaml::write(&settings.configuration())?;
        files::write_private(&config, &text)?;
        let mut attempt = 1;
        loop {
            match Self::try_start(nursery, binary, dir, &settings.name).await {
                Err(Error::Ended { tail, .. })
                    if attempt < PORT_ATTEMPTS && tail.contains("address already in use") =>
                {
                    attempt += 1;
                }
                other => return other,
            }
        }
    }

    async fn try_start(nursery: &Nursery, binary: &Path, dir: &Path, name: &str) -> Result<Self, Error> {
        let address = loopback::free_address()?;
        let program = Program::new(name, binary, dir.join("log")).address(address).args([
            format!("--config.file={}", Self::config_in(dir).display()),
            format!("--storage.path={}", dir.join("data").display()),
            format!("--web.listen-address={address}"),
            // No gossip: it is alone.
            "--cluster.listen-address=".to_owned(),
        ]);
        let mut process = program.start(nursery).await?;
        let ready =
            async || loopback::get(address, "/-/ready").await.map(drop).map_err(|error| error.to_string());
        process.ready(PATIENCE, ready).await?;
        Ok(Self { process, address })
    }

    fn config_in(dir: &Path) -> PathBuf {
        dir.join("alertmanager.yml")
    }

    /// Where its API and its page are.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// The process, for who shows it.
    pub fn process(&self) -> &Process {
        &self.process
    }

    /// Posts alerts as Prometheus does: a JSON list with `labels`, `annotations`, `startsAt`, `endsAt` each.
    ///
    /// # Errors
    /// It refuses them.
    pub async fn post_alerts(&self, alerts: &Value) -> Result<(), Error> {
        loopback::post_json(self.address, "/api/v2/alerts", alerts).await.map(drop)
    }

    /// Ends it.
    ///
    /// # Errors
    /// The system can't tell how it ended.
    pub async fn stop(self) -> Result<(), Error> {
        self.process.stop(STOP_GRACE).await.map(drop)
    }
}

/// Prometheus' notation of a duration.
fn milliseconds(duration: Duration) -> String {
    format!("{}ms", duration.as_millis())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_is_sent_only_if_there_is_one() {
        let config = |token: Option<&str>| {
            let settings = Settings::new("http://127.0.0.1:1/webhook/alertmanager", token.map(str::to_owned));
            settings.configuration()["receivers"][0]["webhook_configs"][0].clone()
        };
        assert_eq!(config(Some("t"))["http_config"]["authorization"]["credentials"], "t");
        assert_eq!(config(None).get("http_config"), None);
    }

    #[test]
    fn the_waits_can_be_set() {
        let settings = Settings { group_wait: Duration::from_millis(100), ..Settings::new("http://x", None) };
        let route = settings.configuration()["route"].clone();
        assert_eq!((&route["group_wait"], &route["repeat_interval"]), (&json!("100ms"), &json!("3600000ms")));
    }
}
