//! Watches a running engine: passes its events on, keeps the limits, ends it when it is time.

use std::io;
use std::os::fd::AsFd;
use std::process::Child;
use std::sync::mpsc::{Receiver, RecvTimeoutError};
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, killpg};
use nix::unistd::Pid;
use punching_fist_protocol::{Event, MARKER, Reason, State, Stream};

use crate::cost::is_spent;
use crate::engine::{Launch, Reader, Reading};
use crate::inbox::{self, Inbox, Note};
use crate::journal::Journal;
use crate::judge::{Fault, ProcessEnd};
use crate::lines::RawLine;
use crate::observed::Observed;
use crate::processes;
use crate::settings::Settings;
use crate::silence::Silence;
use crate::start::start;
use crate::watch::Pending;

/// What an engine gets to end in order, at most, even if the pod's grace is longer.
const MOST_TO_STOP: Duration = Duration::from_secs(15);
/// How long an engine may wait for what nobody gives it.
const WAITING: Duration = Duration::from_secs(5);
/// How long an engine may take to leave when it is done. One that takes longer is ended, and what it came to counts.
const LEAVING: Duration = Duration::from_secs(10);
/// How long each of the last lines is waited for when every process is gone, and all of them are taken at most. Somebody
/// outside may hold a pipe open, and write to it.
const DRAIN: Duration = Duration::from_secs(2);
const MOST_TO_DRAIN: Duration = Duration::from_secs(10);
/// How long the files that an engine leaves are read. It is enough for a run, and not for all that an agent can write.
const LAST_LOOKS: Duration = Duration::from_secs(2);
/// How long processes that were killed may take to be gone, at least.
const LEAST_TO_KILL: Duration = Duration::from_secs(2);

