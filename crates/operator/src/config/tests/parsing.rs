//! What is no configuration at all: it is named with its line, its key and what would be right.

use super::config;

/// What is said begins like this.
fn assert_begins(cases: &[(&str, &str)]) {
    for (text, expected) in cases {
        let message = config(text).unwrap_err();
        assert!(message.starts_with(expected), "{text}\n  gave  {message}\n  wanted {expected}");
    }
}

#[test]
fn a_key_that_nobody_knows() {
    assert_begins(&[
        (
            "limits:\n  maxConcurent: 3",
            "config.yaml:2: limits: unknown field `maxConcurent`, expected `maxConcurrent` or",
        ),
        ("limts: {}", "config.yaml:1: unknown field `limts`, expected one of `listen`"),
        (
            "agents:\n  a:\n    image: i\n    model: m\n    modell: n",
            "config.yaml:5: agents.a: unknown field `modell`, expected one of `engine`",
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
    ]);
}

#[test]
fn a_value_of_another_kind() {
    assert_begins(&[
        (
            "limits:\n  maxConcurrent: many",
            "config.yaml:2: limits.maxConcurrent: invalid type: string \"many\", expected",
        ),
        (
            "limits:\n  maxConcurrent: -1",
            "config.yaml:2: limits.maxConcurrent: invalid type: integer `-1`, expected usize",
        ),
        (
            "defaultRoute:\n  template:\n    timeoutSeconds: 5m",
            "config.yaml:3: defaultRoute.template.timeoutSeconds: inv",
        ),
    ]);
}

#[test]
fn a_word_that_is_none_of_those_allowed() {
    assert_begins(&[
        (
            "listen:\n  webhook: 8080",
            "config.yaml:2: listen.webhook: `8080` must be an IP address and a port",
        ),
        (
            "listen:\n  webhook: 0.0.0.0:8080\n  probes: localhost",
            "config.yaml:3: listen.probes: `localhost` must be an IP address and a port",
        ),
        (
            "agents:\n  a: {image: i, model: m, engine: docker}",
            "config.yaml:2: agents.a.engine: unknown variant `docker`",
        ),
        (
            "defaultRoute:\n  onResolved: cancel",
            "config.yaml:2: defaultRoute.onResolved: unknown variant `cancel`",
        ),
    ]);
}

#[test]
fn a_key_that_is_missing_or_there_twice() {
    assert_begins(&[
        ("agents:\n  a:\n    image: i", "config.yaml:3: agents.a: missing field `model`"),
        ("limits: {}\nrunner: {}\nlimits: {}", "config.yaml:1: duplicate entry with key \"limits\""),
        (
            "agents:\n  a: {image: i, model: m}\n  a: {image: j, model: m}",
            "config.yaml:2: agents: duplicate entry",
        ),
    ]);
}

#[test]
fn a_text_that_is_no_mapping() {
    assert_begins(&[("limits: [", "config.yaml:"), ("- a", "config.yaml:")]);
}
