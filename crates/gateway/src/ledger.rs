//! Reserving before a call and settling after it: the two writes that keep a run within its budget.

use std::collections::HashSet;
use std::sync::{Arc, Mutex as Lock, MutexGuard, PoisonError};
use std::time::Duration;

use jiff::Timestamp;
use punching_fist_api::RunUsage;
use punching_fist_core::money::Money;
use punching_fist_core::profile::AgentProfile;
use tokio::time::{Instant, sleep};
use tokio_util::task::{AbortOnDropHandle, TaskTracker};
use tracing::{debug, warn};

use crate::budget::{self, Ask, Decision, End, GatewayUsage};
use crate::deadline::CallError;
use crate::error::Refusal;
use crate::identity::{Caller, away};
use crate::metrics::Metrics;
use crate::tasks::{Known, Tasks};

/// How often a reservation is decided anew because somebody else wrote.
const TRIES: u32 = 20;
/// How long a call waits for the end of others that hold the rest of the budget.
const WAIT: Duration = Duration::from_secs(60);
/// How often it looks.
const LOOK: Duration = Duration::from_millis(500);
/// How long what has ended is tried to be written down; after that it stays charged in full.
const SETTLE: Duration = Duration::from_secs(300);
/// The first pause between two tries; each is twice as long as the one before.
const PAUSE: Duration = Duration::from_millis(100);
const PAUSE_MAX: Duration = Duration::from_secs(10);

/// Writes down what calls may cost and have cost.
#[derive(Clone)]
pub(crate) struct Ledger {
    tasks: Arc<Tasks>,
    metrics: Metrics,
    settling: TaskTracker,
    /// The calls of this replica that have gone out and aren't settled yet.
    live: Arc<Lock<HashSet<String>>>,
}

/// A call that may go out. Its charge is settled whatever becomes of it: dropped without a word after it went out, it is
/// spent.
pub(crate) struct Reserved {
    ledger: Ledger,
    caller: Arc<Caller>,
    id: String,
    charge: Money,
    /// What it ends with if nobody says more; none if nothing is written or all is said.
    unsaid: Option<End>,
    /// Says that it goes on.
    renewing: Option<AbortOnDropHandle<()>>,
}

/// What has to be known to decide on a call.
pub(crate) struct Wish<'a> {
    pub(crate) caller: &'a Arc<Caller>,
    pub(crate) profile: &'a AgentProfile,
    pub(crate) charge: Money,
}

enum Step {
    Write(GatewayUsage),
    Wait(Refusal),
    Refuse(Refusal),
}

impl Wish<'_> {
    /// What comes next, if the task is what is known of it.
    fn step(&self, id: &str, known: &Known, usage: Option<&RunUsage>) -> Step {
        if let Err(refusal) = known.check(self.caller) {
            return Step::Refuse(refusal);
        }
        let budget = self.profile.budget_of(known.spec());
        let ask = Ask { id: id.to_owned(), charge: self.charge, budget, now: Timestamp::now() };
        match budget::reserve(usage, &ask) {
            Decision::Admit(usage) => Step::Write(usage),
            Decision::Spent(spent) => Step::Refuse(Refusal::BudgetExceeded { spent, budget }),
            Decision::Wait { spent, reserved } => Step::Wait(all_reserved(spent, reserved, budget)),
            Decision::Crowded => {
                Step::Refuse(Refusal::Unavailable("too many calls of this run are under way".to_owned()))
            }
        }
    }
}

impl Ledger {
    pub(crate) fn new(tasks: Arc<Tasks>, metrics: Metrics) -> Self {
        Self { tasks, metrics, settling: TaskTracker::new(), live: Arc::default() }
    }

    /// Ends when everything is settled that began to be settled.
    pub(crate) async fn drained(&self) {
        self.settling.close();
        self.settling.wait().await;
    }

    /// For tasks that end in settling a call: they are awaited with that.
    pub(crate) fn tracker(&self) -> TaskTracker {
        self.settling.clone()
    }

    /// Whether the run goes on.
    pub(crate) async fn check(&self, caller: &Caller) -> Result<(), Refusal> {
        let known = self.tasks.live(caller).await.map_err(|error| away("reading the task", &error))?;
        known.ok_or(GONE)?.check(caller)
    }

    /// Writes the call's charge down, if there is room for it in the budget.
    pub(crate) async fn reserve(&self, wish: &Wish<'_>) -> Result<Reserved, Refusal> {
        let mut reserved = Reserved {
            ledger: self.clone(),
            caller: wish.caller.clone(),
            id: format!("{:016x}", rand::random::<u64>()),
            charge: wish.charge,
            unsaid: None,
            renewing: None,
        };
        self.try_reserve(wish, &mut reserved).await?;
        Ok(reserved)
    }

    async fn try_reserve(&self, wish: &Wish<'_>, reserved: &mut Reserved) -> Result<(), Refusal> {
        let mut tries = 0;
        let reading = |error: CallError| away("reading the task", &error);
        let patience = Instant::now() + WAIT;
        let turn = self.tasks.turn(wish.caller);
        let mut held = turn.lock().await;
        let mut known = self.tasks.known(wish.caller).await.map_err(reading)?;
        loop {
            let seen = known.ok_or(GONE)?;
            // A write without an answer may have been done.
            if budget::is_reserved(seen.usage(), &reserved.id) {
                return Ok(());
            }
            match wish.step(&reserved.id, &seen, self.usage(&seen).as_ref()) {
                Step::Write(usage) => {
                    tries += 1;
                    // From here on it may stand there, even if nobody waits for the answer any more.
                    reserved.unsaid = Some(End::Free);
                    match self.write(wish.caller, &seen, &usage).await {
                        Ok(()) => return Ok(()),
                        Err(error) => passing(&error, tries)?,
                    }
                }
                Step::Refuse(_) | Step::Wait(_) if !seen.live => {}
                Step::Refuse(refusal) => return Err(refusal),
                Step::Wait(refusal) if Instant::now() >= patience => return Err(refusal),
                Step::Wait(_) => {
                    drop(held);
                    sleep(LOOK).await;
                    held = turn.lock().await;
                }
            }
            known = self.tasks.live(wish.caller).await.map_err(reading)?;
        }
    }

