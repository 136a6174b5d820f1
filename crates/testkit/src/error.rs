//! What can go wrong while the ground is brought up, each with the way out.

use std::io;
use std::path::PathBuf;

/// Why a part of the ground is not there.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A file or directory could not be read or written.
    #[error("can't {action} {}: {source}", path.display())]
    File {
        /// What was tried, as a verb.
        action: &'static str,
        /// On what.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// What must be built has no place to go to.
    #[error(
        "the cache {} can't be written ({source}): make it writable, or set PUNCHING_FIST_CACHE to a directory that is",
        path.display()
    )]
    Cache {
        /// The cache.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// A tool or a permission is missing on this machine; one line for each.
    #[error("{}", .0.join("\n"))]
    Prerequisites(Vec<String>),
    /// A program of the build ended with an error.
    #[error("{what} failed; the end of what it said:\n{tail}")]
    Build {
        /// What was being built.
        what: String,
        /// The last lines of its output.
        tail: String,
    },
    /// A program could not be started at all.
    #[error("{name} can't be started: {source}")]
    Spawn {
        /// Which one.
        name: String,
        /// What the system said.
        source: io::Error,
    },
    /// A process ended before it was ready.
    #[error("{name} ended while it was starting; the end of its log:\n{tail}")]
    Ended {
        /// Which one.
        name: String,
        /// The last lines of its log.
        tail: String,
    },
    /// A process runs but did not become ready in time.
    #[error("{name} is not ready after {seconds} s ({last}); the end of its log:\n{tail}")]
    NotReady {
        /// Which one.
        name: String,
        /// How long was waited.
        seconds: u64,
        /// What the last check said.
        last: String,
        /// The last lines of its log.
        tail: String,
    },
    /// A certificate could not be made.
    #[error("can't make a certificate: {0}")]
    Certificate(#[from] rcgen::Error),
    /// The node does not start.
    #[error(transparent)]
    Node(#[from] punching_fist_node::Error),
    /// A kubeconfig can't be used.
    #[error("the kubeconfig can't be used: {0}")]
    Kubeconfig(#[from] kube::config::KubeconfigError),
    /// A new kind is not served.
    #[error("the API server does not serve {name} after {seconds} s")]
    Unserved {
        /// The CustomResourceDefinition.
        name: String,
        /// How long was waited.
        seconds: u64,
    },
    /// Something that was waited for did not come.
    #[error("{what}: not so after {seconds} s")]
    Waited {
        /// What was waited for.
        what: String,
        /// How long.
        seconds: u64,
    },
    /// Text that should be YAML, or a value that can't be written as such.
    #[error("YAML: {0}")]
    Yaml(String),
    /// The API server refused, or is away.
    #[error("{what}: {source}")]
    Kube {
        /// What was asked of it.
        what: String,
        /// What it answered.
        source: Box<kube::Error>,
    },
    /// A manifest of the repository can't be read or names a kind that the cluster does not know.
    #[error("{}: {message}", path.display())]
    Manifest {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        message: String,
    },
}

impl Error {
    /// For `map_err` on file operations.
    pub fn file(action: &'static str, path: impl Into<PathBuf>) -> impl FnOnce(io::Error) -> Self {
        let path = path.into();
        move |source| Self::File { action, path, source }
    }

    /// For `map_err` on calls to the API server.
    pub fn kube(what: impl Into<String>) -> impl FnOnce(kube::Error) -> Self {
        let what = what.into();
        move |source| Self::Kube { what, source: Box::new(source) }
    }
}
