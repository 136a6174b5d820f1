//! Cutting text to what an object may hold, with a marker that shows it: the runner's own way of doing it.

pub use punching_fist_protocol::{MARKER, cut};
