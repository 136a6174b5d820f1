//! `cargo xtask demo`: a workload that is really broken, its alert in a real Alertmanager, and the AlertTask that comes of
//! it, followed on the terminal to its verdict. Everything runs on loopback and ends with the demo.

mod alerts;
mod ending;
mod fire;
mod follow;
mod logs;
mod next;
mod place;
mod screen;
mod stage;
mod steps;
mod text;
mod workload;

use std::error::Error;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use jiff::Timestamp;
use punching_fist_api::AlertTask;
use punching_fist_testkit::model::Model;
use punching_fist_testkit::prerequisites::{Needs, Part};
use punching_fist_testkit::progress::{Progress, minutes};
use punching_fist_testkit::repository::Programs;
use punching_fist_testkit::{Cache, Nursery};
use tokio::signal::unix::{SignalKind, signal};

use crate::Outcome;
use alerts::Alerts;
use fire::Fired;
use place::Place;
use screen::{Row, Screen, Tone};
use stage::Stage;

/// What a shell reports of a command that was ended by Ctrl-C.
const INTERRUPTED: u8 = 130;

/// How long control plane, node and operator take to be ready, measured on four cores.
const START_ESTIMATE: Duration = Duration::from_secs(12);

/// How the demo is to be.
#[derive(clap::Args)]
pub struct Arguments {
    /// Fire this alert, or this list of alerts (JSON as Alertmanager's POST /api/v2/alerts takes it), instead of
    /// examples/alert.json
    #[arg(long, value_name = "FILE")]
    alert: Option<PathBuf>,
    /// End after the verdict, with exit code 0 only if there is one
    #[arg(long)]
    once: bool,
    /// On the cluster of $KUBECONFIG (on loopback, without nodes) instead of a control plane of its own
    #[arg(long)]
    use_existing_cluster: bool,
}

/// Runs the demo.
pub async fn run(arguments: &Arguments) -> Outcome {
    let alerts = Alerts::read(&arguments.alert.clone().unwrap_or_else(alerts::example))?;
    let place = Place::take()?;
    let mut demo = Demo { screen: Screen::new(), place, stage: Stage::default(), verdicts: None };
    let played = tokio::select! {
        played = demo.play(arguments, alerts) => Some(played),
        signal = interrupted() => { signal?; None }
    };
    demo.end(played).await
}

/// A demo under way.
struct Demo {
    screen: Screen,
    place: Place,
    stage: Stage,
    /// Whether every task came to a verdict; nothing before all are over.
    verdicts: Option<bool>,
}

impl Demo {
    async fn play(&mut self, arguments: &Arguments, alerts: Alerts) -> Result<(), Box<dyn Error>> {
        self.screen.show(&[Row::new(Tone::Strong, 0, "Punching Fist: an alert, an agent, a verdict")]);
        let model = self.prepare(arguments.use_existing_cluster).await?;
        let progress = Progress::start("Starting control plane, node and operator", START_ESTIMATE);
        self.stage.put_up(self.place.directory(), arguments.use_existing_cluster, &model).await?;
        progress.done();
        let alerts = self.break_something(alerts).await?;
        let tasks = self.follow(&alerts, model.is_scripted()).await?;
        self.verdicts = Some(tasks.iter().all(|task| ending::verdict(task).is_some()));
        if arguments.once {
            return Ok(());
        }
        self.show_next(&tasks)?;
        Err(self.stage.operator_ended().await.into())
    }

    /// Looks for what is missing, says what has to be built, and builds it.
    async fn prepare(&self, existing: bool) -> Result<Model, Box<dyn Error>> {
        let cluster = if existing { Part::ExistingCluster } else { Part::ControlPlane };
        let parts = vec![cluster, Part::Node, Part::Alertmanager, Part::Agent];
        let (needs, cache) = (Needs { parts, ..Needs::default() }, Cache::of_user());
        needs.check(&cache).await?;
        let model = Model::from_environment_or_scripted().await?;
        self.screen.show(&[Row::folding(Tone::Plain, 0, model.sentence())]);
        let mut builds = needs.missing_builds(&cache).await;
        if !Programs::were_built() {
            builds.insert(0, ("the operator and the runner, with cargo", Programs::estimate()));
        }
        self.announce(&builds);
        let nursery = Nursery::start()?;
        let progress = Progress::start("Building the operator and the runner", Programs::estimate());
        Programs::build(&nursery, true).await?;
        progress.done();
        needs.build(&nursery, &cache).await?;
        Ok(model)
    }

