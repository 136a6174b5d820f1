//! The manifest for every set of arguments, and that `deploy/` has the same.

use clap::Parser as _;
use serde::Deserialize as _;
use serde_json::{Value, json};

use super::*;
use crate::cli::{Arguments, Command};

/// The file that is applied with the operator.
const DEPLOYED: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../deploy/agent-rbac.yaml");

fn parse(line: &str) -> Result<PrepareArguments, clap::Error> {
    let line = format!("punching-fist prepare-namespace {line}");
    match Arguments::try_parse_from(line.split_whitespace())?.command {
        Command::PrepareNamespace(arguments) => Ok(arguments),
        other => panic!("{other:?}"),
    }
}

fn text(line: &str) -> Result<String, PrepareError> {
    let arguments = parse(line).unwrap();
    let operator_namespace = arguments.operator_namespace.as_deref().unwrap_or(OPERATOR_NAMESPACE);
    manifest(&arguments, operator_namespace, arguments.gateway_port.unwrap_or(GATEWAY_PORT))
}

fn documents(line: &str) -> Vec<Value> {
    let text = text(line).unwrap();
    serde_yaml::Deserializer::from_str(&text).map(|document| Value::deserialize(document).unwrap()).collect()
}

/// The document of this kind and name.
fn find(documents: &[Value], kind: &str, name: &str) -> Value {
    let is_it = |one: &&Value| one["kind"] == kind && one["metadata"]["name"] == name;
    let found: Vec<_> = documents.iter().filter(is_it).collect();
    assert_eq!(found.len(), 1, "{kind} {name}");
    found[0].clone()
}

fn names(line: &str) -> Vec<String> {
    let name = |one: &Value| {
        format!("{} {}", one["kind"].as_str().unwrap(), one["metadata"]["name"].as_str().unwrap())
    };
    documents(line).iter().map(name).collect()
}

#[test]
fn the_deployed_file_ends_with_what_is_printed() {
    let deployed = std::fs::read_to_string(DEPLOYED).unwrap();
    let printed = text("punching-fist-agents").unwrap();
    assert!(
        deployed.ends_with(&printed),
        "the end of deploy/agent-rbac.yaml has to be what `punching-fist prepare-namespace punching-fist-agents` prints:\n\
         {printed}"
    );
}

#[test]
fn each_option_adds_its_documents() {
    let plain = [
        "ServiceAccount punching-fist-agent",
        "ClusterRoleBinding punching-fist-agent:shop",
        "Role punching-fist-tasks",
        "RoleBinding punching-fist-tasks",
    ];
    assert_eq!(names("shop"), plain);
    assert_eq!(names("shop --image-pull-secret one"), plain);
    let mut remediate = plain.to_vec();
    remediate.splice(
        2..2,
        [
            "ServiceAccount punching-fist-agent-remediate",
            "ClusterRoleBinding punching-fist-agent-remediate:shop",
            "RoleBinding punching-fist-agent-remediate",
        ],
    );
    assert_eq!(names("shop --remediate"), remediate);
    let network = "shop --network-policy --api-server-cidr 192.0.2.1/32";
    assert_eq!(names(network), [&plain[..], &["NetworkPolicy punching-fist-agent"]].concat());
}

#[test]
fn everything_is_in_the_namespace_and_only_the_operator_is_elsewhere() {
    let all = "--remediate --network-policy --api-server-cidr 192.0.2.1/32 --operator-namespace ops";
    // YAML would take all but the first for something else than text.
    for namespace in ["shop", "123", "1e3", "on", "null"] {
        for document in documents(&format!("{namespace} {all}")) {
            if document["kind"] != "ClusterRoleBinding" {
                assert_eq!(document["metadata"]["namespace"], namespace, "{document}");
            }
            for subject in document["subjects"].as_array().into_iter().flatten() {
                let expected = if subject["name"] == "punching-fist" { "ops" } else { namespace };
                assert_eq!(subject["namespace"], expected, "{document}");
            }
        }
    }
}

#[test]
fn who_lets_agents_write_is_told_what_that_can_come_to() {
    for (line, says) in [("shop --remediate", true), ("shop", false)] {
        assert_eq!(text(line).unwrap().contains("Argo CD, cert-manager"), says, "{line}");
    }
}

#[test]
fn what_the_template_is_stands_in_the_template_alone() {
    assert!(TEMPLATE.starts_with("{#"));
    assert!(text("shop").unwrap().starts_with("---\n# What tasks need in namespace shop"));
}

#[test]
fn pull_secrets_are_on_every_service_account() {
    let documents = documents("shop --remediate --image-pull-secret one --image-pull-secret 2.b");
    for name in ["punching-fist-agent", "punching-fist-agent-remediate"] {
        let account = find(&documents, "ServiceAccount", name);
        assert_eq!(account["imagePullSecrets"], json!([{"name": "one"}, {"name": "2.b"}]));
    }
}

#[test]
fn the_operator_may_have_agents_write_only_where_they_may() {
    let verbs = |line: &str| -> Vec<String> {
        let role = find(&documents(line), "Role", "punching-fist-tasks");
        let said = |rule: &Value| {
            format!("{} {}{}", rule["verbs"][0], rule["resources"][0], rule["resourceNames"]).replace('"', "")
        };
        role["rules"].as_array().unwrap().iter().map(said).collect()
    };
    assert_eq!(
        verbs("shop"),
        ["create alerttasksnull", "use serviceaccounts[punching-fist-agent]", "use configmapsnull"]
    );
    assert_eq!(
        verbs("shop --remediate"),
        [
            "create alerttasksnull",
            "remediate alerttasksnull",
            "use serviceaccounts[punching-fist-agent,punching-fist-agent-remediate]",
            "use configmapsnull"
        ]
    );
}

