//! The processes of the pod: reaping those that ended, ending all others.

use std::collections::HashMap;
use std::fs;
use std::io;
use std::thread;
use std::time::{Duration, Instant};

use nix::errno::Errno;
use nix::sys::signal::{Signal, kill, killpg};
use nix::sys::wait::{Id, WaitPidFlag, WaitStatus, waitid, waitpid};
use nix::unistd::Pid;

use crate::judge::ProcessEnd;

const PAUSE: Duration = Duration::from_millis(5);
/// To ask about children that have ended, and leave them.
const WITHOUT_COLLECTING: WaitPidFlag =
    WaitPidFlag::WEXITED.union(WaitPidFlag::WNOHANG).union(WaitPidFlag::WNOWAIT).union(WaitPidFlag::__WALL);

/// Collects every child that has ended, orphans that fell to us too. Tells how `engine` ended, if it did.
pub fn reap(engine: Pid) -> Option<ProcessEnd> {
    let was_there = is_child(engine);
    let end = collect(engine);
    let is_nameless = end.is_none() && was_there && !is_child(engine);
    end.or(is_nameless.then_some(ProcessEnd::KilledInRealTime))
}

fn collect(engine: Pid) -> Option<ProcessEnd> {
    let mut end = None;
    loop {
        let ended = match waitpid(None, Some(WaitPidFlag::WNOHANG | WaitPidFlag::__WALL)) {
            Ok(WaitStatus::Exited(pid, code)) => Some((pid, ProcessEnd::Exited(code))),
            Ok(WaitStatus::Signaled(pid, signal, _)) => Some((pid, ProcessEnd::Killed(signal))),
            // A real-time signal ended one: nix has no name for it. It is collected, and which one it was isn't told.
            Err(Errno::EINVAL) => None,
            Ok(WaitStatus::StillAlive) | Err(_) => return end,
            Ok(_) => None,
        };
        end = ended.filter(|(pid, _)| *pid == engine).map(|(_, end)| end).or(end);
    }
}

/// Whether it runs, or has ended and isn't collected.
fn is_child(pid: Pid) -> bool {
    waitid(Id::Pid(pid), WITHOUT_COLLECTING) != Err(Errno::ECHILD)
}

/// Ends every process of the pod but this one: as PID 1 all there are, else the engine's group and all descendants,
/// those that left the group too. One in an uninterruptible wait isn't waited for longer than `patience`.
pub fn end_all(engine: Pid, patience: Duration) -> Option<ProcessEnd> {
    let mut end = None;
    until_alone(patience, || {
        // A group that is already gone can't be signalled: nothing is missing then.
        let _ = killpg(engine, Signal::SIGKILL);
        end = reap(engine).or(end);
    });
    end
}

/// Whether nobody is left who could still change what the agent's processes could change. In doubt somebody is.
pub fn are_gone(patience: Duration) -> bool {
    until_alone(patience, || {
        reap(Pid::this());
    })
}

/// Kills what there is, round by round: what forks meanwhile is met in the next one.
fn until_alone(patience: Duration, mut round: impl FnMut()) -> bool {
    let until = Instant::now() + patience;
    loop {
        kill_others();
        round();
        if is_alone() {
            return true;
        }
        if Instant::now() > until {
            return false;
        }
        thread::sleep(PAUSE);
    }
}

fn is_process_1() -> bool {
    std::process::id() == 1
}

fn kill_others() {
    if is_process_1() {
        let _ = kill(Pid::from_raw(-1), Signal::SIGKILL);
        return;
    }
    for pid in descendants(Pid::this(), &parents().unwrap_or_default()) {
        let _ = kill(pid, Signal::SIGKILL);
    }
}

/// Whoever has no child has no descendant: an orphan falls to us. The kernel alone is asked: /proc can be kept from us.
fn is_alone() -> bool {
    waitid(Id::All, WITHOUT_COLLECTING) == Err(Errno::ECHILD) && (!is_process_1() || is_nobody_else_here())
}

/// As PID 1: somebody may have come from outside (`kubectl exec`), and the agent's processes into theirs.
fn is_nobody_else_here() -> bool {
    kill(Pid::from_raw(-1), Signal::SIGKILL) == Err(Errno::ESRCH) || are_all_foreign().unwrap_or(false)
}

/// Whether all others have a uid that we have no power over: the agent hasn't either. So it is where root debugs.
fn are_all_foreign() -> io::Result<bool> {
    let others: Vec<_> = pids()?.into_iter().filter(|pid| *pid != Pid::this()).collect();
    Ok(!others.is_empty() && others.into_iter().all(|pid| kill(pid, None) == Err(Errno::EPERM)))
}

fn pids() -> io::Result<Vec<Pid>> {
    let entries = fs::read_dir("/proc")?.collect::<io::Result<Vec<_>>>()?;
    let numbers = entries.iter().filter_map(|entry| entry.file_name().to_str()?.parse().ok());
    Ok(numbers.map(Pid::from_raw).collect())
}

/// Every process that can be seen, with its parent.
fn parents() -> io::Result<HashMap<Pid, Pid>> {
    Ok(pids()?.into_iter().filter_map(|pid| Some((pid, parent(pid)?))).collect())
}

fn parent(pid: Pid) -> Option<Pid> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    parent_in(&stat)
}

/// The fourth field; the second, a name in brackets, may hold brackets and blanks.
fn parent_in(stat: &str) -> Option<Pid> {
    let (_, rest) = stat.rsplit_once(')')?;
    rest.split_ascii_whitespace().nth(1)?.parse().ok().map(Pid::from_raw)
}

fn descendants(root: Pid, parents: &HashMap<Pid, Pid>) -> Vec<Pid> {
    let mut found = Vec::new();
    let mut roots = vec![root];
    while let Some(root) = roots.pop() {
        let children = parents.iter().filter(|(_, parent)| **parent == root).map(|(child, _)| *child);
        let children: Vec<Pid> = children.filter(|child| !found.contains(child)).collect();
        found.extend(&children);
        roots.extend(children);
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_parent_is_found_whatever_the_name_is() {
        for (stat, parent) in
            [("7 (sh) S 3 7 7 0", Some(3)), ("7 (a) b (c)) R 12 7", Some(12)), ("7 sh", None), ("", None)]
        {
            assert_eq!(parent_in(stat), parent.map(Pid::from_raw), "{stat}");
        }
    }

    #[test]
    fn descendants_are_found_to_the_last() {
        let parents = [(2, 1), (3, 2), (4, 3), (5, 1), (9, 8)];
        let parents = parents.map(|(pid, parent)| (Pid::from_raw(pid), Pid::from_raw(parent))).into();
        let mut found = descendants(Pid::from_raw(2), &parents);
        found.sort();
        assert_eq!(found, [3, 4].map(Pid::from_raw));
    }
}
