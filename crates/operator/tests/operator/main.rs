//! The built operator, and what is shipped beside it.

mod alert_prompt;
mod deploy;
mod docs;
mod examples;
mod policies;
mod process;
