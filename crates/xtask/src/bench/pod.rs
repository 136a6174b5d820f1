//! A pod in a temporary directory, with a shell script as its engine: started behind the runner, or alone.

use std::fs;
use std::io;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use tempfile::TempDir;

/// What an engine prints when it has come to a verdict.
pub const FINISH: &str = r#"echo '{"kind":"finish","verdict":"Diagnosed","summary":"A typo.","report":"The cause."}'
echo '{"kind":"state","state":"finished"}'"#;

/// No measured engine works so long.
const TIMEOUT_SECONDS: &str = "90";

/// An engine whose place a script takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Its events are lines.
    Sdk,
    /// Its events are files.
    Main,
}

/// Whether the runner stands in front.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Front {
    /// As in a pod.
    Runner,
    /// The engine alone.
    Nothing,
}

/// What an engine is started in.
pub struct Pod {
    directory: TempDir,
    runner: PathBuf,
    engine: PathBuf,
    kind: Kind,
}

impl Kind {
    fn name(self) -> &'static str {
        match self {
            Self::Sdk => "sdk",
            Self::Main => "main",
        }
    }

    fn program(self) -> &'static str {
        match self {
            Self::Sdk => "punching-fist-agent",
            Self::Main => "python",
        }
    }
}

impl Pod {
    /// A pod whose engine is this script.
    pub fn new(runner: &Path, kind: Kind, script: &str) -> io::Result<Self> {
        let directory = tempfile::Builder::new().prefix("punching-fist-bench-").tempdir()?;
        let bin = directory.path().join("bin");
        fs::create_dir(&bin)?;
        fs::write(directory.path().join("prompt"), "What is wrong with checkout?")?;
        fs::write(directory.path().join("termination-log"), "")?;
        let engine = bin.join(kind.program());
        fs::write(&engine, format!("#!/bin/sh\n{script}\n"))?;
        fs::set_permissions(&engine, fs::Permissions::from_mode(0o755))?;
        Ok(Self { directory, runner: runner.to_owned(), engine, kind })
    }

    /// Starts it; what it prints can be read.
    pub fn start(&self, front: Front) -> io::Result<Child> {
        let mut command = match front {
            Front::Runner => Command::new(&self.runner),
            Front::Nothing => Command::new(&self.engine),
        };
        if front == Front::Runner {
            command.arg("run");
        }
        command.env_clear().envs(self.environment()).current_dir(&self.directory);
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::inherit()).spawn()
    }

    fn environment(&self) -> Vec<(&'static str, String)> {
        let text = |name: &str| self.directory.path().join(name).display().to_string();
        vec![
            ("PATH", format!("{}:/usr/local/bin:/usr/bin:/bin", text("bin"))),
            ("HOME", self.directory.path().display().to_string()),
            ("PUNCHING_FIST_ENGINE", self.kind.name().to_owned()),
            ("PUNCHING_FIST_PROMPT_FILE", text("prompt")),
            ("PUNCHING_FIST_MODE", "Investigate".to_owned()),
            ("PUNCHING_FIST_TIMEOUT_SECONDS", TIMEOUT_SECONDS.to_owned()),
            ("PUNCHING_FIST_MAX_ITERATIONS", "1000000".to_owned()),
            ("PUNCHING_FIST_MAX_COST_USD", "1000000".to_owned()),
            ("PUNCHING_FIST_GRACE_SECONDS", "2".to_owned()),
            ("PUNCHING_FIST_TERMINATION_LOG", text("termination-log")),
            ("LLM_MODEL", "openai/scripted".to_owned()),
            ("LLM_API_KEY", "the-key-of-the-model".to_owned()),
        ]
    }
}

/// Waits for its end, which has to be a good one: a figure of a run that failed is none.
pub fn end(mut child: Child) -> io::Result<()> {
    let status = child.wait()?;
    let failed = || io::Error::other(format!("a measured engine or runner failed: {status}"));
    status.success().then_some(()).ok_or_else(failed)
}
