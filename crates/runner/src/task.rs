//! What an engine is told of its task.

use std::path::PathBuf;
use std::time::Duration;

use punching_fist_protocol::pod::{Mode, Runtime};

use crate::skills::Skills;

/// What to do, with which model, within which limits.
#[derive(Clone, Debug, Default)]
pub struct Task {
    /// The prompt as the operator rendered it.
    pub prompt: String,
    /// What the agent is there for.
    pub mode: Mode,
    /// The model as litellm calls it, with its provider: `openai/…`. Empty where the engine needs none.
    pub model: String,
    /// The model's key, or the token that the gateway takes for it. Empty where the engine needs none.
    pub api_key: String,
    /// Where the model is called; none: where its provider is.
    pub base_url: Option<String>,
    /// How many steps it may take.
    pub max_iterations: u64,
    /// What it may cost, in US dollars: a decimal.
    pub max_cost: Option<String>,
    /// How long it may take.
    pub timeout: Duration,
    /// Where the engine `main` works.
    pub runtime: Runtime,
    /// What the engine `command` starts.
    pub command: Vec<String>,
    /// What it is taught.
    pub skills: Skills,
    /// The kubeconfig of another cluster, as it was read and checked; none: whatever the pod has.
    pub kubeconfig: Option<String>,
    /// For the engine's own files, of this run alone. An adapter that uses it names it in its launch.
    pub state_directory: PathBuf,
    /// Where the agent works: the engine's current directory.
    pub workspace: PathBuf,
}
