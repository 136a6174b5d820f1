//! A model of which every answer costs a dollar, and what the status of a run says that it has spent.

use punching_fist_api::TaskStatus;
use punching_fist_testkit::scripted_model::{Step, Tokens};
use serde_json::{Value, json};

use crate::Failure;

/// What an answer takes that costs a dollar.
const A_DOLLAR: Tokens = Tokens { input: 1000, cached: 0, output: 100 };

/// What a run has cost, as its status says.
#[derive(Clone, Copy, Debug)]
pub struct Spent {
    /// US dollars, with what is reserved for calls that nobody has settled.
    pub dollars: f64,
    /// Calls, with those that nobody has settled.
    pub calls: usize,
}

/// The prices of such a model. `reserved` is the most that an answer may take, in tokens: a dollar's are a hundred.
#[must_use]
pub fn prices(reserved: u32) -> Value {
    json!({ "input": "0", "output": "10000", "maxOutputTokens": reserved })
}

/// A step that costs a dollar.
#[must_use]
pub fn dollar(step: Step) -> Step {
    Step::Metered(Some(A_DOLLAR), Box::new(step))
}

impl Spent {
    /// Reads it.
    ///
    /// # Errors
    /// There is no usage, or an amount is none.
    pub fn read(status: &TaskStatus) -> Result<Self, Failure> {
        let usage = status.usage.as_ref().ok_or("no usage")?;
        let reserved = usage.in_flight.iter().map(|entry| entry.charge_usd.as_str());
        let amounts = usage.total.cost_usd.as_deref().into_iter().chain(reserved);
        let amounts: Vec<f64> = amounts.map(str::parse).collect::<Result<_, _>>()?;
        let calls = usize::try_from(usage.total.calls)? + usage.in_flight.len();
        Ok(Self { dollars: amounts.iter().sum(), calls })
    }
}
