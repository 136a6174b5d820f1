//! Agent profiles, good and bad: engine, model, prices, key, limits, and what the pod gets.

mod volumes;

use punching_fist_core::profile::ModelKey;

use super::{assert_refusals, config};

/// A profile without the gateway, with this in it.
fn direct(more: &str) -> String {
    format!("agents: {{openhands: {{image: i, model: m, gateway: false, {more}}}}}")
}

/// A profile with the gateway, with this in it.
fn metered(more: &str) -> String {
    format!(
        "agents: {{openhands: {{image: i, model: openai/m, gateway: true, prices: {{input: '1', output: '2'}}, {more}}}}}"
    )
}

fn assert_refused(profile: impl Fn(&str) -> String, cases: &[(&str, &str)]) {
    for (more, expected) in cases {
        let expected = format!("config.yaml:1: agents.openhands.{expected}");
        assert_refusals(&[(profile(more).as_str(), expected.as_str())]);
    }
}

fn assert_taken(text: &str) {
    let message = config(&format!("{text}\nreceivers: {{prometheus: {{enabled: false}}}}")).err();
    assert_eq!(message, None, "{text}");
}

#[test]
fn a_profile_has_a_name_an_image_and_a_model() {
    assert_refusals(&[
        ("agents: {}", "config.yaml:1: agents: at least one profile is needed"),
        (
            "agents: {A.b: {image: i, model: m}}",
            "agents[\"A.b\"]: `A.b` must be lower case letters, digits and dashes",
        ),
        ("agents: {openhands: {image: '', model: m}}", "agents.openhands.image: must not be empty"),
        ("agents: {openhands: {image: i, model: ''}}", "agents.openhands.model: must not be empty"),
    ]);
}

#[test]
fn a_base_url_is_one() {
    let expected = "must start with https:// or http:// and a host";
    for url in ["model:80", "http://"] {
        let expected = format!("baseURL: `{url}` {expected}");
        assert_refused(direct, &[(&format!("baseURL: '{url}'"), &expected)]);
    }
    assert_taken(&metered("baseURL: 'http://model:8000/v1?key=abc'"));
    let expected = "baseURL: `http://model:8000/v1` can't be followed by a query without the gateway";
    assert_refused(direct, &[("baseURL: 'http://model:8000/v1?key=abc'", expected)]);
    for (url, expected) in [
        (
            "http://user:pw@model/v1",
            "baseURL: must not have a name or password before the host: leave it at `model`",
        ),
        ("http://model/v1#x", "baseURL: `http://model/v1` must not be followed by a fragment"),
    ] {
        for profile in [direct, metered] {
            assert_refused(profile, &[(&format!("baseURL: '{url}'"), expected)]);
        }
    }
}

#[test]
fn an_environment_is_one_and_leaves_the_operators_own_alone() {
    assert_refused(
        direct,
        &[
            ("env: [{name: LLM_API_KEY, value: x}]", "env[0]: `LLM_API_KEY` is set by the operator itself"),
            ("env: [{name: '1 a'}]", "env[0].name: `1 a` does not match"),
            ("env: [{name: A, valueFrom: {}}]", "env[0].valueFrom: set secretKeyRef or configMapKeyRef"),
            (
                "env: [{name: A, valueFrom: {secretKeyRef: {name: B, key: k}}}]",
                "env[0].valueFrom.secretKeyRef.name: `B` must be the name",
            ),
        ],
    );
}

#[test]
fn an_engine_has_what_it_needs_and_nothing_more() {
    assert_refused(
        direct,
        &[
            ("engine: command", "command: must be set for the engine `command`"),
            ("engine: command, command: ['']", "command: must be set for the engine `command`"),
            ("command: [sh]", "command: is for the engine `command` alone; `sdk` knows what it starts"),
            ("engine: cli, runtime: cli", "runtime: is for the engine `main` alone; `cli` has no sandboxes"),
            ("engine: main, runtime: docker", "runtime: `docker` takes privileged pods: whoever"),
            (
                "imagePullPolicy: Sometimes",
                "imagePullPolicy: unknown variant `Sometimes`, expected one of `Always`",
            ),
            ("imagePullSecrets: [a, B]", "imagePullSecrets[1]: `B` must be the name"),
        ],
    );
    assert_taken(&direct("engine: main, runtime: cli"));
    assert_taken(&format!("allowPrivilegedAgents: true\n{}", direct("engine: main, runtime: docker")));
}

