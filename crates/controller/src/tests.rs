//! The controller against an API server in memory, which records every call and fails where it is told to: single passes
//! over a task in every state, and the whole controller with its watches and its queue, beside a small Job controller.
//! Time is tokio's and stands still: it goes on only when everybody waits for it.

mod clock;
mod cluster;
mod ground;
mod line;
mod live;
mod objects;

mod crashes;
mod endings;
mod faults;
mod fields;
mod following;
mod held;
mod meter;
mod preflight;
mod queue;
mod refusals;
mod stops;
mod strangers;
mod watches;
