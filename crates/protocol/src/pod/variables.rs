//! Environment variables of the agent's container.

/// What the names of our own variables begin with. Nobody else sets them.
pub const PREFIX: &str = "PUNCHING_FIST_";
/// The engine: a word of [`Engine`](super::Engine).
pub const ENGINE: &str = "PUNCHING_FIST_ENGINE";
/// How the engine `main` runs tools: a word of [`Runtime`](super::Runtime).
pub const RUNTIME: &str = "PUNCHING_FIST_RUNTIME";
/// Program and arguments of the engine `command`: a JSON list of strings.
pub const COMMAND: &str = "PUNCHING_FIST_COMMAND";
/// The file with the prompt.
pub const PROMPT_FILE: &str = "PUNCHING_FIST_PROMPT_FILE";
/// What the agent is there for: a word of [`Mode`](super::Mode).
pub const MODE: &str = "PUNCHING_FIST_MODE";
/// How long an attempt may take.
pub const TIMEOUT_SECONDS: &str = "PUNCHING_FIST_TIMEOUT_SECONDS";
/// How many steps it may take.
pub const MAX_ITERATIONS: &str = "PUNCHING_FIST_MAX_ITERATIONS";
/// What it may cost: a decimal.
pub const MAX_COST_USD: &str = "PUNCHING_FIST_MAX_COST_USD";
/// How long Kubernetes waits between SIGTERM and SIGKILL.
pub const GRACE_SECONDS: &str = "PUNCHING_FIST_GRACE_SECONDS";
/// The directory with the skills, if there are any.
pub const SKILLS_DIR: &str = "PUNCHING_FIST_SKILLS_DIR";
/// The file with the token for the gateway, which takes it for the model's key.
pub const TOKEN_FILE: &str = "PUNCHING_FIST_TOKEN_FILE";
/// The names of the variables that come from Secrets, with commas between them.
pub const SECRETS: &str = "PUNCHING_FIST_SECRETS";
/// The file for the termination message, where it isn't Kubernetes' own.
pub const TERMINATION_LOG: &str = "PUNCHING_FIST_TERMINATION_LOG";
/// The file that the program of the engine `command` writes its conclusion to. The runner sets it.
pub const RESULT: &str = "PUNCHING_FIST_RESULT";

/// Where programs keep their state.
pub const HOME: &str = "HOME";
/// Where `kubectl` finds the cluster.
pub const KUBECONFIG: &str = "KUBECONFIG";

/// The model as LiteLLM names it, with its provider.
pub const LLM_MODEL: &str = "LLM_MODEL";
/// The model's key, or what the gateway takes for it.
pub const LLM_API_KEY: &str = "LLM_API_KEY";
/// Where the model is called; where its provider is, if nothing is said.
pub const LLM_BASE_URL: &str = "LLM_BASE_URL";
/// What a token costs that goes to the model, in US dollars.
pub const LLM_INPUT_COST_PER_TOKEN: &str = "LLM_INPUT_COST_PER_TOKEN";
/// What a token costs that comes from the model, in US dollars.
pub const LLM_OUTPUT_COST_PER_TOKEN: &str = "LLM_OUTPUT_COST_PER_TOKEN";

#[cfg(test)]
mod tests {
    use super::*;

    /// The engine `sdk` is Python, and can't use these.
    #[test]
    fn our_python_reads_the_same_names() {
        let settings = include_str!("../../../../agent/punching_fist_agent/settings.py");
        for name in [
            PROMPT_FILE,
            MODE,
            MAX_ITERATIONS,
            MAX_COST_USD,
            SKILLS_DIR,
            LLM_MODEL,
            LLM_API_KEY,
            LLM_BASE_URL,
            LLM_INPUT_COST_PER_TOKEN,
            LLM_OUTPUT_COST_PER_TOKEN,
        ] {
            assert!(settings.contains(&format!("(\"{name}\"")), "settings.py doesn't read {name}");
        }
    }
}
