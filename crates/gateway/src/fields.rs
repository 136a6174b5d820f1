//! The members of a request that are passed on: those that each API documents and that cost nothing but tokens, as the
//! answer counts them. A list of what isn't passed on would be out of date with each new member that a provider invents.

use crate::endpoint::Endpoint;

/// Of both protocols.
const ALL: &[&str] = &[
    "cache_control",
    "metadata",
    "model",
    "service_tier",
    "stream",
    "temperature",
    "thinking",
    "tool_choice",
    "tools",
    "top_k",
    "top_p",
    "user",
];
/// Of OpenAI's APIs; the second half is of servers that speak its protocol.
const OPENAI: &[&str] = &[
    "parallel_tool_calls",
    "prompt_cache_key",
    "prompt_cache_options",
    "prompt_cache_retention",
    "reasoning",
    "safety_identifier",
    "store",
    "stream_options",
    "top_logprobs",
    "chat_template_kwargs",
    "enable_thinking",
    "min_p",
    "reasoning_split",
    "repetition_penalty",
    "safety_settings",
];
/// Of the older two of them.
const COMPLETIONS: &[&str] = &[
    "best_of",
    "frequency_penalty",
    "logit_bias",
    "logprobs",
    "max_tokens",
    "n",
    "presence_penalty",
    "seed",
    "stop",
];
const CHAT_COMPLETION: &[&str] = &[
    "function_call",
    "functions",
    "max_completion_tokens",
    "messages",
    "reasoning_effort",
    "response_format",
    "verbosity",
];
const COMPLETION: &[&str] = &["echo", "prompt", "suffix"];
const RESPONSE: &[&str] = &[
    "background",
    "client_metadata",
    "include",
    "input",
    "instructions",
    "max_output_tokens",
    "max_tool_calls",
    "text",
    "truncation",
];
const MESSAGE: &[&str] = &[
    "context_management",
    "diagnostics",
    "max_tokens",
    "messages",
    "output_config",
    "output_format",
    "stop_sequences",
    "system",
];

/// Whether that endpoint is told such a member.
pub(crate) fn is_known(endpoint: Endpoint, name: &str) -> bool {
    let lists: &[&[&str]] = match endpoint {
        Endpoint::ChatCompletions => &[ALL, OPENAI, COMPLETIONS, CHAT_COMPLETION],
        Endpoint::Completions => &[ALL, OPENAI, COMPLETIONS, COMPLETION],
        Endpoint::Responses => &[ALL, OPENAI, RESPONSE],
        Endpoint::Messages | Endpoint::CountTokens => &[ALL, MESSAGE],
    };
    lists.iter().any(|list| list.contains(&name))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_documentation_names_each() {
        let text = include_str!("../../../docs/gateway.md");
        let (start, end) = (text.find("## What is passed on"), text.find("## What is refused"));
        let section = &text[start.unwrap()..end.unwrap()];
        let known = [ALL, OPENAI, COMPLETIONS, CHAT_COMPLETION, COMPLETION, RESPONSE, MESSAGE].concat();
        for name in &known {
            assert!(section.contains(&format!("`{name}`")), "{name}");
        }
        let beside = ["passedFields", "null", "false"];
        let said = section.split('`').skip(1).step_by(2);
        for name in said.filter(|name| !beside.contains(name) && !name.starts_with('/')) {
            assert!(known.contains(&name), "{name}");
        }
    }
}
