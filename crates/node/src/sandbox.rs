//! A container as a process of this host: `sandbox/setup.sh` in namespaces of its own, which becomes the command.

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::fs::{PermissionsExt as _, fchown};
use std::os::unix::process::ExitStatusExt as _;
use std::path::{Path, PathBuf};
use std::process::{ExitStatus, Stdio};

use nix::sys::signal::{Signal, kill};
use nix::unistd::{Pid, geteuid};
use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, BufReader};
use tokio::net::unix::pipe;
use tokio::process::{Child, Command};

use crate::environment::Variables;
use crate::process::{Nursery, tied};
use crate::security::{Credentials, Privileges};

const SETUP: &str = include_str!("sandbox/setup.sh");

/// Its name in the node's directory.
const SCRIPT: &str = "setup.sh";

/// What goes before `unshare`. The report comes in as standard input, as no other descriptor can be handed over, and is
/// the standard error of what comes before the command. Who started this program may have left more descriptors open:
/// they are closed, which only bash can do for those above 9. As pods' cgroups do, `nice` gives them less of a busy
/// processor than what runs the node and the cluster.
const ENTER: &str = r#"
exec 3>&0 4>&2 2>&3 </dev/null
for descriptor in /proc/self/fd/*; do
    descriptor=${descriptor##*/}
    [ "$descriptor" -le 4 ] || [ -z "${BASH_VERSION:-}" ] || eval "exec $descriptor>&-"
done
exec nice -n 10 unshare "$@""#;

/// The script's last word before the command runs.
const READY: &str = "\nready\n";

/// Where a container finds programs after those of its image.
const STANDARD_PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// What of the host a container does not see unless its image needs it. The script makes these anew, and empty.
const HIDDEN: &[&str] = &["/run", "/home", "/root", "/mnt", "/media", "/tmp", "/var/tmp"];

/// A volume, or a part of one, and where the container wants it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mount {
    pub source: PathBuf,
    pub target: String,
    pub read_only: bool,
}

/// All that a container is made of.
#[derive(Debug)]
pub struct Launch {
    /// Command and arguments.
    pub command: Vec<String>,
    pub variables: Variables,
    pub working_directory: String,
    pub mounts: Vec<Mount>,
    pub credentials: Credentials,
    pub hostname: String,
    /// The image's directory, first on `PATH`.
    pub image: PathBuf,
    /// What else of the host must be seen, from [`crate::images::needed`].
    pub needed: BTreeSet<PathBuf>,
    /// An empty directory to mount on.
    pub scratch: PathBuf,
}

/// Why a container did not come to run its command.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The system refuses the process or its pipes.
    #[error("failed to create the container's process: {0}")]
    Spawn(#[from] io::Error),
    /// The script says why.
    #[error("failed to start container process: {0}")]
    Setup(String),
}

/// A container that runs.
#[derive(Debug)]
pub struct Running {
    pub process: Process,
    pub stdout: pipe::Receiver,
    pub stderr: pipe::Receiver,
}

/// The process of a container that runs.
#[derive(Debug)]
pub struct Process {
    child: Child,
    report: BufReader<pipe::Receiver>,
    pub first: FirstProcess,
}

/// How a process ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Exit {
    /// As a shell counts: for a signal its number comes on top of 128.
    pub code: i32,
    pub signal: Option<i32>,
}

impl Process {
    /// Waits for its end.
    ///
    /// # Errors
    /// The system does not tell.
    pub async fn wait(&mut self) -> io::Result<Exit> {
        let status = self.child.wait().await?;
        let mut complaint = String::new();
        self.report.read_to_string(&mut complaint).await?;
        Ok(exit_of(status, &complaint))
    }
}

/// `unshare` ends as its child did. Some versions can't for SIGKILL: they complain, and exit with 1.
fn exit_of(status: ExitStatus, complaint: &str) -> Exit {
    match (status.code(), status.signal()) {
        (Some(1), _) if !complaint.is_empty() => Exit { code: 137, signal: Some(9) },
        (Some(code), _) => Exit { code, signal: None },
        (None, signal) => Exit { code: 128 + signal.unwrap_or(9), signal },
    }
}

/// The first process of a container, as the host numbers it.
#[derive(Clone, Copy, Debug)]
pub struct FirstProcess(Pid);

impl FirstProcess {
    /// Asks it to end. `unshare`, its parent, waits for it, so the number can't be another's while that one lives.
    pub fn terminate(self) {
        // One that has just ended needs no signal.
        let _ = kill(self.0, Signal::SIGTERM);
    }

    /// Ends all processes of the container: the namespace goes with its first process.
    pub fn kill(self) {
        let _ = kill(self.0, Signal::SIGKILL);
    }
}

/// Makes containers.
#[derive(Clone)]
pub struct Sandbox {
    nursery: Nursery,
    directory: PathBuf,
    /// What no container sees but for what its image needs.
    hidden: Vec<PathBuf>,
    privileges: Privileges,
}

