//! The agents' door to the model: it adds the key that agents never see, meters what they use, and stops a run at its
//! budget.
//!
//! A call's way: [`Gateway`] reads it, the token of the agent's pod says whose it is (`identity`), its charge is written
//! into the task's status before it goes out (`ledger`, decided in [`budget`]), it goes to the profile's provider with
//! the real key and without secrets (`upstream`, `request`), the answer passes through (`answer`, `relay`), and what it
//! cost takes the charge's place. Nothing is kept here that matters: any replica can serve any call, and what dies with
//! one stays charged.

mod answer;
mod body;
mod bounded;
pub mod budget;
mod client;
mod deadline;
mod endpoint;
mod error;
mod events;
mod fields;
mod gateway;
mod held;
mod identity;
mod keys;
mod ledger;
mod literals;
mod metrics;
mod names;
mod reach;
mod relay;
mod request;
mod room;
mod surrogates;
mod tasks;
mod upstream;
mod usage;

pub use gateway::{Gateway, Timeouts};
pub use keys::{Key, Keys};
pub use metrics::Metrics;
