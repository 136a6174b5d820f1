//! A model on loopback that follows a script: it speaks OpenAI's chat completions and Anthropic's messages, with the tools
//! of every generation of OpenHands, and makes the agent really work. What it says of a cluster it has read there, through
//! the agent's own commands.

mod answer;
mod anthropic;
mod conversation;
mod evidence;
mod investigator;
mod prompt;
mod runbook;
pub mod scripts;
mod server;

use std::io;
use std::sync::atomic::AtomicUsize;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio::task::JoinHandle;

/// Name of the model, as LiteLLM takes it.
pub const MODEL: &str = "openai/scripted";
/// What a token that goes in costs, in US dollars.
pub const INPUT_COST_PER_TOKEN: &str = "0.000001";
/// What a token that comes out costs, in US dollars.
pub const OUTPUT_COST_PER_TOKEN: &str = "0.000004";

/// How the model answers.
#[derive(Clone, Debug, PartialEq)]
pub enum Behaviour {
    /// Looks for broken pods where the prompt says, follows what it sees to the cause, and concludes from that alone.
    Investigate,
    /// Does what the runbook in the prompt says to run, looks on where that points to, and concludes from it; without one it
    /// does nothing.
    FollowRunbook,
    /// One step a request with tools, over all conversations; the last one for ever.
    Steps(Vec<Step>),
    /// The same for every conversation: one step for each command that it has run; the last one for ever.
    EachTime(Vec<Step>),
    /// Refuses the key.
    Unauthorized,
    /// Has no capacity.
    RateLimited,
    /// Fails.
    ServerError,
    /// Never comes to an end.
    Loop,
    /// Asks, whatever it is told.
    AsksQuestion,
}

/// One answer of [`Behaviour::Steps`].
#[derive(Clone, Debug, PartialEq)]
pub enum Step {
    /// Runs a shell command.
    Shell(String),
    /// Calls any tool.
    Call(String, Value),
    /// Says something.
    Say(String),
    /// Concludes.
    Finish(Conclusion),
    /// Answers with an HTTP error.
    Status(u16),
    /// Answers with an HTTP error that says this.
    Refuse(u16, String),
    /// Does the next thing and tells these figures of it, or none at all; the outermost counts.
    Metered(Option<Tokens>, Box<Step>),
    /// Begins with the next thing, and goes silent half way through.
    Stall(Box<Step>),
    /// Never answers.
    Silence,
    /// Takes its time, then does the next thing.
    Wait(Duration, Box<Step>),
}

/// What an answer says that it took.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Tokens {
    /// Tokens that went in, those from the cache among them.
    pub input: u64,
    /// Of these, tokens from the cache.
    pub cached: u64,
    /// Tokens that came out.
    pub output: u64,
}

/// What an agent concludes with.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Conclusion {
    /// What became of the problem: one of the six words.
    pub verdict: &'static str,
    /// How sure it is: `High`, `Medium` or `Low`.
    pub confidence: &'static str,
    /// One paragraph.
    pub summary: String,
    /// Markdown.
    pub report: String,
    /// What to change, if that is known.
    pub plan: Option<String>,
}

/// One request that the model got.
#[derive(Clone, Debug)]
pub struct Request {
    /// Its `Authorization`, or its `x-api-key`.
    pub authorization: Option<String>,
    /// Its body.
    pub body: Value,
}

/// The model, for as long as this lives.
pub struct ScriptedModel {
    /// Where it listens: `http://127.0.0.1:PORT/v1`.
    pub url: String,
    state: Arc<State>,
    serving: JoinHandle<()>,
}

struct State {
    behaviour: Behaviour,
    requests: Mutex<Vec<Request>>,
    /// Requests with tools: the others are no step of an agent.
    steps: AtomicUsize,
}

impl ScriptedModel {
    /// Starts it on a free port of loopback.
    ///
    /// # Errors
    /// There is none.
    pub async fn start(behaviour: Behaviour) -> io::Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let url = format!("http://{}/v1", listener.local_addr()?);
        let state = Arc::new(State { behaviour, requests: Mutex::default(), steps: AtomicUsize::new(0) });
        let router = server::router(Arc::clone(&state));
        let serving = tokio::spawn(async move {
            // It serves until it is dropped: there is nobody to tell.
            let _ = axum::serve(listener, router).await;
        });
        Ok(Self { url, state, serving })
    }

    /// Every request so far.
    pub fn requests(&self) -> Vec<Request> {
        self.state.requests.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// What an agent profile of the operator's configuration says of it: agents reach it through the gateway.
    pub fn profile(&self) -> Value {
        json!({ "model": MODEL, "baseURL": self.url, "gateway": true, "prices": prices() })
    }
}

/// What it costs, as an agent profile says it.
pub fn prices() -> Value {
    let price = |cost| crate::model::per_million(cost).unwrap_or_default();
    json!({ "input": price(INPUT_COST_PER_TOKEN), "output": price(OUTPUT_COST_PER_TOKEN) })
}

impl Drop for ScriptedModel {
    fn drop(&mut self) {
        self.serving.abort();
    }
}
