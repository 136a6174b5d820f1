//! What Docker gets of a directory: the files that its `.dockerignore` lets through.

use std::fs;
use std::io;
use std::path::{Component, Path, PathBuf};

use punching_fist_testkit::repository;

/// A directory as a build sees it.
pub struct Context {
    directory: PathBuf,
    patterns: Vec<Pattern>,
}

/// A line of a `.dockerignore`, of the few forms that ours have: `*`, a path, and `**/NAME`.
struct Pattern {
    text: String,
    lets_through: bool,
}

impl Context {
    /// The directory, named from the repository's root.
    pub fn of(directory: &str) -> io::Result<Self> {
        let directory = repository::root().join(directory);
        let patterns = match fs::read_to_string(directory.join(".dockerignore")) {
            Ok(text) => patterns(&text),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Vec::new(),
            Err(error) => return Err(error),
        };
        Ok(Self { directory, patterns })
    }

    /// Whether a build sees the file or directory.
    pub fn has(&self, path: &Path) -> bool {
        let path = path.strip_prefix(".").unwrap_or(path);
        self.directory.join(path).exists() && !self.ignores(path)
    }

    fn ignores(&self, path: &Path) -> bool {
        let last = self.patterns.iter().rev().find(|pattern| pattern.matches(path));
        last.is_some_and(|pattern| !pattern.lets_through) && !path.as_os_str().is_empty()
    }

    /// Copies what a build sees to `destination`. What is the same already keeps its time, so that Cargo builds no more
    /// than has changed.
    pub fn copy(&self, destination: &Path) -> io::Result<()> {
        self.copy_directory(Path::new(""), destination)
    }

    fn copy_directory(&self, from: &Path, destination: &Path) -> io::Result<()> {
        fs::create_dir_all(destination)?;
        for stale in fs::read_dir(destination)? {
            let stale = stale?;
            if !self.has(&from.join(stale.file_name())) {
                remove(&stale.path())?;
            }
        }
        for entry in fs::read_dir(self.directory.join(from))? {
            let name = entry?.file_name();
            let (path, target) = (from.join(&name), destination.join(&name));
            if self.ignores(&path) {
                continue;
            }
            let source = self.directory.join(&path);
            if source.is_dir() {
                self.copy_directory(&path, &target)?;
            } else if fs::read(&source)? != fs::read(&target).unwrap_or_default() {
                fs::copy(&source, &target)?;
            }
        }
        Ok(())
    }
}

impl Pattern {
    fn matches(&self, path: &Path) -> bool {
        match self.text.strip_prefix("**/") {
            Some(name) => path.components().any(|component| component == Component::Normal(name.as_ref())),
            None => self.text == "*" || path.starts_with(&self.text),
        }
    }
}

fn patterns(text: &str) -> Vec<Pattern> {
    let lines = text.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with('#'));
    lines
        .map(|line| match line.strip_prefix('!') {
            Some(path) => Pattern { text: path.to_owned(), lets_through: true },
            None => Pattern { text: line.to_owned(), lets_through: false },
        })
        .collect()
}

fn remove(path: &Path) -> io::Result<()> {
    if path.is_dir() { fs::remove_dir_all(path) } else { fs::remove_file(path) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_line_that_fits_decides() {
        let patterns = patterns("# why\n*\n!crates\n**/__pycache__\n");
        let context = Context { directory: PathBuf::new(), patterns };
        for (path, ignored) in [
            ("target", true),
            ("crates", false),
            ("crates/api/src/lib.rs", false),
            ("crates-of-others", true),
            ("crates/a/__pycache__/b.pyc", true),
            ("", false),
        ] {
            assert_eq!(context.ignores(Path::new(path)), ignored, "{path}");
        }
    }

    #[test]
    fn a_copy_follows_its_source() {
        let (source, copy) = (tempfile::tempdir().expect("room"), tempfile::tempdir().expect("room"));
        let context = Context { directory: source.path().to_owned(), patterns: patterns("*\n!kept\n") };
        fs::create_dir(source.path().join("kept")).expect("room");
        fs::write(source.path().join("kept/a"), "1").expect("room");
        fs::write(source.path().join("secret"), "2").expect("room");
        context.copy(copy.path()).expect("copied");
        assert!(copy.path().join("kept/a").exists() && !copy.path().join("secret").exists());
        fs::remove_file(source.path().join("kept/a")).expect("there");
        fs::write(source.path().join("kept/b"), "3").expect("room");
        context.copy(copy.path()).expect("copied");
        assert!(!copy.path().join("kept/a").exists() && copy.path().join("kept/b").exists());
    }
}
