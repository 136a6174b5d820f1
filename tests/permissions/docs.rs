//! docs/permissions.md: its tables of verbs are what the ClusterRoles say.

use std::collections::BTreeSet;
use std::fs;

use punching_fist_testkit::{manifests, repository};
use serde_json::Value;

/// `group resource verb` of every rule of a ClusterRole.
fn granted(file: &str, name: &str) -> BTreeSet<String> {
    let documents = manifests::read(&repository::root().join(file)).unwrap();
    let is_it = |one: &&Value| one["kind"] == "ClusterRole" && one["metadata"]["name"] == name;
    let role = documents.iter().find(is_it).unwrap();
    let texts = |list: &Value| -> Vec<String> {
        list.as_array().unwrap().iter().map(|one| one.as_str().unwrap().to_owned()).collect()
    };
    let mut granted = BTreeSet::new();
    for rule in role["rules"].as_array().unwrap() {
        for group in texts(&rule["apiGroups"]) {
            for resource in texts(&rule["resources"]) {
                granted.extend(texts(&rule["verbs"]).iter().map(|verb| format!("{group} {resource} {verb}")));
            }
        }
    }
    granted
}

/// The same from the table under a heading: group, resources, verbs, why.
fn documented(heading: &str) -> BTreeSet<String> {
    let text = fs::read_to_string(repository::root().join("docs/permissions.md")).unwrap();
    let section = text.split("\n## ").find(|section| section.starts_with(heading)).unwrap();
    let mut documented = BTreeSet::new();
    for row in section.lines().filter(|line| line.starts_with("| ")).skip(1) {
        let cells: Vec<&str> = row.split('|').map(str::trim).collect();
        let group = if cells[1] == "core" { "" } else { cells[1] };
        for resource in cells[2].split(", ") {
            documented.extend(cells[3].split(", ").map(|verb| format!("{group} {resource} {verb}")));
        }
    }
    documented
}

#[test]
fn the_tables_are_what_the_roles_grant() {
    for (heading, file, role) in [
        ("What an agent may read", "deploy/agent-rbac.yaml", "punching-fist-agent"),
        ("What an agent may change", "deploy/agent-remediate.yaml", "punching-fist-agent-remediate"),
    ] {
        assert_eq!(documented(heading), granted(file, role), "{heading}");
    }
}
