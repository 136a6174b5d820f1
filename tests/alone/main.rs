//! Tests that need a cluster to themselves: the operator is killed and restarted, or all that it counts is looked at.
//! They take turns.

mod kills;
mod leaders;
mod metrics;

use std::sync::{Mutex, PoisonError};

use punching_fist_e2e::{Outcome, Plan, SHELL_AGENT, Space, Stage};
use punching_fist_testkit::operator::Settings;
use serde_json::json;

static STAGE: Stage = Stage::new(plan);
static TURN: Mutex<()> = Mutex::new(());

fn plan() -> Plan {
    Plan {
        shell_agent: env!("CARGO_BIN_EXE_shell-agent"),
        openhands: false,
        models: Vec::new(),
        replicas: vec![settings("alone", 50)],
    }
}

/// A replica that lets so many agents run at once.
fn settings(name: &str, most: usize) -> Settings {
    let config = json!({
        "agents": { "openhands": { "image": SHELL_AGENT, "gateway": false, "maxConcurrent": 50 } },
        "limits": { "maxConcurrent": most },
        "defaultRoute": { "template": { "prompt": "{{ group.commonAnnotations.script }}" } },
    });
    Settings { config, ..Settings::new(name) }
}

/// Runs `test` in a namespace of its own while no other test runs.
fn alone<F>(name: &str, test: F)
where
    F: AsyncFnOnce(Space) -> Outcome,
{
    // The turn of a test that has failed is over as well.
    let _turn = TURN.lock().unwrap_or_else(PoisonError::into_inner);
    STAGE.play(name, test);
}
