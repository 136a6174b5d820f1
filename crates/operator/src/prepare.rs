//! `punching-fist prepare-namespace`: prints what tasks need in a namespace. It talks to nobody, so that what will be
//! applied can be read first, and whoever applies it does so with rights of their own.

mod cidr;

use std::env;
use std::io::{self, ErrorKind, Write as _};
use std::path::Path;

use minijinja::syntax::SyntaxConfig;
use minijinja::{Environment, context};
use punching_fist_api::names;

use crate::cli::PrepareArguments;
use crate::config::{self, ConfigError, GATEWAY_PORT, forms};
use crate::place;

pub use cidr::Cidr;

/// The manifest, as a minijinja template. `deploy/agent-rbac.yaml` ends with what it gives for the agents' namespace.
const TEMPLATE: &str = include_str!("prepare/namespace.yaml");
/// Where `deploy/` puts the operator: when it isn't asked in its own pod, this is the best guess.
const OPERATOR_NAMESPACE: &str = "punching-fist";
/// Words that readers of YAML 1.1 (kubectl is one) take for a boolean or for nothing.
const NO_STRINGS: [&str; 9] = ["false", "n", "no", "null", "off", "on", "true", "y", "yes"];

/// Why there is no manifest.
#[derive(Debug, thiserror::Error)]
pub enum PrepareError {
    /// The operator's own namespace.
    #[error(
        "{0} is the operator's own namespace: who may make a pod in a namespace may mount its Secrets, and the model's key \
         is one of them; prepare another, as in `kubectl create namespace punching-fist-agents`"
    )]
    Own(String),
    /// A namespace that the cluster itself lives in.
    #[error(
        "--remediate: who may change what runs in {0} may take over the cluster; without --remediate it can be prepared"
    )]
    System(String),
    /// The configuration, which says where the gateway listens.
    #[error("the gateway's port is unknown, say --gateway-port, or mend what says it: {0}")]
    Config(#[from] ConfigError),
    /// `listen.gateway` is any free port.
    #[error(
        "the gateway's port is unknown: listen.gateway of the configuration has 0, any free one; say --gateway-port"
    )]
    AnyPort,
    /// The template is wrong.
    #[error("the manifest can't be written: {0}")]
    Template(#[from] minijinja::Error),
    /// Nobody reads it.
    #[error("the manifest can't be written: {0}")]
    Write(#[from] io::Error),
}

/// Prints the manifest.
pub fn print(arguments: &PrepareArguments) -> Result<(), PrepareError> {
    // Not by $NAMESPACE: outside of the operator's pod that is anybody's.
    let operator_namespace = arguments.operator_namespace.clone().or_else(place::pods_namespace);
    let configured = env::var_os(config::PATH_VARIABLE);
    let port = match arguments.gateway_port {
        Some(port) => port,
        None if arguments.network_policy => gateway_port(configured.as_deref().map(Path::new))?,
        None => GATEWAY_PORT,
    };
    let text = manifest(arguments, operator_namespace.as_deref().unwrap_or(OPERATOR_NAMESPACE), port)?;
    io::stdout().write_all(text.as_bytes())?;
    Ok(())
}

/// Where the gateway listens: as the configuration says, which is there in the operator's own pod.
fn gateway_port(configured: Option<&Path>) -> Result<u16, PrepareError> {
    match config::load(configured.unwrap_or(Path::new(config::PATH))) {
        Ok(config) if config.gateway.port() == 0 => Err(PrepareError::AnyPort),
        Ok(config) => Ok(config.gateway.port()),
        Err(ConfigError::Unreadable { source, .. })
            if configured.is_none() && source.kind() == ErrorKind::NotFound =>
        {
            Ok(GATEWAY_PORT)
        }
        Err(error) => Err(error.into()),
    }
}

/// A namespace's name as an argument.
pub fn namespace(text: &str) -> Result<String, String> {
    forms::label(text).map_or_else(|| Ok(text.to_owned()), Err)
}

/// A Secret's name as an argument.
pub fn object_name(text: &str) -> Result<String, String> {
    forms::object_name(text).map_or_else(|| Ok(text.to_owned()), Err)
}

fn manifest(
    arguments: &PrepareArguments,
    operator_namespace: &str,
    gateway_port: u16,
) -> Result<String, PrepareError> {
    let namespace = arguments.namespace.as_str();
    if namespace == operator_namespace {
        return Err(PrepareError::Own(namespace.to_owned()));
    }
    if arguments.remediate && namespace == names::SYSTEM_NAMESPACE {
        return Err(PrepareError::System(namespace.to_owned()));
    }
    Ok(environment()?.render_str(
        TEMPLATE,
        context! {
            namespace,
            operator_namespace,
            gateway_port,
            remediate => arguments.remediate,
            pull_secrets => arguments.image_pull_secrets.clone(),
            api_server_cidrs => arguments.api_server_cidrs.iter().map(Cidr::to_string).collect::<Vec<_>>(),
            api_server_port => arguments.api_server_port,
        },
    )?)
}

fn environment() -> Result<Environment<'static>, minijinja::Error> {
    let mut environment = Environment::new();
    let mut syntax = SyntaxConfig::builder();
    syntax.lstrip_blocks(true).trim_blocks(true).keep_trailing_newline(true);
    environment.set_syntax(syntax.build()?);
    environment.add_filter("scalar", scalar);
    Ok(environment)
}

/// A name as a YAML scalar. A namespace may well be called `123`, `1e3` or `on`.
fn scalar(name: &str) -> String {
    let starts_with_letter = name.starts_with(|first: char| first.is_ascii_lowercase());
    if starts_with_letter && !NO_STRINGS.contains(&name) { name.to_owned() } else { format!("\"{name}\"") }
}

#[cfg(test)]
mod tests;