impl Sandbox {
    /// Writes the script into `directory`, the node's own. That and `hidden` are not seen by containers.
    ///
    /// # Errors
    /// The directory can't be written.
    pub fn new(nursery: Nursery, directory: &Path, hidden: &[PathBuf]) -> io::Result<Self> {
        std::fs::write(directory.join(SCRIPT), SETUP)?;
        let privileges = if geteuid().is_root() { Privileges::Root } else { Privileges::UserNamespace };
        let more = hidden.iter().filter_map(|path| path.canonicalize().ok());
        let mut hidden: Vec<_> = more.chain([directory.to_owned()]).collect();
        hidden.sort_unstable();
        Ok(Self { nursery, directory: directory.to_owned(), hidden, privileges })
    }

    /// With what rights containers are made.
    pub fn privileges(&self) -> Privileges {
        self.privileges
    }

    /// Runs an empty container, to see whether this host can.
    ///
    /// # Errors
    /// It can't.
    pub async fn probe(&self) -> Result<(), StartError> {
        let scratch = self.directory.join("probe");
        std::fs::create_dir_all(&scratch)?;
        let launch = Launch {
            command: vec!["true".to_owned()],
            variables: Variables::new(),
            working_directory: "/".to_owned(),
            mounts: Vec::new(),
            credentials: Credentials::of(None, None).map_err(StartError::Setup)?,
            hostname: "probe".to_owned(),
            image: "/usr/bin".into(),
            needed: BTreeSet::new(),
            scratch,
        };
        self.start(&launch).await?.process.wait().await?;
        Ok(())
    }

    /// Starts a container, and waits until its command runs.
    ///
    /// # Errors
    /// It does not come so far.
    pub async fn start(&self, launch: &Launch) -> Result<Running, StartError> {
        let (out_reader, out) = io::pipe()?;
        let (err_reader, err) = io::pipe()?;
        let (report_reader, report) = io::pipe()?;
        if self.privileges == Privileges::Root {
            // Else the container could not open its own /dev/stdout.
            for pipe in [&out, &err] {
                let (user, group) = (launch.credentials.user, launch.credentials.group);
                fchown(pipe, u32::try_from(user).ok(), u32::try_from(group).ok())?;
            }
        }
        let mut command = self.command(launch);
        command.stdin(Stdio::from(report)).stdout(Stdio::from(out)).stderr(Stdio::from(err));
        let child = self.nursery.spawn(command).await?;
        let mut report = BufReader::new(receiver(report_reader)?);
        let text = report_of(&mut report).await?;
        let first = FirstProcess(reported(&text).map_err(StartError::Setup)?);
        let process = Process { child, report, first };
        Ok(Running { process, stdout: receiver(out_reader)?, stderr: receiver(err_reader)? })
    }

    fn command(&self, launch: &Launch) -> Command {
        // A session of its own: the terminal's signals, and its /dev/tty, are not for containers.
        let mut command = tied("setsid");
        let shell = ["/bin/bash", "/bin/sh"].into_iter().find(|shell| Path::new(shell).exists());
        command.arg(shell.unwrap_or("sh")).args(["-c", ENTER, "unshare"]);
        if self.privileges == Privileges::UserNamespace {
            command.args(["--user", "--map-root-user"]);
        }
        command.args(["--mount", "--pid", "--ipc", "--uts", "--fork", "--kill-child", "--", "/bin/sh"]);
        command.arg(self.directory.join(SCRIPT)).args(self.steps(launch)).arg("--").args(&launch.command);
        command.env_clear().current_dir("/").env("PATH", STANDARD_PATH);
        command.env("SCRATCH", &launch.scratch).env("POD_HOSTNAME", &launch.hostname);
        command.env("WORKING_DIRECTORY", &launch.working_directory);
        command.env("READ_ONLY", if launch.credentials.read_only_root { "1" } else { "0" });
        command.env("CREDENTIALS", launch.credentials.setpriv(self.privileges));
        let variables = complete(launch);
        command.env("SEARCH_PATH", &variables["PATH"]).env("VARIABLES", variables.len().to_string());
        for (number, (name, value)) in variables.iter().enumerate() {
            command.env(format!("VARIABLE_{}", number + 1), format!("{name}={value}"));
        }
        command
    }

