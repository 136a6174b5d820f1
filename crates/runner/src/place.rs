//! Copies this program into a volume that the agent's container mounts.

use std::fs::{self, File, Permissions};
use std::io;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

/// Copies the running program to `destination`, executable for all. Whoever looks sees no file or the whole file.
pub fn place(destination: &Path) -> io::Result<()> {
    let name = destination.file_name().filter(|_| !destination.is_dir());
    let name = name.ok_or_else(|| io::Error::other("name the file, not its directory"))?.to_string_lossy();
    let half_done = destination.with_file_name(format!(".{name}.{}", std::process::id()));
    let placed = copy(&half_done).and_then(|()| fs::rename(&half_done, destination));
    if placed.is_err() {
        // The error that matters is the first one.
        let _ = fs::remove_file(&half_done);
    }
    placed
}

fn copy(destination: &Path) -> io::Result<()> {
    let mut source = File::open(std::env::current_exe()?)?;
    let mut file = File::create(destination)?;
    io::copy(&mut source, &mut file)?;
    // By the mode alone, whatever the umask is: the agent runs as another user.
    file.set_permissions(Permissions::from_mode(0o755))?;
    file.sync_all()
}
