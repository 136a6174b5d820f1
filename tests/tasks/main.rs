//! Tasks from their start to their end: the operator with the real Job controller, the shell agent in the pods.

mod disguise;
mod examples;
mod forgery;
mod input;
mod kubectl;
mod limits;
mod obstacles;
mod runs;
mod skills;
mod stops;

use punching_fist_e2e::{Plan, SHELL_AGENT, Scripted, Stage};
use punching_fist_testkit::operator::Settings;
use punching_fist_testkit::scripted_model::{Behaviour, Step};
use serde_json::json;

static STAGE: Stage = Stage::new(plan);

fn plan() -> Plan {
    let config = json!({
        "agents": {
            "openhands": { "image": SHELL_AGENT, "gateway": false, "maxConcurrent": 50 },
            // One run at a time.
            "narrow": { "image": SHELL_AGENT, "gateway": false, "model": "openai/scripted", "maxConcurrent": 1 },
        },
        // A pod that can't start is given up within a test.
        "limits": { "maxConcurrent": 50, "podStartTimeoutSeconds": 30 },
    });
    let replica = Settings { config, ..Settings::new("tasks") };
    let paid = Scripted {
        profile: "paid",
        behaviour: Behaviour::Steps(vec![Step::Say("Noted.".to_owned())]),
        more: json!({ "image": SHELL_AGENT }),
    };
    Plan {
        shell_agent: env!("CARGO_BIN_EXE_shell-agent"),
        // Of the real agent only the examples of skills make use.
        openhands: true,
        models: skills::models().into_iter().chain([paid]).collect(),
        replicas: vec![replica],
    }
}
