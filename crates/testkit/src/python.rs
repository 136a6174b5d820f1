//! The virtual environment of the agent: a CPython that is new enough, found on this machine, and what
//! `agent/requirements.lock` pins, installed once into the cache.

use std::env;
use std::ffi::OsStr;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use punching_fist_node::process::{Nursery, tied};
use tokio::process::Command;

use crate::cache::Key;
use crate::toolchain::build;
use crate::{Cache, Error, repository};

/// The oldest CPython that the agent's packages run on.
pub const OLDEST: (u32, u32) = (3, 12);
/// Measured on four cores.
pub(crate) const INSTALL_ESTIMATE: Duration = Duration::from_secs(90);
/// Says what an interpreter is: its version, its installation, and the program itself (what is found on PATH may be a
/// shim of pyenv's, which depends on the directory and the user's settings).
const QUESTION: &str = "import os, platform, sys; assert platform.python_implementation() == 'CPython'; \
                        import ensurepip, venv; print(*sys.version_info[:3], sep='.'); \
                        print(sys.base_prefix); print(os.path.realpath(sys.executable))";

/// A CPython on this machine.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Python {
    /// The program.
    pub interpreter: PathBuf,
    /// Its version, as `3.12.1`.
    pub version: String,
    /// Where it is installed, with its library.
    pub prefix: PathBuf,
}

/// The agent's virtual environment.
#[derive(Clone, Debug)]
pub struct Environment {
    /// Its directory.
    pub directory: PathBuf,
    /// What it stands on.
    pub python: Python,
}

impl Environment {
    /// Its interpreter.
    pub fn interpreter(&self) -> PathBuf {
        self.directory.join("bin/python")
    }

    /// The cache's, installed if need be.
    ///
    /// # Errors
    /// There is no Python that is new enough, or the installation failed.
    pub async fn get(nursery: &Nursery, cache: &Cache) -> Result<Self, Error> {
        let Some(python) = find().await else {
            return Err(Error::Prerequisites(vec![missing()]));
        };
        let lock = lock_file();
        let pins = fs::read_to_string(&lock).map_err(Error::file("read", &lock))?;
        let key = key(&pins, &python);
        let install = async |dir: &Path| install(nursery, &python, &lock, dir).await;
        let directory = cache.entry(&key, install).await?;
        Ok(Self { directory, python })
    }

    /// Whether it has not to be installed any more.
    pub async fn is_cached(cache: &Cache) -> bool {
        let (pins, python) = (fs::read_to_string(lock_file()), find().await);
        matches!((pins, python), (Ok(pins), Some(python)) if cache.find(&key(&pins, &python)).is_some())
    }
}

/// What to say where there is no Python.
pub(crate) fn missing() -> String {
    let (major, minor) = OLDEST;
    format!(
        "CPython {major}.{minor} or newer is missing: install python3 and python3-venv of that version, or one with pyenv"
    )
}

fn lock_file() -> PathBuf {
    repository::root().join("agent/requirements.lock")
}

fn key(pins: &str, python: &Python) -> Key {
    Key::new("agent-venv", &[pins, &python.version, &python.prefix.to_string_lossy()])
}

async fn install(nursery: &Nursery, python: &Python, lock: &Path, dir: &Path) -> Result<(), Error> {
    let what = "Installing the agent's Python packages";
    let mut make = tied("sh");
    // Byte code is made now: at run time other users can't write here. Some packages carry files for older Pythons, which
    // don't compile and are never imported.
    make.arg("-ec").arg(
        r#""$1" -m venv "$2"
        "$2/bin/python" -m pip install --disable-pip-version-check --no-input --no-compile --require-hashes --prefer-binary -r "$3" >&2
        "$2/bin/python" -m compileall -qq -j 0 "$2/lib" >&2 || :"#,
    );
    make.arg("install").arg(&python.interpreter).arg(dir).arg(lock);
    build(what, INSTALL_ESTIMATE, nursery, make).await
}

/// The first CPython that is new enough and can make virtual environments: of PATH, then of pyenv.
pub async fn find() -> Option<Python> {
    for candidate in candidates() {
        if let Some(python) = ask(&candidate).await {
            return Some(python);
        }
    }
    None
}

fn candidates() -> Vec<PathBuf> {
    let mut found: Vec<PathBuf> = ["python3.13", "python3.12", "python3"].map(PathBuf::from).to_vec();
    let of_home = || env::home_dir().map(|home| home.join(".pyenv"));
    if let Some(pyenv) = env::var_os("PYENV_ROOT").map(PathBuf::from).or_else(of_home) {
        let versions = fs::read_dir(pyenv.join("versions")).into_iter().flatten().flatten();
        let mut installed: Vec<PathBuf> = versions.map(|entry| entry.path().join("bin/python3")).collect();
        installed.sort();
        found.extend(installed);
    }
    found
}

async fn ask(interpreter: impl AsRef<OsStr>) -> Option<Python> {
    let mut command = Command::new(&interpreter);
    command.args(["-I", "-c", QUESTION]).stdin(Stdio::null()).stderr(Stdio::null()).kill_on_drop(true);
    let output = command.output().await.ok().filter(|output| output.status.success())?;
    let said = String::from_utf8(output.stdout).ok()?;
    let mut lines = said.lines();
    let (version, prefix, program) = (lines.next()?, lines.next()?, lines.next()?);
    new_enough(version).then(|| Python {
        interpreter: program.into(),
        version: version.to_owned(),
        prefix: prefix.into(),
    })
}

fn new_enough(version: &str) -> bool {
    let mut numbers = version.split('.').map_while(|number| number.parse::<u32>().ok());
    matches!((numbers.next(), numbers.next()), (Some(major), Some(minor)) if (major, minor) >= OLDEST)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_are_compared_as_numbers() {
        for (version, expected) in [
            ("3.12.0", true),
            ("3.13.1", true),
            ("3.100.0", true),
            ("4.0.0", true),
            ("3.9.18", false),
            ("2.7.18", false),
            ("", false),
        ] {
            assert_eq!(new_enough(version), expected, "{version}");
        }
    }

    #[tokio::test]
    async fn what_is_no_python_is_passed_over() {
        assert_eq!(ask("true").await, None);
        assert_eq!(ask("/nowhere/python3").await, None);
    }
}