#[test]
fn the_gateway_needs_a_protocol_and_prices() {
    let bare = |more: &str| format!("agents: {{openhands: {{image: i, gateway: true, {more}}}}}");
    assert_refused(
        bare,
        &[
            ("model: openai/m", "prices: must be set with the gateway, as no budget can be kept without"),
            (
                "model: gemini/m, prices: {input: '1', output: '1'}",
                "model: `gemini/m` must begin with openai/ or anthropic/",
            ),
        ],
    );
    assert_refused(
        metered,
        &[
            (
                "otherModels: {b/m: {input: '1', output: '1'}}",
                "otherModels.b/m: `b/m` must begin with openai/ or",
            ),
            (
                "otherModels: {openai/gpt-4.1: {input: x, output: '1'}}",
                "otherModels[\"openai/gpt-4.1\"].input: `x` is no amount",
            ),
            ("passedFields: [seed, Model]", "passedFields[1]: `Model` must be lower case letters"),
            ("otherModels: {openai/a: {output: '1'}}", "otherModels.openai/a: missing field `input`"),
            (
                "env: [{name: LLM_INPUT_COST_PER_TOKEN, value: '1'}]",
                "env[0]: `LLM_INPUT_COST_PER_TOKEN` is made from",
            ),
        ],
    );
    assert_taken(&direct("otherModels: {b/m: {input: '1', output: '1'}}"));
}

#[test]
fn money_is_a_decimal() {
    let priced =
        |prices: &str| format!("agents: {{openhands: {{image: i, model: m, gateway: false, {prices}}}}}");
    let wrong = "is no amount of US dollars; write a decimal";
    let cases = [
        ("maxCostUSD: '2,50'", format!("maxCostUSD: `2,50` {wrong}")),
        ("maxCostUSD: -1", format!("maxCostUSD: `-1` {wrong}")),
        ("maxCostUSD: '0.00'", "maxCostUSD: is 0.00, must be more than 0".to_owned()),
        ("prices: {input: '3', output: free}", format!("prices.output: `free` {wrong}")),
        ("prices: {input: '3', output: '1', cacheRead: '-1'}", format!("prices.cacheRead: `-1` {wrong}")),
        ("prices: {input: '3', output: '1', cacheWrite: 1e3}", format!("prices.cacheWrite: `1e3` {wrong}")),
        (
            "prices: {input: '3', output: '1', maxOutputTokens: 0}",
            "prices.maxOutputTokens: is 0, must be at least 1".to_owned(),
        ),
        (
            "prices: {input: '3', output: '1', maxInputTokens: 0}",
            "prices.maxInputTokens: is 0, must be at least 1".to_owned(),
        ),
        (
            "prices: {input: '3', output: '1', cached: '1'}",
            "prices: unknown field `cached`, expected".to_owned(),
        ),
    ];
    for (more, expected) in &cases {
        assert_refused(priced, &[(more, expected)]);
    }
    // Quotes or not: it is read as it is written, and never as a float.
    assert_taken(&metered("maxCostUSD: 2.50"));
    assert_taken(&metered("maxCostUSD: '0.000001'"));
    assert_taken(&priced("prices: {input: 0, output: '0'}"));
}

#[test]
fn the_budget_of_the_default_route_is_a_decimal_too() {
    assert_refusals(&[
        (
            "defaultRoute: {template: {agent: {maxCostUSD: '1,5'}}}",
            "defaultRoute.template.agent.maxCostUSD: `1,5` does not match",
        ),
        (
            "defaultRoute: {template: {agent: {maxCostUSD: '0'}}}",
            "agent.maxCostUSD: is 0, must be more than 0",
        ),
    ]);
}

#[test]
fn a_key_is_with_the_operator_or_with_the_agent() {
    assert_refused(
        metered,
        &[
            ("apiKey: {name: a, key: b}", "apiKey: is what an agent gets without the gateway"),
            ("key: {env: A-B}", "key.env: `A-B` must be the name of a variable"),
            ("key: {file: ''}", "key.file: must not be empty"),
            ("key: {secret: a}", "key: unknown field `secret`, expected `env` or `file`"),
        ],
    );
    for key in ["{env: A, file: b}", "{}"] {
        let text = metered(&format!("key: {key}"));
        let expected = "config.yaml:1: agents.openhands: key: set env or file, and not both";
        assert_refusals(&[(text.as_str(), expected)]);
    }
    assert_refused(
        direct,
        &[
            ("key: {env: A}", "key: is what the gateway reads, and this profile says"),
            ("apiKey: {name: Keys, key: k}", "apiKey.name: `Keys` must be the name"),
            ("apiKey: {name: keys, key: ''}", "apiKey.key: `` must be letters"),
        ],
    );
    let open = "\nreceivers: {prometheus: {enabled: false}}";
    let config = config(&(metered("key: {file: key}") + open)).unwrap();
    assert_eq!(config.settings.profile("openhands").unwrap().key, ModelKey::File("./key".into()));
}

