//! Configurations, good and bad, with what is said about the bad ones.

mod agents;
mod parsing;
mod refused;

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

fn assert_refusals(cases: &[(&str, &str)]) {
    for (text, expected) in cases {
        let message = refusal(text);
        assert!(message.contains(expected), "{text}\n  gave  {message}\n  wanted {expected}");
    }
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
    assert_eq!((prices.input.as_str(), prices.output.as_str()), ("2", "10"));
    assert_eq!((prices.cache_read.as_deref(), prices.cache_write.as_deref()), (Some("0.20"), Some("2.50")));
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
