//! The file `base_state.json` of a conversation: how far it is, and what it has used.

use punching_fist_protocol::{State, Usage};
use serde_json::Value;

use crate::engine::{openhands, untrusted};

/// What the file says.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct BaseState {
    /// How far the conversation is; none: it doesn't matter to us.
    pub status: Option<State>,
    /// What all its models have used.
    pub usage: Usage,
}

impl BaseState {
    /// Reads the file; none while it is half written.
    pub fn read(text: &[u8]) -> Option<Self> {
        let value = untrusted::json(text)?;
        Some(Self { status: value["execution_status"].as_str().and_then(status), usage: usage(&value) })
    }
}

fn status(word: &str) -> Option<State> {
    Some(match word {
        "running" => State::Running,
        "finished" => State::Finished,
        "waiting_for_confirmation" => State::AwaitingConfirmation,
        "stuck" => State::Stuck,
        "error" => State::Error,
        "paused" => State::Stopped,
        _ => return None,
    })
}

fn usage(value: &Value) -> Usage {
    let metrics = value["stats"]["usage_to_metrics"].as_object();
    let metrics: Vec<&Value> = metrics.into_iter().flat_map(|metrics| metrics.values()).collect();
    let sum = |field: &str| {
        let counts = metrics.iter().map(|metrics| metrics["accumulated_token_usage"][field].as_u64());
        counts.flatten().fold(0, u64::saturating_add)
    };
    let cost: f64 = metrics.iter().filter_map(|metrics| metrics["accumulated_cost"].as_f64()).sum();
    let calls =
        metrics.iter().filter_map(|metrics| metrics["token_usages"].as_array()).map(Vec::len).sum::<usize>();
    Usage {
        input_tokens: sum("prompt_tokens"),
        output_tokens: sum("completion_tokens"),
        cache_read_tokens: sum("cache_read_tokens"),
        cache_write_tokens: sum("cache_write_tokens"),
        calls: calls as u64,
        iterations: 0,
        cost_usd: openhands::cost(cost),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_models_are_summed() {
        let metrics = |cost: f64, tokens: u64| {
            serde_json::json!({
                "accumulated_cost": cost,
                "accumulated_token_usage": { "prompt_tokens": tokens, "completion_tokens": 2, "cache_read_tokens": 1 },
                "token_usages": [{}, {}],
            })
        };
        let usage_to_metrics =
            serde_json::json!({ "agent": metrics(0.25, 10), "condenser": metrics(0.5, 5) });
        let state = serde_json::json!({
            "execution_status": "finished",
            "stats": { "usage_to_metrics": usage_to_metrics },
        });
        let state = BaseState::read(state.to_string().as_bytes()).expect("a state");
        assert_eq!(state.status, Some(State::Finished));
        let usage = state.usage;
        assert_eq!(
            (usage.input_tokens, usage.output_tokens, usage.cache_read_tokens, usage.calls),
            (15, 4, 2, 4)
        );
        assert_eq!(usage.cost_usd.as_deref(), Some("0.750000"));
        let most = u64::MAX;
        let usage_to_metrics =
            serde_json::json!({ "agent": metrics(0.0, most), "forged": metrics(0.0, most) });
        let state = serde_json::json!({ "stats": { "usage_to_metrics": usage_to_metrics } });
        let state = BaseState::read(state.to_string().as_bytes()).expect("a state");
        assert_eq!(state.usage.input_tokens, most);
    }

    #[test]
    fn states_have_their_words() {
        for (word, expected) in [
            ("running", Some(State::Running)),
            ("finished", Some(State::Finished)),
            ("waiting_for_confirmation", Some(State::AwaitingConfirmation)),
            ("stuck", Some(State::Stuck)),
            ("error", Some(State::Error)),
            ("paused", Some(State::Stopped)),
            ("deleting", None),
        ] {
            let text = serde_json::json!({ "execution_status": word }).to_string();
            assert_eq!(BaseState::read(text.as_bytes()).and_then(|state| state.status), expected, "{word}");
        }
    }

    #[test]
    fn half_a_file_and_strange_files_say_nothing() {
        for text in
            ["", "{\"execution_status\": \"fini", "7", "{}", r#"{"execution_status":"idle","stats":[]}"#]
        {
            let state = BaseState::read(text.as_bytes()).unwrap_or_default();
            assert_eq!(state, BaseState::default(), "{text}");
        }
    }
}
