//! The model that agents talk to: the one that the environment names, or else a scripted one on loopback.

use std::env;

use serde_json::{Value, json};

use crate::Error;
use crate::scripted_model::{Behaviour, ScriptedModel};

/// What names a model, and what it costs; the names are OpenHands' own.
const MODEL: &str = "LLM_MODEL";
const API_KEY: &str = "LLM_API_KEY";
const BASE_URL: &str = "LLM_BASE_URL";
const PRICES: [&str; 2] = ["LLM_INPUT_COST_PER_TOKEN", "LLM_OUTPUT_COST_PER_TOKEN"];

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

    /// The key, for the Secret of prepared namespaces.
    pub fn key(&self) -> &str {
        match self {
            Self::Real(named) => &named.key,
            Self::Scripted(_) => "scripted",
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

    fn profile(&self) -> Value {
        let mut profile = json!({ "model": self.name });
        if let Some(url) = &self.base_url {
            profile["baseURL"] = json!(url);
        }
        if !self.prices.is_empty() {
            let variables = self.prices.iter().map(|(name, value)| json!({ "name": name, "value": value }));
            profile["env"] = variables.collect();
        }
        profile
    }

    fn shown(&self) -> String {
        let place = self.base_url.as_deref().map(|url| format!(" at {url}"));
        format!("{}{}", self.name, place.unwrap_or_default())
    }
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
        assert_eq!(plain.profile(), json!({ "model": "openai/x" }));
        let more = [both[0], both[1], (BASE_URL, "http://y/v1"), (PRICES[0], "0.001")];
        let model = Model::Real(named(&more).unwrap().unwrap());
        let profile = model.configuration()["agents"]["openhands"].clone();
        assert_eq!(
            profile,
            json!({
                "model": "openai/x",
                "baseURL": "http://y/v1",
                "env": [{ "name": "LLM_INPUT_COST_PER_TOKEN", "value": "0.001" }],
            })
        );
        assert_eq!(model.key(), "secret");
        assert!(!profile.to_string().contains("secret") && !model.sentence().contains("secret"));
    }
}
