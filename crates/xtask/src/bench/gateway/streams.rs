//! Many streams at once, each of a run of its own, held after their first word: what memory the gateway takes for them.

use futures::future::try_join_all;

use super::Bench;
use super::client::{Begun, Client, Failure, request};
use crate::bench::figures::Figure;
use crate::bench::memory::memory_of;
use crate::bench::table::{Goal, Row};

/// How many streams.
pub const COUNT: usize = 200;
const GOAL: Goal = Goal::AddedBelow(Figure::Kibibytes(32.0 * 1024.0));

/// Memory with the streams, beside what it was before them.
pub async fn rows(bench: &mut Bench, tokens: &[String]) -> Result<Vec<Row>, Failure> {
    let memory = |field| memory_of(bench.gateway_pid, field).ok_or("the gateway's memory can't be read");
    let before = memory("VmRSS")?;
    bench.upstream.hold(true);
    let body = request(true);
    let opened = try_join_all(tokens.iter().map(|token| open(bench.gateway, token, &body)));
    let answered = async {
        for _ in tokens {
            bench.upstream.arrival().await.ok_or("the upstream has ended")?.answer();
        }
        Ok(())
    };
    let (begun, ()) = tokio::try_join!(opened, answered)?;
    let held = memory("VmRSS")?;
    bench.upstream.hold(false);
    try_join_all(begun.into_iter().map(|(_client, begun)| begun.end())).await?;
    let peak = memory("VmHWM")?;
    let what = format!("memory, {COUNT} streams");
    Ok(vec![
        Row::new(format!("{what} at once"), held, Some(before), GOAL),
        Row::new(format!("{what}, peak"), peak, Some(before), GOAL),
    ])
}

/// The connection lives as long as its client.
async fn open(
    gateway: std::net::SocketAddr,
    token: &str,
    body: &axum::body::Bytes,
) -> Result<(Client, Begun), Failure> {
    let mut client = Client::connect(gateway, token).await?;
    let begun = client.begin(body).await?;
    Ok((client, begun))
}
