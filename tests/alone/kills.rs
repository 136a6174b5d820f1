//! SIGKILL at twenty random moments of runs: no second Job, nothing lost, every verdict reached.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant, SystemTime};

use futures::StreamExt as _;
use k8s_openapi::api::batch::v1::Job;
use kube::runtime::watcher;
use kube::{Api, Client, ResourceExt as _};
use punching_fist_api::{AlertTask, MaintenanceTask, Phase, Task, Verdict, names};
use punching_fist_e2e::notification::{firing, notification};
use punching_fist_e2e::{Failure, Outcome, Replica, Space};
use punching_fist_testkit::wait::PATIENCE;
use tokio::task::JoinHandle;
use tokio::time::sleep;

use crate::alone;

const KILLS: usize = 20;
/// From the moment that a task is made; a run is over by then on a machine with time.
const WITHIN: u64 = 2500;
/// What an agent does: a run has a middle.
const SCRIPT: &str = "!run true\n!sleep 0.5\n!report All of it.\n!verdict Diagnosed It was seen.";

/// xorshift64*: what matters is that a seed repeats what it did.
struct Random(u64);

impl Random {
    fn below(&mut self, limit: u64) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        self.0.wrapping_mul(0x2545_f491_4f6c_dd1d) % limit
    }
}

/// `E2E_SEED`, or another one each time.
fn seed() -> u64 {
    let given = std::env::var("E2E_SEED").ok().and_then(|text| text.parse().ok());
    let clock = || SystemTime::UNIX_EPOCH.elapsed().map_or(1, |time| u64::from(time.subsec_nanos()) | 1);
    given.unwrap_or_else(clock)
}

/// Every Job of ours that ever was: its UID, and the task that it belongs to.
#[derive(Clone, Default)]
struct Census(Arc<Mutex<BTreeMap<String, String>>>);

impl Census {
    fn take(&self, client: Client) -> JoinHandle<()> {
        let (census, labels) = (self.clone(), format!("{}={}", names::LABEL_MANAGED_BY, names::APP));
        let config = watcher::Config::default().labels(&labels);
        tokio::spawn(watcher(Api::<Job>::all(client), config).for_each(move |event| {
            if let Ok(
                watcher::Event::Apply(job) | watcher::Event::InitApply(job) | watcher::Event::Delete(job),
            ) = event
            {
                census.note(&job);
            }
            std::future::ready(())
        }))
    }

    fn note(&self, job: &Job) {
        let task = job.labels().get(names::LABEL_TASK_ID).cloned().unwrap_or_default();
        self.0.lock().unwrap_or_else(PoisonError::into_inner).insert(job.uid().unwrap_or_default(), task);
    }

    fn jobs_of(&self, uid: &str) -> usize {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).values().filter(|task| *task == uid).count()
    }
}

#[test]
fn killed_at_twenty_random_moments_it_loses_nothing_and_does_nothing_twice() {
    alone("kills", async |space| {
        let seed = seed();
        println!("E2E_SEED={seed} repeats this");
        let (replica, census, mut random) = (&space.world().replicas()[0], Census::default(), Random(seed));
        let watching = census.take(space.world().client());
        let mut posts = Vec::new();
        for number in 0..KILLS {
            if number % 2 == 0 {
                space.task::<MaintenanceTask>(&format!("mt-{number}"), SCRIPT).await?;
            } else {
                posts.push(tokio::spawn(deliver(replica, format!("Kill{number}"))));
            }
            sleep(Duration::from_millis(random.below(WITHIN))).await;
            let mut operator = replica.operator().await;
            operator.kill().await?;
            // While it is away, agents go on, and some end.
            sleep(Duration::from_millis(random.below(WITHIN / 4))).await;
            operator.restart().await?;
        }
        for number in (0..KILLS).step_by(2) {
            check(&space, &census, &space.end::<MaintenanceTask>(&format!("mt-{number}")).await?).await?;
        }
        let agents = space.of_alerts();
        for post in posts {
            check(&agents, &census, &agents.end::<AlertTask>(&post.await??).await?).await?;
        }
        watching.abort();
        Ok(())
    });
}

/// Posts until it is taken in, as Alertmanager does: to a webhook that comes and goes. Gives the task's name.
async fn deliver(replica: &'static Replica, alertname: String) -> Result<String, Failure> {
    let body = notification(&alertname, SCRIPT, &[firing(&alertname, "web-1", "2026-01-01T00:00:00Z")]);
    let started = Instant::now();
    let answer = loop {
        match replica.post(&body).await {
            Ok(answer) if answer.status == 200 => break answer.body,
            _ if started.elapsed() > PATIENCE => return Err(format!("{alertname} was not taken in").into()),
            _ => sleep(Duration::from_millis(50)).await,
        }
    };
    // Taken in before a kill, told after it: then it is a repeat.
    let task = answer["alerts"][0]["task"].as_str().ok_or_else(|| format!("no task in {answer}"))?;
    Ok(task.to_owned())
}

async fn check<K: Task>(space: &Space, census: &Census, ended: &K) -> Outcome {
    let (name, uid) = (ended.name_any(), ended.uid().unwrap_or_default());
    let status = ended.task_status().ok_or("no status")?;
    assert_eq!(status.phase, Some(Phase::Succeeded), "{name}: {:?}", status.message);
    let found = status.result.as_ref().ok_or("no result")?;
    assert_eq!(
        (found.verdict, found.report.as_deref()),
        (Some(Verdict::Diagnosed), Some("All of it.")),
        "{name}"
    );
    assert_eq!((status.attempts.len(), status.retry_count), (1, 0), "{name}");
    assert_eq!(census.jobs_of(&uid), 1, "{name}: Jobs that ever were");
    assert_eq!(space.pods(ended).await?.len(), 1, "{name}: pods");
    let job = status.job.as_ref().ok_or("no job")?;
    let kept = |job: &Job| job.spec.as_ref().is_some_and(|spec| spec.ttl_seconds_after_finished.is_some());
    space.until::<Job>(&job.name, "a TTL on the Job", kept).await?;
    Ok(())
}
