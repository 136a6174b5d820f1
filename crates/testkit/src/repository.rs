//! Where things stand in this checkout, and the programs that cargo builds from it.

use std::env;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use punching_fist_node::process::{Nursery, tied};

use crate::Error;

/// The packages whose programs the ground runs; a program has its package's name.
const OPERATOR: &str = "punching-fist";
const RUNNER: &str = "punching-fist-runner";
/// Measured on four cores.
const BUILD_ESTIMATE: Duration = Duration::from_secs(50);
const REBUILD_ESTIMATE: Duration = Duration::from_secs(20);

/// Our own programs, freshly built.
#[derive(Clone, Debug)]
pub struct Programs {
    /// The operator, if it was asked for.
    pub operator: Option<PathBuf>,
    /// What stands in front of the agent in its pod.
    pub runner: PathBuf,
}

impl Programs {
    /// About how long it takes to build them: from nothing, or what has changed.
    pub fn estimate() -> Duration {
        if Self::were_built() { REBUILD_ESTIMATE } else { BUILD_ESTIMATE }
    }

    /// Whether there are any, though not of what has changed since.
    pub fn were_built() -> bool {
        programs_directory().join(OPERATOR).exists()
    }

    /// Builds what has changed of the runner, and of the operator if it is wanted: a ground without operators is of use
    /// while that doesn't compile.
    ///
    /// # Errors
    /// They don't compile; cargo itself has said why on the terminal.
    pub async fn build(nursery: &Nursery, with_operator: bool) -> Result<Self, Error> {
        let what = "cargo build";
        let mut command = tied(env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
        // By name and not by package: with the features of the whole workspace, as tests are built.
        command.args(["build", "--quiet", "--bin", RUNNER]);
        if with_operator {
            command.args(["--bin", OPERATOR]);
        }
        if !cfg!(debug_assertions) {
            command.arg("--release");
        }
        // A test program may have heard this word from `cargo xtask test`; the compiler shall not.
        command.current_dir(root()).stdin(Stdio::null()).env_remove("RUSTC_BOOTSTRAP");
        let refused = |source| Error::Spawn { name: what.to_owned(), source };
        let mut child = nursery.spawn(command).await.map_err(refused)?;
        if !child.wait().await.map_err(refused)?.success() {
            return Err(Error::Build { what: what.to_owned(), tail: "see above".to_owned() });
        }
        let directory = programs_directory();
        Ok(Self { operator: with_operator.then(|| directory.join(OPERATOR)), runner: directory.join(RUNNER) })
    }
}

/// The root of the checkout.
pub fn root() -> PathBuf {
    let own = Path::new(env!("CARGO_MANIFEST_DIR"));
    own.ancestors().nth(2).unwrap_or(own).to_owned()
}

/// Where cargo puts programs: beside the one that runs, or above it for a test (`target/debug/deps`).
fn programs_directory() -> PathBuf {
    let own = env::current_exe().unwrap_or_default();
    let beside = own.parent().unwrap_or(Path::new("."));
    if beside.ends_with("deps") { beside.join("..") } else { beside.to_owned() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_root_holds_the_workspace() {
        assert!(root().join("Cargo.lock").is_file(), "{}", root().display());
    }
}
