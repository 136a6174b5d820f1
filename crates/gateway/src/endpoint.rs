//! The paths of the model's API that are passed on, and where each of them is at the provider's.

use http::HeaderMap;
use punching_fist_core::profile::{AgentProfile, Protocol};

/// Where a provider is if its profile doesn't say.
const OPENAI: &str = "https://api.openai.com/v1";
const ANTHROPIC: &str = "https://api.anthropic.com/v1";

/// All of a request's query that goes out: the rest could choose another version of the API, or a key.
const PASSED_QUERY: &str = "beta=true";

/// What is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Endpoint {
    ChatCompletions,
    Completions,
    Responses,
    Messages,
    CountTokens,
}

/// A guess for answers to requests whose path says nothing.
pub(crate) fn guess(headers: &HeaderMap) -> Protocol {
    let anthropic = ["anthropic-version", "x-api-key"].iter().any(|name| headers.contains_key(*name));
    if anthropic { Protocol::Anthropic } else { Protocol::OpenAi }
}

impl Endpoint {
    /// The endpoint of that path, behind any number of `/v1`: clients add it to what they are told, or don't.
    pub(crate) fn of(path: &str) -> Option<Self> {
        let mut tail = path;
        while let Some(rest) = tail.strip_prefix("/v1").filter(|rest| rest.starts_with('/')) {
            tail = rest;
        }
        let all =
            [Self::ChatCompletions, Self::Completions, Self::Responses, Self::Messages, Self::CountTokens];
        all.into_iter().find(|endpoint| endpoint.tail() == tail)
    }

    /// Its path behind `/v1`.
    pub(crate) fn tail(self) -> &'static str {
        match self {
            Self::ChatCompletions => "/chat/completions",
            Self::Completions => "/completions",
            Self::Responses => "/responses",
            Self::Messages => "/messages",
            Self::CountTokens => "/messages/count_tokens",
        }
    }

    pub(crate) fn protocol(self) -> Protocol {
        match self {
            Self::Messages | Self::CountTokens => Protocol::Anthropic,
            Self::ChatCompletions | Self::Completions | Self::Responses => Protocol::OpenAi,
        }
    }

    /// Whether the provider takes money for it.
    pub(crate) fn is_charged(self) -> bool {
        self != Self::CountTokens
    }

    /// Its address at the profile's provider. As LiteLLM has it: what is told for OpenAI's form ends before
    /// `/chat/completions`, what is told for Anthropic's before `/v1` or behind it.
    pub(crate) fn url(self, profile: &AgentProfile, query: Option<&str>) -> String {
        let base = profile.base_url.as_deref();
        let (base, own_query) = match base.map(|base| base.split_once('?').unwrap_or((base, ""))) {
            Some((base, query)) => (Some(base.trim_end_matches('/')), query),
            None => (None, ""),
        };
        let base = match (self.protocol(), base) {
            (Protocol::OpenAi, base) => base.unwrap_or(OPENAI).to_owned(),
            (Protocol::Anthropic, None) => ANTHROPIC.to_owned(),
            (Protocol::Anthropic, Some(base)) => {
                let base = base.strip_suffix(Self::Messages.tail()).unwrap_or(base);
                format!("{}/v1", base.strip_suffix("/v1").unwrap_or(base))
            }
        };
        let base = base.strip_suffix(self.tail()).unwrap_or(&base);
        let asked = query.unwrap_or_default().split('&').find(|part| *part == PASSED_QUERY);
        let queries = [own_query, asked.unwrap_or_default()].into_iter().filter(|query| !query.is_empty());
        let query = queries.collect::<Vec<_>>().join("&");
        let mark = if query.is_empty() { "" } else { "?" };
        format!("{base}{}{mark}{query}", self.tail())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn any_number_of_versions_leads_to_an_endpoint() {
        for (path, endpoint) in [
            ("/chat/completions", Some(Endpoint::ChatCompletions)),
            ("/v1/chat/completions", Some(Endpoint::ChatCompletions)),
            ("/v1/v1/messages", Some(Endpoint::Messages)),
            ("/v1/messages/count_tokens", Some(Endpoint::CountTokens)),
            ("/v1/responses", Some(Endpoint::Responses)),
            ("/completions", Some(Endpoint::Completions)),
            ("/v1/models", None),
            ("/v1", None),
            ("/", None),
            ("/v1messages", None),
            ("/v1/responses/resp_1", None),
            ("/v1/chat/completions/", None),
            ("/v1/../v1/messages", None),
            ("/v1//messages", None),
        ] {
            assert_eq!(Endpoint::of(path), endpoint, "{path}");
        }
    }

    #[test]
    fn the_tail_is_appended_once() {
        use Endpoint::{ChatCompletions, CountTokens, Messages};
        for (endpoint, base, url) in [
            (ChatCompletions, None, "https://api.openai.com/v1/chat/completions"),
            (ChatCompletions, Some("http://llm:8000/v1/"), "http://llm:8000/v1/chat/completions"),
            (ChatCompletions, Some("http://llm:8000"), "http://llm:8000/chat/completions"),
            (ChatCompletions, Some("http://llm/v1/chat/completions"), "http://llm/v1/chat/completions"),
            (Messages, None, "https://api.anthropic.com/v1/messages"),
            (Messages, Some("http://llm"), "http://llm/v1/messages"),
            (Messages, Some("http://llm/v1"), "http://llm/v1/messages"),
            (Messages, Some("http://llm/v1/messages"), "http://llm/v1/messages"),
            (
                ChatCompletions,
                Some("http://llm/v1/?api-version=1"),
                "http://llm/v1/chat/completions?api-version=1",
            ),
            (CountTokens, Some("http://llm/v1/messages"), "http://llm/v1/messages/count_tokens"),
        ] {
            let profile = serde_json::json!({"image": "i", "model": "m", "baseURL": base});
            let profile: AgentProfile = serde_json::from_value(profile).unwrap();
            assert_eq!(endpoint.url(&profile, None), url);
            let mark = if url.contains('?') { '&' } else { '?' };
            for query in ["beta=true", "api-version=0&beta=true&key=a"] {
                assert_eq!(endpoint.url(&profile, Some(query)), format!("{url}{mark}beta=true"));
            }
            assert_eq!(endpoint.url(&profile, Some("api-version=0&xbeta=true")), url);
        }
    }
}
