//! What a call may cost, whether it may go out, and what becomes of its charge: values in, values out.
//!
//! A charge is written down before the call goes out, so that parallel calls, replicas and crashes can't spend the same
//! money twice: every decision is about one version of the task's status, and is written under that version. A call whose
//! end nobody saw stays charged.

use std::time::Duration;

use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use punching_fist_api::{Reservation, RunUsage};
use punching_fist_core::meter::{amount, most};
use punching_fist_core::money::Money;
use punching_fist_core::profile::Prices;

pub use punching_fist_core::meter::{GatewayUsage, OVER_AFTER};

/// How many calls of one run may be under way: the list in the status has no more room.
pub const CALLS_MAX: usize = 64;
/// How often a replica says of a call that it goes on.
pub const RENEWED_EVERY: Duration = Duration::from_secs(60);
/// What a model charges for a million tokens.
#[derive(Clone, Copy, Debug)]
pub struct Rates {
    input: Money,
    output: Money,
    cache_read: Money,
    cache_write: Money,
}

/// The tokens of one call.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Tokens {
    /// All that went in, from the cache or not.
    pub input: u64,
    /// All that came out.
    pub output: u64,
    /// Of the input, what was read from the provider's cache.
    pub cache_read: u64,
    /// Of the input, what was written to the provider's cache.
    pub cache_write: u64,
}

/// A call that wants to go out.
#[derive(Clone, Debug)]
pub struct Ask {
    /// Tells it from others.
    pub id: String,
    /// The most that it may cost.
    pub charge: Money,
    /// How much the run may cost.
    pub budget: Money,
    /// Now.
    pub now: Timestamp,
}

/// Whether a call may go out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Decision {
    /// Once this is written.
    Admit(GatewayUsage),
    /// Perhaps when calls that are under way have ended: with their charges the budget is spent, without them it isn't.
    Wait {
        /// What is spent.
        spent: Money,
        /// What calls under way hold.
        reserved: Money,
    },
    /// Never again: so much is spent.
    Spent(Money),
    /// Not while so many calls are under way.
    Crowded,
}

/// What became of a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    /// Nothing was sent, or the provider refused: it cost nothing.
    Free,
    /// It was sent, and nobody knows what it cost: it costs its charge.
    Unknown,
    /// The answer says what it used.
    Used(Tokens, Money),
}

impl Rates {
    /// The rates that these prices say; none if one of them is no amount.
    pub fn of(prices: &Prices) -> Option<Self> {
        let input = Money::parse(&prices.input)?;
        let or = |price: &Option<String>, default| price.as_deref().map_or(Some(default), Money::parse);
        Some(Self {
            input,
            output: Money::parse(&prices.output)?,
            cache_read: or(&prices.cache_read, input)?,
            // Anthropic takes a quarter more for what is kept for five minutes; others take nothing for it.
            cache_write: or(&prices.cache_write, input + input.for_tokens(250_000))?,
        })
    }

    /// The most that so many tokens may cost: those that go in may all be of the dearest kind. Where tokens cost nothing
    /// the charge is nothing, and no budget ever stops the run.
    pub fn charge(&self, input: u64, output: u64) -> Money {
        let dearest = self.input.max(self.cache_read).max(self.cache_write);
        (dearest.for_tokens(input) + self.output.for_tokens(output)).min(most())
    }

    /// What these tokens cost.
    pub fn cost(&self, tokens: &Tokens) -> Money {
        let cached = tokens.cache_read.saturating_add(tokens.cache_write);
        let parts = [
            self.input.for_tokens(tokens.input.saturating_sub(cached)),
            self.cache_read.for_tokens(tokens.cache_read),
            self.cache_write.for_tokens(tokens.cache_write),
            self.output.for_tokens(tokens.output),
        ];
        parts.into_iter().sum::<Money>().min(most())
    }
}

/// Decides on a call, from what stands in the status.
pub fn reserve(usage: Option<&RunUsage>, ask: &Ask) -> Decision {
    let mut usage = GatewayUsage::read(usage);
    usage.fold(ask.now);
    // Who can't spend anything isn't stopped: such is a model that costs nothing.
    if ask.charge > Money::ZERO {
        let spent = usage.spent();
        if spent >= ask.budget {
            return Decision::Spent(spent);
        }
        let reserved = usage.reserved();
        if spent + reserved >= ask.budget {
            return Decision::Wait { spent, reserved };
        }
    }
    if usage.in_flight.len() >= CALLS_MAX {
        return Decision::Crowded;
    }
    usage.in_flight.push(Reservation {
        id: ask.id.clone(),
        charge_usd: ask.charge.to_string(),
        time: written(ask.now),
    });
    Decision::Admit(usage)
}

/// What is written when a call has ended; none if its charge is settled already.
pub fn settle(usage: Option<&RunUsage>, id: &str, end: End, now: Timestamp) -> Option<GatewayUsage> {
    let mut usage = GatewayUsage::read(usage);
    let place = usage.in_flight.iter().position(|entry| entry.id == id)?;
    let entry = usage.in_flight.remove(place);
    match end {
        End::Free => {}
        End::Unknown => usage.spend(amount(&entry.charge_usd)),
        End::Used(tokens, cost) => {
            count(&mut usage, &tokens);
            usage.spend(cost);
        }
    }
    usage.fold(now);
    Some(usage)
}

/// What is written while a call goes on; none if its charge is settled already.
pub fn renew(usage: Option<&RunUsage>, id: &str, now: Timestamp) -> Option<GatewayUsage> {
    let mut usage = GatewayUsage::read(usage);
    usage.in_flight.iter_mut().find(|entry| entry.id == id)?.time = written(now);
    usage.fold(now);
    Some(usage)
}

/// What stands in the status, if those calls go on whatever it says of them: who holds them knows better, after the API
/// server was away for a while.
pub fn with_live(usage: Option<&RunUsage>, live: impl Fn(&str) -> bool, now: Timestamp) -> Option<RunUsage> {
    let mut usage = usage?.clone();
    for entry in usage.in_flight.iter_mut().filter(|entry| live(&entry.id)) {
        entry.time = written(now);
    }
    Some(usage)
}

/// A time as the status has it.
fn written(now: Timestamp) -> Time {
    Time(punching_fist_core::status::whole_seconds(now))
}

/// Whether the call is written down.
pub fn is_reserved(usage: Option<&RunUsage>, id: &str) -> bool {
    usage.is_some_and(|usage| usage.in_flight.iter().any(|entry| entry.id == id))
}

fn count(usage: &mut GatewayUsage, tokens: &Tokens) {
    let add = |sum: &mut i64, count: u64| {
        *sum = sum.saturating_add(i64::try_from(count).unwrap_or(i64::MAX));
    };
    add(&mut usage.input_tokens, tokens.input);
    add(&mut usage.output_tokens, tokens.output);
    add(&mut usage.cache_read_tokens, tokens.cache_read);
    add(&mut usage.cache_write_tokens, tokens.cache_write);
}

#[cfg(test)]
mod tests;
