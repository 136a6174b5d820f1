//! Streams: they pass without delay, and whatever their end is, it is settled.

use std::time::Duration;

use axum::body::Body;
use futures::StreamExt;
use prometheus::Registry;
use punching_fist_api::MaintenanceTask;
use punching_fist_core::money::Money;
use punching_fist_testkit::wait::{PATIENCE, until};
use serde_json::{Value, json};
use tokio::io::AsyncWriteExt;
use tokio::net::{TcpListener, TcpStream};
use tower::ServiceExt;

use crate::common::{self, CHAT, Ground, NAMESPACE, Script, TASK, TOKEN, nothing_in_flight, request, send};

const TEXT: &str = "data: {\"choices\":[{\"delta\":{\"content\":\"a\"}}]}\n\n";
const USAGE: &str = "data: {\"choices\":[],\"usage\":{\"prompt_tokens\":1000,\"completion_tokens\":100}}\n\n";
const DONE: &str = "data: [DONE]\n\n";
const START: &str = "event: message_start\ndata: {\"type\":\"message_start\",\"message\":{\"usage\":{\"input_tokens\":900,\"cache_read_input_tokens\":100,\"output_tokens\":1}}}\n\n";
const DELTA: &str =
    "event: message_delta\ndata: {\"type\":\"message_delta\",\"usage\":{\"output_tokens\":100}}\n\n";
const STOP: &str = "event: message_stop\ndata: {\"type\":\"message_stop\"}\n\n";

fn body() -> Value {
    json!({"model": "m", "stream": true, "max_tokens": 50})
}

/// What stays if nobody knows the cost of a call in OpenAI's form: it goes out with the wish for usage.
fn charge(body: &Value) -> String {
    let mut sent = body.clone();
    sent["stream_options"]["include_usage"] = true.into();
    format!("0.{:06}", sent.to_string().len() + 2 * 50)
}

fn events(texts: &[&str]) -> Vec<String> {
    texts.iter().map(|text| (*text).to_owned()).collect()
}

async fn open(ground: &Ground, path: &str) -> impl futures::Stream<Item = Option<String>> + Unpin {
    let response = ground.router().oneshot(request(path, &body())).await.unwrap();
    assert_eq!(response.status(), 200);
    assert_eq!(response.headers()["content-type"], "text/event-stream; charset=utf-8");
    Body::into_data_stream(response.into_body())
        .map(|piece| piece.ok().map(|bytes| String::from_utf8(bytes.to_vec()).unwrap()))
}

#[tokio::test]
async fn a_stream_passes_and_is_charged_by_what_it_says() {
    for (model, path, text, cost) in [
        ("openai/m", CHAT, vec![TEXT, TEXT, USAGE, DONE], "0.0012"),
        ("anthropic/m", "/v1/messages", vec![START, DELTA, STOP], "0.00111"),
    ] {
        let ground = Ground::new(model).await;
        ground.provider.script([Script::Stream(events(&text))]);
        let answer = ground.post(path, &body()).await;
        let shown: String = text.iter().filter(|text| **text != USAGE).copied().collect();
        assert_eq!(answer.text.unwrap(), shown, "usage that wasn't asked for isn't shown");
        let usage = ground.usage();
        assert_eq!((usage.total.input_tokens, usage.total.output_tokens), (1000, 100));
        assert_eq!((usage.total.calls, usage.total.cost_usd.as_deref()), (1, Some(cost)));
        assert!(usage.in_flight.is_empty());
    }
}

#[tokio::test]
async fn usage_is_asked_for_and_shown_to_those_who_asked() {
    let ground = Ground::new("openai/m").await;
    ground.provider.script([Script::Stream(events(&[TEXT, USAGE, DONE]))]);
    let mut asking = body();
    asking["stream_options"] = json!({"include_usage": true});
    let answer = ground.post(CHAT, &asking).await;
    assert!(answer.text.unwrap().contains("prompt_tokens"));
    ground.post(CHAT, &body()).await;
    for asked in ground.provider.asked() {
        assert_eq!(asked.body["stream_options"], json!({"include_usage": true}));
    }
}

