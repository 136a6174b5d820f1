//! What the types of the file can't say: ranges, names, what excludes or needs each other. Everything that is wrong is
//! told at once.

mod pod;
mod profile;

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::Path;

use punching_fist_api::{EnvVar, KeySelector, MAX_PROMPT, MAX_TIMEOUT_SECONDS, TaskSpec};
use punching_fist_core::money::Money;
use punching_fist_core::pod::is_reserved_variable;
use punching_fist_core::profile::{AgentProfile, Settings};
use punching_fist_core::prompt;
use punching_fist_core::route::{self, Matcher, Route};
use punching_fist_webhook::Authentication;
use schemars::JsonSchema;
use serde::Serialize;

use super::file::{self, File, HttpConfig};
use super::{Config, Problem, Problems, forms, limits, locate};

/// The configuration that `file` stands for. `text` is what it was read from, `folder` is where relative paths start.
pub fn check(file: File, text: &str, folder: &Path) -> Result<Config, Problems> {
    let mut check = Check { text, problems: Vec::new() };
    let [webhook, probes, gateway] = check.listen(&file.listen);
    let gateway_url = file.gateway.url.as_deref();
    check.form(gateway_url.and_then(forms::gateway_url), "gateway.url");
    let gateway_url = gateway_url.unwrap_or_default().trim_end_matches('/').to_owned();
    let prometheus = check.prometheus(&file.receivers.prometheus);
    let route = check.route(&file);
    check.agents(&file);
    check.limits(&file);
    let alert_prompt = check.alert_prompt(&file.prompts, folder);
    let (Some(route), true) = (route, check.problems.is_empty()) else {
        return Err(check.problems);
    };
    Ok(Config {
        webhook,
        probes,
        gateway,
        prometheus,
        route,
        settings: Settings {
            profiles: profile::in_folder(file.agents.0, folder),
            runner_image: file.runner.image,
            max_concurrent: file.limits.max_concurrent,
            pod_start_timeout_seconds: file.limits.pod_start_timeout_seconds,
            alert_prompt,
            gateway_url,
            allow_privileged_agents: file.allow_privileged_agents,
        },
    })
}

/// Gathers problems with their lines.
struct Check<'a> {
    text: &'a str,
    problems: Problems,
}

