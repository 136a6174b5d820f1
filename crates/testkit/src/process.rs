//! A server that runs as a process of this host: started through a [`Nursery`] (so that it ends with us, whatever ends
//! us), logging into a file, asked to end before it is made to.

use std::ffi::OsStr;
use std::fs::{self, File};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{ExitStatus, Stdio};
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use punching_fist_node::process::{Nursery, tied};
use tokio::process::{Child, Command};

use crate::Error;

/// How many lines of a log an error shows.
const TAIL_LINES: usize = 15;
/// How often readiness is asked for.
const READY_POLL: Duration = Duration::from_millis(50);

/// A running program and its log.
pub struct Process {
    name: String,
    child: Child,
    pid: u32,
    address: Option<SocketAddr>,
    log: PathBuf,
}

/// What to start: a thin builder over [`Command`] that knows the log.
pub struct Program {
    name: String,
    command: Command,
    address: Option<SocketAddr>,
    log: PathBuf,
}

impl Program {
    /// `program`, called `name`, writing to `log` (appended, so that a restart keeps what went before).
    pub fn new(name: &str, program: impl AsRef<OsStr>, log: impl Into<PathBuf>) -> Self {
        Self { name: name.to_owned(), command: tied(program), address: None, log: log.into() }
    }

    /// Adds arguments.
    #[must_use]
    pub fn args(mut self, args: impl IntoIterator<Item = impl AsRef<OsStr>>) -> Self {
        self.command.args(args);
        self
    }

    /// Sets a variable of the environment.
    #[must_use]
    pub fn env(mut self, name: &str, value: impl AsRef<OsStr>) -> Self {
        self.command.env(name, value);
        self
    }

    /// Says where it listens, for who shows or checks it.
    #[must_use]
    pub fn address(mut self, address: SocketAddr) -> Self {
        self.address = Some(address);
        self
    }

    /// Starts it.
    ///
    /// # Errors
    /// The log can't be written, or the system refuses the process.
    pub async fn start(mut self, nursery: &Nursery) -> Result<Process, Error> {
        let log = File::options()
            .create(true)
            .append(true)
            .open(&self.log)
            .map_err(Error::file("write the log", &self.log))?;
        let second = log.try_clone().map_err(Error::file("write the log", &self.log))?;
        self.command.stdin(Stdio::null()).stdout(log).stderr(second);
        // A Ctrl-C on the terminal is for us: we end our children, in our order.
        self.command.process_group(0);
        let refused = |source| Error::Spawn { name: self.name.clone(), source };
        let child = nursery.spawn(self.command).await.map_err(refused)?;
        let pid = child.id().unwrap_or_default();
        Ok(Process { name: self.name, child, pid, address: self.address, log: self.log })
    }
}

impl Process {
    /// What it is called in messages.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Its process id.
    pub fn pid(&self) -> u32 {
        self.pid
    }

    /// Where it listens.
    pub fn address(&self) -> Option<SocketAddr> {
        self.address
    }

    /// Where it logs to.
    pub fn log(&self) -> &Path {
        &self.log
    }

    /// The end of its log.
    pub fn log_tail(&self) -> String {
        let text = fs::read(&self.log).unwrap_or_default();
        tail(&String::from_utf8_lossy(&text), TAIL_LINES)
    }

    /// How it ended, if it did.
    pub fn exited(&mut self) -> Option<ExitStatus> {
        self.child.try_wait().ok().flatten()
    }

    /// Waits until it has ended by itself.
    ///
    /// # Errors
    /// The system can't tell.
    pub async fn wait(&mut self) -> Result<ExitStatus, Error> {
        let lost = |source| Error::Spawn { name: self.name.clone(), source };
        self.child.wait().await.map_err(lost)
    }

