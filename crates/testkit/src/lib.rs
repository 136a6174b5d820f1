//! Development only: what the demo, `cargo xtask cluster` and the end-to-end tests stand on. A real control plane, a
//! real Alertmanager, the operator as a process, and what builds or finds them. Nothing here is shipped.

pub mod alertmanager;
mod cache;
pub mod cluster;
pub mod control_plane;
mod error;
pub mod files;
pub mod ground;
pub mod images;
pub mod loopback;
pub mod manifests;
pub mod model;
pub mod namespaces;
pub mod operator;
mod pki;
pub mod prerequisites;
pub mod process;
pub mod progress;
pub mod python;
pub mod recording;
pub mod repository;
pub mod scripted_model;
mod toolchain;
pub mod wait;
pub mod yaml;

pub use cache::Cache;
pub use control_plane::ControlPlane;
pub use error::Error;
pub use ground::Ground;
pub use punching_fist_node::process::Nursery;
pub use toolchain::{Binaries, lacks_kubernetes_mcp};