#[test]
fn agents_reach_the_gateway_the_api_servers_and_dns() {
    let line = "shop --network-policy --api-server-cidr 192.0.2.1/32 --api-server-cidr fd00::/64 --api-server-port 443 \
                --operator-namespace ops";
    let policy = find(&documents(line), "NetworkPolicy", "punching-fist-agent");
    let spec = &policy["spec"];
    assert_eq!(spec["podSelector"]["matchLabels"]["app.kubernetes.io/component"], "agent");
    assert_eq!(spec["policyTypes"], json!(["Ingress", "Egress"]));
    assert_eq!(spec["ingress"], Value::Null);
    let egress = spec["egress"].as_array().unwrap();
    assert_eq!(egress.len(), 3);
    let peer = &egress[0]["to"][0];
    assert_eq!(peer["namespaceSelector"]["matchLabels"], json!({"kubernetes.io/metadata.name": "ops"}));
    assert_eq!(peer["podSelector"]["matchLabels"]["app.kubernetes.io/component"], "operator");
    assert_eq!(egress[0]["ports"], json!([{"protocol": "TCP", "port": GATEWAY_PORT}]));
    assert_eq!(
        egress[1]["to"],
        json!([{"ipBlock": {"cidr": "192.0.2.1/32"}}, {"ipBlock": {"cidr": "fd00::/64"}}])
    );
    assert_eq!(egress[1]["ports"], json!([{"protocol": "TCP", "port": 443}]));
    assert_eq!(egress[2]["ports"], json!([{"protocol": "UDP", "port": 53}, {"protocol": "TCP", "port": 53}]));
}

#[test]
fn the_gateways_port_is_the_configurations() {
    let folder = tempfile::tempdir().unwrap();
    let at = |address: &str| {
        let path = folder.path().join("config.yaml");
        let text =
            format!("{{listen: {{gateway: '{address}'}}, receivers: {{prometheus: {{enabled: false}}}}}}");
        std::fs::write(&path, text).unwrap();
        gateway_port(Some(&path)).map_err(|error| error.to_string())
    };
    assert_eq!(at("127.0.0.1:9082"), Ok(9082));
    for (address, why) in
        [("0.0.0.0:0", "any free one"), ("gateway", "listen.gateway: `gateway` must be an IP address")]
    {
        let said = at(address).unwrap_err();
        assert!(said.contains(why) && said.contains("say --gateway-port"), "{said}");
    }
    let said = gateway_port(Some(&folder.path().join("none"))).unwrap_err().to_string();
    assert!(said.contains("say --gateway-port") && said.contains("No such file"), "{said}");
    let documents = documents("shop --network-policy --api-server-cidr ::1/128 --gateway-port 9082");
    let policy = find(&documents, "NetworkPolicy", "punching-fist-agent");
    assert_eq!(policy["spec"]["egress"][0]["ports"], json!([{"protocol": "TCP", "port": 9082}]));
}

#[test]
fn where_agents_may_not_be_is_refused() {
    let refusal = |line: &str| text(line).unwrap_err().to_string();
    assert!(refusal("punching-fist").contains("the operator's own namespace"));
    assert!(refusal("ops --operator-namespace ops").contains("ops is the operator's own namespace"));
    assert!(text("punching-fist --operator-namespace ops").is_ok());
    assert!(refusal("kube-system --remediate").contains("take over the cluster"));
    assert!(text("kube-system").is_ok());
}

#[test]
fn bad_arguments_are_named() {
    for (line, name, why) in [
        ("Shop", "<NAME>", "lower case"),
        ("shop.eu", "<NAME>", "lower case"),
        ("-shop", "-s", "unexpected argument"),
        ("", "<NAME>", "required"),
        ("shop --image-pull-secret a_b", "--image-pull-secret", "name of an object"),
        ("shop --operator-namespace Ops", "--operator-namespace", "lower case"),
        ("shop --network-policy", "--api-server-cidr", "required"),
        ("shop --api-server-cidr 10.0.0.0/8", "--network-policy", "required"),
        ("shop --api-server-port 443", "--network-policy", "required"),
        ("shop --gateway-port 9082", "--network-policy", "required"),
        ("shop --operator-namespace=", "--operator-namespace", "lower case"),
        ("shop --network-policy --api-server-cidr 10.0.0.1", "--api-server-cidr", "write 10.0.0.1/32"),
        ("shop --network-policy --api-server-cidr ::/0", "--api-server-cidr", "every address"),
        (
            "shop --network-policy --api-server-cidr ::1/128 --api-server-port 0",
            "--api-server-port",
            "1..=65535",
        ),
        ("shop --network-policy --api-server-cidr ::1/128 --gateway-port 0", "--gateway-port", "1..=65535"),
    ] {
        let error = parse(line).unwrap_err().to_string();
        assert!(error.contains(name) && error.contains(why), "{line}: {error}");
    }
    // A name of 63 characters is one, of 64 is none.
    assert!(parse(&"a".repeat(63)).is_ok());
    assert!(parse(&"a".repeat(64)).is_err());
}