impl Check<'_> {
    fn refuse(&mut self, path: &str, message: impl std::fmt::Display) {
        self.problems.push(Problem::at(self.text, &locate::path(path), message));
    }

    fn require(&mut self, holds: bool, path: &str, message: impl std::fmt::Display) {
        if !holds {
            self.refuse(path, message);
        }
    }

    /// `wrong` is what is wrong with the value there, if anything is.
    fn form(&mut self, wrong: Option<String>, path: &str) {
        if let Some(message) = wrong {
            self.refuse(path, message);
        }
    }

    fn at_least_one<N: Copy + PartialOrd + From<u8> + std::fmt::Display>(&mut self, number: N, path: &str) {
        self.require(number >= N::from(1), path, format!("is {number}, must be at least 1"));
    }

    fn between(&mut self, number: i64, least: i64, most: i64, path: &str) {
        let fits = (least..=most).contains(&number);
        self.require(fits, path, format!("is {number}, must be from {least} to {most}"));
    }

    /// Whether the key stands in the file at all: a default is nobody's mistake.
    fn is_written(&self, path: &str) -> bool {
        locate::line_of(self.text, &locate::path(path)).is_some()
    }

    fn listen(&mut self, listen: &file::Listen) -> [SocketAddr; 3] {
        let written = [
            ("listen.webhook", &listen.webhook),
            ("listen.probes", &listen.probes),
            ("listen.gateway", &listen.gateway),
        ];
        let mut taken = BTreeMap::new();
        written.map(|(path, written)| {
            let address = self.address(path, written);
            let port = address.port();
            // Port 0 is any free one.
            if let Some(other) = taken.insert(port, path).filter(|_| port != 0) {
                self.refuse(path, format!("port {port} is {other}'s already"));
            }
            address
        })
    }

    fn address(&mut self, path: &str, written: &str) -> SocketAddr {
        written.parse().unwrap_or_else(|_| {
            self.refuse(path, format!("`{written}` must be an IP address and a port, as in 0.0.0.0:8080"));
            SocketAddr::from(([0, 0, 0, 0], 0))
        })
    }

    fn prometheus(&mut self, receiver: &file::Prometheus) -> Option<Authentication> {
        const PATH: &str = "receivers.prometheus.http_config";
        let HttpConfig { bearer_token, bearer_token_file } = &receiver.http_config;
        let open = receiver.allow_unauthenticated;
        let found = match (bearer_token, bearer_token_file) {
            (Some(_), Some(_)) => Err("bearer_token and bearer_token_file exclude each other"),
            (Some(_), None) | (None, Some(_)) if open => Err(
                "a token is set, and receivers.prometheus.allow_unauthenticated would make it worthless: remove one",
            ),
            (Some(token), None) if token.trim().is_empty() => Err("bearer_token is empty"),
            (Some(token), None) => Ok(Authentication::BearerToken(token.clone())),
            (None, Some(path)) => Ok(Authentication::BearerTokenFile(path.clone())),
            (None, None) if open => Ok(Authentication::None),
            (None, None) => {
                Err("set bearer_token_file to a file that holds the token which Alertmanager sends; an open \
                 webhook has to be asked for with receivers.prometheus.allow_unauthenticated: true")
            }
        };
        if !receiver.enabled {
            return None;
        }
        found.map_err(|message| self.refuse(PATH, message)).ok()
    }

    /// The route; none if a matcher of it can't be read.
    fn route(&mut self, file: &File) -> Option<Route> {
        let written = &file.default_route;
        self.form(forms::label(&written.namespace), "defaultRoute.namespace");
        for (index, matcher) in written.matchers.iter().enumerate() {
            if let Err(error) = Matcher::parse(matcher) {
                self.refuse(&format!("defaultRoute.match[{index}]"), error);
            }
        }
        let spec = written.clone().into_spec();
        self.schema("defaultRoute", &spec);
        self.route_template(&spec.template, file);
        Route::new(&written.namespace, route::DEFAULT, spec).ok()
    }

    fn route_template(&mut self, template: &TaskSpec, file: &File) {
        self.environment("defaultRoute.template.agent", &template.agent.env);
        let image = template.agent.image.as_deref().and_then(forms::word);
        self.form(image, "defaultRoute.template.agent.image");
        let account = template.service_account_name.as_deref().and_then(forms::object_name);
        self.form(account, "defaultRoute.template.serviceAccountName");
        let cluster = template.cluster.as_deref().and_then(forms::object_name);
        self.form(cluster, "defaultRoute.template.cluster");
        for (index, skill) in template.agent.skills.iter().enumerate() {
            let path = format!("defaultRoute.template.agent.skills[{index}].configMap");
            self.form(forms::object_name(&skill.config_map), &path);
            let is_first = template.agent.skills[..index].iter().all(|other| other != skill);
            self.require(is_first, &path, format!("`{}` is there twice", skill.config_map));
        }
        if let Some(budget) = &template.agent.max_cost_usd {
            let is_nothing = Money::parse(budget) == Some(Money::ZERO);
            let message = format!("is {budget}, must be more than 0");
            self.require(!is_nothing, "defaultRoute.template.agent.maxCostUSD", message);
        }
        if let Some(prompt) = &template.prompt {
            self.template("defaultRoute.template.prompt", prompt);
        }
        self.route_profile(template, file);
    }

    fn route_profile(&mut self, template: &TaskSpec, file: &File) {
        if file.agents.0.is_empty() {
            return;
        }
        let name = &template.agent.profile;
        let Some(profile) = file.agents.0.get(name) else {
            let known = file.agents.0.keys().map(String::as_str).collect::<Vec<_>>().join(", ");
            let message = format!("there is no profile `{name}` under agents, which has: {known}");
            return self.refuse("defaultRoute.template.agent.profile", message);
        };
        let model = profile.model_of(template);
        let is_offered =
            !profile.gateway || template.agent.model.is_none() || profile.prices_of(model).is_some();
        let message = format!("`{model}` has no price: add it to agents.{name}.otherModels");
        self.require(is_offered, "defaultRoute.template.agent.model", message);
    }

    fn agents(&mut self, file: &File) {
        self.require(!file.agents.0.is_empty(), "agents", "at least one profile is needed");
        for (name, profile) in &file.agents.0 {
            let path = &locate::below("agents", name);
            self.form(forms::label(name), path);
            self.profile(path, profile, file.allow_privileged_agents);
        }
    }

    /// What the API server's schema for such a value says.
    fn schema<T: JsonSchema + Serialize>(&mut self, path: &str, value: &T) {
        for (path, message) in limits::refused(path, value) {
            self.refuse(&path, message);
        }
    }

    /// What the API server's rules for environment variables say, beyond their schema.
    fn environment(&mut self, path: &str, env: &[EnvVar]) {
        for (index, variable) in env.iter().enumerate() {
            let path = format!("{path}.env[{index}]");
            let name = &variable.name;
            self.require(
                !is_reserved_variable(name),
                &path,
                format!("`{name}` is set by the operator itself"),
            );
            let is_first = env[..index].iter().all(|other| other.name != *name);
            self.require(is_first, &path, format!("`{name}` is there twice"));
            let is_one = variable.value.is_none() || variable.value_from.is_none();
            self.require(is_one, &path, "value and valueFrom exclude each other");
            let Some(from) = &variable.value_from else { continue };
            match (&from.secret_key_ref, &from.config_map_key_ref) {
                (Some(key), None) => self.key(&format!("{path}.valueFrom.secretKeyRef"), key),
                (None, Some(key)) => self.key(&format!("{path}.valueFrom.configMapKeyRef"), key),
                _ => self.refuse(
                    &format!("{path}.valueFrom"),
                    "set secretKeyRef or configMapKeyRef, and not both",
                ),
            }
        }
    }

    fn key(&mut self, path: &str, selector: &KeySelector) {
        self.form(forms::object_name(&selector.name), &format!("{path}.name"));
        self.form(forms::data_key(&selector.key), &format!("{path}.key"));
    }

    fn limits(&mut self, file: &File) {
        self.at_least_one(file.limits.max_concurrent, "limits.maxConcurrent");
        let wait = file.limits.pod_start_timeout_seconds;
        // No longer than the work itself may take.
        self.between(wait, 1, MAX_TIMEOUT_SECONDS, "limits.podStartTimeoutSeconds");
        self.form(forms::word(&file.runner.image), "runner.image");
    }

    fn alert_prompt(&mut self, prompts: &file::Prompts, folder: &Path) -> String {
        let (path, prompt) = match (&prompts.alert, &prompts.alert_file) {
            (None, None) => return prompt::DEFAULT_ALERT.to_owned(),
            (Some(_), Some(_)) => ("prompts", Err("alert and alertFile exclude each other".to_owned())),
            (Some(prompt), None) => ("prompts.alert", Ok(prompt.clone())),
            (None, Some(file)) => ("prompts.alertFile", read_prompt(&folder.join(file))),
        };
        let prompt = prompt.unwrap_or_else(|message| {
            self.refuse(path, message);
            String::new()
        });
        let length = prompt.chars().count();
        let message = format!("has {length} characters, at most {MAX_PROMPT} are allowed");
        self.require(length <= MAX_PROMPT, path, message);
        self.template(path, &prompt);
        prompt
    }

    /// Whether the template can be parsed. Whether it renders depends on the alert.
    fn template(&mut self, path: &str, template: &str) {
        if let Err(error) = minijinja::Environment::new().add_template("prompt", template) {
            let line = error.line().unwrap_or_default();
            let cause = error.detail().unwrap_or("not a template");
            self.refuse(path, format!("line {line} of the template: {cause}"));
        }
    }
}

fn read_prompt(path: &Path) -> Result<String, String> {
    std::fs::read_to_string(path).map_err(|error| format!("cannot read {}: {error}", path.display()))
}
