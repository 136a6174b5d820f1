//! What an answer says about its tokens, in the three forms that there are.

use serde_json::Value;

use crate::budget::Tokens;
use crate::endpoint::Endpoint;

/// What was said so far. In a stream counts only grow, so of each the most that was said is taken: some servers end with a
/// zero for what they told at the beginning.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Said {
    whole: Counts,
    /// All rounds that one call took, if they were told apart: what the provider did beside the answer, as a summary of
    /// what came before, stands nowhere else.
    rounds: Counts,
}

#[derive(Clone, Copy, Debug, Default)]
struct Counts {
    input: Option<u64>,
    output: Option<u64>,
    cache_read: Option<u64>,
    cache_write: Option<u64>,
    total: Option<u64>,
}

impl Counts {
    fn read(usage: &Value) -> Self {
        let said = |paths: &[&str]| paths.iter().find_map(|path| usage.pointer(path)?.as_u64());
        Self {
            input: said(&["/prompt_tokens", "/input_tokens"]),
            output: said(&["/completion_tokens", "/output_tokens"]),
            cache_read: said(&[
                "/cache_read_input_tokens",
                "/prompt_tokens_details/cached_tokens",
                "/input_tokens_details/cached_tokens",
            ]),
            cache_write: said(&[
                "/cache_creation_input_tokens",
                "/prompt_tokens_details/cache_write_tokens",
                "/input_tokens_details/cache_write_tokens",
            ]),
            total: said(&["/total_tokens"]),
        }
    }

    /// Field by field, what `join` makes of what both say, or what one of them says.
    fn with(self, other: Self, join: impl Fn(u64, u64) -> u64) -> Self {
        let join = |one: Option<u64>, two: Option<u64>| match (one, two) {
            (Some(one), Some(two)) => Some(join(one, two)),
            _ => one.or(two),
        };
        Self {
            input: join(self.input, other.input),
            output: join(self.output, other.output),
            cache_read: join(self.cache_read, other.cache_read),
            cache_write: join(self.cache_write, other.cache_write),
            total: join(self.total, other.total),
        }
    }
}

impl Said {
    /// Takes in a `usage` object.
    pub(crate) fn hear(&mut self, usage: &Value) {
        self.whole = self.whole.with(Counts::read(usage), u64::max);
        let rounds = usage["iterations"].as_array().map(Vec::as_slice).unwrap_or_default();
        let rounds =
            rounds.iter().map(Counts::read).reduce(|sum, round| sum.with(round, u64::saturating_add));
        self.rounds = self.rounds.with(rounds.unwrap_or_default(), u64::max);
    }

    /// The tokens, if enough was said: no call uses none, so what says so only holds a place. Anthropic counts what goes
    /// through the cache beside the input, OpenAI within it.
    pub(crate) fn tokens(&self, endpoint: Endpoint) -> Option<Tokens> {
        let said = self.whole.with(self.rounds, u64::max);
        let (input, output) = (said.input?, said.output?);
        let cache_read = said.cache_read.unwrap_or_default();
        let cache_write = said.cache_write.unwrap_or_default();
        let tokens = match endpoint {
            Endpoint::Messages | Endpoint::CountTokens => Tokens {
                input: input.saturating_add(cache_read).saturating_add(cache_write),
                output,
                cache_read,
                cache_write,
            },
            Endpoint::ChatCompletions | Endpoint::Completions | Endpoint::Responses => {
                let cache_read = cache_read.min(input);
                // Some count the tokens of reasoning in nothing but the sum.
                let output = output.max(said.total.unwrap_or_default().saturating_sub(input));
                Tokens { input, output, cache_read, cache_write: cache_write.min(input - cache_read) }
            }
        };
        (tokens.input > 0 || tokens.output > 0).then_some(tokens)
    }
}

