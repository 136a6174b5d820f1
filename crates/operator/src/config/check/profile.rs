//! What a profile of an agent may say: its engine, its model and what that costs, how the model is reached, its limits.

use std::collections::BTreeMap;
use std::path::Path;

use super::{AgentProfile, Check, Money, forms, locate};
use punching_fist_api::{MAX_ITERATIONS, MAX_TIMEOUT_SECONDS, Resources};
use punching_fist_core::pod::PRICE_VARIABLES;
use punching_fist_core::profile::{Engine, ModelKey, Prices};

/// Highest user that Linux and the API server know.
const MAX_USER: i64 = 2_147_483_647;

/// The profiles with every relative path of a key's file made one that starts at `folder`.
pub fn in_folder(
    mut profiles: BTreeMap<String, AgentProfile>,
    folder: &Path,
) -> BTreeMap<String, AgentProfile> {
    for profile in profiles.values_mut() {
        if let ModelKey::File(path) = &mut profile.key {
            *path = folder.join(&path);
        }
    }
    profiles
}

impl Check<'_> {
    /// Everything about the profile that stands at `path`.
    pub(super) fn profile(&mut self, path: &str, profile: &AgentProfile, allow_privileged: bool) {
        self.engine(path, profile, allow_privileged);
        self.image(path, profile);
        self.model(path, profile);
        self.prices(path, profile);
        self.way_to_model(path, profile);
        self.bounds(path, profile);
        self.schema(&format!("{path}.resources"), &profile.resources);
        self.resources(&format!("{path}.resources"), &profile.resources);
        self.schema(&format!("{path}.env"), &profile.env);
        self.environment(path, &profile.env);
        self.pod(path, profile, allow_privileged);
    }

    fn engine(&mut self, path: &str, profile: &AgentProfile, allow_privileged: bool) {
        let command = format!("{path}.command");
        if profile.engine == Engine::Command {
            let has_program = profile.command.first().is_some_and(|program| !program.trim().is_empty());
            let message = "must be set for the engine `command`: a list of the program and its arguments";
            self.require(has_program, &command, message);
        } else {
            let message = format!(
                "is for the engine `command` alone; `{}` knows what it starts",
                profile.engine.as_str()
            );
            self.require(profile.command.is_empty(), &command, message);
        }
        let runtime = format!("{path}.runtime");
        let is_told = profile.engine != Engine::Main && self.is_written(&runtime);
        let message =
            format!("is for the engine `main` alone; `{}` has no sandboxes", profile.engine.as_str());
        self.require(!is_told, &runtime, message);
        let message = "`docker` takes privileged pods: whoever runs one owns its node; ask for it with \
                       allowPrivilegedAgents: true";
        self.require(allow_privileged || !profile.is_privileged(), &runtime, message);
    }

    /// What containers have is of a few names, or a device's.
    fn resources(&mut self, path: &str, resources: &Resources) {
        for (kind, amounts) in [("requests", &resources.requests), ("limits", &resources.limits)] {
            for name in amounts.keys() {
                let path = locate::below(&format!("{path}.{kind}"), name);
                self.form(forms::resource(name), &path);
            }
        }
    }

    fn image(&mut self, path: &str, profile: &AgentProfile) {
        self.form(forms::word(&profile.image), &format!("{path}.image"));
        for (index, secret) in profile.image_pull_secrets.iter().enumerate() {
            self.form(forms::object_name(secret), &format!("{path}.imagePullSecrets[{index}]"));
        }
    }

    fn model(&mut self, path: &str, profile: &AgentProfile) {
        let others = format!("{path}.otherModels");
        let own = (format!("{path}.model"), &profile.model);
        let others = profile.other_models.keys().map(|model| (locate::below(&others, model), model));
        for (path, model) in [own].into_iter().chain(others) {
            let wrong = forms::word(model);
            let wrong = wrong.or_else(|| profile.gateway.then(|| forms::gateway_model(model)).flatten());
            self.form(wrong, &path);
        }
        let wrong = profile.base_url.as_deref().and_then(|url| forms::base_url(url, profile.gateway));
        self.form(wrong, &format!("{path}.baseURL"));
        for (index, field) in profile.passed_fields.iter().enumerate() {
            self.form(forms::field(field), &format!("{path}.passedFields[{index}]"));
        }
    }

    fn prices(&mut self, path: &str, profile: &AgentProfile) {
        let own = format!("{path}.prices");
        let message = "must be set with the gateway, as no budget can be kept without: input and output, in US dollars \
                       for a million tokens, \"0\" if the model costs nothing";
        self.require(!profile.gateway || profile.prices.is_some(), &own, message);
        if let Some(prices) = &profile.prices {
            self.price_list(&own, prices);
            for (index, variable) in profile.env.iter().enumerate() {
                let is_price = PRICE_VARIABLES.contains(&variable.name.as_str());
                let message = format!("`{}` is made from {own}", variable.name);
                self.require(!is_price, &format!("{path}.env[{index}]"), message);
            }
        }
        for (model, prices) in &profile.other_models {
            self.price_list(&locate::below(&format!("{path}.otherModels"), model), prices);
        }
    }

    fn price_list(&mut self, path: &str, prices: &Prices) {
        let Prices { input, output, cache_read, cache_write, max_output_tokens, max_input_tokens } = prices;
        let amounts = [
            ("input", Some(input)),
            ("output", Some(output)),
            ("cacheRead", cache_read.as_ref()),
            ("cacheWrite", cache_write.as_ref()),
        ];
        for (key, amount) in amounts {
            self.form(amount.and_then(|amount| forms::amount(amount)), &format!("{path}.{key}"));
        }
        self.at_least_one(*max_output_tokens, &format!("{path}.maxOutputTokens"));
        self.at_least_one(*max_input_tokens, &format!("{path}.maxInputTokens"));
    }

    /// How the model's key comes to the model: the operator has it, or the agent gets it.
    fn way_to_model(&mut self, path: &str, profile: &AgentProfile) {
        let (key, api_key) = (format!("{path}.key"), format!("{path}.apiKey"));
        let (unused, message) = if profile.gateway {
            (
                &api_key,
                "is what an agent gets without the gateway, which reads `key` of the operator itself: remove one",
            )
        } else {
            (
                &key,
                "is what the gateway reads, and this profile says gateway: false: `apiKey` names a Secret for the agent",
            )
        };
        let is_unused = self.is_written(unused);
        self.require(!is_unused, unused, message);
        if !profile.gateway {
            return self.key(&api_key, &profile.api_key);
        }
        match &profile.key {
            ModelKey::Env(name) => self.form(forms::variable(name), &format!("{key}.env")),
            ModelKey::File(file) => {
                self.require(!file.as_os_str().is_empty(), &format!("{key}.file"), "must not be empty");
            }
        }
    }

    /// What of it may never be without a limit.
    fn bounds(&mut self, path: &str, profile: &AgentProfile) {
        let iterations = profile.max_iterations;
        self.between(iterations.into(), 1, MAX_ITERATIONS, &format!("{path}.maxIterations"));
        let budget = &profile.max_cost_usd;
        let wrong = forms::amount(budget).or_else(|| {
            let is_nothing = Money::parse(budget) == Some(Money::ZERO);
            is_nothing.then(|| format!("is {budget}, must be more than 0"))
        });
        self.form(wrong, &format!("{path}.maxCostUSD"));
        self.between(profile.timeout_seconds, 1, MAX_TIMEOUT_SECONDS, &format!("{path}.timeoutSeconds"));
        self.at_least_one(profile.max_concurrent, &format!("{path}.maxConcurrent"));
        let user = profile.run_as_user;
        let message =
            format!("is {user}, must be from 1 to {MAX_USER}: agents don't run as root, which is 0");
        self.require((1..=MAX_USER).contains(&user), &format!("{path}.runAsUser"), message);
    }
}
