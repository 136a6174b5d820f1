//! What is no configuration at all: it is named with its line, its key and what would be right.

use super::config;

/// What is said begins like this.
fn assert_begins<S: AsRef<str>>(cases: &[(&str, S)]) {
    for (text, expected) in cases {
        let (message, expected) = (config(text).unwrap_err(), expected.as_ref());
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
    let profile = |more: &str| format!("agents: {{a: {{image: i, model: m, {more}}}}}");
    let cases = [
        (
            "limits:\n  maxConcurrent: many",
            "2: limits.maxConcurrent: is \"many\", must be a whole number that",
        ),
        (
            "limits:\n  maxConcurrent: -1",
            "2: limits.maxConcurrent: is `-1`, must be a whole number that isn't",
        ),
        (
            "defaultRoute:\n  template:\n    timeoutSeconds: 5m",
            "3: defaultRoute.template.timeoutSeconds: is \"5m\", must be a whole number",
        ),
        ("receivers: {prometheus: true}", "1: receivers.prometheus: is `true`, must be a mapping"),
        ("defaultRoute: {template: 5}", "1: defaultRoute.template: is `5`, must be a mapping"),
        ("agents: [a]", "1: agents: is a list, must be a mapping"),
        (
            &profile("maxIterations: 5000000000"),
            "1: agents.a.maxIterations: is `5000000000`, must be a whole number,",
        ),
        (&profile("volumes: {b: c}"), "1: agents.a.volumes: is a mapping, must be a list"),
        (&profile("tolerations: [b]"), "1: agents.a.tolerations[0]: is \"b\", must be a mapping"),
        (&profile("gateway: maybe"), "1: agents.a.gateway: is \"maybe\", must be true or false"),
        (&profile("command: [[ls]]"), "1: agents.a.command[0]: is a list, must be a text"),
    ];
    assert_begins(&cases.map(|(text, said)| (text, format!("config.yaml:{said}"))));
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
    let wanted = "must be keys with values, as in `limits: {maxConcurrent: 10}`";
    assert_begins(&[("limits: [", "config.yaml:".to_owned())]);
    for (text, found) in [("- a", "a list"), ("hello", "\"hello\""), ("5", "`5`")] {
        assert_eq!(config(text).unwrap_err(), format!("config.yaml:1: the file is {found}, {wanted}"));
    }
}

#[test]
fn nothing_at_all_lacks_one_thing() {
    for text in ["", "# nothing\n", "---\n", "null\n", "{}", "receivers: {}"] {
        let message = config(text).unwrap_err();
        assert_eq!(message.lines().count(), 1, "{text:?}: {message}");
        assert!(message.contains("receivers.prometheus.http_config: set bearer_token_file"), "{message}");
        assert_eq!(message.starts_with("config.yaml: "), !text.contains("receivers"), "{text:?}: {message}");
    }
}
