//! One run of a container: what it is made of, its process, its end.

use std::collections::BTreeSet;
use std::fs;
use std::io::{self, Read as _, Seek as _, SeekFrom};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use k8s_openapi::api::core::v1::ContainerStateTerminated;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use k8s_openapi::jiff::Timestamp;
use tokio::time::Instant;

use super::{CONFIGURATION_RETRY, Supervisor};
use crate::backoff::Backoff;
use crate::environment::{self, Variables};
use crate::logs::{Key, Log};
use crate::sandbox::{Exit, Launch, Mount, Running, StartError};
use crate::security::Credentials;
use crate::sources::{self, Sources};
use crate::states;

/// Kubernetes keeps so much of a termination message, and so much of a log in place of one.
const LONGEST_MESSAGE: u64 = 4096;
const LONGEST_LOG: (usize, usize) = (80, 2048);

/// What of a log may still come when the process is gone: nobody can hold its pipes but for a moment.
const LOG_GRACE: Duration = Duration::from_secs(5);

/// A run that is over.
#[derive(Debug)]
pub struct Ended {
    pub exit_code: i32,
    pub ran: Duration,
}

/// Why a container can't be configured: the reason that its status shows, and a message.
type Trouble = (&'static str, String);

impl Supervisor {
    /// What the container is made of; waits for what is missing. `None` if the pod is to end.
    pub(super) async fn configure(&mut self, image: PathBuf, needed: BTreeSet<PathBuf>) -> Option<Launch> {
        let mut backoff = Backoff::up_to(CONFIGURATION_RETRY.0, CONFIGURATION_RETRY.1);
        loop {
            match self.launch(&image, &needed).await {
                Ok(launch) => return Some(launch),
                Err((reason, message)) => {
                    let events = &self.shared.context.events;
                    events.warning(&self.about, "Failed", format!("Error: {message}"));
                    self.wait_because(reason, Some(message));
                }
            }
            if !self.stop.pause(backoff.wait()).await {
                return None;
            }
        }
    }

    async fn launch(&self, image: &Path, needed: &BTreeSet<PathBuf>) -> Result<Launch, Trouble> {
        let configuration = |message| ("CreateContainerConfigError", message);
        let disk = |error: io::Error| ("CreateContainerError", error.to_string());
        let spec = self.shared.pod.spec.as_ref();
        let credentials = Credentials::of(
            spec.and_then(|spec| spec.security_context.as_ref()),
            self.container.security_context.as_ref(),
        )
        .map_err(configuration)?;
        let hostname = self.hostname();
        let variables = self.variables(&hostname).await.map_err(configuration)?;
        let volumes = self.shared.volumes.lock().await;
        let mut mounts =
            volumes.mounts(&self.shared.pod, &self.container, &variables).map_err(configuration)?;
        drop(volumes);
        let scratch = self.directory().join("scratch");
        fs::create_dir_all(&scratch).map_err(disk)?;
        mounts.push(self.message_file().map_err(disk)?);
        Ok(Launch {
            command: self.command(image, &variables).map_err(|message| ("CreateContainerError", message))?,
            working_directory: self
                .container
                .working_dir
                .clone()
                .filter(|dir| !dir.is_empty())
                .unwrap_or("/".into()),
            variables,
            mounts,
            credentials,
            hostname,
            image: image.to_owned(),
            needed: needed.clone(),
            scratch,
        })
    }

    fn hostname(&self) -> String {
        let asked = self.shared.pod.spec.as_ref().and_then(|spec| spec.hostname.clone());
        let mut name = asked.unwrap_or_else(|| self.shared.name().to_owned());
        name.truncate(63);
        name.trim_end_matches(['-', '.']).to_owned()
    }

    async fn variables(&self, hostname: &str) -> Result<Variables, String> {
        let (context, pod) = (&self.shared.context, &self.shared.pod);
        let wanted = sources::of_environment(&self.container);
        let sources = Sources::fetch(&context.client, self.shared.namespace(), wanted).await;
        let sources = sources.map_err(|error| error.to_string())?;
        let defaults = context.variables(hostname);
        environment::variables(pod, &self.container, &sources, &context.allocatable, defaults)
    }

    /// Command and arguments. An image has at most an `entrypoint` to run when there is neither.
    fn command(&self, image: &Path, variables: &Variables) -> Result<Vec<String>, String> {
        let written = |list: &Option<Vec<String>>| list.clone().unwrap_or_default();
        let (mut command, arguments) = (written(&self.container.command), written(&self.container.args));
        if command.is_empty() {
            let entrypoint = image.join("entrypoint");
            if entrypoint.exists() {
                command.push(entrypoint.display().to_string());
            } else if arguments.is_empty() {
                return Err("no command specified".to_owned());
            }
        }
        Ok(command.iter().chain(&arguments).map(|word| environment::expand(word, variables)).collect())
    }

    /// The directory of this run.
    fn directory(&self) -> PathBuf {
        let (name, attempt) = (&self.container.name, self.attempt.to_string());
        self.shared.directory.join("containers").join(name).join(attempt)
    }

    fn message_path(&self) -> PathBuf {
        self.directory().join("termination-message")
    }

    /// An empty file that the container's user can write its last words to.
    fn message_file(&self) -> io::Result<Mount> {
        let source = self.message_path();
        fs::write(&source, "")?;
        fs::set_permissions(&source, fs::Permissions::from_mode(0o666))?;
        let target = self.container.termination_message_path.clone();
        let target =
            target.filter(|path| !path.is_empty()).unwrap_or_else(|| "/dev/termination-log".to_owned());
        Ok(Mount { source, target, read_only: false })
    }

    /// Runs the process to its end, and shows both.
    pub(super) async fn run_once(&mut self, launch: Launch) -> Ended {
        let events = self.shared.context.events.clone();
        let name = self.container.name.clone();
        events.normal(&self.about, "Created", format!("Created container: {name}"));
        let (started, began) = (Timestamp::now(), Instant::now());
        let log = match self.start_log().await {
            Ok(log) => log,
            Err(error) => return self.not_started(&StartError::Spawn(error)),
        };
        match self.shared.context.sandbox.start(&launch).await {
            Ok(running) => {
                events.normal(&self.about, "Started", format!("Started container {name}"));
                drop(launch);
                self.show_running(started);
                let exit = self.process(running, &log).await;
                let end = self.end_of(exit, started, &log).await;
                let exit_code = end.exit_code;
                self.show_end(end);
                Ended { exit_code, ran: began.elapsed() }
            }
            Err(error) => {
                log.close();
                self.not_started(&error)
            }
        }
    }

    async fn start_log(&self) -> io::Result<Arc<Log>> {
        let log = Log::create(self.directory().join("log")).await?;
        let key = Key {
            namespace: self.shared.namespace().to_owned(),
            pod: self.shared.name().to_owned(),
            container: self.container.name.clone(),
        };
        let dropped = self.shared.context.logs.start(key, self.shared.uid(), Arc::clone(&log));
        if let Some(run) = dropped.as_deref().and_then(Path::parent) {
            tokio::fs::remove_dir_all(run).await?;
        }
        Ok(log)
    }

    /// Waits for the end of the process, and gets it there if the pod is to end.
    async fn process(&mut self, running: Running, log: &Arc<Log>) -> io::Result<Exit> {
        let Running { mut process, stdout, stderr } = running;
        let recorder = {
            let log = Arc::clone(log);
            tokio::spawn(async move {
                if let Err(error) = log.record(stdout, stderr).await {
                    tracing::warn!(%error, "a container's log is incomplete");
                }
            })
        };
        let first = process.first;
        let exit = tokio::select! {
            exit = process.wait() => exit,
            () = self.stopped() => {
                let note = format!("Stopping container {}", self.container.name);
                self.shared.context.events.normal(&self.about, "Killing", note);
                first.terminate();
                if let Some(exit) = self.stop.bound(process.wait()).await {
                    exit
                } else {
                    first.kill();
                    process.wait().await
                }
            }
        };
        if tokio::time::timeout(LOG_GRACE, recorder).await.is_err() {
            tracing::warn!(
                container = self.container.name,
                "somebody holds the output of a container that ended"
            );
        }
        exit
    }

    async fn stopped(&self) {
        let mut stop = self.stop.clone();
        while stop.given().is_none() {
            stop.changed().await;
        }
    }

    async fn end_of(
        &self,
        exit: io::Result<Exit>,
        started: Timestamp,
        log: &Arc<Log>,
    ) -> ContainerStateTerminated {
        let Exit { code, signal } = exit.unwrap_or(Exit { code: 137, signal: None });
        let mut message = tail(&self.message_path());
        let policy = self.container.termination_message_policy.as_deref();
        if message.is_empty() && code != 0 && policy == Some("FallbackToLogsOnError") {
            let bytes = log.tail(LONGEST_LOG.0, LONGEST_LOG.1).await;
            message = String::from_utf8_lossy(&bytes).into_owned();
        }
        ContainerStateTerminated {
            container_id: Some(self.id()),
            exit_code: code,
            signal,
            reason: Some(if code == 0 { "Completed" } else { "Error" }.to_owned()),
            message: Some(message).filter(|message| !message.is_empty()),
            started_at: Some(Time(started)),
            finished_at: Some(Time(Timestamp::now())),
        }
    }

    /// As containerd shows a container whose command can't be run.
    fn not_started(&self, error: &StartError) -> Ended {
        let message = error.to_string();
        let events = &self.shared.context.events;
        events.warning(&self.about, "Failed", format!("Error: {message}"));
        self.show_end(ContainerStateTerminated {
            container_id: Some(self.id()),
            exit_code: 128,
            signal: None,
            reason: Some("StartError".to_owned()),
            message: Some(message.clone()),
            started_at: Some(Time(Timestamp::UNIX_EPOCH)),
            finished_at: Some(Time(Timestamp::now())),
        });
        if self.role.restarts(self.shared.restart_policy(), 128) {
            self.wait_because("RunContainerError", Some(message));
        }
        Ended { exit_code: 128, ran: Duration::ZERO }
    }

    fn id(&self) -> String {
        format!("process://{}-{}-{}", self.shared.uid(), self.container.name, self.attempt)
    }

    fn show_running(&self, since: Timestamp) {
        let (id, attempt) = (self.id(), self.attempt);
        let image = self.shared.context.images.find(self.container.image.as_deref().unwrap_or_default());
        let image_id = image.map(|directory| format!("directory://{}", directory.display()));
        self.shared.board.update_container(self.slot, |status| {
            if states::end(status).is_some() {
                status.last_state = status.state.take();
            }
            status.state = Some(states::running(since));
            status.restart_count = attempt;
            status.container_id = Some(id);
            status.image_id = image_id.unwrap_or_default();
        });
    }

    fn show_end(&self, end: ContainerStateTerminated) {
        let attempt = self.attempt;
        self.shared.board.update_container(self.slot, |status| {
            status.container_id.clone_from(&end.container_id);
            status.state = Some(states::terminated(end));
            status.restart_count = attempt;
        });
    }
}

/// The end of the file that the container wrote its last words to.
fn tail(path: &Path) -> String {
    let read = || {
        let mut file = fs::File::open(path)?;
        let length = file.metadata()?.len();
        file.seek(SeekFrom::Start(length.saturating_sub(LONGEST_MESSAGE)))?;
        let mut bytes = Vec::new();
        file.take(LONGEST_MESSAGE).read_to_end(&mut bytes)?;
        io::Result::Ok(String::from_utf8_lossy(&bytes).into_owned())
    };
    read().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_end_of_a_long_message_is_kept() {
        let scratch = tempfile::tempdir().unwrap();
        let path = scratch.path().join("m");
        fs::write(&path, format!("{}{}", "a".repeat(5000), "b")).unwrap();
        assert_eq!(tail(&path), format!("{}b", "a".repeat(4095)));
        assert_eq!(tail(&scratch.path().join("none")), "");
    }
}
