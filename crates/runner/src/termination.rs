//! The container's termination message.

use std::fs::{File, OpenOptions};
use std::io;
use std::os::unix::fs::FileExt;
use std::path::Path;

use nix::fcntl::{FallocateFlags, fallocate};
use nix::sys::signal::{SigSet, Signal};
use punching_fist_protocol::{SHORT_MAX, ShortResult};

/// The file that Kubernetes reads the message from. Opened before the agent starts: what it does to the path later
/// changes nothing, and what it writes is cut away.
pub struct TerminationLog(File);

impl TerminationLog {
    /// Opens the file, and keeps room for it: the disk may be full when the run is over.
    pub fn open(path: &Path) -> io::Result<Self> {
        let file = OpenOptions::new().write(true).create(true).truncate(false).open(path)?;
        let room = i64::try_from(SHORT_MAX).unwrap_or(i64::MAX);
        // Not every file system can.
        let _ = fallocate(&file, FallocateFlags::FALLOC_FL_KEEP_SIZE, 0, room);
        Ok(Self(file))
    }

    /// Replaces what stands in it. What is beyond the message is cut away last: that gives no room away before it is
    /// needed.
    pub fn write(&self, result: &ShortResult) -> io::Result<()> {
        let message = result.to_message();
        // Who has our uid may set our limits (prlimit): a file size of 0 is to be an error and not our end.
        SigSet::from(Signal::SIGXFSZ).thread_block()?;
        self.0.write_all_at(message.as_bytes(), 0)?;
        self.0.set_len(message.len() as u64)
    }
}
