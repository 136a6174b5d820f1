//! A volume's directory on the host: files that change all at once, as a kubelet writes them.

use std::fs;
use std::io;
use std::os::unix::fs::{PermissionsExt, chown, symlink};
use std::path::{Path, PathBuf};

use super::contents::{File, Files};

/// Who may use what is in volumes.
#[derive(Clone, Copy, Debug, Default)]
pub struct Ownership {
    /// `fsGroup`.
    pub group: Option<u32>,
    /// The only user that the pod's containers run as.
    pub user: Option<u32>,
}

/// Makes an empty directory that every user may write to.
pub fn make_shared(directory: &Path, ownership: Ownership) -> io::Result<()> {
    fs::create_dir_all(directory)?;
    chown(directory, None, ownership.group)?;
    let set_group = if ownership.group.is_some() { 0o2000 } else { 0 };
    fs::set_permissions(directory, fs::Permissions::from_mode(0o777 | set_group))
}

/// Makes `directory` hold exactly `files`. They lie in a directory that `..data` leads to, and that link is replaced in
/// one step, so that nobody sees half of a change.
pub fn write(directory: &Path, files: &Files, ownership: Ownership, version: u64) -> io::Result<()> {
    fs::create_dir_all(directory)?;
    fs::set_permissions(directory, fs::Permissions::from_mode(0o755))?;
    let name = format!("..{version}");
    for (path, file) in files {
        write_file(&directory.join(&name).join(path), file, ownership)?;
    }
    fs::create_dir_all(directory.join(&name))?;
    let before = fs::read_link(directory.join("..data")).ok();
    symlink(&name, directory.join("..data_tmp"))?;
    fs::rename(directory.join("..data_tmp"), directory.join("..data"))?;
    link_entries(directory, files)?;
    before.map_or(Ok(()), |before: PathBuf| fs::remove_dir_all(directory.join(before)))
}

fn write_file(path: &Path, file: &File, ownership: Ownership) -> io::Result<()> {
    if let Some(parent) = path.parent() {
        fs::create_dir_all(parent)?;
    }
    fs::write(path, &file.bytes)?;
    let private = file.token && (ownership.user.is_some() || ownership.group.is_some());
    let mode = if private { 0o600 } else { file.mode };
    let group_may = if ownership.group.is_some() { 0o440 } else { 0 };
    chown(path, ownership.user.filter(|_| file.token), ownership.group)?;
    fs::set_permissions(path, fs::Permissions::from_mode(mode | group_may))
}

/// A link for each first part of a path; those of files that are gone go.
fn link_entries(directory: &Path, files: &Files) -> io::Result<()> {
    let wanted = |name: &str| files.keys().any(|path| path.split('/').next() == Some(name));
    for entry in fs::read_dir(directory)? {
        let entry = entry?;
        let name = entry.file_name().into_string().unwrap_or_default();
        if !name.starts_with("..") && entry.file_type()?.is_symlink() && !wanted(&name) {
            fs::remove_file(entry.path())?;
        }
    }
    for name in files.keys().filter_map(|path| path.split('/').next()) {
        let link = directory.join(name);
        if link.symlink_metadata().is_err() {
            symlink(Path::new("..data").join(name), link)?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file(text: &str) -> File {
        File { bytes: text.as_bytes().to_vec(), mode: 0o640, token: false }
    }

    #[test]
    fn a_change_replaces_all_files() {
        let scratch = tempfile::tempdir().unwrap();
        let directory = scratch.path().join("v");
        let first = Files::from([("a".to_owned(), file("1")), ("d/b".to_owned(), file("2"))]);
        write(&directory, &first, Ownership::default(), 1).unwrap();
        assert_eq!(fs::read_to_string(directory.join("d/b")).unwrap(), "2");
        assert_eq!(fs::metadata(directory.join("a")).unwrap().permissions().mode() & 0o777, 0o640);

        let second = Files::from([("a".to_owned(), file("3")), ("c".to_owned(), file("4"))]);
        write(&directory, &second, Ownership::default(), 2).unwrap();
        let mut names: Vec<_> = fs::read_dir(&directory)
            .unwrap()
            .map(|e| e.unwrap().file_name().into_string().unwrap())
            .collect();
        names.sort();
        assert_eq!(names, ["..2", "..data", "a", "c"]);
        assert_eq!(fs::read_to_string(directory.join("a")).unwrap(), "3");
    }

    #[test]
    fn an_empty_directory_is_open_to_all() {
        let scratch = tempfile::tempdir().unwrap();
        let directory = scratch.path().join("v");
        make_shared(&directory, Ownership::default()).unwrap();
        assert_eq!(fs::metadata(&directory).unwrap().permissions().mode() & 0o7777, 0o777);
    }
}