    /// The script's steps, three words each.
    fn steps(&self, launch: &Launch) -> Vec<PathBuf> {
        let mut steps: Vec<[PathBuf; 3]> = Vec::new();
        let hidden = HIDDEN.iter().map(Path::new).chain(self.hidden.iter().map(PathBuf::as_path));
        steps.push(["hide".into(), "/var/tmp".into(), "1777".into()]);
        for path in outermost(&self.hidden.iter().collect::<Vec<_>>()) {
            if !HIDDEN.iter().any(|parent| path.starts_with(parent)) {
                steps.push(["hide".into(), path.clone(), "755".into()]);
            }
        }
        let (bound, seen): (Vec<_>, Vec<_>) =
            launch.needed.iter().partition(|path| hidden.clone().any(|parent| path.starts_with(parent)));
        for path in outermost(&bound) {
            let real = path.canonicalize().unwrap_or_else(|_| path.clone());
            steps.push(["needed".into(), real, path.clone()]);
        }
        let directories: BTreeSet<_> =
            seen.iter().flat_map(|path| path.ancestors()).filter(|path| is_closed(path)).collect();
        steps.extend(directories.into_iter().map(|path| ["traverse".into(), path.into(), "-".into()]));
        let mut mounts: Vec<_> = launch.mounts.iter().collect();
        // Sorted by path, what lies in another mount comes after it.
        mounts.sort_by_key(|mount| Path::new(&mount.target));
        for mount in mounts {
            let verb = if mount.read_only { "read-only" } else { "read-write" };
            steps.push([verb.into(), mount.source.clone(), mount.target.clone().into()]);
        }
        steps.into_iter().flatten().collect()
    }
}

/// The variables with what a container runtime adds: programs are found, and there is a home.
fn complete(launch: &Launch) -> Variables {
    let mut variables = launch.variables.clone();
    let path = variables.remove("PATH").unwrap_or_else(|| STANDARD_PATH.to_owned());
    variables.insert("PATH".to_owned(), format!("{}:{path}", launch.image.display()));
    let home = if launch.credentials.user == 0 { "/root" } else { "/" };
    variables.entry("HOME".to_owned()).or_insert_with(|| home.to_owned());
    variables
}

/// Whether it is a directory that only its owner or group may pass through.
fn is_closed(path: &Path) -> bool {
    path.metadata().is_ok_and(|metadata| metadata.is_dir() && metadata.permissions().mode() & 1 == 0)
}

/// The paths that lie in no other of them. `paths` are sorted.
fn outermost<'a>(paths: &[&'a PathBuf]) -> Vec<&'a PathBuf> {
    let mut outermost: Vec<&PathBuf> = Vec::new();
    for path in paths {
        if !outermost.last().is_some_and(|last| path.starts_with(last)) {
            outermost.push(path);
        }
    }
    outermost
}

fn receiver(pipe: io::PipeReader) -> io::Result<pipe::Receiver> {
    pipe::Receiver::from_owned_fd(OwnedFd::from(pipe))
}

/// All that the script reports. The pipe is open for longer than that: `unshare` may still complain.
async fn report_of(report: &mut BufReader<pipe::Receiver>) -> io::Result<String> {
    let mut text = String::new();
    while report.read_line(&mut text).await? > 0 && !text.ends_with(READY) {}
    Ok(text)
}

/// What the script wrote to its report: the first process if the command runs, else what was in the way.
fn reported(text: &str) -> Result<Pid, String> {
    let (mut first, mut ready, mut trouble) = (None, false, String::new());
    for line in text.lines() {
        match line.strip_prefix("pid ") {
            Some(number) if first.is_none() => first = number.parse().ok().map(Pid::from_raw),
            _ if line == "ready" => ready = true,
            _ => {
                let separator = if trouble.is_empty() { "" } else { "; " };
                let _ = write!(trouble, "{separator}{line}");
            }
        }
    }
    match first {
        Some(first) if ready => Ok(first),
        _ if trouble.is_empty() => {
            Err("the container's first process ended before its command ran".to_owned())
        }
        _ => Err(trouble),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reports_tell_the_process_or_the_trouble() {
        for (text, want) in [
            ("pid 7\nready\n", Ok(7)),
            ("pid 7\nsetup.sh: cannot create /etc/hosts\nready\n", Ok(7)),
            ("pid 7\nmount: no\nmount: really\n", Err("mount: no; mount: really")),
            ("", Err("the container's first process ended before its command ran")),
            ("unshare: no\nready\n", Err("unshare: no")),
        ] {
            let got = reported(text).map(Pid::as_raw);
            assert_eq!(got, want.map_err(str::to_owned), "{text}");
        }
    }

    #[test]
    fn signals_become_exit_codes() {
        for (status, complaint, code, signal) in [
            (0, "", 0, None),
            (3 << 8, "", 3, None),
            (1 << 8, "", 1, None),
            (1 << 8, "unshare: sigaction failed\n", 137, Some(9)),
            (9, "", 137, Some(9)),
            (15, "", 143, Some(15)),
        ] {
            assert_eq!(exit_of(ExitStatus::from_raw(status), complaint), Exit { code, signal });
        }
    }

    #[test]
    fn only_outermost_paths_are_bound() {
        let paths: Vec<PathBuf> =
            ["/root/a", "/root/a/b", "/root/ab", "/tmp/x", "/tmp/x/y/z"].map(PathBuf::from).into();
        let got: Vec<_> = outermost(&paths.iter().collect::<Vec<_>>()).into_iter().cloned().collect();
        assert_eq!(got, ["/root/a", "/root/ab", "/tmp/x"].map(PathBuf::from));
    }
}
