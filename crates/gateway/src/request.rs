//! A request's body: what it asks for, and how it goes out.

use std::borrow::Cow;
use std::collections::HashSet;
use std::fmt;

use punching_fist_core::profile::Protocol;
use punching_fist_protocol::Redactor;
use serde::Deserialize;
use serde::de::{self, IgnoredAny, MapAccess, Visitor};
use serde_json::value::RawValue;
use serde_json::{Map, Value};

use crate::endpoint::Endpoint;
use crate::error::Refusal;
use crate::literals::change_strings;
use crate::reach;

/// More members than any API knows: what is looked at for each of them stays cheap.
const MEMBERS_MAX: usize = 256;
/// What is longer is none of the values that are read here: a list of numbers takes 16 times its length once it is read.
const VALUE_MAX: usize = 1024;
/// Fields that say how many answers are to be given.
const ANSWERS: [&str; 3] = ["n", "best_of", "candidate_count"];
/// Fields that reach for what another call left at the provider, that choose another model, provider or price than the
/// profile's, or that ask for what isn't charged by the token.
const COSTLY: [&str; 20] = [
    "previous_response_id",
    "conversation",
    "container",
    "speed",
    "inference_geo",
    "models",
    "fallbacks",
    "provider",
    "route",
    "plugins",
    "web_search_options",
    "data_sources",
    "audio",
    "prediction",
    "api_base",
    "base_url",
    "api_key",
    "custom_llm_provider",
    "model_list",
    "mcp_servers",
];
/// Tiers of service that cost what the profile's prices say, or less.
const TIERS: [&str; 4] = ["auto", "default", "flex", "standard_only"];

/// What a request asks for.
#[derive(Debug)]
pub(crate) struct Request<'a> {
    members: Members<'a>,
    pub(crate) model: String,
    /// Whether the answer is to come piece by piece.
    pub(crate) streams: bool,
    /// The most tokens that it lets the model answer, over all answers that it asks for.
    output: Output,
}

#[derive(Debug, Clone, Copy)]
struct Output {
    limit: Option<u64>,
    answers: u64,
}

/// A request as it goes out.
#[derive(Debug)]
pub(crate) struct Outgoing {
    pub(crate) body: String,
    /// The client didn't ask for the usage in its stream: what says it is left out of what it sees.
    pub(crate) hides_usage: bool,
}

/// The members of an object, in their order.
#[derive(Debug)]
struct Members<'a>(Vec<(Cow<'a, str>, &'a RawValue)>);

impl<'a> Members<'a> {
    /// The text of a member that says something.
    fn text(&self, name: &str) -> Option<&'a str> {
        let (_, value) = self.0.iter().find(|(member, _)| member == name)?;
        Some(value.get()).filter(|text| *text != "null")
    }

    /// Its value; of a long one, only that it is there.
    fn value(&self, name: &str) -> Option<Value> {
        let text = self.text(name)?;
        let short = Some(text).filter(|text| text.len() <= VALUE_MAX);
        Some(
            short
                .and_then(|text| serde_json::from_str(text).ok())
                .unwrap_or_else(|| Value::Object(Map::new())),
        )
    }
}

impl<'a> Request<'a> {
    /// Reads a body. `usual`: the model that it most likely means if it names none.
    pub(crate) fn read(endpoint: Endpoint, body: &'a [u8], usual: &str) -> Result<Self, Refusal> {
        let members: Members<'_> = serde_json::from_slice(body)
            .map_err(|error| Refusal::Refused(format!("the body can't be read: {error}")))?;
        refuse_what_costs_more(endpoint, &members)?;
        reach::refuse(body).map_err(Refusal::Refused)?;
        let model = members.value("model").and_then(|model| model.as_str().map(str::to_owned));
        let model = model.ok_or_else(|| {
            Refusal::Refused(format!("the body names no model; the profile's is {usual:?} (\"model\")"))
        })?;
        let streams = members.value("stream").is_some_and(|stream| stream == true);
        let output = Output::of(endpoint, &members)?;
        Ok(Self { members, model, streams, output })
    }

    /// The most tokens that may come back.
    pub(crate) fn output_max(&self, otherwise: u64) -> u64 {
        self.output.limit.unwrap_or(otherwise).saturating_mul(self.output.answers)
    }

