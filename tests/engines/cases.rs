//! What a run can come to.

use std::time::Duration;

use punching_fist_testkit::scripted_model::{Behaviour, Step, scripts};
use serde_json::{Value, json};

/// One kind of run.
pub struct Case {
    /// In names of objects.
    pub name: &'static str,
    /// In the table.
    pub title: &'static str,
    /// What the model does.
    pub behaviour: fn() -> Behaviour,
    /// What the task says besides.
    pub spec: fn() -> Value,
    /// What the profile's environment says besides.
    pub env: &'static [(&'static str, &'static str)],
    /// What is done to it when the agent waits for the model's second answer.
    pub act: Act,
}

/// What somebody does to a run.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Act {
    Nothing,
    DeletePod,
    Cancel,
    /// The image lacks the engine.
    EmptyImage,
}

const PLAIN: Case =
    Case { name: "", title: "", behaviour: scripts::ok, spec: || json!({}), env: &[], act: Act::Nothing };

pub const CASES: [Case; 16] = [
    Case { name: "ok", title: "comes to a verdict", ..PLAIN },
    Case {
        name: "no-block",
        title: "ends in a form that wasn't asked for",
        behaviour: scripts::no_block,
        spec: || json!({ "maxRetries": 0 }),
        ..PLAIN
    },
    Case {
        name: "unauthorized",
        title: "provider refuses the key (401)",
        behaviour: || Behaviour::Unauthorized,
        ..PLAIN
    },
    Case {
        name: "rate-limited",
        title: "provider is overloaded (429)",
        behaviour: || Behaviour::RateLimited,
        ..PLAIN
    },
    Case {
        name: "server-error",
        title: "provider fails (500)",
        behaviour: || Behaviour::ServerError,
        spec: || json!({ "maxRetries": 0 }),
        ..PLAIN
    },
    Case {
        name: "hangs",
        title: "provider hangs in mid-answer",
        behaviour: scripts::hangs_in_mid_stream,
        spec: || json!({ "maxRetries": 0 }),
        env: &[("LLM_TIMEOUT", "5")],
        ..PLAIN
    },
    Case {
        name: "never-answers",
        title: "takes longer than `timeoutSeconds`",
        behaviour: scripts::never_answers,
        spec: || json!({ "timeoutSeconds": 20 }),
        ..PLAIN
    },
    Case {
        name: "loop",
        title: "takes more than `maxIterations`",
        behaviour: || Behaviour::Loop,
        spec: || json!({ "agent": { "maxIterations": 3 } }),
        ..PLAIN
    },
    Case {
        name: "budget",
        title: "spends `maxCostUSD`",
        behaviour: scripts::expensive,
        spec: || json!({ "agent": { "maxCostUSD": "1.50" } }),
        ..PLAIN
    },
    Case {
        name: "unmetered",
        title: "spends `maxCostUSD`, provider tells no usage",
        behaviour: unmetered,
        spec: || json!({ "agent": { "maxCostUSD": "0.20" } }),
        ..PLAIN
    },
    Case {
        name: "question",
        title: "asks a question",
        behaviour: || Behaviour::AsksQuestion,
        spec: || json!({ "maxRetries": 0 }),
        ..PLAIN
    },
    Case { name: "key-leak", title: "looks for the model's key", behaviour: scripts::key_leak, ..PLAIN },
    Case { name: "forged", title: "forges a result", behaviour: scripts::forged_verdict, ..PLAIN },
    Case {
        name: "deleted",
        title: "pod deleted (SIGTERM)",
        behaviour: interrupted,
        act: Act::DeletePod,
        ..PLAIN
    },
    Case {
        name: "cancelled",
        title: "task cancelled (SIGTERM)",
        behaviour: interrupted,
        act: Act::Cancel,
        ..PLAIN
    },
    Case { name: "missing", title: "engine isn't in the image", act: Act::EmptyImage, ..PLAIN },
];

/// Works for ever, and nobody knows what it costs.
fn unmetered() -> Behaviour {
    let step = |number| Step::Metered(None, Box::new(Step::Shell(format!("echo step {number}"))));
    Behaviour::Steps((1..=9).map(step).collect())
}

/// Waits long for its second answer. Who asks again gets it at once.
fn interrupted() -> Behaviour {
    let finish = || Box::new(Step::Finish(scripts::conclusion()));
    let late = Step::Wait(Duration::from_secs(600), finish());
    Behaviour::Steps(vec![Step::Shell("echo look".to_owned()), late, *finish()])
}