#[test]
fn nothing_is_without_a_limit() {
    assert_refused(
        direct,
        &[
            ("timeoutSeconds: 0", "timeoutSeconds: is 0, must be from 1 to 86400"),
            ("timeoutSeconds: 86401", "timeoutSeconds: is 86401, must be from 1 to 86400"),
            ("maxIterations: 0", "maxIterations: is 0, must be from 1 to 1000"),
            ("maxIterations: 1001", "maxIterations: is 1001, must be from 1 to 1000"),
            ("maxConcurrent: 0", "maxConcurrent: is 0, must be at least 1"),
        ],
    );
}

#[test]
fn a_pod_is_asked_for_nothing_that_is_refused_later() {
    assert_refused(
        direct,
        &[
            ("runAsUser: 0", "runAsUser: is 0, must be from 1 to 2147483647: agents don't run as root"),
            ("runAsUser: 2147483648", "runAsUser: is 2147483648, must be from 1 to 2147483647"),
            (
                "resources: {limits: {memory: 2 GB}}",
                "resources.limits.memory: `2 GB` is no quantity; write a number",
            ),
            ("serviceAccountName: ''", "serviceAccountName: `` must be the name"),
            ("remediateServiceAccountName: A", "remediateServiceAccountName: `A` must be the name"),
            ("runtimeClassName: A", "runtimeClassName: `A` must be the name"),
            ("priorityClassName: ''", "priorityClassName: `` must be the name"),
            ("nodeSelector: {a: 'b c'}", "nodeSelector.a: `b c` must be at most 63 letters"),
        ],
    );
    assert_taken(&direct("nodeSelector: {kubernetes.io/arch: amd64}"));
}

#[test]
fn labels_and_annotations_leave_the_operators_own_alone() {
    assert_refused(
        direct,
        &[
            ("podLabels: {a b: c}", "podLabels.a b: `a b` must be at most 63"),
            ("podLabels: {task.id: c}", "podLabels[\"task.id\"]: `task.id` is set by the operator itself"),
            (
                "podLabels: {punching-fist.io/x: c}",
                "podLabels[\"punching-fist.io/x\"]: `punching-fist.io/x` is set",
            ),
            (
                "podLabels: {app.kubernetes.io/name: c}",
                "podLabels[\"app.kubernetes.io/name\"]: `app.kubernetes.io/name` is",
            ),
            (
                "podAnnotations: {punching-fist.io/prompt: c}",
                "podAnnotations[\"punching-fist.io/prompt\"]: `punching",
            ),
        ],
    );
    assert_taken(&direct(
        "podLabels: {app.kubernetes.io/part-of: shop}, podAnnotations: {a/b: 'any text, {}'}",
    ));
}

#[test]
fn a_toleration_is_one() {
    assert_refused(
        direct,
        &[
            ("tolerations: [{value: a}]", "tolerations[0]: needs a key, or operator: Exists"),
            ("tolerations: [{key: a, operator: Exists, value: b}]", "tolerations[0]: can't have a value"),
            (
                "tolerations: [{key: a, operator: Is}]",
                "tolerations[0]: operator `Is` must be Equal or Exists",
            ),
            ("tolerations: [{key: a, effect: Never}]", "tolerations[0]: effect `Never` must be NoSchedule"),
            (
                "tolerations: [{key: a, tolerationSeconds: 1}]",
                "tolerations[0]: can have tolerationSeconds with",
            ),
            ("tolerations: [{key: 'a b'}]", "tolerations[0]: `a b` must be at most 63"),
            ("tolerations: [{key: a, efect: NoExecute}]", "tolerations[0].efect: unknown key"),
        ],
    );
    assert_taken(&direct(
        "tolerations: [{operator: Exists}, {key: a, value: b, effect: NoExecute, tolerationSeconds: 5}]",
    ));
}