    /// The body that goes out: without secrets, and with the wish to be told the usage of a stream.
    pub(crate) fn outgoing(&self, endpoint: Endpoint, redactor: Option<&Redactor>) -> Outgoing {
        let hides_usage = self.streams && wants_to_be_asked(endpoint) && !self.includes_usage();
        let redact = |text: &str| {
            let redacted = redactor?.redact(text);
            (redacted != text).then_some(redacted)
        };
        let size: usize = self.members.0.iter().map(|(name, value)| name.len() + value.get().len() + 8).sum();
        // As long as it will be, and no longer: it stays until the provider has taken it.
        let mut body = String::with_capacity(size + 64);
        body.push('{');
        for (name, value) in &self.members.0 {
            if hides_usage && name == "stream_options" {
                continue;
            }
            push_member(&mut body, name, &redacted(name, value.get(), &redact));
        }
        if hides_usage {
            push_member(&mut body, "stream_options", &self.with_usage());
        }
        body.push('}');
        Outgoing { body, hides_usage }
    }

    fn stream_options(&self) -> Value {
        let options = self.members.value("stream_options");
        options.filter(Value::is_object).unwrap_or_else(|| serde_json::json!({}))
    }

    fn includes_usage(&self) -> bool {
        self.stream_options()["include_usage"] == true
    }

    fn with_usage(&self) -> String {
        let mut options = self.stream_options();
        options["include_usage"] = true.into();
        options.to_string()
    }
}

fn redacted<'a>(name: &str, value: &'a str, redact: &impl Fn(&str) -> Option<String>) -> Cow<'a, str> {
    if name == "model" { Cow::Borrowed(value) } else { change_strings(value, redact) }
}

/// OpenAI's streams say their usage only if they are asked to, but for those of the Responses API.
fn wants_to_be_asked(endpoint: Endpoint) -> bool {
    matches!(endpoint, Endpoint::ChatCompletions | Endpoint::Completions)
}

fn push_member(body: &mut String, name: &str, value: &str) {
    if body.len() > 1 {
        body.push(',');
    }
    body.push_str(&Value::from(name).to_string());
    body.push(':');
    body.push_str(value);
}

fn refuse_what_costs_more(endpoint: Endpoint, members: &Members<'_>) -> Result<(), Refusal> {
    let refuse =
        |what: String| Err(Refusal::Refused(format!("{what} isn't passed on: its cost can't be known")));
    if let Some(name) = COSTLY.iter().find(|name| members.text(name).is_some()) {
        return refuse(format!("{name:?}"));
    }
    if endpoint == Endpoint::Responses && members.text("prompt").is_some() {
        return refuse("a stored \"prompt\"".to_owned());
    }
    if members.value("background").is_some_and(|background| background == true) {
        return refuse("\"background\"".to_owned());
    }
    match members.value("service_tier") {
        Some(tier) if !TIERS.iter().any(|known| tier == *known) => refuse(format!("service_tier {tier}")),
        _ => Ok(()),
    }
}

impl Output {
    /// What says nothing of a limit is charged with the profile's `maxOutputTokens`, and goes out as it is: there is no
    /// field that all servers take, and some refuse a limit that doesn't fit beside a long prompt.
    fn of(endpoint: Endpoint, members: &Members<'_>) -> Result<Self, Refusal> {
        let number = |name: &&str| {
            let refuse = || Refusal::Refused(format!("{name:?} is no positive whole number"));
            let read = |value: Value| value.as_u64().filter(|number| *number > 0).ok_or_else(refuse);
            members.value(name).map(read).transpose()
        };
        let most = |names: &[&str]| {
            let numbers: Result<Vec<_>, _> = names.iter().map(number).collect();
            numbers.map(|numbers| numbers.into_iter().flatten().max())
        };
        // The oldest of the APIs takes several prompts at once.
        let prompts = members.text("prompt").filter(|_| endpoint == Endpoint::Completions);
        let prompts = prompts.and_then(|text| serde_json::from_str::<Vec<IgnoredAny>>(text).ok());
        let prompts = prompts.map_or(1, |prompts| prompts.len() as u64);
        let answers = most(&ANSWERS)?.filter(|_| endpoint.protocol() == Protocol::OpenAi).unwrap_or(1);
        Ok(Self { limit: most(limits(endpoint))?, answers: answers.saturating_mul(prompts.max(1)) })
    }
}

