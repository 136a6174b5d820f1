//! What becomes of runs when nobody serves the gateways for a while. CI takes them away from one run of the engine `sdk`,
//! for 15 seconds. `AWAY=300` takes them away for that many seconds from every engine, in every way that there is, and
//! prints how many seconds after their return each went on, which docs/gateway.md tells.

use std::env;
use std::net::SocketAddr;
use std::pin::pin;
use std::sync::LazyLock;
use std::time::{Duration, Instant};

use futures::future::{join_all, try_join_all};
use kube::runtime::wait::await_condition;
use nix::sys::signal::Signal;
use punching_fist_api::{MaintenanceTask, Phase, TaskStatus, Verdict};
use punching_fist_e2e::money::{Spent, dollar, prices};
use punching_fist_e2e::{Failure, Outcome, Replica, Scripted, Space};
use punching_fist_testkit::operator::Settings;
use punching_fist_testkit::scripted_model::{Behaviour, Step, scripts};
use punching_fist_testkit::{images, wait};
use serde_json::json;
use tokio::time::{sleep, timeout};

use crate::{proxy, settings, without_others};

/// How long nobody serves if the environment says nothing.
const IN_BRIEF: Duration = Duration::from_secs(15);
/// How long anything else may take: a call that nobody answers holds its engine for five minutes.
const LIMIT: Duration = Duration::from_secs(900);

/// Engines and their images.
const ENGINES: [(&str, &str); 4] =
    [("sdk", images::AGENT), ("cli", images::CLI), ("main", images::MAIN), ("command", images::SHELL)];
/// The program of the engine `command`.
const AGENT: &str = include_str!("../engines/agent.sh");

/// How a gateway is away.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Way {
    /// Nobody listens: the replica was killed.
    Refused,
    /// A proxy in front of it says 503.
    Unavailable,
    /// Connections are taken and nothing is answered: the replica is stopped.
    Silent,
}

const WAYS: [Way; 3] = [Way::Refused, Way::Unavailable, Way::Silent];

/// One engine that is left alone in one way.
struct Run {
    engine: &'static str,
    image: &'static str,
    way: Way,
    /// The name of its profile and its task.
    name: String,
}

static RUNS: LazyLock<Vec<Run>> = LazyLock::new(wanted);

/// All engines in all ways, or what CI has the time for.
fn wanted() -> Vec<Run> {
    let is_asked_for = |run: &Run| is_measured() || (run.engine, run.way) == ("sdk", Way::Refused);
    let all = WAYS.into_iter().flat_map(|way| ENGINES.map(|engine| Run::new(engine, way)));
    all.filter(is_asked_for).collect()
}

fn is_measured() -> bool {
    env::var_os("AWAY").is_some()
}

fn away() -> Duration {
    let seconds =
        |text: String| text.parse().unwrap_or_else(|_| panic!("AWAY={text} is no number of seconds"));
    env::var("AWAY").map_or(IN_BRIEF, |text| Duration::from_secs(seconds(text)))
}

/// The profiles of these runs.
pub fn models() -> impl Iterator<Item = Scripted> {
    RUNS.iter().map(Run::scripted)
}

/// Looks, is left alone in the second answer, and concludes with the third.
fn outage() -> Behaviour {
    // What comes right before the end is now and then lost by the engine `main`, if nobody waits.
    let look = || dollar(Step::Shell("echo look; sleep 0.5".to_owned()));
    let late = Step::Wait(away() + Duration::from_secs(60), Box::new(look()));
    Behaviour::Steps(vec![look(), late, dollar(Step::Finish(scripts::conclusion()))])
}

impl Run {
    fn new((engine, image): (&'static str, &'static str), way: Way) -> Self {
        let name = format!("away-{engine}-{way:?}").to_lowercase();
        Self { engine, image, way, name }
    }

    fn scripted(&'static self) -> Scripted {
        let mut more = json!({ "engine": self.engine, "image": self.image, "prices": prices(100) });
        if self.engine == "command" {
            more["command"] = json!(["sh", "-c", AGENT]);
        }
        Scripted { profile: &self.name, behaviour: outage(), more }
    }

    /// Waits until somebody has made its Job.
    async fn begin(&self, space: &Space) -> Outcome {
        let agent = json!({ "profile": self.name, "maxCostUSD": "10" });
        let spec = json!({ "prompt": "Find out why the disk is full.", "agent": agent });
        let task: MaintenanceTask = space.task_with(&self.name, spec).await?;
        let has_job = async || space.jobs(&task).await.ok().filter(|jobs| !jobs.is_empty());
        wait::until_within(LIMIT, &format!("{} has a Job", self.name), has_job).await?;
        Ok(())
    }

    /// Waits until its agent has asked the model so often.
    async fn asks(&self, space: &Space, times: usize) -> Outcome {
        let asks = async || (self.steps(space) >= times).then_some(());
        Ok(wait::until_within(LIMIT, &format!("{} asks for the {times}. time", self.name), asks).await?)
    }

