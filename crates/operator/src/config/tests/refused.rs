//! What can be read and can't work, or would fail every Job: it is refused with what would work. Profiles of agents have
//! a file of their own.

use super::{assert_refusals, config};

#[test]
fn addresses_and_images_are_some() {
    assert_refusals(&[
        (
            "listen: {webhook: '0.0.0.0:8081'}",
            "config.yaml:1: listen.probes: port 8081 is listen.webhook's already",
        ),
        (
            "listen: {gateway: '127.0.0.1:8080'}",
            "config.yaml:1: listen.gateway: port 8080 is listen.webhook's already",
        ),
        (
            "gateway: {url: 'http://gateway:8082/v1'}",
            "config.yaml:1: gateway.url: `http://gateway:8082/v1` must be https:// or http://, a host and a port and no path",
        ),
        ("runner: {image: ''}", "config.yaml:1: runner.image: must not be empty"),
        ("runner: {image: ' '}", "runner.image: ` ` must not have spaces in it"),
    ]);
}

#[test]
fn limits_have_bounds() {
    assert_refusals(&[
        ("limits: {maxConcurrent: 0}", "config.yaml:1: limits.maxConcurrent: is 0, must be at least 1"),
        (
            "limits: {podStartTimeoutSeconds: 0}",
            "config.yaml:1: limits.podStartTimeoutSeconds: is 0, must be from 1 to 86400",
        ),
        (
            "limits: {podStartTimeoutSeconds: 86401}",
            "limits.podStartTimeoutSeconds: is 86401, must be from 1 to 86400",
        ),
    ]);
}

#[test]
fn the_default_route_goes_somewhere() {
    assert_refusals(&[
        (
            "agents: {a: {image: i, model: m}}",
            "template.agent.profile: there is no profile `openhands` under agents, which has: a",
        ),
        (
            "defaultRoute: {namespace: Agents}",
            "config.yaml:1: defaultRoute.namespace: `Agents` must be lower case",
        ),
        ("defaultRoute: {match: [a=b, 'severity']}", "config.yaml:1: defaultRoute.match[1]: "),
    ]);
}

#[test]
fn the_template_of_the_default_route_is_what_the_api_takes() {
    assert_refusals(&[
        (
            "defaultRoute: {template: {maxRetries: 11}}",
            "defaultRoute.template.maxRetries: is 11, must be from 0 to 10",
        ),
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
            "defaultRoute: {template: {agent: {env: [{name: '1 a'}]}}}",
            "defaultRoute.template.agent.env[0].name: `1 a` does not match",
        ),
        (
            "defaultRoute: {template: {agent: {env: [{name: HOME, value: x}]}}}",
            "defaultRoute.template.agent.env[0]: `HOME` is set by the operator itself",
        ),
        (
            "defaultRoute: {template: {agent: {env: [{name: A}, {name: A}]}}}",
            "defaultRoute.template.agent.env[1]: `A` is there twice",
        ),
    ]);
}

#[test]
fn prompts_are_templates_of_limited_length() {
    let long = format!("prompts: {{alert: '{}'}}", "x".repeat(32_769));
    assert_refusals(&[
        ("defaultRoute: {template: {prompt: ''}}", "defaultRoute.template.prompt: must not be empty"),
        (
            "defaultRoute: {template: {prompt: '{{ a'}}",
            "defaultRoute.template.prompt: line 1 of the template: ",
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
    ]);
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
