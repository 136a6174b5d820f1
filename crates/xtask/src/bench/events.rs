//! How long an event is on its way from the engine's writing it to who reads the runner's output, or the bare pipe.

use std::env;
use std::io::{self, BufRead as _, BufReader};
use std::path::Path;

use super::figures::{Figure, Samples};
use super::pod::{self, FINISH, Front, Kind, Pod};
use super::scripted::{age, now};
use super::table::{Goal, Row};

/// Events in a second, and how many in a round.
const PACES: [(u32, u32); 2] = [(20, 40), (100, 200)];
const ROUNDS: usize = 3;
const PERCENTS: [usize; 2] = [50, 99];
const GOAL: Goal = Goal::Below(Figure::Seconds(0.010));

/// Rows for every pace, of lines and of files. A bare pipe is what both are compared with.
pub fn rows(runner: &Path) -> io::Result<Vec<Row>> {
    let mut rows = Vec::new();
    for (rate, count) in PACES {
        let (mut lines, mut files, mut bare) = (Samples::default(), Samples::default(), Samples::default());
        let printing = Pod::new(runner, Kind::Sdk, &printing(rate, count)?)?;
        for _ in 0..ROUNDS {
            lines.extend(ages(&printing, Front::Runner, count)?);
            bare.extend(ages(&printing, Front::Nothing, count)?);
            // Its session is new in each round, as in a pod.
            let writing = Pod::new(runner, Kind::Main, &writing(rate, count)?)?;
            files.extend(ages(&writing, Front::Runner, count)?);
        }
        for (what, with) in [("event on a pipe", lines), ("event on the disk", files)] {
            rows.extend(Row::of_samples(&format!("{what}, {rate}/s"), &PERCENTS, &with, &bare, GOAL));
        }
    }
    Ok(rows)
}

fn printing(rate: u32, count: u32) -> io::Result<String> {
    Ok(format!("{}\n{FINISH}", engine(rate, count)?))
}

fn writing(rate: u32, count: u32) -> io::Result<String> {
    Ok(format!("{} --files \"$FILE_STORE_PATH/sessions/one/events\"", engine(rate, count)?))
}

fn engine(rate: u32, count: u32) -> io::Result<String> {
    let own = env::current_exe()?;
    Ok(format!("'{}' bench engine --rate {rate} --count {count}", own.display()))
}

fn ages(pod: &Pod, front: Front, expected: u32) -> io::Result<Samples> {
    let mut child = pod.start(front)?;
    let mut stdout = BufReader::new(child.stdout.take().ok_or(io::ErrorKind::BrokenPipe)?);
    let (mut samples, mut line) = (Samples::default(), String::new());
    while stdout.read_line(&mut line)? > 0 {
        // The clock first: to read the line is not part of its way.
        if let Some(age) = age(&line, now()) {
            samples.add(age);
        }
        line.clear();
    }
    pod::end(child)?;
    if samples.count() == usize::try_from(expected).unwrap_or(usize::MAX) {
        return Ok(samples);
    }
    Err(io::Error::other(format!("{} of {expected} events came through", samples.count())))
}
