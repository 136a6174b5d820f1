//! Where what takes minutes to build is kept between runs, checkouts and processes. An entry is named by the hash of
//! its pins, is built beside its place under a file lock, and comes into being by one rename: half an entry is never
//! seen, whoever is killed when.

use std::env;
use std::fs::{self, File, TryLockError};
use std::io;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use sha2::{Digest as _, Sha256};
use tempfile::TempDir;

use crate::Error;

/// How often a process that waits for another one's build looks again.
const LOCK_POLL: Duration = Duration::from_millis(200);

/// A directory of finished builds.
#[derive(Clone, Debug)]
pub struct Cache {
    root: PathBuf,
}

/// The name of one build in the [`Cache`]: what it is, and the hash of what it is made from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Key {
    name: String,
}

impl Key {
    /// The key of `what`, made from `pins`: any change of these gives another key.
    pub fn new(what: &str, pins: &[&str]) -> Self {
        let mut hasher = Sha256::new();
        for pin in pins {
            // The length keeps ["ab", "c"] and ["a", "bc"] apart.
            hasher.update(pin.len().to_le_bytes());
            hasher.update(pin.as_bytes());
        }
        let digest = hasher.finalize();
        let hash = digest.iter().take(8).fold(0_u64, |hash, byte| hash << 8 | u64::from(*byte));
        Self { name: format!("{what}-{hash:016x}") }
    }
}

impl Cache {
    /// `$PUNCHING_FIST_CACHE`, else `$XDG_CACHE_HOME/punching-fist`, else `~/.cache/punching-fist`. Nothing is made or
    /// checked yet: a warm cache may be read-only.
    pub fn of_user() -> Self {
        let set = |name: &str| env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from);
        Self::at(root(set("PUNCHING_FIST_CACHE"), set("XDG_CACHE_HOME"), env::home_dir()))
    }

    /// A cache in `root`.
    pub fn at(root: impl Into<PathBuf>) -> Self {
        Self { root: root.into() }
    }

    /// The finished entry, if there is one.
    pub fn find(&self, key: &Key) -> Option<PathBuf> {
        let path = self.root.join(&key.name);
        path.is_dir().then_some(path)
    }

    /// Whether new entries can be made.
    ///
    /// # Errors
    /// They can't; the message says what to do.
    pub fn check_writable(&self) -> Result<(), Error> {
        let refused = |source: io::Error| Error::Cache { path: self.root.clone(), source };
        fs::create_dir_all(&self.root).map_err(refused)?;
        tempfile::tempfile_in(&self.root).map(drop).map_err(refused)
    }

    /// The entry of `key`. If there is none, `build` fills the directory that it is given; another process that builds
    /// the same is waited for.
    ///
    /// # Errors
    /// The cache can't be written, or `build` failed.
    pub async fn entry<F>(&self, key: &Key, build: F) -> Result<PathBuf, Error>
    where
        F: AsyncFnOnce(&Path) -> Result<(), Error>,
    {
        if let Some(found) = self.find(key) {
            return Ok(found);
        }
        self.check_writable()?;
        let _lock = self.lock(key).await?;
        if let Some(found) = self.find(key) {
            return Ok(found);
        }
        let building = self.building(key)?;
        build(building.path()).await?;
        let finished = self.root.join(&key.name);
        fs::rename(building.keep(), &finished)
            .map_err(Error::file("move the finished build to", &finished))?;
        Ok(finished)
    }

    /// An empty place where `key` is built, and nobody else ever was: of a build that was killed some process may still
    /// write to its own. What such builds left is removed.
    fn building(&self, key: &Key) -> Result<TempDir, Error> {
        let prefix = format!(".{}.building-", key.name);
        let left = fs::read_dir(&self.root).map_err(Error::file("read", &self.root))?.flatten();
        for entry in left.filter(|entry| entry.file_name().to_string_lossy().starts_with(&prefix)) {
            // It only takes room, and whoever still writes there may be faster.
            let _ = fs::remove_dir_all(entry.path());
        }
        let building = tempfile::Builder::new().prefix(&prefix).tempdir_in(&self.root);
        let building = building.map_err(Error::file("create a directory in", &self.root))?;
        // Pods of other users run what is in here.
        fs::set_permissions(building.path(), fs::Permissions::from_mode(0o755))
            .map_err(Error::file("open up", building.path()))?;
        Ok(building)
    }

    /// The lock on building `key`, held as long as the file lives. The system lets go of it when the process ends.
    async fn lock(&self, key: &Key) -> Result<File, Error> {
        let path = self.root.join(format!(".{}.lock", key.name));
        let file = File::create(&path).map_err(Error::file("create", &path))?;
        let mut told = false;
        loop {
            match file.try_lock() {
                Ok(()) => return Ok(file),
                Err(TryLockError::Error(error)) => {
                    return Err(Error::File { action: "lock", path, source: error });
                }
                Err(TryLockError::WouldBlock) if told => {}
                Err(TryLockError::WouldBlock) => {
                    told = true;
                    eprintln!("Waiting for another process that is building {}.", key.name);
                }
            }
            tokio::time::sleep(LOCK_POLL).await;
        }
    }
}

