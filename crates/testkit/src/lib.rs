//! Development only: what the demo, `cargo xtask cluster` and the end-to-end tests stand on. A real control plane, a
//! real Alertmanager, the operator as a process, and what builds or finds them. Nothing here is shipped.

pub mod cache;
pub mod control_plane;
pub mod error;
pub mod loopback;
pub mod pki;
pub mod process;
pub mod progress;
pub mod recording;
pub mod toolchain;
pub mod yaml;

pub use cache::Cache;
pub use control_plane::ControlPlane;
pub use error::Error;
pub use punching_fist_node::process::Nursery;
pub use toolchain::Binaries;
