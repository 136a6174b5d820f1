//! The gateway and nothing else, as a process: so that its memory is its own.

use std::collections::BTreeMap;
use std::error::Error;
use std::fs;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;

use axum::Router;
use axum::routing::get;
use axum::serve::ListenerExt as _;
use prometheus::{Registry, TextEncoder};
use punching_fist_core::profile::Settings;
use punching_fist_gateway::{Gateway, Keys, Metrics};
use punching_fist_testkit::control_plane::client_of;
use serde_json::json;
use tokio::net::TcpListener;

use crate::Outcome;

/// The variable with the model's key.
pub const KEY: &str = "PUNCHING_FIST_BENCH_KEY";
/// Where its metrics are.
pub const METRICS: &str = "/metrics";
/// The profile of all runs.
pub const PROFILE: &str = "bench";
/// Its model.
pub const MODEL: &str = "openai/scripted";

/// Where everything is.
#[derive(clap::Args)]
pub struct Arguments {
    /// The way to the API server
    #[arg(long)]
    kubeconfig: PathBuf,
    /// The model's base URL
    #[arg(long)]
    upstream: String,
    /// Where it listens
    #[arg(long)]
    listen: SocketAddr,
}

/// Serves until it is ended.
pub async fn run(arguments: &Arguments) -> Outcome {
    let client = client_of(&fs::read_to_string(&arguments.kubeconfig)?).await?;
    let settings = Arc::new(settings(&arguments.upstream)?);
    let registry = Registry::new();
    let (keys, metrics) = (Keys::new(&settings), Metrics::register(&registry)?);
    let gateway = Gateway::new(client, settings, keys, metrics)?;
    let told = async move || TextEncoder::new().encode_to_string(&registry.gather()).unwrap_or_default();
    let router = Router::new().route(METRICS, get(told)).fallback_service(gateway.router());
    let listener = TcpListener::bind(arguments.listen).await?;
    // A socket that can't do it is as good, only slower.
    axum::serve(listener.tap_io(|socket| drop(socket.set_nodelay(true))), router).await?;
    Ok(ExitCode::SUCCESS)
}

fn settings(upstream: &str) -> Result<Settings, Box<dyn Error>> {
    let profile = json!({
        "image": "bench:1",
        "model": MODEL,
        "gateway": true,
        "baseURL": upstream,
        "key": { "env": KEY },
        "prices": { "input": "3", "output": "15" },
        "maxCostUSD": "1000000",
    });
    let profiles = BTreeMap::from([(PROFILE.to_owned(), serde_json::from_value(profile)?)]);
    Ok(Settings { profiles, ..Settings::default() })
}
