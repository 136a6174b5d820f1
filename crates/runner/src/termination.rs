//! The container's termination message.

use std::fs::{File, OpenOptions};
use std::io;
use std::os::unix::fs::FileExt;
use std::path::Path;

use punching_fist_protocol::ShortResult;

/// The file that Kubernetes reads the message from. Opened before the agent starts: what it does to the path later
/// changes nothing, and what it writes is cut away.
pub struct TerminationLog(File);

impl TerminationLog {
    /// Opens the file.
    pub fn open(path: &Path) -> io::Result<Self> {
        OpenOptions::new().write(true).create(true).truncate(false).open(path).map(Self)
    }

    /// Replaces what stands in it.
    pub fn write(&self, result: &ShortResult) -> io::Result<()> {
        self.0.set_len(0)?;
        self.0.write_all_at(result.to_message().as_bytes(), 0)
    }
}
