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
        let file = OpenOptions::new().read(true).write(true).create(true).truncate(false).open(path)?;
        let log = Self(file);
        log.reserve();
        Ok(log)
    }

    fn reserve(&self) {
        let room = i64::try_from(SHORT_MAX).unwrap_or(i64::MAX);
        // Not every file system can.
        let _ = fallocate(&self.0, FallocateFlags::FALLOC_FL_KEEP_SIZE, 0, room);
    }

    /// Replaces what stands in it. What is beyond the message is cut away last: that gives no room away before it is
    /// needed. Whoever else could write to it is to be gone by now.
    pub fn write(&self, result: &ShortResult) -> io::Result<()> {
        let message = result.to_message();
        // The agent may have given the room away. And file systems wait here for what is still on its way to the disk.
        self.reserve();
        // Who has our uid may set our limits (prlimit): a file size of 0 is to be an error and not our end.
        SigSet::from(Signal::SIGXFSZ).thread_block()?;
        self.0.write_all_at(message.as_bytes(), 0)?;
        self.0.set_len(message.len() as u64)?;
        self.0.sync_data()?;
        self.check(message.as_bytes())
    }

    /// What can't be read again in the same words is not ours.
    fn check(&self, message: &[u8]) -> io::Result<()> {
        let mut found = vec![0; message.len() + 1];
        let length = self.0.read_at(&mut found, 0)?;
        let is_ours = found[..length] == *message;
        if is_ours { Ok(()) } else { Err(io::Error::other("something else stands there")) }
    }
}
