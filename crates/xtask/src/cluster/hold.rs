//! The process in the background: it brings the ground up, writes down what there is, and holds it until SIGTERM.

use std::error::Error;
use std::fmt::Write as _;
use std::fs;
use std::process::ExitCode;

use nix::unistd::setsid;
use punching_fist_testkit::alertmanager::{self, Alertmanager};
use punching_fist_testkit::model::Model;
use punching_fist_testkit::operator::{self, Operator};
use punching_fist_testkit::process::Process;
use punching_fist_testkit::{Ground, cluster, files};
use tokio::signal::unix::{SignalKind, signal};

use super::state::{self, Check, Part, Phase, State};
use super::up::Arguments;
use crate::Outcome;

/// Everything that was started.
struct Held {
    ground: Ground,
    // A scripted model serves for as long as it is held.
    model: Option<Model>,
    operator: Option<Operator>,
    alertmanager: Option<Alertmanager>,
}

/// Brings the cluster up and holds it.
pub async fn run(arguments: &Arguments) -> Outcome {
    let Some(_lock) = state::hold()? else {
        return Err("the cluster is up already".into());
    };
    // A session of its own: the terminal may close, and Ctrl-C is not for us. It fails where there is one already.
    let _ = setsid();
    let mut terminated = signal(SignalKind::terminate())?;
    let mut state = State { pid: std::process::id(), phase: Phase::Starting, parts: Vec::new(), model: None };
    state.write()?;
    let started = tokio::select! {
        started = Held::start(arguments) => started,
        _ = terminated.recv() => Err("ended while it was starting".into()),
    };
    let held = match started {
        Ok(held) => held,
        Err(error) => {
            withdraw(&mut state)?;
            return Err(error);
        }
    };
    let outcome = held.publish(&mut state);
    if outcome.is_ok() {
        terminated.recv().await;
    }
    held.stop().await?;
    withdraw(&mut state)?;
    outcome.map(|()| ExitCode::SUCCESS)
}

impl Held {
    async fn start(arguments: &Arguments) -> Result<Self, Box<dyn Error>> {
        let data = state::file("data");
        if data.exists() {
            fs::remove_dir_all(&data)?;
        }
        let mut builder = Ground::builder().directory(data).existing(arguments.use_existing_cluster);
        builder = builder.operators(!arguments.no_operator).agent(!arguments.no_operator);
        if arguments.no_operator {
            let ground = builder.start().await?;
            return Ok(Self { ground, model: None, operator: None, alertmanager: None });
        }
        let model = Model::from_environment_or_scripted().await?;
        let ground = builder.model_key(model.key_of_agents()).start().await?;
        let config = model.configuration();
        let settings = operator::Settings {
            webhook: arguments.webhook(),
            config,
            model_key: Some(model.key().to_owned()),
            ..operator::Settings::new("operator")
        };
        let operator = ground.operator(settings).await?;
        let mut held = Self { ground, model: Some(model), operator: None, alertmanager: None };
        if arguments.alertmanager {
            let token = Some(operator.webhook_token().to_owned());
            let settings = alertmanager::Settings::new(operator.webhook_url(), token);
            held.alertmanager = Some(held.ground.alertmanager(&settings).await?);
        }
        held.operator = Some(operator);
        Ok(held)
    }

    /// Writes down what others read.
    fn publish(&self, state: &mut State) -> Result<(), Box<dyn Error>> {
        files::write_private(&state::kubeconfig(), &fs::read_to_string(self.ground.kubeconfig())?)?;
        files::write_private(&state::environment(), &self.environment())?;
        state.parts = self.parts();
        state.model = self.model.as_ref().map(Model::sentence);
        state.phase = Phase::Ready;
        state.write()?;
        println!("Ready.");
        Ok(())
    }

    fn parts(&self) -> Vec<Part> {
        let mut parts = Vec::new();
        for process in self.ground.cluster().processes() {
            let check = match (process.name(), process.address()) {
                ("kube-apiserver", _) | (_, None) => Check::ApiServer,
                (_, Some(address)) => Check::Accepts(address),
            };
            parts.push(part(process, check));
        }
        if let Some(node) = self.ground.node_name() {
            let (name, check) = ("node".to_owned(), Check::Node(node.to_owned()));
            parts.push(Part { name, pid: std::process::id(), address: None, log: state::log(), check });
        }
        if let Some(operator) = &self.operator {
            parts.push(part(operator.process(), Check::Answers(operator.probes(), "/readyz".to_owned())));
        }
        if let Some(alertmanager) = &self.alertmanager {
            let check = Check::Answers(alertmanager.address(), "/-/healthy".to_owned());
            parts.push(part(alertmanager.process(), check));
        }
        parts
    }

    /// Lines for `source` and for `export $(cat …)` alike: plain words, nothing quoted.
    fn environment(&self) -> String {
        let mut lines = format!("export KUBECONFIG={}\n", state::kubeconfig().display());
        if let (None, Some(directory)) = (cluster::on_path("kubectl"), self.ground.kubectl().parent()) {
            let _ = writeln!(lines, "export PATH=$PATH:{}", directory.display());
        }
        if let Some(operator) = &self.operator {
            let _ = writeln!(lines, "export WEBHOOK_URL={}", operator.webhook_url());
            let _ = writeln!(lines, "export METRICS_URL=http://{}/metrics", operator.probes());
            let _ = writeln!(lines, "export WEBHOOK_TOKEN={}", operator.webhook_token());
        }
        if let Some(alertmanager) = &self.alertmanager {
            let _ = writeln!(lines, "export ALERTMANAGER_URL=http://{}", alertmanager.address());
        }
        lines
    }

    async fn stop(self) -> Result<(), Box<dyn Error>> {
        if let Some(alertmanager) = self.alertmanager {
            alertmanager.stop().await?;
        }
        if let Some(operator) = self.operator {
            operator.stop().await?;
        }
        Ok(self.ground.stop().await?)
    }
}

/// Takes back what would lead nowhere now. The logs stay until the next `up`.
fn withdraw(state: &mut State) -> Result<(), Box<dyn Error>> {
    for path in [state::kubeconfig(), state::environment()] {
        if path.exists() {
            fs::remove_file(path)?;
        }
    }
    state.phase = Phase::Stopped;
    Ok(state.write()?)
}

fn part(process: &Process, check: Check) -> Part {
    Part {
        name: process.name().to_owned(),
        pid: process.pid(),
        address: process.address(),
        log: process.log().to_owned(),
        check,
    }
}
