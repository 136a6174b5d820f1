//! How long a trivial engine takes from its start to its first event and to its end.

use std::io::{self, BufRead as _, BufReader, Read as _};
use std::path::Path;
use std::time::{Duration, Instant};

use super::figures::{Figure, Samples};
use super::pod::{self, FINISH, Front, Kind, Pod};
use super::table::{Goal, Row};

const RUNS: usize = 200;
/// Runs that fill the page cache.
const WARM: usize = 5;
const PERCENTS: [usize; 2] = [50, 95];
const FIRST: &str = r#"echo '{"kind":"state","state":"running"}'"#;
/// What the runner may add until the engine is at work.
const GOAL: Goal = Goal::AddedBelow(Figure::Seconds(0.020));

#[derive(Default)]
struct Times {
    first: Samples,
    end: Samples,
}

/// Runs it with the runner and without, by turns.
pub fn rows(runner: &Path) -> io::Result<Vec<Row>> {
    let pod = Pod::new(runner, Kind::Sdk, &format!("{FIRST}\n{FINISH}"))?;
    let (mut with, mut without) = (Times::default(), Times::default());
    for run in 0..WARM + RUNS {
        for (front, times) in [(Front::Runner, &mut with), (Front::Nothing, &mut without)] {
            let (first, end) = once(&pod, front)?;
            if run >= WARM {
                times.first.add(first);
                times.end.add(end);
            }
        }
    }
    let mut rows = Row::of_samples("start to the first event", &PERCENTS, &with.first, &without.first, GOAL);
    rows.extend(Row::of_samples("start to exit", &PERCENTS, &with.end, &without.end, Goal::None));
    Ok(rows)
}

fn once(pod: &Pod, front: Front) -> io::Result<(Duration, Duration)> {
    let started = Instant::now();
    let mut child = pod.start(front)?;
    let mut stdout = BufReader::new(child.stdout.take().ok_or(io::ErrorKind::BrokenPipe)?);
    let mut text = String::new();
    while !text.contains("running") && stdout.read_line(&mut text)? > 0 {}
    let first = started.elapsed();
    stdout.read_to_string(&mut text)?;
    pod::end(child)?;
    Ok((first, started.elapsed()))
}
