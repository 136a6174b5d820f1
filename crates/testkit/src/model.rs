//! The model that agents talk to: the one that the environment names, or else a scripted one on loopback.

use std::env;

use serde_json::{Value, json};

use crate::scripted_model::{Behaviour, ScriptedModel};
use crate::{Error, operator};

/// What names a model, and what it costs; the names are OpenHands' own.
const MODEL: &str = "LLM_MODEL";
const API_KEY: &str = "LLM_API_KEY";
const BASE_URL: &str = "LLM_BASE_URL";
const PRICES: [&str; 2] = ["LLM_INPUT_COST_PER_TOKEN", "LLM_OUTPUT_COST_PER_TOKEN"];

/// How the names of models begin that the gateway can serve.
const GATEWAY_PROTOCOLS: [&str; 2] = ["anthropic/", "openai/"];

/// The model.
pub enum Model {
    /// One that somebody runs or sells.
    Real(Named),
    /// Our own, on loopback, for as long as this lives.
    Scripted(ScriptedModel),
}

/// A model that the environment names.
#[derive(Clone, PartialEq, Eq)]
pub struct Named {
    name: String,
    key: String,
    base_url: Option<String>,
    prices: Vec<(&'static str, String)>,
}

impl Model {
    /// The model of `LLM_MODEL` and `LLM_API_KEY` (and `LLM_BASE_URL`, if set); without both the scripted one, started.
    ///
    /// # Errors
    /// One of the two is set without the other, or the scripted model finds no port.
    pub async fn from_environment_or_scripted() -> Result<Self, Error> {
        let set = |name: &str| env::var(name).ok().filter(|value| !value.trim().is_empty());
        if let Some(named) = Named::of(set)? {
            return Ok(Self::Real(named));
        }
        let refused = |source| Error::Spawn { name: "the scripted model".to_owned(), source };
        Ok(Self::Scripted(ScriptedModel::start(Behaviour::Investigate).await.map_err(refused)?))
    }

    /// The key, for the operator.
    pub fn key(&self) -> &str {
        match self {
            Self::Real(named) => &named.key,
            Self::Scripted(_) => operator::MODEL_KEY,
        }
    }

    /// The key, if agents have to be given it: for the Secret of prepared namespaces.
    pub fn key_of_agents(&self) -> Option<&str> {
        match self {
            Self::Real(named) if named.gateway_prices().is_none() => Some(&named.key),
            _ => None,
        }
    }

    /// What an operator's configuration says of it.
    pub fn configuration(&self) -> Value {
        let profile = match self {
            Self::Real(named) => named.profile(),
            Self::Scripted(model) => model.profile(),
        };
        json!({ "agents": { "openhands": profile } })
    }

    /// Whether it is our own.
    pub fn is_scripted(&self) -> bool {
        matches!(self, Self::Scripted(_))
    }

    /// What a user should know about it.
    pub fn sentence(&self) -> String {
        match self {
            Self::Real(named) => {
                format!("The model is {}; what its provider charges is yours to pay.", named.shown())
            }
            Self::Scripted(_) => format!(
                "The model is scripted: it makes the agent really run kubectl against this cluster and bases its \
                 verdict on what comes back; set {MODEL} and {API_KEY} for a real one."
            ),
        }
    }
}

impl Named {
    /// The model that `set` names, if it names one.
    fn of(set: impl Fn(&str) -> Option<String>) -> Result<Option<Self>, Error> {
        let missing = |missing: &str, given: &str, way_out: &str| {
            Err(Error::Prerequisites(vec![format!(
                "{given} is set and {missing} is not: {way_out}, or unset {given} for the scripted model"
            )]))
        };
        let (name, key) = match (set(MODEL), set(API_KEY)) {
            (None, None) => return Ok(None),
            (Some(_), None) => {
                return missing(API_KEY, MODEL, "set it (any word, if the model wants no key)");
            }
            (None, Some(_)) => return missing(MODEL, API_KEY, "name a model as LiteLLM does (anthropic/…)"),
            (Some(name), Some(key)) => (name, key),
        };
        let prices = PRICES.into_iter().filter_map(|name| Some((name, set(name)?))).collect();
        Ok(Some(Self { name, key, base_url: set(BASE_URL), prices }))
    }

