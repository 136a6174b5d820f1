//! What the gateway writes about a run's usage, and what becomes of calls whose end nobody saw. Gateway and controller
//! decide by it: the one while the run goes on, the other when it is over.

use jiff::{SignedDuration, Timestamp};
use k8s_openapi::api::batch::v1::Job;
use punching_fist_api::{Phase, Reservation, RunUsage, Task, Usage};
use serde::Serialize;

use crate::money::Money;
use crate::profile::Settings;
use crate::{attempts, job};

/// A call of which no replica has said for this long that it goes on is over: its replica is dead. An engine's patience is
/// longer, so the run still learns of it that its budget is spent.
pub const OVER_AFTER: SignedDuration = SignedDuration::from_mins(5);

/// The fields of a task's status that belong to the gateway, and no others: an apply takes over every field that it
/// holds, and deletes every field that it held before and leaves out. The agent's steps are the controller's.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct GatewayUsage {
    /// Tokens that went to the model.
    pub input_tokens: i64,
    /// Tokens that came from it.
    pub output_tokens: i64,
    /// Of the input, what was read from the provider's cache.
    pub cache_read_tokens: i64,
    /// Of the input, what was written to it.
    pub cache_write_tokens: i64,
    /// Calls that cost something.
    pub calls: i64,
    /// US dollars, as a decimal.
    #[serde(rename = "costUSD")]
    pub cost_usd: String,
    /// Calls under way.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub in_flight: Vec<Reservation>,
}

/// What is to be done about the usage of a run that is over.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Rest {
    /// Nothing: no call is under way.
    Nothing,
    /// A look after so long: until then a replica may settle what is under way.
    Look(SignedDuration),
    /// A write: nobody settled some of it, so it is spent.
    Write(GatewayUsage),
}

/// The most that a status can say, and what stands for an amount that can't be read: past every budget.
pub fn most() -> Money {
    Money::parse("999999999999999").unwrap_or_default()
}

/// An amount as a status says it.
pub fn amount(text: &str) -> Money {
    Money::parse(text).unwrap_or_else(most)
}

impl GatewayUsage {
    /// What of the usage is the gateway's.
    pub fn read(usage: Option<&RunUsage>) -> Self {
        let RunUsage { total, in_flight } = usage.cloned().unwrap_or_default();
        let Usage {
            input_tokens,
            output_tokens,
            cache_read_tokens,
            cache_write_tokens,
            calls,
            iterations: _,
            cost_usd,
        } = total;
        let cost_usd = cost_usd.unwrap_or_else(|| Money::ZERO.to_string());
        Self {
            input_tokens,
            output_tokens,
            cache_read_tokens,
            cache_write_tokens,
            calls,
            cost_usd,
            in_flight,
        }
    }

    /// What is spent.
    pub fn spent(&self) -> Money {
        amount(&self.cost_usd)
    }

    /// What calls under way hold.
    pub fn reserved(&self) -> Money {
        self.in_flight.iter().map(|entry| amount(&entry.charge_usd)).sum()
    }

    /// Calls that nobody settled and that can't be under way any more are spent.
    pub fn fold(&mut self, now: Timestamp) {
        let is_over = |entry: &Reservation| now.duration_since(entry.time.0) > OVER_AFTER;
        let (over, open): (Vec<_>, _) = std::mem::take(&mut self.in_flight).into_iter().partition(is_over);
        self.in_flight = open;
        for entry in over {
            self.spend(amount(&entry.charge_usd));
        }
    }

    /// A call has cost so much.
    pub fn spend(&mut self, cost: Money) {
        self.calls = self.calls.saturating_add(1);
        self.cost_usd = (self.spent() + cost).min(most()).to_string();
    }
}

/// What a run has spent by now; none if the gateway has counted nothing.
pub fn spent(usage: &RunUsage, now: Timestamp) -> Option<Money> {
    usage.total.cost_usd.as_ref()?;
    let mut usage = GatewayUsage::read(Some(usage));
    usage.fold(now);
    Some(usage.spent())
}

/// What is left to do about the usage of a run that is over. Its last call may have died with a replica, and no other call
/// comes that would count it.
pub fn rest(usage: Option<&RunUsage>, now: Timestamp) -> Rest {
    let entries = usage.map(|usage| &*usage.in_flight).unwrap_or_default();
    let Some(oldest) = entries.iter().map(|entry| entry.time.0).min() else { return Rest::Nothing };
    let mut folded = GatewayUsage::read(usage);
    folded.fold(now);
    if folded.in_flight.len() < entries.len() {
        return Rest::Write(folded);
    }
    Rest::Look((OVER_AFTER + SignedDuration::from_secs(1)).saturating_sub(now.duration_since(oldest)))
}

/// Whether the gateway counts what a run uses. That was settled when its Job was made: the configuration may have changed
/// since, and who took the other's fields over would delete what was spent.
pub fn is_metered<K: Task>(task: &K, job: Option<&Job>, settings: &Settings) -> bool {
    if let Some(job) = job {
        return job::is_metered(job);
    }
    let status = task.task_status();
    let usage = status.and_then(|status| status.usage.as_ref());
    let Some((status, usage)) = status.zip(usage) else { return by_profile(task, settings) };
    // The controller alone would have written what the attempts told.
    let told = attempts::sum(&status.attempts).map(|sum| Usage { iterations: usage.total.iterations, ..sum });
    if !usage.in_flight.is_empty() || told.as_ref() != Some(&usage.total) {
        return true;
    }
    // Of one that is over what stands there stays, whoever wrote it.
    !status.phase.is_some_and(Phase::is_final) && by_profile(task, settings)
}

fn by_profile<K: Task>(task: &K, settings: &Settings) -> bool {
    settings.profile(&task.task_spec().agent.profile).is_some_and(|profile| profile.gateway)
}

#[cfg(test)]
mod tests;
