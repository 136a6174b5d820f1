//! The command line.

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand, ValueEnum};

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
    #[arg(long, env = "PUNCHING_FIST_CONFIG", default_value = "/etc/punching-fist/config.yaml")]
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

/// How log lines look.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum LogFormat {
    /// One JSON object a line.
    Json,
    /// For people.
    Text,
}
