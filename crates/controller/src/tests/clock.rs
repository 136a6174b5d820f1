//! The clock of these tests: tokio's time, so that a wall clock that the controller asks goes with its timers.

use std::cell::Cell;
use std::time::Duration;

use jiff::Timestamp;
use tokio::time::Instant;

thread_local! {
    static START: Cell<Option<(Timestamp, Instant)>> = const { Cell::new(None) };
}

/// Starts the clock of this thread's test at the real time, so that what the API server dates fits.
pub(super) fn start() {
    let now = Timestamp::from_second(Timestamp::now().as_second()).expect("now is a time");
    START.set(Some((now, Instant::now())));
}

/// What time it is.
pub(super) fn now() -> Timestamp {
    let (start, since) = START.get().expect("the clock is started by the ground of the test");
    start + since.elapsed()
}

/// So many seconds pass.
pub(super) async fn pass(seconds: u64) {
    tokio::time::advance(Duration::from_secs(seconds)).await;
}