/// The fields in which that endpoint takes a limit of its answer: it heeds no others.
fn limits(endpoint: Endpoint) -> &'static [&'static str] {
    match endpoint {
        Endpoint::ChatCompletions => &["max_completion_tokens", "max_tokens"],
        Endpoint::Completions | Endpoint::Messages => &["max_tokens"],
        Endpoint::Responses => &["max_output_tokens"],
        Endpoint::CountTokens => &[],
    }
}

impl<'de> Deserialize<'de> for Members<'de> {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Reader;
        impl<'de> Visitor<'de> for Reader {
            type Value = Members<'de>;

            fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
                formatter.write_str("a JSON object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
                let mut members: Vec<(Cow<'de, str>, &'de RawValue)> = Vec::new();
                let mut known = HashSet::new();
                while let Some((name, value)) = map.next_entry::<String, &'de RawValue>()? {
                    // Which of two the provider would take can't be known.
                    if !known.insert(name.clone()) {
                        return Err(de::Error::custom(format!("{name:?} stands there twice")));
                    }
                    if known.len() > MEMBERS_MAX {
                        return Err(de::Error::custom(format!("it has more than {MEMBERS_MAX} members")));
                    }
                    members.push((Cow::Owned(name), value));
                }
                Ok(Members(members))
            }
        }
        deserializer.deserialize_map(Reader)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(endpoint: Endpoint, body: &str) -> Result<Request<'_>, String> {
        Request::read(endpoint, body.as_bytes(), "usual").map_err(|refusal| refusal.to_string())
    }

    #[test]
    fn what_is_asked_for() {
        use Endpoint::{ChatCompletions, Completions, Messages, Responses};
        for (endpoint, body, output) in [
            (ChatCompletions, r#"{"model":"m"}"#, 32),
            (ChatCompletions, r#"{"model":"m","max_tokens":5}"#, 5),
            (ChatCompletions, r#"{"model":"m","max_tokens":5,"max_completion_tokens":9,"n":3}"#, 27),
            (ChatCompletions, r#"{"model":"m","max_tokens":null,"n":2}"#, 64),
            (ChatCompletions, r#"{"model":"m","max_tokens":18446744073709551615,"n":3}"#, u64::MAX),
            (Completions, r#"{"model":"m","max_tokens":5,"best_of":4,"prompt":["a","b"]}"#, 40),
            (Messages, r#"{"model":"m","max_tokens":5,"n":3}"#, 5),
            (Messages, r#"{"model":"m","max_output_tokens":5}"#, 32),
            (Responses, r#"{"model":"m","max_output_tokens":7}"#, 7),
            (Responses, r#"{"model":"m","max_tokens":7}"#, 32),
            (Completions, r#"{"model":"m","max_completion_tokens":5}"#, 32),
            (ChatCompletions, r#"{"model":"m","max_output_tokens":5,"candidate_count":2}"#, 64),
        ] {
            assert_eq!(read(endpoint, body).unwrap().output_max(32), output, "{body}");
        }
    }

    fn assert_refused(endpoint: Endpoint, cases: &[(&str, &str)]) {
        for (body, why) in cases {
            let error = read(endpoint, body).unwrap_err();
            assert!(error.contains(why), "{body}: {error}");
        }
    }

    #[test]
    fn what_is_no_request_is_refused() {
        let cases = [
            ("", "can't be read"),
            ("[]", "a JSON object"),
            ("{}", "names no model; the profile's is \"usual\""),
            (r#"{"model":5}"#, "names no model"),
            (r#"{"model":"cheap","model":"dear"}"#, "twice"),
            (r#"{"model":"cheap","mod\u0065l":"dear"}"#, "twice"),
        ];
        assert_refused(Endpoint::ChatCompletions, &cases);
    }

    #[test]
    fn what_has_another_price_is_refused() {
        let sounds = "0,".repeat(2000);
        let chat = [
            (r#"{"model":"m","service_tier":"priority"}"#, "service_tier"),
            (&format!(r#"{{"model":"m","audio":[{sounds}0]}}"#), "audio"),
            (r#"{"model":"m","models":["dear"]}"#, "models"),
        ];
        assert_refused(Endpoint::ChatCompletions, &chat);
        let responses = [
            (r#"{"model":"m","previous_response_id":"r"}"#, "previous_response_id"),
            (r#"{"model":"m","background":true}"#, "background"),
            (r#"{"model":"m","prompt":{"id":"p"}}"#, "prompt"),
        ];
        assert_refused(Endpoint::Responses, &responses);
        let messages = [
            (r#"{"model":"m","speed":"fast"}"#, "speed"),
            (r#"{"model":"m","messages":[{"content":[{"file_id":"f"}]}]}"#, "file_id"),
        ];
        assert_refused(Endpoint::Messages, &messages);
        let fine = r#"{"model":"m","service_tier":"auto","background":false,"previous_response_id":null}"#;
        assert!(read(Endpoint::Responses, fine).is_ok());
    }

    #[test]
    fn what_bounds_the_answer_is_a_number() {
        let digits = "0".repeat(2000);
        let chat = [
            (r#"{"model":"m","max_tokens":5.0}"#, "max_tokens"),
            (r#"{"model":"m","max_completion_tokens":"5"}"#, "max_completion_tokens"),
            (r#"{"model":"m","max_completion_tokens":0,"max_tokens":5}"#, "max_c"),
            (r#"{"model":"m","n":"9"}"#, "\"n\""),
            (&format!(r#"{{"model":"m","n":1{digits}}}"#), "out of range"),
        ];
        assert_refused(Endpoint::ChatCompletions, &chat);
        assert_refused(Endpoint::Completions, &[(r#"{"model":"m","max_tokens":-1}"#, "max_tokens")]);
        let responses = [(r#"{"model":"m","max_output_tokens":1e3}"#, "max_output_tokens")];
        assert_refused(Endpoint::Responses, &responses);
    }

    #[test]
    fn a_body_of_nothing_but_members_is_refused_at_once() {
        let members: Vec<String> = (0..500_000).map(|number| format!("\"{number}\":0")).collect();
        let started = std::time::Instant::now();
        let error = read(Endpoint::ChatCompletions, &format!("{{{}}}", members.join(","))).unwrap_err();
        assert!(error.contains("more than 256 members"), "{error}");
        assert!(started.elapsed() < std::time::Duration::from_secs(5));
    }

    #[test]
    fn it_goes_out_as_it_came_but_for_secrets_and_the_wish_for_usage() {
        let redactor = Redactor::from_values(["hunter2-hunter2"]);
        for (body, expected, hides) in [
            (r#"{ "model": "m", "temperature": 1.0 }"#, r#"{"model":"m","temperature":1.0}"#, false),
            (
                r#"{"model":"m","messages":[{"content":"a hunter2-hunter2"}]}"#,
                r#"{"model":"m","messages":[{"content":"a [redacted]"}]}"#,
                false,
            ),
            (
                r#"{"stream":true,"model":"m"}"#,
                r#"{"stream":true,"model":"m","stream_options":{"include_usage":true}}"#,
                true,
            ),
            (
                r#"{"model":"m","stream":true,"stream_options":{"include_usage":false,"x":1}}"#,
                r#"{"model":"m","stream":true,"stream_options":{"include_usage":true,"x":1}}"#,
                true,
            ),
            (r#"{"model":"m","stream":true,"stream_options":{"include_usage":true}}"#, "", false),
            (r#"{"model":"m","stream_options":null}"#, "", false),
        ] {
            let expected = if expected.is_empty() { body } else { expected };
            let endpoint = Endpoint::ChatCompletions;
            let outgoing = read(endpoint, body).unwrap().outgoing(endpoint, Some(&redactor));
            assert_eq!((outgoing.body.as_str(), outgoing.hides_usage), (expected, hides));
        }
        let body = r#"{"model":"m","stream":true}"#;
        for endpoint in [Endpoint::Messages, Endpoint::Responses] {
            assert_eq!(read(endpoint, body).unwrap().outgoing(endpoint, None).body, body);
        }
    }
}
