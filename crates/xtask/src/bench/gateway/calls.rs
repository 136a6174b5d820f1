//! One call after the other, through the gateway and straight to the upstream by turns.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use axum::body::Bytes;
use punching_fist_testkit::loopback;

use super::client::{Client, Failure, request};
use super::serve::METRICS;
use super::{Bench, Upstream};
use crate::bench::figures::{Figure, Samples};
use crate::bench::table::{Goal, Row};

const CALLS: usize = 200;
/// Calls that fill caches and open connections.
const WARM: usize = 5;
const PERCENTS: [usize; 2] = [50, 99];
/// The gateway's own time.
const GOAL: Goal = Goal::AddedBelow(Figure::Seconds(0.002));
/// How long what a call cost may take to be written down.
const SETTLED: Duration = Duration::from_secs(10);
const WRITES: &str = "punching_fist_gateway_status_write_duration_seconds";

/// The writes of tasks' status so far.
#[derive(Clone, Copy)]
struct Writes {
    count: u64,
    time: Duration,
}

/// A call without what the upstream and the API server took.
struct Own {
    first: Duration,
    whole: Duration,
    writes: Vec<Duration>,
}

#[derive(Default)]
struct Measured {
    first: Samples,
    whole: Samples,
    writes: Samples,
}

/// Rows for calls with one answer, and for streams.
pub async fn rows(bench: &mut Bench, token: &str) -> Result<Vec<Row>, Failure> {
    let (call, direct_call) = compare(bench, token, &request(false)).await?;
    let (stream, direct_stream) = compare(bench, token, &request(true)).await?;
    let mut rows = Row::of_samples("call", &PERCENTS, &call.whole, &direct_call.whole, GOAL);
    let first = "first byte of a stream";
    rows.extend(Row::of_samples(first, &PERCENTS, &stream.first, &direct_stream.first, GOAL));
    let mut writes = call.writes;
    writes.extend(stream.writes);
    let write = |percent: &usize| {
        Row::new(
            format!("told apart: a status write, p{percent}"),
            writes.percentile(*percent),
            None,
            Goal::None,
        )
    };
    rows.extend(PERCENTS.iter().map(write));
    Ok(rows)
}

async fn compare(bench: &mut Bench, token: &str, body: &Bytes) -> Result<(Measured, Measured), Failure> {
    let mut through = Client::connect(bench.gateway, token).await?;
    let mut direct = Client::connect(bench.upstream.address, token).await?;
    let (mut with, mut without) = (Measured::default(), Measured::default());
    for call in 0..WARM + CALLS {
        let own = charged(&mut through, bench, body).await?;
        let bare = free(&mut direct, bench, body).await?;
        if call >= WARM {
            with.add(own);
            without.add(bare);
        }
    }
    Ok((with, without))
}

impl Measured {
    fn add(&mut self, own: Own) {
        self.first.add(own.first);
        self.whole.add(own.whole);
        own.writes.into_iter().for_each(|time| self.writes.add(time));
    }
}

/// A call through the gateway. When the upstream has it, the first write is done and the second one can't have begun.
async fn charged(client: &mut Client, bench: &mut Bench, body: &Bytes) -> Result<Own, Failure> {
    let address = bench.gateway;
    let before = Writes::read(address).await?;
    let (reserved, waited, times) = call(client, &mut bench.upstream, address, body).await?;
    let reserve = reserved.time.saturating_sub(before.time);
    let settled = Writes::wait_for(address, reserved.count + 1).await?;
    let taken = waited + reserve;
    Ok(Own {
        first: times.first.saturating_sub(taken),
        whole: times.whole.saturating_sub(taken),
        writes: vec![reserve, settled.time.saturating_sub(reserved.time)],
    })
}

/// The same call straight to the upstream, with the same pauses.
async fn free(client: &mut Client, bench: &mut Bench, body: &Bytes) -> Result<Own, Failure> {
    Writes::read(bench.gateway).await?;
    let (_, waited, times) = call(client, &mut bench.upstream, bench.gateway, body).await?;
    let (first, whole) = (times.first.saturating_sub(waited), times.whole.saturating_sub(waited));
    Ok(Own { first, whole, writes: Vec::new() })
}

/// One call: what was written when the upstream had it, how long the upstream kept it, and the times.
async fn call(
    client: &mut Client,
    upstream: &mut Upstream,
    gateway: SocketAddr,
    body: &Bytes,
) -> Result<(Writes, Duration, super::client::Times), Failure> {
    let answered = async {
        let arrival = upstream.arrival().await.ok_or("the upstream has ended")?;
        let writes = Writes::read(gateway).await?;
        Ok((writes, arrival.answer()))
    };
    let (begun, (writes, waited)) = tokio::try_join!(client.begin(body), answered)?;
    Ok((writes, waited, begun.end().await?))
}

impl Writes {
    async fn read(gateway: SocketAddr) -> Result<Self, Failure> {
        let text = loopback::get(gateway, METRICS).await?;
        Self::parse(&text).ok_or_else(|| format!("the gateway's metrics don't tell {WRITES}").into())
    }

    fn parse(text: &str) -> Option<Self> {
        let value = |suffix: &str| {
            let rest = |line: &'_ str| line.strip_prefix(WRITES)?.strip_prefix(suffix).map(str::to_owned);
            text.lines().find_map(rest)
        };
        let seconds: f64 = value("_sum ")?.parse().ok()?;
        let time = Duration::try_from_secs_f64(seconds).ok()?;
        Some(Self { count: value("_count ")?.parse().ok()?, time })
    }

    async fn wait_for(gateway: SocketAddr, count: u64) -> Result<Self, Failure> {
        let started = Instant::now();
        loop {
            let writes = Self::read(gateway).await?;
            if writes.count >= count {
                return Ok(writes);
            }
            if started.elapsed() > SETTLED {
                return Err("what a call cost is not written down".into());
            }
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_writes_are_read_from_the_metrics() {
        let text = format!(
            "# HELP {WRITES} x\n{WRITES}_bucket{{le=\"1\"}} 3\n{WRITES}_sum 0.25\n{WRITES}_count 3\n"
        );
        let writes = Writes::parse(&text).unwrap();
        assert_eq!((writes.count, writes.time), (3, Duration::from_millis(250)));
        assert!(Writes::parse("other 1\n").is_none());
    }
}
