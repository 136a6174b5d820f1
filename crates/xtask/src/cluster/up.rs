//! `cargo xtask cluster up`: builds what is missing where the user can watch it, starts the process that holds the
//! cluster, and waits until that has written down that it is ready.

use std::fs::File;
use std::net::SocketAddr;
use std::process::{Child, Command, ExitCode, Stdio};
use std::time::Duration;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use punching_fist_testkit::prerequisites::{Needs, Part};
use punching_fist_testkit::repository::Programs;
use punching_fist_testkit::{Cache, Nursery, process};

use super::state::{self, Phase, State};
use crate::Outcome;

const POLL: Duration = Duration::from_millis(100);

/// What the cluster consists of.
#[derive(clap::Args)]
pub struct Arguments {
    /// Without the operator: the kinds, rights and namespaces are there, and nothing acts on them
    #[arg(long)]
    pub no_operator: bool,
    /// With an Alertmanager that posts to the operator's webhook
    #[arg(long, conflicts_with = "no_operator")]
    pub alertmanager: bool,
    /// On the cluster of $KUBECONFIG instead of a control plane of its own
    #[arg(long)]
    pub use_existing_cluster: bool,
    /// Where the webhook listens, on loopback [default: a free port]
    #[arg(long, value_name = "PORT", conflicts_with = "no_operator")]
    pub webhook_port: Option<u16>,
}

impl Arguments {
    /// Where the webhook was asked to listen.
    pub fn webhook(&self) -> Option<SocketAddr> {
        self.webhook_port.map(|port| SocketAddr::from(([127, 0, 0, 1], port)))
    }

    fn needs(&self) -> Needs {
        let parts = [
            (!self.use_existing_cluster, Part::ControlPlane),
            (self.use_existing_cluster, Part::ExistingCluster),
            (true, Part::Node),
            (self.alertmanager, Part::Alertmanager),
            (!self.no_operator, Part::Agent),
        ];
        let parts = parts.into_iter().filter_map(|(wanted, part)| wanted.then_some(part)).collect();
        Needs { parts, addresses: self.webhook().into_iter().collect() }
    }

    /// The same, for the process that holds the cluster.
    fn words(&self) -> Vec<String> {
        let flags = [
            (self.no_operator, "--no-operator"),
            (self.alertmanager, "--alertmanager"),
            (self.use_existing_cluster, "--use-existing-cluster"),
        ];
        let mut words: Vec<String> =
            flags.into_iter().filter(|(set, _)| *set).map(|(_, flag)| flag.to_owned()).collect();
        words.extend(self.webhook_port.map(|port| format!("--webhook-port={port}")));
        words
    }
}

/// Starts the cluster, unless it is up.
pub async fn run(arguments: &Arguments) -> Outcome {
    if !state::is_held()? {
        prepare(arguments).await?;
    }
    // Again: somebody else may have started one meanwhile.
    if state::is_held()? {
        println!("The cluster is up already. `cargo xtask cluster down` ends it.");
        wait(None).await?;
    } else {
        eprintln!("Starting the cluster.");
        let holder = start_holder(arguments)?;
        wait(Some(holder)).await?;
    }
    print_next();
    Ok(ExitCode::SUCCESS)
}

/// Says what is missing, and builds what takes minutes: here, where the user can watch it, and not in the background.
async fn prepare(arguments: &Arguments) -> Result<(), Box<dyn std::error::Error>> {
    let cache = Cache::of_user();
    let needs = arguments.needs();
    needs.check(&cache).await?;
    let nursery = Nursery::start()?;
    Programs::build(&nursery, !arguments.no_operator).await?;
    Ok(needs.build(&nursery, &cache).await?)
}

fn start_holder(arguments: &Arguments) -> std::io::Result<Child> {
    std::fs::create_dir_all(state::directory())?;
    let log = File::create(state::log())?;
    // Not by its path: cargo may have replaced the file since.
    let mut command = Command::new("/proc/self/exe");
    command.args(["cluster", "hold"]).args(arguments.words());
    command.stdin(Stdio::null()).stdout(log.try_clone()?).stderr(log).spawn()
}

/// Waits until the cluster is ready, or until the process that was started for it has ended.
async fn wait(mut holder: Option<Child>) -> Result<(), Box<dyn std::error::Error>> {
    loop {
        tokio::select! {
            () = tokio::time::sleep(POLL) => {}
            _ = tokio::signal::ctrl_c() => return Err(give_up(holder)),
        }
        let ended = match &mut holder {
            Some(child) => child.try_wait()?.is_some(),
            None => !state::is_held()?,
        };
        if ended {
            return Err(last_words().into());
        }
        let own = |state: &State| holder.as_ref().is_none_or(|child| child.id() == state.pid);
        if State::read().is_some_and(|state| own(&state) && state.phase == Phase::Ready) {
            return Ok(());
        }
    }
}

fn give_up(holder: Option<Child>) -> Box<dyn std::error::Error> {
    if let Some(pid) = holder.and_then(|child| i32::try_from(child.id()).ok()) {
        // It may have ended just now, which is what is wanted.
        let _ = kill(Pid::from_raw(pid), Signal::SIGTERM);
    }
    "interrupted; the cluster is being ended".into()
}

/// What the process that held the cluster said at its end: an error, which is then ours.
fn last_words() -> String {
    let log = std::fs::read_to_string(state::log()).unwrap_or_default();
    match log.rsplit_once("error: ") {
        Some((_, error)) => error.trim_end().to_owned(),
        None => format!("the cluster did not start; the end of its log:\n{}", process::tail(&log, 15)),
    }
}

fn print_next() {
    if let Some(sentence) = State::read().and_then(|state| state.model) {
        println!("{sentence}");
    }
    println!("Ready. What to type next:");
    println!("  source {}", state::environment().display());
    println!("  kubectl get nodes");
    println!("  cargo xtask cluster status");
    println!("  cargo xtask cluster down");
}