    async fn write(&self, caller: &Caller, known: &Known, usage: &GatewayUsage) -> Result<(), CallError> {
        let started = Instant::now();
        let written = self.tasks.write(caller, known, usage).await;
        self.metrics.status_write(started.elapsed());
        written
    }

    /// Writes down what became of a call: again and again, for a while.
    async fn settle(&self, caller: &Caller, id: &str, end: End) {
        let until = Instant::now() + SETTLE;
        let mut pause = PAUSE;
        let mut live = false;
        let settled = |known: &Known| budget::settle(self.usage(known).as_ref(), id, end, Timestamp::now());
        loop {
            match self.change(caller, live, &settled).await {
                Ok(true) => return,
                Ok(false) => live = true,
                Err(error) if Instant::now() + pause >= until => {
                    let (task, namespace) = (&caller.task, &caller.namespace);
                    warn!(%error, task, namespace, "a call stays charged in full: what it cost can't be written");
                    return;
                }
                Err(error) => {
                    debug!(%error, "a call is not settled yet");
                    live = true;
                    sleep(pause).await;
                    pause = (pause * 2).min(PAUSE_MAX);
                }
            }
        }
    }

    /// Says again and again of a call that it goes on.
    async fn renew(&self, caller: &Caller, id: &str) {
        let renewed = |known: &Known| budget::renew(self.usage(known).as_ref(), id, Timestamp::now());
        let mut pause = budget::RENEWED_EVERY;
        loop {
            sleep(pause).await;
            let mut done = self.change(caller, false, &renewed).await;
            while matches!(done, Ok(false)) {
                done = self.change(caller, true, &renewed).await;
            }
            pause = if done.is_ok() { budget::RENEWED_EVERY } else { PAUSE_MAX };
            if let Err(error) = done {
                debug!(%error, "it isn't written that a call goes on");
            }
        }
    }

    /// What a task's usage is, if what goes on here goes on.
    fn usage(&self, known: &Known) -> Option<RunUsage> {
        let live = self.live();
        budget::with_live(known.usage(), |id| live.contains(id), Timestamp::now())
    }

    fn live(&self) -> MutexGuard<'_, HashSet<String>> {
        self.live.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Writes what a task's usage becomes; none: it stays. Whether nothing is left to do: what is remembered is enough to
    /// write on, not to leave it.
    async fn change(
        &self,
        caller: &Caller,
        live: bool,
        becomes: &(dyn Fn(&Known) -> Option<GatewayUsage> + Sync),
    ) -> Result<bool, CallError> {
        let turn = self.tasks.turn(caller);
        let _turn = turn.lock().await;
        let known = if live { self.tasks.live(caller).await? } else { self.tasks.known(caller).await? };
        let Some(known) = known else { return Ok(true) };
        let Some(usage) = becomes(&known) else { return Ok(known.live) };
        match self.write(caller, &known, &usage).await {
            Ok(()) => Ok(true),
            Err(error) if error.is_not_found() => Ok(true),
            Err(error) if error.is_conflict() => Ok(false),
            Err(error) => Err(error),
        }
    }
}

/// What holds the rest may end, or be found dead within [`budget::OVER_AFTER`]: the run isn't over yet.
fn all_reserved(spent: Money, reserved: Money, budget: Money) -> Refusal {
    Refusal::Unavailable(format!(
        "of this run's budget of {budget} US dollars (agent.maxCostUSD) {spent} are spent, and {reserved} are reserved for calls that are under way; it is worth trying again"
    ))
}

const GONE: Refusal = Refusal::RunOver("the task is gone");

/// Whether it is worth deciding anew after a write that failed.
fn passing(error: &CallError, tries: u32) -> Result<(), Refusal> {
    debug!(%error, tries, "a reservation was not written");
    if error.is_not_found() {
        return Err(GONE);
    }
    // What isn't a conflict is looked at once more: it may have been done.
    let again = if error.is_conflict() { tries < TRIES } else { tries < 2 };
    if again { Ok(()) } else { Err(away("writing the task's usage", error)) }
}

impl Reserved {
    /// It goes out now: from here on it may cost something.
    pub(crate) fn goes_out(&mut self) {
        self.unsaid = Some(End::Unknown);
        self.ledger.live().insert(self.id.clone());
        let (ledger, caller, id) = (self.ledger.clone(), self.caller.clone(), self.id.clone());
        let renewing = tokio::spawn(async move { ledger.renew(&caller, &id).await });
        self.renewing = Some(AbortOnDropHandle::new(renewing));
    }

    /// What became of it.
    pub(crate) fn close(mut self, end: End) {
        self.unsaid = Some(end);
    }
}

impl Drop for Reserved {
    fn drop(&mut self) {
        self.renewing = None;
        let Some(end) = self.unsaid else { return };
        self.ledger.metrics.ended(&self.caller.profile, end, self.charge);
        let (ledger, caller, id) = (self.ledger.clone(), self.caller.clone(), std::mem::take(&mut self.id));
        self.ledger.settling.spawn(async move {
            ledger.settle(&caller, &id, end).await;
            ledger.live().remove(&id);
        });
    }
}