    /// Asks `check` until it says `Ok`, for at most `limit`.
    ///
    /// # Errors
    /// The process ended, or `limit` is over; both show the end of its log.
    pub async fn ready<F>(&mut self, limit: Duration, mut check: F) -> Result<(), Error>
    where
        F: AsyncFnMut() -> Result<(), String>,
    {
        let started = Instant::now();
        loop {
            let Err(last) = tokio::time::timeout(limit, check()).await.unwrap_or(Err("no answer".to_owned()))
            else {
                return Ok(());
            };
            if self.exited().is_some() {
                return Err(Error::Ended { name: self.name.clone(), tail: self.log_tail() });
            }
            if started.elapsed() > limit {
                return Err(self.not_ready(limit, last));
            }
            tokio::time::sleep(READY_POLL).await;
        }
    }

    fn not_ready(&self, limit: Duration, last: String) -> Error {
        let (name, tail) = (self.name.clone(), self.log_tail());
        Error::NotReady { name, seconds: limit.as_secs(), last, tail }
    }

    /// SIGTERM, then SIGKILL when `grace` is over. Gives how it ended.
    ///
    /// # Errors
    /// The system can't tell how it ended.
    pub async fn stop(mut self, grace: Duration) -> Result<ExitStatus, Error> {
        self.signal(Signal::SIGTERM);
        match tokio::time::timeout(grace, self.wait()).await {
            Ok(status) => status,
            Err(_) => self.kill().await,
        }
    }

    /// SIGKILL.
    ///
    /// # Errors
    /// The system can't tell how it ended.
    pub async fn kill(mut self) -> Result<ExitStatus, Error> {
        self.signal(Signal::SIGKILL);
        self.wait().await
    }

    /// Sends `signal`, unless the process has been waited for (its id may be somebody else's by then).
    pub fn signal(&mut self, signal: Signal) {
        let alive = self.exited().is_none();
        if let (true, Ok(pid)) = (alive, i32::try_from(self.pid)) {
            // It may end between the two lines: then there is nothing to signal, which is what was wanted.
            let _ = kill(Pid::from_raw(pid), signal);
        }
    }
}

/// The last `lines` lines of `text`.
pub fn tail(text: &str, lines: usize) -> String {
    let all: Vec<&str> = text.lines().collect();
    all[all.len().saturating_sub(lines)..].join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_tail_is_the_end() {
        for (text, lines, expected) in [("", 2, ""), ("a\nb", 2, "a\nb"), ("a\nb\nc\n", 2, "b\nc")] {
            assert_eq!(tail(text, lines), expected);
        }
    }

    async fn shell(directory: &Path, script: &str) -> Process {
        let nursery = Nursery::start().unwrap();
        let program = Program::new("shell", "sh", directory.join("log")).args(["-c", script]);
        let process = program.start(&nursery).await.unwrap();
        // The children end with the nursery: this one lives as long as the test's process.
        std::mem::forget(nursery);
        process
    }

    #[tokio::test]
    async fn one_that_ends_early_shows_its_log() {
        let directory = tempfile::tempdir().unwrap();
        let mut process = shell(directory.path(), "echo the reason >&2; exit 3").await;
        let never = async || Err("not yet".to_owned());
        let error = process.ready(Duration::from_secs(20), never).await.unwrap_err();
        assert!(matches!(&error, Error::Ended { tail, .. } if tail == "the reason"), "{error}");
    }

    #[tokio::test]
    async fn one_that_ignores_the_request_is_killed() {
        let directory = tempfile::tempdir().unwrap();
        let mut process =
            shell(directory.path(), "trap '' TERM; echo up; while :; do sleep 0.05; done").await;
        let log = process.log().to_owned();
        let up = async || match fs::read_to_string(&log) {
            Ok(text) if text.contains("up") => Ok(()),
            _ => Err("silent".to_owned()),
        };
        process.ready(Duration::from_secs(20), up).await.unwrap();
        let status = process.stop(Duration::from_millis(100)).await.unwrap();
        assert_eq!(std::os::unix::process::ExitStatusExt::signal(&status), Some(9));
    }
}
