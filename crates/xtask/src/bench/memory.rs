//! The runner's resident memory: while its engine says nothing, and while it prints 100 MB.

use std::fs;
use std::io::{self, BufRead as _, BufReader};
use std::path::Path;
use std::process::{Child, ChildStdout};
use std::thread;
use std::time::{Duration, Instant};

use super::figures::Figure;
use super::pod::{self, FINISH, Front, Kind, Pod};
use super::table::{Goal, Row};

/// How long an engine says nothing before the runner is looked at.
const REST: Duration = Duration::from_millis(500);
/// How often the peak is read: it is gone when the process is.
const LOOK: Duration = Duration::from_millis(5);
const SILENT: &str = r#"echo '{"kind":"state","state":"running"}'
sleep 1"#;
const LINES: &str = "yes 'level=info msg=\"an agent looks at a long log, line by line, and finds nothing\"' | head -c 100000000\necho";
const ONE_LINE: &str = "head -c 100000000 /dev/zero | tr '\\0' x\necho";
const GOAL: Goal = Goal::Below(Figure::Kibibytes(10.0 * 1024.0));

/// Memory of the runner, and how long the 100 MB take.
pub fn rows(runner: &Path) -> io::Result<Vec<Row>> {
    let mut rows = vec![Row::new("memory at rest", at_rest(runner)?, None, GOAL)];
    let mut times = Vec::new();
    for (what, script) in [("100 MB in lines", LINES), ("100 MB in one line", ONE_LINE)] {
        let pod = Pod::new(runner, Kind::Sdk, &format!("{script}\n{FINISH}"))?;
        let (with, peak) = flood(&pod, Front::Runner)?;
        let (without, _) = flood(&pod, Front::Nothing)?;
        rows.push(Row::new(format!("peak memory, {what}"), peak, None, GOAL));
        times.push(Row::new(format!("{what}, to exit"), with.into(), Some(without.into()), Goal::None));
    }
    rows.extend(times);
    Ok(rows)
}

fn at_rest(runner: &Path) -> io::Result<Figure> {
    let pod = Pod::new(runner, Kind::Sdk, &format!("{SILENT}\n{FINISH}"))?;
    let mut child = pod.start(Front::Runner)?;
    let mut stdout = BufReader::new(stdout_of(&mut child)?);
    stdout.read_line(&mut String::new())?;
    thread::sleep(REST);
    let memory = memory_of(child.id(), "VmRSS");
    io::copy(&mut stdout, &mut io::sink())?;
    pod::end(child)?;
    memory.ok_or_else(|| io::Error::other("the runner's memory can't be read"))
}

/// How long it took, and the most memory that was seen. Without the runner that is the shell's, and of no interest.
fn flood(pod: &Pod, front: Front) -> io::Result<(Duration, Figure)> {
    let started = Instant::now();
    let mut child = pod.start(front)?;
    let mut stdout = stdout_of(&mut child)?;
    let reader = thread::spawn(move || io::copy(&mut stdout, &mut io::sink()));
    let mut peak = Figure::Kibibytes(0.0);
    while !reader.is_finished() {
        peak = memory_of(child.id(), "VmHWM").unwrap_or(peak);
        thread::sleep(LOOK);
    }
    reader.join().map_err(|_| io::Error::other("the reader panicked"))??;
    pod::end(child)?;
    Ok((started.elapsed(), peak))
}

fn stdout_of(child: &mut Child) -> io::Result<ChildStdout> {
    child.stdout.take().ok_or_else(|| io::ErrorKind::BrokenPipe.into())
}

/// A field of /proc/PID/status that is in kB; none when the process is gone.
pub fn memory_of(pid: u32, field: &str) -> Option<Figure> {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix(field)?.strip_prefix(':'))?;
    line.trim().strip_suffix(" kB")?.parse().ok().map(Figure::Kibibytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn this_process_has_memory_and_a_peak_above_it() {
        let of = |field| memory_of(std::process::id(), field).unwrap().value();
        assert!(of("VmRSS") > 100.0 && of("VmHWM") > 100.0);
        assert_eq!(memory_of(std::process::id(), "Vm"), None);
        assert_eq!(memory_of(0, "VmRSS"), None);
    }
}
