//! What is known of the cluster: `target/cluster/state.json`, written by the process that holds it. Whether that process
//! lives is told by a lock that it keeps, which the system takes away with it, whatever ends it.

use std::fs::{self, File, TryLockError};
use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;

use punching_fist_testkit::repository;
use serde::{Deserialize, Serialize};

/// Where everything of the cluster is.
pub fn directory() -> PathBuf {
    repository::root().join("target/cluster")
}

/// A file in [`directory`].
pub fn file(name: &str) -> PathBuf {
    directory().join(name)
}

/// The kubeconfig with all rights.
pub fn kubeconfig() -> PathBuf {
    file("kubeconfig")
}

/// Lines for a shell to read.
pub fn environment() -> PathBuf {
    file("env")
}

/// What the process that holds the cluster says.
pub fn log() -> PathBuf {
    file("log")
}

/// The cluster as the process that holds it wrote it down.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct State {
    /// The process that holds it.
    pub pid: u32,
    /// How far it is.
    pub phase: Phase,
    /// Its parts, in the order in which they were started.
    pub parts: Vec<Part>,
    /// What a user should know about the agents' model.
    pub model: Option<String>,
}

/// How far a cluster is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Phase {
    /// Not everything is there.
    Starting,
    /// Everything was ready once.
    Ready,
    /// Ended by `cluster down`.
    Stopped,
}

/// One part of the cluster.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Part {
    /// What it is called.
    pub name: String,
    /// Its process.
    pub pid: u32,
    /// Where it listens.
    pub address: Option<SocketAddr>,
    /// Its log.
    pub log: PathBuf,
    /// How to tell that it is well.
    pub check: Check,
}

/// How to tell that a part is well.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub enum Check {
    /// It accepts connections.
    Accepts(SocketAddr),
    /// `GET` says 200.
    Answers(SocketAddr, String),
    /// `/readyz` of the API server says 200.
    ApiServer,
    /// The Node of that name is Ready.
    Node(String),
}

impl State {
    /// What was written last, if anything was.
    pub fn read() -> Option<Self> {
        serde_json::from_str(&fs::read_to_string(file("state.json")).ok()?).ok()
    }

    /// Replaces what was written, in one step.
    pub fn write(&self) -> io::Result<()> {
        let next = file("state.json.next");
        fs::write(&next, serde_json::to_string_pretty(self)?)?;
        fs::rename(next, file("state.json"))
    }
}

/// Takes the lock that says that the cluster is held; nothing if somebody has it.
pub fn hold() -> io::Result<Option<File>> {
    fs::create_dir_all(directory())?;
    let lock = File::create(file("lock"))?;
    match lock.try_lock() {
        Ok(()) => Ok(Some(lock)),
        Err(TryLockError::WouldBlock) => Ok(None),
        Err(TryLockError::Error(error)) => Err(error),
    }
}

/// Whether a process holds the cluster.
pub fn is_held() -> io::Result<bool> {
    Ok(hold()?.is_none())
}
