//! The command line.

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand, ValueEnum};

use crate::config;
use crate::prepare::{self, Cidr};

/// Punching Fist: alerts and maintenance tasks become agents' Jobs, and what the agents find stands in the cluster.
#[derive(Debug, Parser)]
#[command(name = "punching-fist", version)]
pub struct Arguments {
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

/// What the binary can do.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Runs the operator: webhook, probes, and the controller while this replica holds the Lease.
    Run(RunArguments),
    /// Prints the CustomResourceDefinitions as YAML, for `kubectl apply --server-side -f -`.
    Crds,
    /// Prints what tasks need in a namespace as YAML, for `kubectl apply -f -`: ServiceAccounts and their rights.
    PrepareNamespace(PrepareArguments),
    /// Looks at a configuration file without running anything.
    #[command(subcommand)]
    Config(ConfigCommand),
}

/// What can be done with a configuration file.
#[derive(Debug, Subcommand)]
pub enum ConfigCommand {
    /// Says what is wrong with it, with line and key.
    Check {
        /// The file.
        file: PathBuf,
    },
}

/// How the operator runs.
#[derive(Args, Debug)]
pub struct RunArguments {
    /// The configuration file.
    #[arg(long, env = config::PATH_VARIABLE, default_value = config::PATH)]
    pub config: PathBuf,
    /// Namespace that the operator itself runs in, where its Lease is. Default: the pod's own.
    #[arg(long, env = "NAMESPACE")]
    pub namespace: Option<String>,
    /// Name of this replica in the Lease. Default: made from the host's name.
    #[arg(long, env = "POD_NAME")]
    pub pod_name: Option<String>,
    /// How log lines look. Default: text on a terminal, else JSON.
    #[arg(long, value_enum, env = "PUNCHING_FIST_LOG_FORMAT")]
    pub log_format: Option<LogFormat>,
}

/// What is wanted in a namespace.
#[derive(Args, Clone, Debug)]
pub struct PrepareArguments {
    /// The namespace that tasks are to run in. It has to be there already.
    #[arg(value_name = "NAME", value_parser = prepare::namespace)]
    pub namespace: String,
    /// Also the ServiceAccount for tasks with `mode: Remediate`, which may change workloads in this namespace.
    #[arg(long)]
    pub remediate: bool,
    /// Secret of the namespace that the agent's image is pulled with; may be given more than once.
    #[arg(long = "image-pull-secret", value_name = "SECRET", value_parser = prepare::object_name)]
    pub image_pull_secrets: Vec<String>,
    /// Also a NetworkPolicy: agents reach the model's gateway, the API server and DNS, and nothing else.
    #[arg(long, requires = "api_server_cidrs")]
    pub network_policy: bool,
    /// Addresses of the API servers, as `kubectl get endpointslices kubernetes` shows them; may be given more than once.
    #[arg(long = "api-server-cidr", value_name = "CIDR", requires = "network_policy")]
    pub api_server_cidrs: Vec<Cidr>,
    /// Port of the API servers.
    #[arg(long, value_name = "PORT", default_value_t = 6443, requires = "network_policy")]
    #[arg(value_parser = clap::value_parser!(u16).range(1..))]
    pub api_server_port: u16,
    /// Port of the model's gateway in the operator's pods. Default: as `listen.gateway` of the configuration says, if
    /// that is here, else 8082.
    #[arg(long, value_name = "PORT", requires = "network_policy")]
    #[arg(value_parser = clap::value_parser!(u16).range(1..))]
    pub gateway_port: Option<u16>,
    /// Namespace that the operator runs in. Default: in a pod the pod's own, else `punching-fist`.
    #[arg(long, value_name = "NAMESPACE", value_parser = prepare::namespace)]
    pub operator_namespace: Option<String>,
}

/// How log lines look.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum LogFormat {
    /// One JSON object a line.
    Json,
    /// For people.
    Text,
}