    fn announce(&self, builds: &[(&str, Duration)]) {
        if builds.is_empty() {
            return;
        }
        self.screen.head("To be built first, once on this machine (estimates, with four cores)");
        for (what, estimate) in builds {
            self.screen.show(&[Row::new(Tone::Plain, 2, format!("{what}: about {}", minutes(*estimate)))]);
        }
        self.screen.gap();
    }

    /// Deploys the workload and waits until it crashes; gives the alerts as they are fired then.
    async fn break_something(&mut self, alerts: Alerts) -> Result<Alerts, Box<dyn Error>> {
        let started = Instant::now();
        self.screen.head("Breaking something");
        let text = "Deployment checkout in namespace shop gets a wrong value from its ConfigMap.";
        self.screen.say(text);
        let broken = self.stage.break_something().await?;
        let (pod, took) = (&broken.pod, minutes(started.elapsed()));
        self.screen
            .say(&format!("Pod {pod} is in CrashLoopBackOff, restarts: {} ({took}).", broken.restarts));
        Ok(alerts.fired(pod, Timestamp::now()))
    }

    /// Fires the alerts and follows what comes of them.
    async fn follow(&mut self, alerts: &Alerts, scripted: bool) -> Result<Vec<AlertTask>, Box<dyn Error>> {
        self.screen.head("Firing the alert");
        let client = self.stage.ground()?.client();
        let known = fire::known(&client).await?;
        let alertmanager = self.stage.start_alertmanager().await?;
        self.screen.restart();
        alertmanager.post_alerts(&alerts.body()).await?;
        let names = alerts.names().into_iter().map(|name| Row::new(Tone::Plain, 0, format!("Fired: {name}")));
        self.screen.show_now(&names.collect::<Vec<_>>());
        let operator_log = self.stage.operator_log();
        let fired = Fired { client, screen: &self.screen, known, scripted, operator_log };
        tokio::select! {
            tasks = fire::follow(fired) => tasks,
            said = self.stage.operator_ended() => Err(said.into()),
        }
    }

    fn show_next(&self, tasks: &[AlertTask]) -> Result<(), Box<dyn Error>> {
        let ground = self.stage.ground()?;
        let Some(task) = tasks.first() else { return Ok(()) };
        self.screen.head("The cluster stays up until Ctrl-C. In another terminal:");
        let lines = next::way(ground.kubeconfig(), &ground.kubectl());
        let rows = lines.into_iter().chain(next::commands(task)).map(|line| Row::command(2, line));
        self.screen.show(&rows.collect::<Vec<_>>());
        Ok(())
    }

    /// Takes everything down, and tells what failed and where the logs are.
    async fn end(self, played: Option<Result<(), Box<dyn Error>>>) -> Outcome {
        if played.is_none() {
            // The terminal has written ^C.
            self.screen.gap();
        }
        if self.place.is_unused() {
            played.unwrap_or(Ok(()))?;
            return Ok(ExitCode::from(INTERRUPTED));
        }
        self.screen.gap();
        self.screen.say("Taking everything down.");
        let down = tokio::select! {
            down = self.stage.take_down() => down.map_err(Into::into),
            // What is left ends with this process.
            signal = interrupted() => signal.map_err(Into::into),
        };
        let logs = self.place.directory().display().to_string();
        if let Err(error) = played.unwrap_or(Ok(())).and(down) {
            let error = error.to_string();
            // An error that shows the end of a log is no one line anyway.
            let then = if error.contains('\n') { "\n" } else { "; " };
            return Err(format!("{error}{then}everything was taken down, the logs are in {logs}").into());
        }
        match self.verdicts {
            Some(false) => {
                self.screen.say(&format!("There is no verdict; the logs are in {logs}."));
                Ok(ExitCode::FAILURE)
            }
            Some(true) => self.place.empty().map(|()| ExitCode::SUCCESS),
            None => self.place.empty().map(|()| ExitCode::from(INTERRUPTED)),
        }
    }
}

/// Waits for Ctrl-C, or for another polite request to end.
async fn interrupted() -> std::io::Result<()> {
    let mut signals = [SignalKind::interrupt(), SignalKind::terminate(), SignalKind::hangup()]
        .into_iter()
        .map(signal)
        .collect::<Result<Vec<_>, _>>()?;
    futures::future::select_all(signals.iter_mut().map(|signal| Box::pin(signal.recv()))).await;
    Ok(())
}