    fn steps(&self, space: &Space) -> usize {
        let requests = space.world().model(&self.name).requests();
        requests.iter().filter(|request| request.body["tools"].is_array()).count()
    }

    /// Waits for its end, and prints how it came to it. An error has its name.
    async fn end(&self, space: &Space, returned: Instant) -> Result<(), String> {
        let named = |error: Failure| format!("{}: {error}", self.name);
        let (after, ended) = self.ended(space, returned).await.map_err(named)?;
        println!("| `{}` | {:?} | {after} |", self.engine, self.way);
        self.check(space, &ended).map_err(named)
    }

    /// After how many seconds it asked again, and how it ended.
    async fn ended(&self, space: &Space, returned: Instant) -> Result<(u64, TaskStatus), Failure> {
        let is_over = |task: Option<&MaintenanceTask>| {
            let phase = task.and_then(|task| task.status.as_ref()?.task.phase);
            phase.is_some_and(Phase::is_final)
        };
        let end = await_condition(space.api::<MaintenanceTask>(), &self.name, is_over);
        let mut end = pin!(timeout(LIMIT, end));
        let early = tokio::select! {
            asks = self.asks(space, 3) => asks.map(|()| None)?,
            ended = &mut end => Some(ended),
        };
        let after = returned.elapsed().as_secs();
        let ended = match early {
            Some(ended) => ended,
            None => end.await,
        };
        let ended = ended.map_err(|_| "it doesn't end")??.and_then(|task| task.status).ok_or("no status")?;
        Ok((after, ended.task))
    }

    /// It has come to its verdict, and has paid for each call once: for the one that was lost, too.
    fn check(&self, space: &Space, ended: &TaskStatus) -> Outcome {
        let verdict = ended.result.as_ref().and_then(|found| found.verdict);
        let spent = Spent::read(ended)?;
        let seen = (verdict, ended.attempts.len(), self.steps(space), spent.calls, spent.dollars.to_string());
        if seen == (Some(Verdict::Diagnosed), 1, 3, 3, "3".to_owned()) {
            return Ok(());
        }
        let (attempts, said, usage) = (&ended.attempts, &ended.last_error, &ended.usage);
        Err(format!("verdict, attempts, steps, calls, dollars: {seen:?}; {attempts:?} {said:?} {usage:?}")
            .into())
    }
}

/// Begins the runs of one way: a replica that leads for so long tells their agents of this address.
async fn begin(space: &Space, way: Way, address: SocketAddr) -> Outcome {
    let runs: Vec<&Run> = RUNS.iter().filter(|run| run.way == way).collect();
    if runs.is_empty() {
        return Ok(());
    }
    let mut maker: Settings = settings(&format!("maker-{way:?}").to_lowercase());
    maker.config["gateway"]["url"] = json!(format!("http://{address}"));
    let maker = space.world().start(maker).await?;
    try_join_all(runs.iter().map(|run| run.begin(space))).await?;
    maker.stop().await?;
    Ok(())
}

async fn ask_to_end(replica: &Replica) -> Outcome {
    let mut operator = replica.operator().await;
    operator.process_mut().signal(Signal::SIGTERM);
    operator.process_mut().wait().await?;
    Ok(())
}

/// Begins all runs, and waits until the model is in the middle of the second answer to each.
async fn begin_all(space: &Space, killed: &Replica, stopped: &Replica) -> Outcome {
    ask_to_end(killed).await?;
    ask_to_end(stopped).await?;
    let proxy = proxy::start(killed.gateway())?;
    let ways =
        [(Way::Refused, killed.gateway()), (Way::Unavailable, proxy), (Way::Silent, stopped.gateway())];
    for (way, address) in ways {
        begin(space, way, address).await?;
    }
    killed.operator().await.restart().await?;
    // One that wakes up after its Lease's end would go, as it should; this is about the gateway.
    let leads = async || killed.leads().await.ok()?.then_some(());
    wait::until_within(LIMIT, "the one that is killed leads", leads).await?;
    stopped.operator().await.restart().await?;
    try_join_all(RUNS.iter().map(|run| run.asks(space, 2))).await?;
    Ok(())
}

#[test]
fn runs_of_real_agents_outlive_the_loss_of_every_gateway() {
    without_others("away", async |space| {
        let [killed, stopped] = space.world().replicas() else { return Err("the plan has two".into()) };
        begin_all(&space, killed, stopped).await?;
        killed.operator().await.kill().await?;
        stopped.operator().await.process_mut().signal(Signal::SIGSTOP);
        sleep(away()).await;
        stopped.operator().await.process_mut().signal(Signal::SIGCONT);
        killed.operator().await.restart().await?;
        let returned = Instant::now();
        let all = join_all(RUNS.iter().map(|run| run.end(&space, returned))).await;
        let failures: Vec<String> = all.into_iter().filter_map(Result::err).collect();
        if failures.is_empty() { Ok(()) } else { Err(failures.join("\n").into()) }
    });
}