/// A running engine and what is known of it.
pub struct Supervisor<'a, W> {
    settings: &'a Settings,
    journal: &'a mut Journal<W>,
    inbox: Receiver<Note>,
    pending: Pending,
    reader: Box<dyn Reader>,
    engine: Pid,
    observed: Observed,
    end: Option<ProcessEnd>,
    stop: Option<Fault>,
    /// When patience is over: first the time limit, then, after a stop, the moment to kill.
    deadline: Instant,
    /// Until when the engine may stay in its state.
    linger: Option<Instant>,
    silence: Silence,
    /// It was asked to end when it was done: as it had stayed in its last state too long, or for another reason.
    lingered: bool,
    /// It was asked to end.
    is_asked: bool,
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
        let launch = settings.engine.launch(&settings.task)?;
        // Before the engine starts: what is there already is none of its.
        let reader = settings.engine.reader(&settings.task);
        // A child inherits its parent's signal mask: it is there before the runner keeps signals back for itself.
        let mut child = start(&launch, &settings.task)?;
        // A process id always fits: the kernel's are positive `i32`s.
        let engine = Pid::from_raw(i32::try_from(child.id()).unwrap_or(i32::MAX));
        let pending = Pending::default();
        let inbox = listen(&mut child, &launch, &pending).map_err(|error| {
            processes::end_all(engine, LEAST_TO_KILL);
            Fault::new(Reason::AgentFault, format!("the system refuses a thread or a signal: {error}"))
        })?;
        Ok(Self {
            settings,
            journal,
            inbox,
            pending,
            reader,
            engine,
            observed: Observed::default(),
            // Its end may be older than our ear for it.
            end: processes::reap(engine),
            stop: None,
            deadline: Instant::now() + settings.task.timeout,
            linger: None,
            silence: Silence::new(settings.engine.most_silence()),
            lingered: false,
            is_asked: false,
            open_pipes: 2,
        })
    }

    /// Goes on until the engine has ended, no process of it is left, and its last line is read.
    pub fn watch(mut self) -> Run {
        while self.end.is_none() {
            match self.inbox.recv_timeout(self.until().saturating_duration_since(Instant::now())) {
                Ok(note) => self.take(note),
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => break,
            }
            self.keep_time();
            self.keep_log();
        }
        // Whatever the engine left behind could still print, or write over the result.
        let end = processes::end_all(self.engine, self.patience_to_kill());
        self.end = end.or(self.end);
        self.drain();
        let end = self.conclude();
        Run { observed: self.observed, end, stop: self.stop }
    }

    /// When there is something to be done, whatever comes.
    fn until(&self) -> Instant {
        [self.linger, self.silent_until()].into_iter().flatten().fold(self.deadline, Instant::min)
    }

    fn silent_until(&self) -> Option<Instant> {
        self.silence.until().filter(|_| !self.is_asked)
    }

    /// If the pod was told to stop, half of its grace may be over. If not, all of it is to come.
    fn patience_to_kill(&self) -> Duration {
        let part = if self.is_asked { 4 } else { 2 };
        LEAST_TO_KILL.max(self.settings.grace / part)
    }

    /// What the reader knows only now.
    fn conclude(&mut self) -> ProcessEnd {
        let end = if self.lingered { ProcessEnd::Lingered } else { self.end.unwrap_or(ProcessEnd::Unknown) };
        let until = Instant::now() + LAST_LOOKS;
        loop {
            let news = self.reader.look();
            if news.is_empty() {
                break;
            }
            self.readings(news);
            if Instant::now() >= until {
                self.remark("there may be more events of the engine's than could be read in time".to_owned());
                break;
            }
        }
        let last = self.reader.at_end(end);
        self.readings(last);
        end
    }

    fn keep_time(&mut self) {
        let now = Instant::now();
        let is_over = |until: Option<Instant>| until.is_some_and(|until| now >= until);
        if self.end.is_some() {
            return;
        }
        if now >= self.deadline {
            self.out_of_patience();
        } else if is_over(self.linger) {
            self.end_stay();
        } else if is_over(self.silent_until()) {
            self.end_silence();
        }
    }

    /// What isn't seen isn't to go on.
    fn keep_log(&mut self) {
        if let Some(fault) = self.journal.fault() {
            self.stop(fault);
        }
    }

    fn take(&mut self, note: Note) {
        match note {
            Note::Line(stream, line) => self.line(stream, &line),
            Note::Changed => {
                self.pending.clear();
                let readings = self.reader.look();
                self.readings(readings);
            }
            Note::Closed => self.open_pipes = self.open_pipes.saturating_sub(1),
            Note::Signal(Signal::SIGCHLD) => self.end = self.end.or(processes::reap(self.engine)),
            Note::Signal(signal) => {
                self.stop(Fault::new(Reason::Signalled, format!("the pod was told to stop ({signal})")));
            }
        }
    }

    fn line(&mut self, stream: Stream, line: &RawLine) {
        let is_whole = stream == Stream::Stdout && line.lost == 0;
        match is_whole.then(|| self.reader.line(&line.text)).flatten() {
            Some(readings) => self.readings(readings),
            None => self.log(stream, line),
        }
    }

    fn readings(&mut self, readings: Vec<Reading>) {
        for reading in readings {
            match reading {
                Reading::Event(Event::Log { .. }) => {}
                Reading::Event(event) => self.event(event),
                Reading::UnreadableFinish(problem) => self.unreadable(&problem),
                Reading::Remark(text) => self.remark(text),
            }
            // One look can find many, and whoever reads the log may take long over each.
            self.keep_time();
        }
    }

    /// For people: it isn't judged.
    fn remark(&mut self, text: String) {
        self.journal.write(Event::Error { reason: None, code: None, text });
    }

    fn unreadable(&mut self, problem: &str) {
        let text = self.journal.redact(problem);
        self.journal.write(Event::Error { reason: None, code: None, text: text.clone() });
        self.observed.finish = Some(Err(text));
    }

    fn event(&mut self, event: Event) {
        let mut event = self.journal.redacted(event);
        if let Event::Usage(usage) = &mut event {
            self.settings.prices.complete(usage);
        }
        match event {
            // That it was told to leave changes nothing of what it came to.
            Event::State { .. } if self.lingered => return,
            Event::State { state } => self.state(state),
            _ => {}
        }
        self.silence.heard(&event, Instant::now());
        self.observed.observe(&event);
        self.journal.write(event);
        self.keep_limits();
    }

    /// A state that the engine stays in doesn't begin anew when it is told again.
    fn state(&mut self, state: State) {
        if self.observed.state != Some(state) {
            self.linger = patience(state).map(|patience| Instant::now() + patience);
        }
    }

    fn keep_limits(&mut self) {
        let task = &self.settings.task;
        let usage = &self.observed.usage;
        let spent = usage.cost_usd.as_deref();
        if usage.iterations > task.max_iterations {
            let text = format!("the agent took more than {} steps", task.max_iterations);
            self.stop(Fault::new(Reason::IterationLimit, text));
        } else if is_spent(spent, task.max_cost.as_deref()) {
            let [spent, most] = [spent, task.max_cost.as_deref()].map(Option::unwrap_or_default);
            let text = format!("the agent spent {spent} US dollars, of {most} that it may");
            self.stop(Fault::new(Reason::BudgetExceeded, text));
        } else if let Some(fault) = self.observed.gateway.clone() {
            self.stop(fault);
        }
    }

    fn log(&mut self, stream: Stream, line: &RawLine) {
        let text = match line.lost {
            0 => self.journal.redact(&line.text),
            lost => format!("{}{MARKER} {lost} bytes", self.journal.redact_beginning(&line.text)),
        };
        let event = Event::Log { stream, text };
        self.observed.observe(&event);
        self.journal.write(event);
    }

    fn out_of_patience(&mut self) {
        if self.is_asked {
            // It had its time to end in order. What follows kills it.
            self.end = Some(ProcessEnd::Unknown);
            return;
        }
        let seconds = self.settings.task.timeout.as_secs();
        self.stop(Fault::new(Reason::TimeLimit, format!("the agent was not done after {seconds} s")));
    }

    /// The engine says that it waits for what nobody gives, or that it is done, and stays.
    fn end_stay(&mut self) {
        let (reason, text) = match self.observed.state {
            Some(State::AwaitingInput) => {
                (Reason::NoVerdict, "the agent waits for an answer, which nobody gives")
            }
            Some(State::AwaitingConfirmation) => {
                (Reason::NoVerdict, "the agent waits for a confirmation, which nobody gives")
            }
            Some(State::RateLimited) => (
                Reason::ProviderFault,
                "the model's provider limits the rate of calls, and the engine only waits",
            ),
            _ => return self.end_leaving(),
        };
        self.stop(Fault::new(reason, text));
    }

    fn end_silence(&mut self) {
        let text = format!("the model has not answered for {} s, retries included", self.silence.seconds());
        self.stop(Fault::new(Reason::ProviderFault, text));
    }

    fn end_leaving(&mut self) {
        self.lingered = true;
        self.remark("the agent is done and the engine doesn't leave".to_owned());
        self.ask_to_end();
    }

    /// Asks the engine to end. The first reason stays.
    fn stop(&mut self, fault: Fault) {
        if self.stop.is_some() {
            return;
        }
        self.journal.write(Event::Error { reason: Some(fault.reason), code: None, text: fault.text.clone() });
        self.stop = Some(fault);
        // What is read only after its end can still show that a limit was passed.
        if self.end.is_none() {
            self.ask_to_end();
        }
    }

    fn ask_to_end(&mut self) {
        self.linger = None;
        // Who is done and only has to leave may be killed at it: what it came to counts.
        self.lingered |= self.observed.is_done();
        let until = Instant::now() + MOST_TO_STOP.min(self.settings.grace / 2);
        self.deadline = if self.is_asked { self.deadline } else { until };
        self.is_asked = true;
        self.journal.hurry();
        // One that has just ended can't be asked: its end is on its way to us.
        let _ = killpg(self.engine, self.settings.engine.stop_signal());
    }

    /// Whoever was asked to end may be part of a pod whose grace is almost over.
    fn drain(&mut self) {
        let last = Instant::now() + if self.is_asked { DRAIN } else { MOST_TO_DRAIN };
        while self.open_pipes > 0
            && let Some(note) = inbox::next(&self.inbox, DRAIN, last)
        {
            // It is over: to be told to stop changes nothing now.
            if !matches!(note, Note::Signal(_)) {
                self.take(note);
            }
        }
    }
}

/// How long an engine may stay in this state before it is ended; none: as long as the attempt may take.
fn patience(state: State) -> Option<Duration> {
    match state {
        State::Running => None,
        State::AwaitingInput | State::AwaitingConfirmation | State::RateLimited => Some(WAITING),
        State::Finished | State::Stuck | State::Error | State::Stopped => Some(LEAVING),
    }
}

fn listen(child: &mut Child, launch: &Launch, pending: &Pending) -> io::Result<Receiver<Note>> {
    let (inbox, receiver) = Inbox::open()?;
    child.stdout.take().map_or(Ok(()), |pipe| inbox.read(Stream::Stdout, pipe))?;
    child.stderr.take().map_or(Ok(()), |pipe| inbox.read(Stream::Stderr, pipe))?;
    launch.watched.clone().map_or(Ok(()), |directory| inbox.watch(directory, pending.clone()))?;
    Ok(receiver)
}