#[tokio::test]
async fn a_piece_is_seen_before_the_next_one_comes() {
    let ground = Ground::new("openai/m").await;
    ground.provider.script([Script::Hang(events(&[TEXT]))]);
    let mut stream = open(&ground, CHAT).await;
    let first = tokio::time::timeout(PATIENCE, stream.next()).await;
    assert_eq!(first.unwrap().unwrap().as_deref(), Some(TEXT));
    assert_eq!(ground.usage().in_flight.len(), 1, "it is under way");
}

#[tokio::test]
async fn a_stream_without_a_proper_end_stays_charged() {
    let cut = &TEXT[..20];
    for (what, script, is_broken) in [
        ("breaks", Script::Break(events(&[TEXT])), true),
        ("hangs", Script::Hang(events(&[TEXT, USAGE])), true),
        ("breaks within an event", Script::Break(events(&[TEXT, cut])), true),
        ("says no usage", Script::Stream(events(&[TEXT, DONE])), false),
        ("ends within an event", Script::Stream(events(&[TEXT, cut])), false),
        ("is empty", Script::Stream(vec![]), false),
    ] {
        let ground = Ground::impatient("openai/m").await;
        ground.provider.script([script]);
        let answer = ground.post(CHAT, &body()).await;
        assert_eq!(answer.text.is_none(), is_broken, "{what}");
        let usage = ground.usage();
        assert_eq!((usage.total.calls, usage.total.cost_usd), (1, Some(charge(&body()))), "{what}");
        assert!(usage.in_flight.is_empty());
    }
}

#[tokio::test]
async fn what_broke_off_after_the_last_word_costs_what_was_said() {
    let ground = Ground::new("openai/m").await;
    ground.provider.script([Script::Break(events(&[TEXT, USAGE, DONE]))]);
    ground.post(CHAT, &body()).await;
    assert_eq!(ground.usage().total.cost_usd.as_deref(), Some("0.0012"));
}

#[tokio::test]
async fn a_client_that_goes_away_pays() {
    let ground = Ground::new("openai/m").await;
    ground.provider.script([Script::Hang(events(&[TEXT])), Script::Silence]);
    let mut stream = open(&ground, CHAT).await;
    stream.next().await.unwrap();
    drop(stream);
    ground.settled().await;
    let usage = nothing_in_flight(&ground.api).await;
    assert_eq!((usage.total.calls, usage.total.cost_usd), (1, Some(charge(&body()))));

    // Before the head of the answer has come.
    let router = ground.router();
    let call = tokio::spawn(async move { send(&router, request(CHAT, &body())).await });
    ground.provider.wait_for_calls(2).await;
    call.abort();
    let second = async || (ground.usage().total.calls == 2).then_some(());
    until("its charge", second).await.unwrap();
    assert!(ground.usage().in_flight.is_empty());
    let counted = r#"punching_fist_gateway_calls_total{outcome="broken",profile="openhands"} 2"#;
    assert!(ground.metrics().contains(counted), "{}", ground.metrics());
    let cost = format!("cost_usd_total{{profile=\"openhands\"}} {}", ground.usage().total.cost_usd.unwrap());
    assert!(ground.metrics().contains(&cost), "{cost}: {}", ground.metrics());
}

