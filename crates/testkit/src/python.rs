//! The virtual environments of the agents: a CPython that fits, found on this machine, and what a lock file pins, each
//! installed once into the cache.

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

/// The oldest CPython that any of the packages run on, and the only one that some do.
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

/// What an engine imports: a lock file of this repository.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Packages {
    /// The SDK, for our own agent.
    Sdk,
    /// The command line `openhands`.
    Cli,
    /// `openhands.core.main`, the generation before.
    Main,
}

impl Packages {
    /// The engine that they are for.
    pub fn engine(self) -> &'static str {
        match self {
            Self::Sdk => "sdk",
            Self::Cli => "cli",
            Self::Main => "main",
        }
    }

    /// The first CPython that they run on and that can make virtual environments: of PATH, then of pyenv.
    pub async fn find_python(self) -> Option<Python> {
        for candidate in candidates() {
            if let Some(python) = ask(&candidate).await.filter(|python| self.run_on(&python.version)) {
                return Some(python);
            }
        }
        None
    }

    fn run_on(self, version: &str) -> bool {
        let mut numbers = version.split('.').map_while(|number| number.parse::<u32>().ok());
        let Some(found) = numbers.next().zip(numbers.next()) else { return false };
        match self {
            Self::Sdk => found >= OLDEST,
            Self::Cli | Self::Main => found == OLDEST,
        }
    }

    fn lock_file(self) -> PathBuf {
        repository::root().join(match self {
            Self::Sdk => "agent/requirements.lock",
            Self::Cli => "agent/engines/cli.lock",
            Self::Main => "agent/engines/main.lock",
        })
    }

    fn key(self, pins: &str, python: &Python) -> Key {
        let name = match self {
            Self::Sdk => "agent-venv",
            Self::Cli => "agent-cli-venv",
            Self::Main => "agent-main-venv",
        };
        Key::new(name, &[pins, &python.version, &python.prefix.to_string_lossy()])
    }

    /// What they are, for who waits for them.
    pub(crate) fn what(self) -> &'static str {
        match self {
            Self::Sdk => "the agent's Python packages",
            Self::Cli => "the Python packages of the engine cli",
            Self::Main => "the Python packages of the engine main",
        }
    }

    /// What to say where there is no Python for them.
    pub(crate) fn missing_python(self) -> String {
        let (major, minor) = OLDEST;
        match self {
            Self::Sdk => format!(
                "CPython {major}.{minor} or newer is missing: install python3 and python3-venv of that version, or one with pyenv"
            ),
            Self::Cli | Self::Main => format!(
                "CPython {major}.{minor} is missing, which the engine {} needs exactly: install python{major}.{minor} and its venv, or one with pyenv",
                self.engine()
            ),
        }
    }
}

/// The virtual environment of an engine.
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

    /// The cache's for our own agent, installed if need be.
    ///
    /// # Errors
    /// There is no Python that is new enough, or the installation failed.
    pub async fn get(nursery: &Nursery, cache: &Cache) -> Result<Self, Error> {
        Self::of(Packages::Sdk, nursery, cache).await
    }

    /// The cache's for these packages, installed if need be.
    ///
    /// # Errors
    /// There is no Python that fits, or the installation failed.
    pub async fn of(packages: Packages, nursery: &Nursery, cache: &Cache) -> Result<Self, Error> {
        let Some(python) = packages.find_python().await else {
            return Err(Error::Prerequisites(vec![packages.missing_python()]));
        };
        let lock = packages.lock_file();
        let pins = fs::read_to_string(&lock).map_err(Error::file("read", &lock))?;
        let install = async |dir: &Path| install(nursery, packages, &python, dir).await;
        let directory = cache.entry(&packages.key(&pins, &python), install).await?;
        Ok(Self { directory, python })
    }

    /// Whether that of these packages has not to be installed any more.
    pub async fn is_cached(packages: Packages, cache: &Cache) -> bool {
        let (pins, python) = (fs::read_to_string(packages.lock_file()), packages.find_python().await);
        matches!((pins, python), (Ok(pins), Some(python)) if cache.find(&packages.key(&pins, &python)).is_some())
    }
}

async fn install(nursery: &Nursery, packages: Packages, python: &Python, dir: &Path) -> Result<(), Error> {
    let what = format!("Installing the Python packages of the engine {}", packages.engine());
    let mut make = tied("sh");
    // A lock file names everything: pip needs not look for more, and where an extra pins a package it would refuse to.
    // Byte code is made now: at run time other users can't write here. Some packages carry files for older Pythons, which
    // don't compile and are never imported.
    make.arg("-ec").arg(
        r#""$1" -m venv "$2"
        "$2/bin/python" -m pip install --disable-pip-version-check --no-input --no-compile --no-deps --require-hashes --prefer-binary -r "$3" >&2
        "$2/bin/python" -m compileall -qq -j 0 "$2/lib" >&2 || :"#,
    );
    make.arg("install").arg(&python.interpreter).arg(dir).arg(packages.lock_file());
    build(&what, INSTALL_ESTIMATE, nursery, make).await
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
    Some(Python { interpreter: program.into(), version: version.to_owned(), prefix: prefix.into() })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_are_compared_as_numbers() {
        for (version, newer, exactly) in [
            ("3.12.0", true, true),
            ("3.13.1", true, false),
            ("3.100.0", true, false),
            ("4.0.0", true, false),
            ("3.9.18", false, false),
            ("2.7.18", false, false),
            ("3", false, false),
            ("", false, false),
        ] {
            let answers =
                [Packages::Sdk, Packages::Cli, Packages::Main].map(|packages| packages.run_on(version));
            assert_eq!(answers, [newer, exactly, exactly], "{version}");
        }
    }

    #[tokio::test]
    async fn what_is_no_python_is_passed_over() {
        assert_eq!(ask("true").await, None);
        assert_eq!(ask("/nowhere/python3").await, None);
    }
}