    /// Through the gateway if it can keep a budget, that is, if it speaks the model's protocol and knows its prices.
    fn profile(&self) -> Value {
        let prices = self.gateway_prices();
        let mut profile = json!({ "model": self.name, "gateway": prices.is_some() });
        if let Some(url) = &self.base_url {
            profile["baseURL"] = json!(url);
        }
        if let Some(prices) = prices {
            profile["prices"] = prices;
        } else {
            // Those of the ground's own profile are another model's.
            profile["prices"] = Value::Null;
            let variables = self.prices.iter().map(|(name, value)| json!({ "name": name, "value": value }));
            profile["env"] = variables.collect();
        }
        profile
    }

    /// What it costs, if the gateway can serve it.
    fn gateway_prices(&self) -> Option<Value> {
        let price = |wanted: &str| {
            let found = self.prices.iter().find(|(name, _)| *name == wanted);
            found.and_then(|(_, cost)| per_million(cost))
        };
        let is_served = GATEWAY_PROTOCOLS.iter().any(|protocol| self.name.starts_with(protocol));
        is_served
            .then_some(PRICES)
            .and_then(|[input, output]| Some(json!({ "input": price(input)?, "output": price(output)? })))
    }

    fn shown(&self) -> String {
        let place = self.base_url.as_deref().map(|url| format!(" at {url}"));
        format!("{}{}", self.name, place.unwrap_or_default())
    }
}

/// What a million tokens cost if one costs this, as a decimal; none if that is no amount.
pub(crate) fn per_million(cost: &str) -> Option<String> {
    let cost = cost.parse::<f64>().ok().filter(|cost| cost.is_finite() && *cost >= 0.0)?;
    let price = format!("{:.6}", cost * 1e6);
    Some(price.trim_end_matches('0').trim_end_matches('.').to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn named(variables: &[(&str, &str)]) -> Result<Option<Named>, Error> {
        let find = |wanted: &str| variables.iter().find(|(name, _)| *name == wanted);
        Named::of(|name| find(name).map(|(_, value)| (*value).to_owned()))
    }

    #[test]
    fn a_model_is_named_by_both_or_not_at_all() {
        assert!(named(&[]).unwrap().is_none());
        assert!(named(&[(BASE_URL, "http://x")]).unwrap().is_none());
        for (given, missing) in [(MODEL, API_KEY), (API_KEY, MODEL)] {
            let error = named(&[(given, "x")]).err().unwrap().to_string();
            assert!(error.starts_with(&format!("{given} is set and {missing} is not")), "{error}");
        }
    }

    #[test]
    fn its_profile_says_what_the_environment_says() {
        let both = [(MODEL, "openai/x"), (API_KEY, "secret")];
        let plain = named(&both).unwrap().unwrap();
        assert_eq!(
            plain.profile(),
            json!({ "model": "openai/x", "gateway": false, "prices": null, "env": [] })
        );
        let more = [both[0], both[1], (BASE_URL, "http://y/v1"), (PRICES[0], "0.001")];
        let model = Model::Real(named(&more).unwrap().unwrap());
        let profile = model.configuration()["agents"]["openhands"].clone();
        assert_eq!(
            profile,
            json!({
                "model": "openai/x",
                "gateway": false,
                "baseURL": "http://y/v1",
                "prices": null,
                "env": [{ "name": "LLM_INPUT_COST_PER_TOKEN", "value": "0.001" }],
            })
        );
        assert_eq!((model.key(), model.key_of_agents()), ("secret", Some("secret")));
        assert!(!profile.to_string().contains("secret") && !model.sentence().contains("secret"));
    }

    #[test]
    fn the_gateway_serves_what_it_can_count() {
        let prices = [(PRICES[0], "0.000003"), (PRICES[1], "1.5e-05")];
        for (name, is_served) in [("openai/x", true), ("anthropic/x", true), ("gemini/x", false)] {
            let model = named(&[(MODEL, name), (API_KEY, "secret"), prices[0], prices[1]]).unwrap().unwrap();
            let profile = model.profile();
            assert_eq!(profile["gateway"], is_served, "{name}");
            let expected = is_served.then(|| json!({ "input": "3", "output": "15" }));
            assert_eq!(profile["prices"], json!(expected), "{name}");
            assert_eq!(Model::Real(model).key_of_agents().is_none(), is_served, "{name}");
        }
    }

    #[test]
    fn prices_are_for_a_million_tokens() {
        let rows = [
            ("0.000001", Some("1")),
            ("3e-7", Some("0.3")),
            ("0", Some("0")),
            ("0.00003", Some("30")),
            ("-1", None),
            ("free", None),
        ];
        for (cost, price) in rows {
            assert_eq!(per_million(cost).as_deref(), price, "{cost}");
        }
    }
}
