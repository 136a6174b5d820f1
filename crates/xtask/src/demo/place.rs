//! Where the demo keeps its data and logs: `target/demo`, for one demo at a time. What is left there belongs to one that
//! failed, and stays until the next.

use std::error::Error;
use std::fs::{self, File, TryLockError};
use std::path::{Path, PathBuf};

use punching_fist_testkit::repository;

/// The file that is locked while a demo runs; the system unlocks it, whatever ends the demo.
const LOCK: &str = "lock";

/// A directory that is ours for as long as this lives.
pub struct Place {
    directory: PathBuf,
    _lock: File,
}

impl Place {
    /// Takes `target/demo` and empties it.
    ///
    /// # Errors
    /// Another demo has it, or it can't be written.
    pub fn take() -> Result<Self, Box<dyn Error>> {
        Self::take_at(repository::root().join("target/demo"))
    }

    fn take_at(directory: PathBuf) -> Result<Self, Box<dyn Error>> {
        let refused = |error: std::io::Error| format!("can't write {}: {error}", directory.display());
        fs::create_dir_all(&directory).map_err(refused)?;
        let lock = File::create(directory.join(LOCK)).map_err(refused)?;
        match lock.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                return Err("a demo is up already in this checkout: end it with Ctrl-C first".into());
            }
            Err(TryLockError::Error(error)) => return Err(refused(error).into()),
        }
        let place = Self { directory, _lock: lock };
        place.empty()?;
        Ok(place)
    }

    /// The directory.
    pub fn directory(&self) -> &Path {
        &self.directory
    }

    /// Whether nothing was put there yet.
    pub fn is_unused(&self) -> bool {
        fs::read_dir(&self.directory).is_ok_and(|entries| entries.count() <= 1)
    }

    /// Removes everything in it.
    ///
    /// # Errors
    /// The system refuses.
    pub fn empty(&self) -> Result<(), Box<dyn Error>> {
        for entry in fs::read_dir(&self.directory)? {
            let path = entry?.path();
            let removed = match path.is_dir() && !path.is_symlink() {
                true => fs::remove_dir_all(&path),
                false if path.ends_with(LOCK) => Ok(()),
                false => fs::remove_file(&path),
            };
            removed.map_err(|error| format!("can't remove {}: {error}", path.display()))?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn one_demo_at_a_time_and_it_starts_empty() {
        let dir = tempfile::tempdir().unwrap();
        let demo = dir.path().join("demo");
        fs::create_dir_all(demo.join("old/data")).unwrap();
        fs::write(demo.join("kubeconfig"), "old").unwrap();
        let place = Place::take_at(demo.clone()).unwrap();
        let left: Vec<_> = fs::read_dir(place.directory()).unwrap().map(|e| e.unwrap().file_name()).collect();
        assert_eq!(left, [LOCK]);
        assert!(place.is_unused());
        let second = Place::take_at(demo.clone()).err().unwrap().to_string();
        assert!(second.contains("up already"), "{second}");
        drop(place);
        // What another test is just starting has the lock's descriptor until it is another program.
        let again = || Place::take_at(demo.clone()).is_ok();
        assert!((0..500).any(|_| again() || {
            std::thread::sleep(Duration::from_millis(10));
            false
        }));
    }
}
