//! Every decision, pure: values in, values out. No client, no clock, no randomness: `now` is an argument.
//!
//! Alerts: [`notification`] (what came in), [`route`] (does it ask for work), [`identity`] (which incident is it),
//! [`incident`] (create, merge or follow). Runs: [`prompt`], [`profile`], [`job`], [`pod`] (what is made), [`admission`] (whose
//! turn it is), [`phase`], [`pods`], [`attempts`] (what became of it), [`status`] (what is written about it).

pub mod admission;
pub mod attempts;
pub mod conditions;
pub mod identity;
pub mod incident;
pub mod job;
pub mod meter;
pub mod money;
pub mod notification;
pub mod phase;
pub mod pod;
pub mod pods;
pub mod profile;
pub mod prompt;
pub mod route;
pub mod run;
pub mod status;
pub mod text;
