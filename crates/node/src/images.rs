//! Images: directories of this host that stand for what a registry would give, and what else they need to be seen.
//!
//! The host's home directories are not part of a container's file system. What an image needs of them is found from its
//! directory: where the symlinks and `#!` lines in it lead, and the installation around a Python interpreter.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io::{BufRead, BufReader, Read};
use std::path::{Path, PathBuf};

/// Longer chains of links are loops.
const LONGEST_CHAIN: usize = 40;

/// The table of images.
#[derive(Debug)]
pub struct Images(BTreeMap<String, PathBuf>);

impl Images {
    /// From image to directory.
    pub fn new(table: BTreeMap<String, PathBuf>) -> Self {
        Self(table)
    }

    /// The directory of an image, which must be named exactly as in the table.
    pub fn find(&self, image: &str) -> Option<&Path> {
        self.0.get(image).map(PathBuf::as_path)
    }
}

/// The paths that a container needs for the image in `directory`, itself first.
pub fn needed(directory: &Path) -> BTreeSet<PathBuf> {
    let mut needed = Needed::default();
    needed.add(directory);
    needed.installation(directory);
    let entries = fs::read_dir(directory).into_iter().flatten().flatten();
    for entry in entries {
        needed.follow(&entry.path());
    }
    needed.paths.retain(|path| path.exists());
    needed.paths
}

#[derive(Default)]
struct Needed {
    paths: BTreeSet<PathBuf>,
    seen: BTreeSet<PathBuf>,
}

impl Needed {
    /// Notes a path, both as it is named and as it really is.
    fn add(&mut self, path: &Path) {
        self.paths.insert(path.to_owned());
        self.paths.extend(path.canonicalize().ok());
    }

    /// Goes from link to link to a file, and on from its `#!` line.
    fn follow(&mut self, path: &Path) {
        let mut path = path.to_owned();
        for _ in 0..LONGEST_CHAIN {
            if !self.seen.insert(path.clone()) {
                return;
            }
            let next = match fs::read_link(&path) {
                Ok(target) => path.parent().unwrap_or(Path::new("/")).join(target),
                Err(_) => match interpreter(&path) {
                    Some(interpreter) => interpreter,
                    None => return,
                },
            };
            self.add(&next);
            next.parent().into_iter().for_each(|directory| self.installation(directory));
            path = next;
        }
    }

    /// What surrounds an interpreter in `bin`: the virtual environment, and the Python that it was made from.
    fn installation(&mut self, bin: &Path) {
        let Some(prefix) = bin.parent().filter(|_| bin.file_name().is_some_and(|name| name == "bin")) else {
            return;
        };
        if let Ok(text) = fs::read_to_string(prefix.join("pyvenv.cfg")) {
            self.add(prefix);
            let home =
                text.lines().filter_map(|line| line.split_once('=')).find(|(key, _)| key.trim() == "home");
            let base = home.map(|(_, bin)| PathBuf::from(bin.trim()));
            base.iter()
                .filter(|bin| !self.paths.contains(*bin))
                .cloned()
                .collect::<Vec<_>>()
                .iter()
                .for_each(|bin| {
                    self.add(bin);
                    self.installation(bin);
                });
        } else if bin.join("python3").exists() && prefix.join("lib").exists() {
            self.add(prefix);
        }
    }
}

/// The program of a script's first line.
fn interpreter(path: &Path) -> Option<PathBuf> {
    if !path.is_file() {
        return None;
    }
    let mut line = Vec::new();
    BufReader::new(fs::File::open(path).ok()?.take(1024)).read_until(b'\n', &mut line).ok()?;
    let line = String::from_utf8(line).ok()?;
    let program = line.strip_prefix("#!")?.split_whitespace().next()?;
    Some(PathBuf::from(program)).filter(|program| program.is_absolute())
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;

    #[test]
    fn links_scripts_and_interpreters_are_followed() {
        let scratch = tempfile::tempdir().unwrap();
        let root = scratch.path().canonicalize().unwrap();
        for directory in ["image", "venv/bin", "python/bin", "python/lib", "tools"] {
            fs::create_dir_all(root.join(directory)).unwrap();
        }
        fs::write(
            root.join("venv/pyvenv.cfg"),
            format!("home = {}\nx = y\n", root.join("python/bin").display()),
        )
        .unwrap();
        fs::write(root.join("python/bin/python3"), "").unwrap();
        symlink(root.join("python/bin/python3"), root.join("venv/bin/python")).unwrap();
        fs::write(root.join("venv/bin/agent"), format!("#!{}\n", root.join("venv/bin/python").display()))
            .unwrap();
        symlink("../venv/bin/agent", root.join("image/agent")).unwrap();
        fs::write(root.join("tools/kubectl"), b"\x7fELF").unwrap();
        symlink(root.join("tools/kubectl"), root.join("image/kubectl")).unwrap();
        symlink("loop", root.join("image/loop")).unwrap();

        let needed = needed(&root.join("image"));
        for path in ["image", "venv", "venv/bin/agent", "python", "python/bin/python3", "tools/kubectl"] {
            assert!(needed.contains(&root.join(path)), "{path} in {needed:?}");
        }
        assert!(!needed.contains(&root.join("tools")) && !needed.contains(&root));
    }
}