fn root(own: Option<PathBuf>, xdg: Option<PathBuf>, home: Option<PathBuf>) -> PathBuf {
    own.or_else(|| xdg.map(|xdg| xdg.join("punching-fist")))
        .or_else(|| home.map(|home| home.join(".cache/punching-fist")))
        .unwrap_or_else(|| env::temp_dir().join("punching-fist-cache"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn failure() -> Error {
        Error::Build { what: "x".to_owned(), tail: String::new() }
    }

    #[test]
    fn the_root_is_the_first_that_is_set() {
        let path = |text: &str| Some(PathBuf::from(text));
        for (own, xdg, home, expected) in [
            (path("/own"), path("/xdg"), path("/home/a"), "/own"),
            (None, path("/xdg"), path("/home/a"), "/xdg/punching-fist"),
            (None, None, path("/home/a"), "/home/a/.cache/punching-fist"),
        ] {
            assert_eq!(root(own, xdg, home), Path::new(expected));
        }
    }

    #[test]
    fn a_key_tells_its_pins_apart() {
        assert_ne!(Key::new("x", &["ab", "c"]), Key::new("x", &["a", "bc"]));
        assert_eq!(Key::new("x", &["a"]), Key::new("x", &["a"]));
    }

    #[tokio::test]
    async fn an_entry_is_built_once() {
        let root = tempfile::tempdir().unwrap();
        let cache = Cache::at(root.path());
        let key = Key::new("thing", &["1"]);
        let build = async |dir: &Path| fs::write(dir.join("a"), "1").map_err(Error::file("write", dir));
        let first = cache.entry(&key, build).await.unwrap();
        let second = cache.entry(&key, async |_: &Path| Err(failure())).await.unwrap();
        assert_eq!((fs::read_to_string(second.join("a")).unwrap().as_str(), first), ("1", second));
    }

    #[tokio::test]
    async fn what_a_broken_build_left_is_never_an_entry() {
        let root = tempfile::tempdir().unwrap();
        let cache = Cache::at(root.path());
        let key = Key::new("thing", &["1"]);
        let broken = async |dir: &Path| {
            fs::write(dir.join("half"), "").unwrap();
            Err(failure())
        };
        cache.entry(&key, broken).await.unwrap_err();
        assert_eq!(cache.find(&key), None);
        let built = cache.entry(&key, async |_: &Path| Ok(())).await.unwrap();
        assert!(!built.join("half").exists());
    }

    #[tokio::test]
    async fn two_that_want_the_same_build_it_once() {
        let root = tempfile::tempdir().unwrap();
        let cache = Cache::at(root.path());
        let key = Key::new("thing", &["1"]);
        let builds = std::sync::atomic::AtomicUsize::new(0);
        let build = async |_: &Path| {
            builds.fetch_add(1, std::sync::atomic::Ordering::SeqCst);
            tokio::task::yield_now().await;
            Ok(())
        };
        let (one, two) = tokio::join!(cache.entry(&key, build), cache.entry(&key, build));
        assert_eq!((one.unwrap(), builds.into_inner()), (two.unwrap(), 1));
    }

    #[tokio::test]
    async fn a_cache_that_cannot_be_made_says_what_to_do() {
        let root = tempfile::NamedTempFile::new().unwrap();
        let cache = Cache::at(root.path().join("below-a-file"));
        let refused = cache.entry(&Key::new("thing", &[]), async |_: &Path| Ok(())).await.unwrap_err();
        assert!(refused.to_string().contains("PUNCHING_FIST_CACHE"), "{refused}");
    }
}
