//! The engines, as an agent profile says them.

use punching_fist_testkit::images;
use serde_json::{Value, json};

/// The program of the engine `command`.
const AGENT: &str = include_str!("agent.sh");
/// The engines bear a provider's faults for minutes; most of these runs are to give up.
pub const IMPATIENT: [(&str, &str); 3] =
    [("LLM_NUM_RETRIES", "2"), ("LLM_RETRY_MIN_WAIT", "1"), ("LLM_RETRY_MAX_WAIT", "1")];

/// What runs the agent.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Engine {
    Sdk,
    Cli,
    Main,
    Command,
}

impl Engine {
    pub const ALL: [Self; 4] = [Self::Sdk, Self::Cli, Self::Main, Self::Command];

    pub fn name(self) -> &'static str {
        match self {
            Self::Sdk => "sdk",
            Self::Cli => "cli",
            Self::Main => "main",
            Self::Command => "command",
        }
    }

    fn image(self) -> &'static str {
        match self {
            Self::Sdk => images::AGENT,
            Self::Cli => images::CLI,
            Self::Main => images::MAIN,
            Self::Command => images::SHELL,
        }
    }

    /// A profile besides its model, with these variables.
    pub fn profile<'a>(self, env: impl Iterator<Item = &'a (&'a str, &'a str)>) -> Value {
        let env: Vec<_> = env.map(|(name, value)| json!({ "name": name, "value": value })).collect();
        let mut profile = json!({ "engine": self.name(), "image": self.image(), "env": env });
        if self == Self::Command {
            profile["command"] = json!(["sh", "-c", AGENT]);
        }
        profile
    }
}
