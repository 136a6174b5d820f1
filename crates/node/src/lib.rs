//! A Kubernetes node for development and tests: pods become processes of this host.

pub mod process;