/// The tokens of an answer that came in one piece.
pub(crate) fn of_answer(endpoint: Endpoint, body: &[u8]) -> Option<Tokens> {
    #[derive(serde::Deserialize)]
    struct Answer {
        usage: Option<Value>,
    }
    let answer: Answer = serde_json::from_slice(body).ok()?;
    let mut said = Said::default();
    said.hear(&answer.usage?);
    said.tokens(endpoint)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn three_forms_say_the_same() {
        let same = |cache_write| Tokens { input: 100, output: 7, cache_read: 60, cache_write };
        for (endpoint, body, tokens) in [
            (
                Endpoint::ChatCompletions,
                r#"{"usage":{"prompt_tokens":100,"completion_tokens":7,"prompt_tokens_details":{"cached_tokens":60}}}"#,
                same(0),
            ),
            (
                Endpoint::Responses,
                r#"{"usage":{"input_tokens":100,"output_tokens":7,"input_tokens_details":{"cached_tokens":60}}}"#,
                same(0),
            ),
            (
                Endpoint::Messages,
                r#"{"usage":{"input_tokens":10,"output_tokens":7,"cache_read_input_tokens":60,"cache_creation_input_tokens":30}}"#,
                same(30),
            ),
            (
                Endpoint::Responses,
                r#"{"usage":{"input_tokens":100,"output_tokens":7,"input_tokens_details":{"cached_tokens":60,"cache_write_tokens":30}}}"#,
                same(30),
            ),
            (
                Endpoint::ChatCompletions,
                r#"{"usage":{"prompt_tokens":100,"completion_tokens":7,"total_tokens":150}}"#,
                Tokens { input: 100, output: 50, ..Tokens::default() },
            ),
            (
                Endpoint::Responses,
                r#"{"usage":{"input_tokens":100,"output_tokens":7,"total_tokens":9}}"#,
                Tokens { input: 100, output: 7, ..Tokens::default() },
            ),
        ] {
            assert_eq!(of_answer(endpoint, body.as_bytes()), Some(tokens), "{body}");
        }
    }

    #[test]
    fn what_was_done_beside_the_answer_counts() {
        let rounds = r#"[{"type":"compaction","input_tokens":180000,"output_tokens":3500,"cache_read_input_tokens":5},
            {"type":"message","input_tokens":23,"output_tokens":10}]"#;
        for (whole, rounds, input, output) in [
            (r#""input_tokens":23,"output_tokens":10"#, rounds, 180_028, 3510),
            (r#""input_tokens":200000,"output_tokens":10"#, rounds, 200_005, 3510),
            (r#""input_tokens":23,"output_tokens":10"#, "[]", 23, 10),
            (r#""input_tokens":23,"output_tokens":10"#, "null", 23, 10),
        ] {
            let body = format!(r#"{{"usage":{{{whole},"iterations":{rounds}}}}}"#);
            let tokens = of_answer(Endpoint::Messages, body.as_bytes()).unwrap();
            assert_eq!((tokens.input, tokens.output), (input, output), "{body}");
        }
    }

    #[test]
    fn what_was_counted_once_is_not_taken_back() {
        let mut said = Said::default();
        for usage in [
            r#"{"input_tokens":500,"cache_read_input_tokens":40,"output_tokens":1}"#,
            r#"{"input_tokens":0,"cache_read_input_tokens":0,"output_tokens":7}"#,
        ] {
            said.hear(&serde_json::from_str(usage).unwrap());
        }
        let tokens = Tokens { input: 540, output: 7, cache_read: 40, cache_write: 0 };
        assert_eq!(said.tokens(Endpoint::Messages), Some(tokens));
    }

    #[test]
    fn what_says_less_says_nothing() {
        for body in [
            r#"{"usage":{"prompt_tokens":100}}"#,
            r#"{"usage":{"prompt_tokens":-1,"completion_tokens":7}}"#,
            r#"{"usage":{"prompt_tokens":0,"completion_tokens":0,"total_tokens":0}}"#,
            r#"{"usage":null}"#,
            r#"{"choices":[]}"#,
            "<html>",
        ] {
            assert_eq!(of_answer(Endpoint::ChatCompletions, body.as_bytes()), None, "{body}");
        }
        let cached = r#"{"usage":{"input_tokens":0,"output_tokens":0,"cache_read_input_tokens":9}}"#;
        assert!(of_answer(Endpoint::Messages, cached.as_bytes()).is_some());
        assert_eq!(of_answer(Endpoint::Messages, cached.replace('9', "0").as_bytes()), None);
    }
}
