//! Agents and the model: real runs behind the gateways of two replicas of the operator. What an agent can find out, what
//! it can spend, and what becomes of it when a gateway goes.

mod anthropic;
mod away;
mod budget;
mod held;
mod key;
mod proxy;
mod resilience;

use std::fmt::Write as _;
use std::fs::File;
use std::io::Read as _;
use std::path::PathBuf;
use std::sync::{LazyLock, PoisonError, RwLock};
use std::time::Duration;

use punching_fist_e2e::money::{dollar, prices};
use punching_fist_e2e::{Outcome, Plan, SHELL_AGENT, Scripted, Service, Space, Stage};
use punching_fist_testkit::operator::Settings;
use punching_fist_testkit::scripted_model::{Behaviour, Step, scripts};
use punching_fist_testkit::{images, repository};
use serde_json::{Value, json};

use crate::held::Held;

static STAGE: Stage = Stage::new(plan);
/// Where agents reach the gateways of both replicas, as a Service of Kubernetes does it.
static SERVICE: LazyLock<Service> = LazyLock::new(Service::start);
/// Providers that tests hold back.
static LEAVING: LazyLock<Held> = LazyLock::new(Held::start);
static DEPOSED: LazyLock<Held> = LazyLock::new(Held::start);
/// Held for writing by who takes both replicas away.
static REPLICAS: RwLock<()> = RwLock::new(());

/// What the model's key looks like. It has none of the shapes that the runner and the gateway know of: nothing hides it
/// if it gets out.
const KEY_BEGIN: &str = "unmistakable-";
/// The model's key: nothing else on this machine reads like it.
static KEY: LazyLock<String> = LazyLock::new(|| unmistakable(KEY_BEGIN));

fn plan() -> Plan {
    Plan {
        shell_agent: env!("CARGO_BIN_EXE_shell-agent"),
        openhands: true,
        models: models().into_iter().chain(anthropic::models()).chain(away::models()).collect(),
        replicas: vec![settings("agent-a"), settings("agent-b")],
    }
}

/// A replica. Whoever leads, agents reach the gateways of all.
fn settings(name: &str) -> Settings {
    let config = json!({
        "gateway": { "url": SERVICE.url() },
        "agents": { "openhands": { "image": SHELL_AGENT, "gateway": false } },
        "limits": { "maxConcurrent": 50 },
    });
    Settings { config, model_key: Some(KEY.clone()), ..Settings::new(name) }
}

fn models() -> Vec<Scripted> {
    let says = || Step::Say("Noted.".to_owned());
    let dollar = || dollar(says());
    let late = Step::Wait(Duration::from_secs(100), Box::new(dollar()));
    let steps = |steps: Vec<Step>| Behaviour::Steps(steps);
    let free = json!({ "prices": { "input": "0", "output": "0" } });
    vec![
        shell("metered", steps(vec![dollar()]), &json!({})),
        shell("unmetered", steps(vec![Step::Metered(None, Box::new(says()))]), &json!({})),
        shell("free", steps(vec![dollar()]), &free),
        // The first call finds it so.
        shell("hangs", steps(vec![Step::Stall(Box::new(dollar())), dollar()]), &json!({})),
        shell("late", steps(vec![late.clone(), dollar()]), &json!({})),
        shell("late-for-two", steps(vec![late, dollar()]), &json!({})),
        // Nobody else asks it.
        shell("watched", steps(vec![dollar()]), &json!({})),
        shell("leaving", steps(Vec::new()), &json!({ "baseURL": LEAVING.url() })),
        shell("deposed", steps(Vec::new()), &json!({ "baseURL": DEPOSED.url() })),
        shell("keyless", steps(vec![dollar()]), &json!({ "key": { "file": key_file() } })),
        sdk("sdk-thief", scripts::key_leak()),
    ]
}

/// A profile of the shell agent whose model takes a dollar for each answer.
fn shell(profile: &'static str, behaviour: Behaviour, more: &Value) -> Scripted {
    let mut all = json!({ "image": SHELL_AGENT, "maxConcurrent": 50, "prices": prices(100) });
    for (key, value) in more.as_object().into_iter().flatten() {
        all[key] = value.clone();
    }
    Scripted { profile, behaviour, more: all }
}

fn sdk(profile: &'static str, behaviour: Behaviour) -> Scripted {
    Scripted { profile, behaviour, more: json!({ "image": images::AGENT }) }
}

/// Where the operators look for the key of profile `keyless`: there is none until a test writes it.
fn key_file() -> PathBuf {
    repository::root().join("target/e2e").join(std::process::id().to_string()).join("belated-key")
}

/// 128 bits that nobody can guess, behind `begin`.
fn unmistakable(begin: &str) -> String {
    let mut bytes = [0; 16];
    let read = File::open("/dev/urandom").and_then(|mut source| source.read_exact(&mut bytes));
    read.expect("every Linux has /dev/urandom");
    bytes.iter().fold(begin.to_owned(), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}

/// Runs `test` in a namespace of its own, beside others.
fn beside_others<F>(name: &str, test: F)
where
    F: AsyncFnOnce(Space) -> Outcome,
{
    // A test that has failed leaves nothing behind.
    let _both = REPLICAS.read().unwrap_or_else(PoisonError::into_inner);
    STAGE.play_behind(&SERVICE, name, test);
}

/// The same while no other test runs.
fn without_others<F>(name: &str, test: F)
where
    F: AsyncFnOnce(Space) -> Outcome,
{
    let _none = REPLICAS.write().unwrap_or_else(PoisonError::into_inner);
    STAGE.play_behind(&SERVICE, name, test);
}