/// Kills a replica in the middle of a stream, after the first piece was read: nothing of it does anything any more.
fn killed_in_a_stream(ground: &Ground) -> String {
    let (api, settings) = (ground.api.clone(), ground.settings.clone());
    let dying = std::thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let first = runtime.block_on(async {
            let gateway = common::replica(&api, &settings, &Registry::new(), Duration::from_secs(30));
            let response = gateway.router().oneshot(request(CHAT, &body())).await.unwrap();
            let mut pieces = Body::into_data_stream(response.into_body());
            let first = pieces.next().await.unwrap().unwrap();
            std::mem::forget((gateway, pieces));
            first
        });
        // Neither run on nor dropped, which would settle the call.
        std::mem::forget(runtime);
        String::from_utf8(first.to_vec()).unwrap()
    });
    dying.join().unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn a_stream_whose_replica_is_killed_stays_charged_and_stops_nobody() {
    let ground = Ground::new("openai/m").await;
    ground.provider.script([Script::Hang(events(&[TEXT])), Script::Stream(events(&[TEXT, USAGE, DONE]))]);
    assert_eq!(killed_in_a_stream(&ground), TEXT);
    assert_eq!((ground.usage().in_flight.len(), ground.usage().total.calls), (1, 0));
    assert_eq!(ground.post(CHAT, &body()).await.status, 200, "another replica serves the next call");
    let usage = ground.usage();
    assert_eq!(
        (usage.in_flight.len(), usage.total.calls, usage.total.cost_usd.as_deref()),
        (1, 1, Some("0.0012"))
    );
    ground.api.change::<MaintenanceTask>(NAMESPACE, TASK, |task| {
        let usage = task.status.as_mut().unwrap().task.usage.as_mut().unwrap();
        usage.in_flight[0].time.0 -= jiff::SignedDuration::from_mins(6);
    });
    ground.post(CHAT, &body()).await;
    let usage = ground.usage();
    let money = |text: &str| Money::parse(text).unwrap();
    let spent = money(&charge(&body())) + money("0.0024");
    assert_eq!(
        (usage.in_flight.len(), usage.total.calls, usage.total.cost_usd),
        (0, 3, Some(spent.to_string()))
    );
}

#[tokio::test]
async fn a_connection_that_closes_over_a_socket_is_a_client_that_goes_away() {
    let ground = Ground::new("openai/m").await;
    ground.provider.script([Script::Silence, Script::Hang(events(&[TEXT]))]);
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let router = ground.router();
    tokio::spawn(async { axum::serve(listener, router).await });
    for calls in 1..=2 {
        let body = body().to_string();
        let head = format!(
            "POST {CHAT} HTTP/1.1\r\nhost: a\r\nauthorization: Bearer {TOKEN}\r\ncontent-length: {}\r\n\r\n",
            body.len(),
        );
        let mut client = TcpStream::connect(address).await.unwrap();
        client.write_all((head + &body).as_bytes()).await.unwrap();
        ground.provider.wait_for_calls(calls).await;
        drop(client);
        let charged = async || (ground.usage().total.calls == i64::try_from(calls).unwrap()).then_some(());
        until("its charge", charged).await.unwrap();
    }
    assert!(ground.usage().in_flight.is_empty());
}

#[tokio::test]
async fn a_client_that_reads_no_more_holds_nothing_for_long() {
    let ground = Ground::impatient("openai/m").await;
    ground.provider.script([Script::Stream(vec![TEXT.to_owned(); 10_000])]);
    let mut stream = open(&ground, CHAT).await;
    assert!(stream.next().await.unwrap().is_some());
    let usage = nothing_in_flight(&ground.api).await;
    assert_eq!((usage.total.calls, usage.total.cost_usd), (1, Some(charge(&body()))));
    let rest: Vec<_> = stream.collect().await;
    assert!(rest.last().unwrap().is_none(), "it is told that its stream is cut");
}

#[tokio::test]
async fn many_streams_at_once() {
    let ground = Ground::with("openai/m", |profile| profile["maxCostUSD"] = "100".into()).await;
    ground.provider.script([Script::Hang(events(&[TEXT]))]);
    let mut streams = Vec::new();
    for _ in 0..50 {
        let mut stream = open(&ground, CHAT).await;
        assert_eq!(stream.next().await.unwrap().as_deref(), Some(TEXT));
        streams.push(stream);
    }
    assert_eq!(ground.usage().in_flight.len(), 50);
    drop(streams);
    let usage = nothing_in_flight(&ground.api).await;
    assert_eq!(usage.total.calls, 50);
}
