//! What an answer says about its tokens, in the three forms that there are.

use serde_json::Value;

use crate::budget::Tokens;
use crate::endpoint::Endpoint;

/// What was said so far: in a stream, a later word replaces an earlier one, field by field.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Said {
    input: Option<u64>,
    output: Option<u64>,
    cache_read: Option<u64>,
    cache_write: Option<u64>,
    total: Option<u64>,
}

impl Said {
    /// Takes in a `usage` object.
    pub(crate) fn hear(&mut self, usage: &Value) {
        let said = |paths: &[&str]| paths.iter().find_map(|path| usage.pointer(path)?.as_u64());
        let cached = ["/prompt_tokens_details/cached_tokens", "/input_tokens_details/cached_tokens"];
        self.input = said(&["/prompt_tokens", "/input_tokens"]).or(self.input);
        self.output = said(&["/completion_tokens", "/output_tokens"]).or(self.output);
        self.cache_read = said(&["/cache_read_input_tokens"]).or(said(&cached)).or(self.cache_read);
        self.cache_write = said(&["/cache_creation_input_tokens"]).or(self.cache_write);
        self.total = said(&["/total_tokens"]).or(self.total);
    }

    /// The tokens, if enough was said. Anthropic counts what goes through the cache beside the input, OpenAI within it.
    pub(crate) fn tokens(&self, endpoint: Endpoint) -> Option<Tokens> {
        let (input, output) = (self.input?, self.output?);
        let cache_read = self.cache_read.unwrap_or_default();
        let cache_write = self.cache_write.unwrap_or_default();
        Some(match endpoint {
            Endpoint::Messages | Endpoint::CountTokens => Tokens {
                input: input.saturating_add(cache_read).saturating_add(cache_write),
                output,
                cache_read,
                cache_write,
            },
            Endpoint::ChatCompletions | Endpoint::Completions | Endpoint::Responses => {
                let cache_read = cache_read.min(input);
                // Some count the tokens of reasoning in nothing but the sum.
                let output = output.max(self.total.unwrap_or_default().saturating_sub(input));
                Tokens { input, output, cache_read, cache_write: cache_write.min(input - cache_read) }
            }
        })
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
    fn what_says_less_says_nothing() {
        for body in [
            r#"{"usage":{"prompt_tokens":100}}"#,
            r#"{"usage":{"prompt_tokens":-1,"completion_tokens":7}}"#,
            r#"{"usage":null}"#,
            r#"{"choices":[]}"#,
            "<html>",
        ] {
            assert_eq!(of_answer(Endpoint::ChatCompletions, body.as_bytes()), None, "{body}");
        }
    }
}
