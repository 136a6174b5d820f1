//! Tests that need a cluster to themselves: the operator is killed and restarted, or all that it counts is looked at.
//! They take turns.

mod kills;
mod leaders;
mod metrics;

use punching_fist_e2e::{Outcome, Plan, SHELL_AGENT, Space, Stage};
use punching_fist_testkit::operator::Settings;
use serde_json::json;
use tokio::sync::Mutex;

static STAGE: Stage = Stage::new(plan);
static TURN: Mutex<()> = Mutex::const_new(());

fn plan() -> Plan {
    Plan {
        shell_agent: env!("CARGO_BIN_EXE_shell-agent"),
        openhands: false,
        replicas: vec![settings("alone", 50)],
    }
}

/// A replica that lets so many agents run at once.
fn settings(name: &str, most: usize) -> Settings {
    let config = json!({
        "agents": { "openhands": { "image": SHELL_AGENT, "maxConcurrent": 50 } },
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
    STAGE.play(name, async |space| {
        let _turn = TURN.lock().await;
        test(space).await
    });
}
