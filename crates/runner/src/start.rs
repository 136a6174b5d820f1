//! Starting an engine: the files that it needs first, then its process, in a group of its own.

use std::ffi::OsStr;
use std::fs::{self, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use nix::errno::Errno;
use punching_fist_protocol::Reason;
use punching_fist_protocol::pod::variables::{KUBECONFIG, LLM_API_KEY};

use crate::engine::Launch;
use crate::judge::Fault;
use crate::task::Task;

/// Starts what an adapter has asked for, with pipes and not with what the runner itself writes to.
pub fn start(launch: &Launch, task: &Task) -> Result<Child, Fault> {
    prepare(launch)?;
    let kubeconfig = task.kubeconfig.as_deref().map(|text| own_kubeconfig(task, text)).transpose()?;
    let mut command = Command::new(&launch.program);
    command.args(&launch.arguments).process_group(0);
    if !task.api_key.is_empty() {
        command.env(LLM_API_KEY, &task.api_key);
    }
    command.envs(kubeconfig.map(|path| (KUBECONFIG, path)));
    for name in &launch.remove {
        command.env_remove(name);
    }
    command.envs(launch.set.iter().map(|(name, value)| (name, value)));
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    command.spawn().map_err(|error| not_started(&launch.program, &error))
}

fn prepare(launch: &Launch) -> Result<(), Fault> {
    for directory in launch.directories.iter().chain(&launch.watched) {
        fs::create_dir_all(directory).map_err(|error| not_written(directory, &error))?;
    }
    for (path, text) in &launch.files {
        let written = path.parent().map_or(Ok(()), fs::create_dir_all).and_then(|()| fs::write(path, text));
        written.map_err(|error| not_written(path, &error))?;
    }
    Ok(())
}

/// Where the engine finds the other cluster's kubeconfig.
pub fn kubeconfig_path(task: &Task) -> PathBuf {
    task.state_directory.join("kubeconfig")
}

/// What was checked, in a file of its own: the one that it was read from follows its Secret.
fn own_kubeconfig(task: &Task, text: &str) -> Result<PathBuf, Fault> {
    let path = kubeconfig_path(task);
    let mut options = OpenOptions::new();
    let created = fs::create_dir_all(&task.state_directory)
        .and_then(|()| options.write(true).create(true).truncate(true).mode(0o600).open(&path));
    let written = created.and_then(|mut file| file.write_all(text.as_bytes()));
    written.map_err(|error| not_written(&path, &error))?;
    Ok(path)
}

fn not_written(path: &Path, error: &io::Error) -> Fault {
    let text = format!("can't write {}, which the engine needs: {error}", path.display());
    Fault::new(Reason::AgentFault, text)
}

fn not_started(program: &OsStr, error: &io::Error) -> Fault {
    let program = program.to_string_lossy();
    // ENOEXEC: made for another machine.
    let is_missing = matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::PermissionDenied)
        || error.raw_os_error() == Some(Errno::ENOEXEC as i32);
    if !is_missing {
        return Fault::new(Reason::AgentFault, format!("can't start {program}: {error}"));
    }
    let path = std::env::var("PATH").unwrap_or_default();
    let text = format!("the image has no runnable program {program} in PATH ({path}): {error}");
    Fault::new(Reason::EngineMissing, text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_engine_gets_the_kubeconfig_that_was_checked() {
        let directory = tempfile::tempdir().expect("a directory");
        let script = "stat -c %a \"$KUBECONFIG\"; cat \"$KUBECONFIG\"";
        let launch =
            Launch { program: "sh".into(), arguments: vec!["-c".into(), script.into()], ..Launch::default() };
        let state_directory = directory.path().join("state");
        let kubeconfig = Some("apiVersion: v1\n".to_owned());
        let task = Task { kubeconfig, state_directory, ..Task::default() };
        let child = start(&launch, &task).unwrap_or_else(|fault| panic!("{}", fault.text));
        let output = child.wait_with_output().expect("our own child");
        assert_eq!(String::from_utf8_lossy(&output.stdout), "600\napiVersion: v1\n");
    }
}
