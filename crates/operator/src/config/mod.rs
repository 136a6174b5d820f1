//! The operator's configuration: one YAML file, read once at start, refused with file, line and key if anything is wrong.

mod check;
mod file;
pub mod forms;
mod limits;
mod locate;
mod read;
#[cfg(test)]
mod tests;

use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use punching_fist_api::names;
use punching_fist_core::profile::Settings;
use punching_fist_core::route::Route;
use punching_fist_webhook::Authentication;

pub use file::GATEWAY_PORT;

/// Where the file is if nothing else is said.
pub const PATH: &str = "/etc/punching-fist/config.yaml";
/// The variable that says so.
pub const PATH_VARIABLE: &str = "PUNCHING_FIST_CONFIG";

/// What the operator runs by: read, checked, complete.
#[derive(Clone, Debug)]
pub struct Config {
    /// Where alerts come in.
    pub webhook: SocketAddr,
    /// Where probes and metrics are served.
    pub probes: SocketAddr,
    /// Where agents reach the model.
    pub gateway: SocketAddr,
    /// How Alertmanager has to authenticate; none if its receiver is off.
    pub prometheus: Option<Authentication>,
    /// Which alerts become tasks, where, and how they run.
    pub route: Route,
    /// Profiles, limits, images, prompts: what decisions about runs look at.
    pub settings: Settings,
}

impl Config {
    /// The same for an operator in this namespace: what the file doesn't say of where the gateway is.
    #[must_use]
    pub fn in_namespace(mut self, namespace: &str) -> Self {
        if self.settings.gateway_url.is_empty() {
            let port = GATEWAY_PORT;
            self.settings.gateway_url = format!("http://{}.{namespace}.svc:{port}", names::APP);
        }
        self
    }
}

/// One thing that is wrong with a configuration.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// The line that it stands on; none for what isn't written at all.
    line: Option<usize>,
    /// The key, what is wrong with it, and what would be right.
    message: String,
}

/// All that is wrong with a configuration.
type Problems = Vec<Problem>;

/// Why a configuration can't be used.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// The file can't be read.
    #[error("cannot read the configuration {}: {source}; name it with --config", path.display())]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// Something in it is wrong.
    #[error("{}", listed(path, problems))]
    Invalid {
        /// The file.
        path: PathBuf,
        /// What is wrong, in the order of the checks.
        problems: Problems,
    },
}

/// One line for each problem, as a compiler writes them: `config.yaml:7: limits.maxConcurrent: must be at least 1`.
fn listed(path: &Path, problems: &Problems) -> String {
    let line = |problem: &Problem| match problem.line {
        Some(line) => format!("{}:{line}: {}", path.display(), problem.message),
        None => format!("{}: {}", path.display(), problem.message),
    };
    problems.iter().map(line).collect::<Vec<_>>().join("\n")
}

/// Reads and checks the configuration in this file.
pub fn load(path: &Path) -> Result<Config, ConfigError> {
    let text = std::fs::read_to_string(path)
        .map_err(|source| ConfigError::Unreadable { path: path.to_owned(), source })?;
    let folder = path.parent().unwrap_or(Path::new("."));
    read::read(&text)
        .and_then(|file| check::check(file, &text, folder))
        .map_err(|problems| ConfigError::Invalid { path: path.to_owned(), problems })
}
