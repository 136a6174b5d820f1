//! Files that hold keys and tokens.

use std::fs::{File, Permissions};
use std::io::Write as _;
use std::os::unix::fs::{OpenOptionsExt as _, PermissionsExt as _};
use std::path::Path;

use crate::Error;

/// Writes `text` where only its owner can read it, from the first byte on.
///
/// # Errors
/// It can't be written.
pub fn write_private(path: &Path, text: &str) -> Result<(), Error> {
    let written = || {
        let mut file = File::options().write(true).create(true).truncate(true).mode(0o600).open(path)?;
        // It may have been there already, with other permissions.
        file.set_permissions(Permissions::from_mode(0o600))?;
        file.write_all(text.as_bytes())
    };
    written().map_err(Error::file("write", path))
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    #[test]
    fn others_can_not_read_it() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("key");
        for before in [None, Some(0o644)] {
            if let Some(mode) = before {
                fs::set_permissions(&path, Permissions::from_mode(mode)).unwrap();
            }
            write_private(&path, "secret").unwrap();
            assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        }
    }
}
