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
use crate::fields;
use crate::literals::change_strings;
use crate::reach;

/// More members than any API knows: what is looked at for each of them stays cheap.
const MEMBERS_MAX: usize = 256;
/// What is longer is none of the values that are read here: a list of numbers takes 16 times its length once it is read.
const VALUE_MAX: usize = 1024;
/// Fields that say how many answers are to be given.
const ANSWERS: [&str; 3] = ["n", "best_of", "candidate_count"];
/// The limit of an answer as all servers know it, and as OpenAI has it now.
const OLD_LIMIT: &str = "max_tokens";
const NEW_LIMIT: &str = "max_completion_tokens";
/// Tiers of service that cost what the profile's prices say, or less.
const TIERS: [&str; 4] = ["auto", "default", "flex", "standard_only"];

/// What a request asks for.
#[derive(Debug)]
pub(crate) struct Request<'a> {
    members: Members<'a>,
    pub(crate) model: String,
    /// Whether the answer is to come piece by piece.
    pub(crate) streams: bool,
    /// Whether it holds what may have more tokens than bytes.
    holds_media: bool,
    /// The most tokens that it lets the model answer, over all answers that it asks for.
    output: Output,
}

#[derive(Debug, Clone, Copy)]
struct Output {
    limit: Option<u64>,
    /// It stands in a field that not every server heeds, and in no other.
    is_new: bool,
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
    /// Reads a body. `usual`: the model that it most likely means if it names none. `passed`: what may stand in it beside
    /// the fields that are known.
    pub(crate) fn read(
        endpoint: Endpoint,
        body: &'a [u8],
        usual: &str,
        passed: &[String],
    ) -> Result<Self, Refusal> {
        let members: Members<'_> = serde_json::from_slice(body)
            .map_err(|error| Refusal::Refused(format!("the body can't be read: {error}")))?;
        refuse_unknown(endpoint, &members, passed)?;
        refuse_what_costs_more(&members)?;
        let holds_media = reach::look(body).map_err(Refusal::Refused)?;
        let model = members.value("model").and_then(|model| model.as_str().map(str::to_owned));
        let model = model.ok_or_else(|| {
            Refusal::Refused(format!("the body names no model; the profile's is {usual:?} (\"model\")"))
        })?;
        let streams = members.value("stream").is_some_and(|stream| stream == true);
        let output = Output::of(endpoint, &members)?;
        Ok(Self { members, model, streams, holds_media, output })
    }

    /// The most tokens that may go in, of so many bytes: a token of text has at least one. `window`: as many as the model
    /// takes in.
    pub(crate) fn input_max(&self, bytes: u64, window: u64) -> u64 {
        if self.holds_media { bytes.max(window) } else { bytes }
    }

    /// The most tokens that may come back. `otherwise`: as many as the model gives when nobody limits it. `heeds_new`:
    /// whether the server is known to heed the newest fields.
    pub(crate) fn output_max(&self, otherwise: u64, heeds_new: bool) -> u64 {
        let Output { limit, is_new, answers } = self.output;
        let least = if is_new && !heeds_new { otherwise } else { 0 };
        limit.map_or(otherwise, |limit| limit.max(least)).saturating_mul(answers)
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

fn refuse_unknown(endpoint: Endpoint, members: &Members<'_>, passed: &[String]) -> Result<(), Refusal> {
    let says = |(_, value): &&(Cow<'_, str>, &RawValue)| value.get() != "null";
    let is_passed = |name: &str| fields::is_known(endpoint, name) || passed.iter().any(|other| other == name);
    let unknown = members.0.iter().filter(says).find(|(name, _)| !is_passed(name));
    unknown.map_or(Ok(()), |(name, _)| {
        Err(Refusal::Refused(format!(
            "{name:?} isn't passed on, as its cost isn't known (passedFields of the agent's profile)"
        )))
    })
}

fn refuse_what_costs_more(members: &Members<'_>) -> Result<(), Refusal> {
    let refuse =
        |what: String| Err(Refusal::Refused(format!("{what} isn't passed on: its cost can't be known")));
    if members.value("background").is_some_and(|background| background != false) {
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
        let is_new = members.text(OLD_LIMIT).is_none() && members.text(NEW_LIMIT).is_some();
        Ok(Self { limit: most(limits(endpoint))?, is_new, answers: answers.saturating_mul(prompts.max(1)) })
    }
}

/// The fields in which that endpoint takes a limit of its answer: it heeds no others.
fn limits(endpoint: Endpoint) -> &'static [&'static str] {
    match endpoint {
        Endpoint::ChatCompletions => &[NEW_LIMIT, OLD_LIMIT],
        Endpoint::Completions | Endpoint::Messages => &[OLD_LIMIT],
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
mod tests;
