//! A Kubernetes node for development and tests: pods become processes of this host.
//!
//! It registers a Node, takes pods (there is no scheduler: unbound ones too), and runs each container as a process in
//! mount, process id, IPC and host name namespaces of its own, on overlays over the host's directories that vanish with
//! it. As root every pod runs as the user it asks for; as an ordinary user all pods run as this user, in a user
//! namespace (`runAsUser` is then only noted). Status, Events and logs are what a kubelet would give.
//!
//! What an image would hold is a directory that comes first on `PATH`; else a container sees the host's own programs.
//! It does not see the host's home directories, `/tmp`, `/run`, `/mnt` and `/media`, nor the node's own data, but for
//! what its image needs ([`NodeConfig::images`]).
//!
//! # What it leaves out
//! - Isolation from hostile code: a pod reads the host's files as a container reads its image, root in a pod has
//!   containerd's default capabilities on this host's kernel, and there is no seccomp and no cgroup.
//! - Network namespaces: all pods are on the host's loopback, share its ports, and have the address 127.0.0.1. Services
//!   lead nowhere, cluster DNS does not exist; only the API server's address is given to containers.
//! - Limits and requests: a pod that asks for more than the whole host stays pending, nothing else is counted or enforced.
//! - Probes: a container is ready when it runs, whatever its probes say. Lifecycle hooks, `kubectl exec`, `attach`,
//!   `port-forward` and `cp`, metrics, ephemeral containers, a shared process namespace, `hostPath` and every volume
//!   kind but emptyDir, configMap, secret, projected and downwardAPI; `sizeLimit`; emptyDirs in memory are on disk.
//! - Scheduling: affinity, taints, topology, preemption, cordons. Of what a scheduler checks, gates, `nodeSelector` and
//!   requests count.
//! - Images: nothing is pulled, pull policies mean nothing (but `Never`), and an image has no user, no working directory
//!   and no command but a file `entrypoint` in its directory.

mod backoff;
mod binding;
mod board;
mod calls;
mod container;
mod context;
mod environment;
mod events;
mod fields;
mod images;
mod logs;
mod node;
mod pod;
mod pods;
pub mod process;
mod quantity;
mod registration;
mod sandbox;
mod security;
mod server;
mod sources;
mod states;
mod status;
mod stop;
mod volumes;

pub use node::{Error, Node, NodeConfig};
