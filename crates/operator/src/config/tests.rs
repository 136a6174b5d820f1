//! Configurations, good and bad, with what is said about the bad ones.

mod agents;

use std::collections::BTreeMap;
use std::path::Path;

use punching_fist_core::profile::ModelKey;

use super::*;

/// Reads `text` as if it stood in `config.yaml` of the current folder.
fn config(text: &str) -> Result<Config, String> {
    let path = Path::new("config.yaml");
    read::read(text)
        .and_then(|file| check::check(file, text, Path::new(".")))
        .map_err(|problems| listed(path, &problems))
}

/// What is said about a configuration that lets everybody in and has this in it.
fn refusal(text: &str) -> String {
    config(&format!("{text}\nreceivers: {{prometheus: {{allow_unauthenticated: true}}}}\n")).unwrap_err()
}

#[test]
fn everything_has_a_default_but_who_may_send_alerts() {
    let config = config("receivers: {prometheus: {http_config: {bearer_token_file: /token}}}").unwrap();
    assert_eq!(config.webhook.to_string(), "0.0.0.0:8080");
    assert_eq!(config.probes.to_string(), "0.0.0.0:8081");
    assert_eq!(config.gateway.to_string(), "0.0.0.0:8082");
    assert_eq!(format!("{:?}", config.prometheus), r#"Some(BearerTokenFile("/token"))"#);
    assert_eq!(config.route.namespace(), "punching-fist-agents");
    assert!(config.route.spec().matchers[0].contains("Watchdog|InfoInhibitor"));
    assert_eq!(config.settings.max_concurrent, 10);
    assert_eq!(config.settings.pod_start_timeout_seconds, 600);
    assert!(config.settings.alert_prompt.contains("on call for this Kubernetes cluster"));
    assert!(!config.settings.allow_privileged_agents);
    let config = config.in_namespace("ops");
    assert_eq!(config.settings.gateway_url, "http://punching-fist.ops.svc:8082");
}

#[test]
fn the_default_profile_has_limits_and_no_key_to_leak() {
    let config = config("receivers: {prometheus: {enabled: false}}").unwrap();
    let profile = config.settings.profile("openhands").unwrap();
    assert_eq!(profile.model, "anthropic/claude-sonnet-5-5");
    assert!(profile.gateway && profile.redact);
    assert_eq!(profile.key, ModelKey::Env("OPENHANDS_API_KEY".to_owned()));
    let prices = profile.prices_of(&profile.model).unwrap();
    assert_eq!((prices.input.as_str(), prices.output.as_str()), ("3", "15"));
    assert_eq!((prices.cache_read.as_deref(), prices.cache_write.as_deref()), (Some("0.30"), Some("3.75")));
    let limits = (profile.max_iterations, profile.max_cost_usd.as_str(), profile.timeout_seconds);
    assert_eq!(limits, (100, "2.50", 1800));
}

#[test]
fn every_key_is_read() {
    let config = config(include_str!("../../testdata/every-key.yaml")).unwrap();
    assert_eq!(config.webhook.to_string(), "127.0.0.1:9080");
    assert!(matches!(&config.prometheus, Some(Authentication::BearerToken(token)) if token == "secret"));
    assert_eq!(config.route.namespace(), "night-shift");
    assert_eq!(config.route.spec().matchers, [r#"severity="critical""#]);
    assert_eq!(config.route.spec().on_resolved, punching_fist_api::OnResolved::Cancel);
    assert_eq!(config.route.spec().template.agent.profile, "small");
    assert_eq!(config.route.spec().template.max_retries, 1);
    let profile = config.settings.profile("small").unwrap();
    assert_eq!(profile.base_url.as_deref(), Some("http://model:8000/v1"));
    assert_eq!((profile.key.clone(), profile.max_concurrent), (ModelKey::Env("SMALL_API_KEY".to_owned()), 2));
    assert_eq!((profile.volumes[0].name.as_str(), profile.tolerations.len()), ("cache", 1));
    assert_eq!(profile.pod_labels, BTreeMap::from([("team".to_owned(), "ops".to_owned())]));
    assert_eq!(config.settings.profile("signed").unwrap().api_key.name, "keys");
    assert_eq!(config.settings.profile("script").unwrap().command, ["/usr/local/bin/diagnose", "--json"]);
    assert!(config.settings.allow_privileged_agents);
    assert_eq!(config.gateway.to_string(), "127.0.0.1:9082");
    let config = config.in_namespace("ops");
    assert_eq!(config.settings.gateway_url, "https://models.example:9082");
    assert_eq!(config.settings.runner_image, "registry.example/runner:1");
    assert_eq!(config.settings.alert_prompt, "{{ alert.labels.alertname }}");
    assert_eq!((config.settings.max_concurrent, config.settings.pod_start_timeout_seconds), (3, 60));
}

#[test]
fn a_disabled_receiver_needs_no_token() {
    assert!(config("receivers: {prometheus: {enabled: false}}").unwrap().prometheus.is_none());
}

#[test]
fn an_open_webhook_has_to_be_asked_for() {
    let open = config("receivers: {prometheus: {allow_unauthenticated: true}}").unwrap();
    assert!(matches!(open.prometheus, Some(Authentication::None)));
    for empty in ["", "# nothing\n", "{}", "receivers: {}"] {
        let message = config(empty).unwrap_err();
        assert!(message.contains("receivers.prometheus.http_config: set bearer_token_file"), "{message}");
        assert!(message.contains("allow_unauthenticated: true"), "{message}");
    }
}

#[test]
fn a_token_is_never_printed() {
    let config = config("receivers: {prometheus: {http_config: {bearer_token: hunter2}}}").unwrap();
    assert!(!format!("{config:?}").contains("hunter2"));
    let file: file::HttpConfig = serde_yaml::from_str("bearer_token: hunter2").unwrap();
    assert!(!format!("{file:?}").contains("hunter2"));
}

#[test]
fn what_does_not_parse_is_named_with_its_line() {
    let cases = [
        (
            "limits:\n  maxConcurent: 3",
            "config.yaml:2: limits: unknown field `maxConcurent`, expected `maxConcurrent` or",
        ),
        ("limts: {}", "config.yaml:1: unknown field `limts`, expected one of `listen`"),
        (
            "limits:\n  maxConcurrent: many",
            "config.yaml:2: limits.maxConcurrent: invalid type: string \"many\", expected",
        ),
        (
            "limits:\n  maxConcurrent: -1",
            "config.yaml:2: limits.maxConcurrent: invalid type: integer `-1`, expected usize",
        ),
        (
            "listen:\n  webhook: 8080",
            "config.yaml:2: listen.webhook: `8080` must be an IP address and a port",
        ),
        (
            "listen:\n  webhook: 0.0.0.0:8080\n  probes: localhost",
            "config.yaml:3: listen.probes: `localhost` must be an IP address and a port",
        ),
        (
            "agents:\n  a:\n    image: i\n    model: m\n    modell: n",
            "config.yaml:5: agents.a: unknown field `modell`, expected one of `engine`",
        ),
        ("agents:\n  a:\n    image: i", "config.yaml:3: agents.a: missing field `model`"),
        (
            "agents:\n  a: {image: i, model: m, engine: docker}",
            "config.yaml:2: agents.a.engine: unknown variant `docker`",
        ),
        (
            "defaultRoute:\n  template:\n    agent:\n      profil: a",
            "config.yaml:4: defaultRoute.template.agent.profil: unknown key",
        ),
        (
            "defaultRoute:\n  template:\n    agent:\n      env:\n      - name: A\n      - nam: B\n        name: C",
            "config.yaml:6: defaultRoute.template.agent.env[1].nam: unknown key",
        ),
        (
            "defaultRoute:\n  namespce: a\n  matchers: []",
            "config.yaml:2: defaultRoute.namespce: unknown key\nconfig.yaml:3: ",
        ),
        (
            "defaultRoute:\n  onResolved: cancel",
            "config.yaml:2: defaultRoute.onResolved: unknown variant `cancel`",
        ),
        (
            "defaultRoute:\n  template:\n    timeoutSeconds: 5m",
            "config.yaml:3: defaultRoute.template.timeoutSeconds: inv",
        ),
        ("limits: {}\nrunner: {}\nlimits: {}", "config.yaml:1: duplicate entry with key \"limits\""),
        (
            "agents:\n  a: {image: i, model: m}\n  a: {image: j, model: m}",
            "config.yaml:2: agents: duplicate entry",
        ),
        ("limits: [", "config.yaml:"),
        ("- a", "config.yaml:"),
    ];
    for (text, expected) in cases {
        let message = config(text).unwrap_err();
        assert!(message.starts_with(expected), "{text}\n  gave  {message}\n  wanted {expected}");
    }
}

#[test]
fn what_cannot_work_is_refused_with_what_would() {
    let long = format!("prompts: {{alert: '{}'}}", "x".repeat(32_769));
    let cases = [
        ("limits: {maxConcurrent: 0}", "config.yaml:1: limits.maxConcurrent: must be at least 1"),
        (
            "limits: {podStartTimeoutSeconds: 0}",
            "config.yaml:1: limits.podStartTimeoutSeconds: is 0, must be from 1 to 86400",
        ),
        (
            "listen: {webhook: '0.0.0.0:8081'}",
            "config.yaml:1: listen.probes: port 8081 is listen.webhook's already",
        ),
        (
            "listen: {gateway: '127.0.0.1:8080'}",
            "config.yaml:1: listen.gateway: port 8080 is listen.webhook's already",
        ),
        ("runner: {image: ''}", "config.yaml:1: runner.image: must not be empty"),
        ("agents: {}", "config.yaml:1: agents: at least one profile is needed"),
        (
            "agents: {A.b: {image: i, model: m}}",
            "agents[\"A.b\"]: `A.b` must be lower case letters, digits and dashes",
        ),
        ("agents: {openhands: {image: '', model: m}}", "agents.openhands.image: must not be empty"),
        ("agents: {openhands: {image: i, model: ''}}", "agents.openhands.model: must not be empty"),
        (
            "agents: {openhands: {image: i, model: m, baseURL: model:80}}",
            "openhands.baseURL: `model:80` must start with https:// or",
        ),
        (
            "agents: {openhands: {image: i, model: m, maxIterations: 0}}",
            "openhands.maxIterations: must be from 1 to 1000",
        ),
        (
            "agents: {openhands: {image: i, model: m, maxConcurrent: 0}}",
            "openhands.maxConcurrent: must be at least 1",
        ),
        ("agents: {openhands: {image: i, model: m, runAsUser: 0}}", "openhands.runAsUser: must not be 0"),
        (
            "agents: {openhands: {image: i, model: m, resources: {limits: {memory: 2 GB}}}}",
            "agents.openhands.resources.limits.memory: `2 GB` is no quantity; write a number",
        ),
        (
            "agents: {openhands: {image: i, model: m, env: [{name: LLM_API_KEY, value: x}]}}",
            "agents.openhands.env[0]: `LLM_API_KEY` is set by the operator itself",
        ),
        (
            "agents: {a: {image: i, model: m}}",
            "template.agent.profile: there is no profile `openhands` under agents, which has: a",
        ),
        (
            "defaultRoute: {namespace: Agents}",
            "config.yaml:1: defaultRoute.namespace: `Agents` must be lower case",
        ),
        (
            "defaultRoute: {template: {maxRetries: 11}}",
            "defaultRoute.template.maxRetries: is 11, must be from 0 to 10",
        ),
        ("defaultRoute: {match: [a=b, 'severity']}", "config.yaml:1: defaultRoute.match[1]: "),
        ("defaultRoute: {template: {prompt: ''}}", "defaultRoute.template.prompt: must not be empty"),
        (
            "defaultRoute: {template: {prompt: '{{ a'}}",
            "defaultRoute.template.prompt: line 1 of the template: ",
        ),
        (
            "defaultRoute: {template: {agent: {env: [{name: '1 a'}]}}}",
            "defaultRoute.template.agent.env[0].name: `1 a` does not match",
        ),
        (
            "prompts: {alert: a, alertFile: b}",
            "config.yaml:1: prompts: alert and alertFile exclude each other",
        ),
        ("prompts: {alertFile: no/such/file}", "prompts.alertFile: cannot read ./no/such/file: No such file"),
        (
            "prompts:\n  alert: |\n    a\n    {% if %}",
            "config.yaml:2: prompts.alert: line 2 of the template: ",
        ),
        (long.as_str(), "prompts.alert: has 32769 characters, at most 32768 are allowed"),
    ];
    assert_refusals(&cases);
}

#[test]
fn what_would_fail_every_job_is_refused() {
    assert_refusals(&[
        (
            "gateway: {url: 'http://gateway:8082/v1'}",
            "config.yaml:1: gateway.url: `http://gateway:8082/v1` must be https:// or http://, a host and a port and no path",
        ),
        (
            "limits: {podStartTimeoutSeconds: 86401}",
            "limits.podStartTimeoutSeconds: is 86401, must be from 1 to 86400",
        ),
        ("runner: {image: ' '}", "runner.image: ` ` must not have spaces in it"),
        (
            "defaultRoute: {template: {agent: {image: 'a b'}}}",
            "defaultRoute.template.agent.image: `a b` must not have",
        ),
        (
            "defaultRoute: {template: {serviceAccountName: A}}",
            "defaultRoute.template.serviceAccountName: `A` must be the name",
        ),
        (
            "defaultRoute: {template: {resources: {requests: {cpu: -1}}}}",
            "template.resources.requests.cpu: `-1` is no quantity; write a number",
        ),
        (
            "defaultRoute: {template: {agent: {env: [{name: HOME, value: x}]}}}",
            "defaultRoute.template.agent.env[0]: `HOME` is set by the operator itself",
        ),
        (
            "defaultRoute: {template: {agent: {env: [{name: A}, {name: A}]}}}",
            "defaultRoute.template.agent.env[1]: `A` is there twice",
        ),
        (
            "agents: {openhands: {image: i, model: m, env: [{name: '1 a'}]}}",
            "agents.openhands.env[0].name: `1 a` does not match",
        ),
        (
            "agents: {openhands: {image: i, model: m, env: [{name: A, valueFrom: {}}]}}",
            "agents.openhands.env[0].valueFrom: set secretKeyRef or configMapKeyRef",
        ),
        (
            "agents: {openhands: {image: i, model: m, env: [{name: A, valueFrom: {secretKeyRef: {name: B, key: k}}}]}}",
            "agents.openhands.env[0].valueFrom.secretKeyRef.name: `B` must be the name",
        ),
        (
            "agents: {openhands: {image: i, model: m, gateway: false, apiKey: {name: Keys, key: k}}}",
            "agents.openhands.apiKey.name: `Keys` must be the name",
        ),
        (
            "agents: {openhands: {image: i, model: m, gateway: false, apiKey: {name: keys, key: ''}}}",
            "agents.openhands.apiKey.key: `` must be letters",
        ),
        (
            "agents: {openhands: {image: i, model: m, serviceAccountName: ''}}",
            "agents.openhands.serviceAccountName: `` must be the name",
        ),
        (
            "agents: {openhands: {image: i, model: m, baseURL: 'http://'}}",
            "agents.openhands.baseURL: `http://` must start with https:// or http:// and a host",
        ),
        (
            "agents: {openhands: {image: i, model: m, runAsUser: 2147483648}}",
            "agents.openhands.runAsUser: must not be 0",
        ),
    ]);
}

fn assert_refusals(cases: &[(&str, &str)]) {
    for (text, expected) in cases {
        let message = refusal(text);
        assert!(message.contains(expected), "{text}\n  gave  {message}\n  wanted {expected}");
    }
}

#[test]
fn a_quantity_may_be_a_number_and_must_be_one() {
    let with = |cpu: &str| {
        config(&format!(
            "receivers: {{prometheus: {{enabled: false}}}}\nagents:\n  openhands:\n    image: i\n    model: m\n    \
             gateway: false\n    resources:\n      requests:\n        cpu: {cpu}\n"
        ))
    };
    for cpu in ["0.5", "1", "500m", "'2'"] {
        with(cpu).unwrap_or_else(|message| panic!("{cpu}: {message}"));
    }
    for cpu in ["true", "[1]", "-0.5", "one", ".inf"] {
        let message = with(cpu).unwrap_err();
        let (place, example) =
            ("agents.openhands.resources.requests.cpu: ", "as in 2, 0.5, 500m, 512Mi or 1Gi");
        assert!(message.starts_with("config.yaml:9: ") && message.contains(place), "{cpu}: {message}");
        assert!(message.contains("is no quantity") && message.ends_with(example), "{cpu}: {message}");
    }
}

#[test]
fn credentials_exclude_each_other() {
    let cases = [
        ("{http_config: {bearer_token: a, bearer_token_file: b}}", "exclude each other"),
        ("{http_config: {bearer_token: a}, allow_unauthenticated: true}", "would make it worthless"),
        ("{http_config: {bearer_token: '  '}}", "bearer_token is empty"),
    ];
    for (receiver, expected) in cases {
        let message = config(&format!("receivers: {{prometheus: {receiver}}}")).unwrap_err();
        assert!(message.contains(expected), "{message}");
    }
}

#[test]
fn everything_that_is_wrong_is_told_at_once() {
    let message = refusal("limits:\n  maxConcurrent: 0\n  podStartTimeoutSeconds: -5\nrunner: {image: ''}");
    assert_eq!(message.lines().count(), 3, "{message}");
}

#[test]
fn the_default_route_asks_for_what_the_api_takes() {
    let config = config("receivers: {prometheus: {allow_unauthenticated: true}}").unwrap();
    assert_eq!(limits::refused("defaultRoute", config.route.spec()), []);
}

#[test]
fn a_missing_file_is_named() {
    let message = load(Path::new("/no/such/config.yaml")).unwrap_err().to_string();
    assert!(message.contains("/no/such/config.yaml") && message.contains("--config"), "{message}");
}
