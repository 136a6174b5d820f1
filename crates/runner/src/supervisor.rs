//! Watches a running engine: passes its events on, keeps the limits, ends it when it is time.

use std::io;
use std::os::fd::AsFd;
use std::os::unix::process::CommandExt;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError};
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, killpg};
use nix::unistd::Pid;
use punching_fist_protocol::{Event, MARKER, Reason, Stream};

use crate::engine::{Engine, Reading};
use crate::inbox::{Inbox, Note};
use crate::journal::Journal;
use crate::judge::{Fault, ProcessEnd};
use crate::lines::RawLine;
use crate::observed::Observed;
use crate::processes;
use crate::settings::Settings;

/// What an engine gets to end in order, at most, even if the pod's grace is longer.
const MOST_TO_STOP: Duration = Duration::from_secs(15);
/// How long the last lines are waited for when every process is gone. Somebody outside may hold a pipe open.
const DRAIN: Duration = Duration::from_secs(2);

/// A running engine and what is known of it.
pub struct Supervisor<'a, W> {
    settings: &'a Settings,
    journal: &'a mut Journal<W>,
    inbox: Receiver<Note>,
    engine: Pid,
    observed: Observed,
    end: Option<ProcessEnd>,
    stop: Option<Fault>,
    /// When patience is over: first the time limit, then, after a stop, the moment to kill.
    deadline: Instant,
    open_pipes: u8,
}

/// What became of a run.
pub struct Run {
    /// What its events showed.
    pub observed: Observed,
    /// How the engine's process ended.
    pub end: ProcessEnd,
    /// Why we ended it, if we did.
    pub stop: Option<Fault>,
}

impl<'a, W: AsFd> Supervisor<'a, W> {
    /// Starts the engine.
    pub fn start(settings: &'a Settings, journal: &'a mut Journal<W>) -> Result<Self, Fault> {
        // A child inherits its parent's signal mask: it is there before the runner keeps signals back for itself.
        let mut child = spawn(settings.engine)?;
        // A process id always fits: the kernel's are positive `i32`s.
        let engine = Pid::from_raw(i32::try_from(child.id()).unwrap_or(i32::MAX));
        let inbox = listen(&mut child).map_err(|error| {
            processes::end_all(engine);
            Fault::new(Reason::AgentFault, format!("the system refuses a thread or a signal: {error}"))
        })?;
        Ok(Self {
            settings,
            journal,
            inbox,
            engine,
            observed: Observed::default(),
            // Its end may be older than our ear for it.
            end: processes::reap(engine),
            stop: None,
            deadline: Instant::now() + settings.timeout,
            open_pipes: 2,
        })
    }

    /// Goes on until the engine has ended, no process of it is left, and its last line is read.
    pub fn watch(mut self) -> Run {
        while self.end.is_none() {
            match self.inbox.recv_timeout(self.deadline.saturating_duration_since(Instant::now())) {
                Ok(note) => self.take(note),
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => break,
            }
            if self.end.is_none() && Instant::now() >= self.deadline {
                self.out_of_patience();
            }
        }
        // Whatever the engine left behind could still print, or write over the result.
        let end = processes::end_all(self.engine);
        self.end = self.end.or(end);
        self.drain();
        Run { observed: self.observed, end: self.end.unwrap_or(ProcessEnd::Unknown), stop: self.stop }
    }

    fn take(&mut self, note: Note) {
        match note {
            Note::Line(stream, line) => self.line(stream, line),
            Note::Closed => self.open_pipes = self.open_pipes.saturating_sub(1),
            Note::Signal(Signal::SIGCHLD) => self.end = self.end.or(processes::reap(self.engine)),
            Note::Signal(signal) => {
                self.stop(Fault::new(Reason::Signalled, format!("the pod was told to stop ({signal})")));
            }
        }
    }

    fn line(&mut self, stream: Stream, line: RawLine) {
        let reading = match stream {
            Stream::Stdout if line.lost == 0 => self.settings.engine.read(&line.text),
            _ => Reading::Other,
        };
        match reading {
            Reading::Event(event) => self.event(event),
            Reading::UnreadableFinish(problem) => {
                self.observed.finish = Some(Err(self.journal.redact(&problem)));
                self.log(stream, line);
            }
            Reading::Other => self.log(stream, line),
        }
    }

    fn event(&mut self, event: Event) {
        let event = self.journal.redacted(event);
        self.observed.observe(&event);
        self.journal.write(event);
        let (used, most) = (self.observed.usage.iterations, self.settings.max_iterations);
        if used > most {
            self.stop(Fault::new(Reason::IterationLimit, format!("the agent took more than {most} steps")));
        }
    }

    fn log(&mut self, stream: Stream, line: RawLine) {
        let text =
            if line.lost == 0 { line.text } else { format!("{}{MARKER} {} bytes", line.text, line.lost) };
        let event = self.journal.redacted(Event::Log { stream, text });
        self.journal.write(event);
    }

    fn out_of_patience(&mut self) {
        if self.stop.is_some() {
            // It had its time to end in order.
            self.end = processes::end_all(self.engine).or(Some(ProcessEnd::Unknown));
            return;
        }
        let seconds = self.settings.timeout.as_secs();
        self.stop(Fault::new(Reason::TimeLimit, format!("the agent was not done after {seconds} s")));
    }

    /// Asks the engine to end. The first reason stays.
    fn stop(&mut self, fault: Fault) {
        if self.stop.is_some() {
            return;
        }
        self.journal.write(Event::Error { reason: Some(fault.reason), code: None, text: fault.text.clone() });
        self.stop = Some(fault);
        self.deadline = Instant::now() + MOST_TO_STOP.min(self.settings.grace / 2);
        // One that has just ended can't be asked: its end is on its way to us.
        let _ = killpg(self.engine, self.settings.engine.stop_signal());
    }

    fn drain(&mut self) {
        let until = Instant::now() + DRAIN;
        while self.open_pipes > 0 {
            match self.inbox.recv_timeout(until.saturating_duration_since(Instant::now())) {
                // It is over: to be told to stop changes nothing now.
                Ok(Note::Signal(_)) => {}
                Ok(note) => self.take(note),
                Err(_) => return,
            }
        }
    }
}

/// Starts the engine in a process group of its own, with pipes and not with what the runner itself writes to.
fn spawn(engine: &dyn Engine) -> Result<Child, Fault> {
    let mut command = Command::new(engine.program());
    command.args(engine.arguments()).process_group(0);
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    command.spawn().map_err(|error| not_started(engine.program(), &error))
}

fn listen(child: &mut Child) -> io::Result<Receiver<Note>> {
    let (inbox, receiver) = Inbox::open()?;
    child.stdout.take().map_or(Ok(()), |pipe| inbox.read(Stream::Stdout, pipe))?;
    child.stderr.take().map_or(Ok(()), |pipe| inbox.read(Stream::Stderr, pipe))?;
    Ok(receiver)
}

fn not_started(program: &str, error: &io::Error) -> Fault {
    match error.kind() {
        io::ErrorKind::NotFound | io::ErrorKind::PermissionDenied => {
            let path = std::env::var("PATH").unwrap_or_default();
            let text = format!("the image has no runnable program {program} in PATH ({path}): {error}");
            Fault::new(Reason::EngineMissing, text)
        }
        _ => Fault::new(Reason::AgentFault, format!("can't start {program}: {error}")),
    }
}
