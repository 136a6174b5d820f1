//! The processes of the pod: reaping those that ended, ending all others.

use std::collections::HashMap;
use std::fs;
use std::thread;
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill, killpg};
use nix::sys::wait::{WaitPidFlag, WaitStatus, waitpid};
use nix::unistd::Pid;

use crate::judge::ProcessEnd;

/// How long processes that were killed may take to be gone. One in an uninterruptible wait isn't waited for longer.
const KILL_PATIENCE: Duration = Duration::from_secs(2);
const PAUSE: Duration = Duration::from_millis(5);

/// Collects every child that has ended, orphans that fell to us too. Tells how `engine` ended, if it did.
pub fn reap(engine: Pid) -> Option<ProcessEnd> {
    let mut end = None;
    loop {
        let ended = match waitpid(None, Some(WaitPidFlag::WNOHANG)) {
            Ok(WaitStatus::Exited(pid, code)) => Some((pid, ProcessEnd::Exited(code))),
            Ok(WaitStatus::Signaled(pid, signal, _)) => Some((pid, ProcessEnd::Killed(signal))),
            Ok(WaitStatus::StillAlive) | Err(_) => return end,
            Ok(_) => None,
        };
        end = ended.filter(|(pid, _)| *pid == engine).map(|(_, end)| end).or(end);
    }
}

/// Ends every process of the pod but this one: as PID 1 all there are, else the engine's group and all descendants,
/// those that left the group too.
pub fn end_all(engine: Pid) -> Option<ProcessEnd> {
    let until = Instant::now() + KILL_PATIENCE;
    let mut end = None;
    loop {
        let left = kill_round(engine);
        end = reap(engine).or(end);
        if left == 0 || Instant::now() > until {
            return end;
        }
        thread::sleep(PAUSE);
    }
}

/// Kills what there is and tells how many there were. What forks meanwhile is met in the next round.
fn kill_round(engine: Pid) -> usize {
    // A process that is already gone can't be signalled: nothing is missing then.
    let _ = killpg(engine, Signal::SIGKILL);
    if std::process::id() == 1 {
        let _ = kill(Pid::from_raw(-1), Signal::SIGKILL);
    }
    let descendants = descendants(Pid::this(), &parents());
    for pid in &descendants {
        let _ = kill(*pid, Signal::SIGKILL);
    }
    descendants.len()
}

/// Every process that is there, with its parent.
fn parents() -> HashMap<Pid, Pid> {
    let Ok(entries) = fs::read_dir("/proc") else { return HashMap::new() };
    let numbers = entries.flatten().filter_map(|entry| entry.file_name().to_str()?.parse().ok());
    numbers.filter_map(|pid| Some((Pid::from_raw(pid), parent(pid)?))).collect()
}

fn parent(pid: i32) -> Option<Pid> {
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
