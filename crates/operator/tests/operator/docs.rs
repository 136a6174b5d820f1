//! The pages of `docs/` that are lists: everything that is there is in them, and nothing else.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use regex::Regex;
use serde_yaml::Value;

/// What excludes a key of `every-key.yaml`, so that it can't be in there.
const EXCLUDED: [&str; 3] =
    ["receivers.prometheus.http_config.bearer_token_file", "agents.NAME.key.file", "prompts.alertFile"];
/// What is as in a pod, or a list: told as one.
const WHOLE: [&str; 8] =
    ["env", "match", "requests", "limits", "otherModels", "nodeSelector", "podLabels", "podAnnotations"];

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

fn page(name: &str) -> String {
    fs::read_to_string(root().join("docs").join(name)).unwrap()
}

/// What stands in backticks at the beginning of a table's row.
fn rows(page: &str) -> BTreeSet<String> {
    let row = Regex::new(r"(?m)^\| `([^`]+)` \|").unwrap();
    row.captures_iter(page).map(|found| found[1].to_owned()).collect()
}

/// The paths of all keys that hold something.
fn keys(value: &Value, path: &str, found: &mut BTreeSet<String>) {
    let is_whole = path.contains('.') && WHOLE.iter().any(|whole| path.ends_with(&format!(".{whole}")));
    match value {
        Value::Mapping(fields) if !is_whole => {
            for (key, value) in fields {
                let key = key.as_str().unwrap();
                let key = if path == "agents" { "NAME" } else { key };
                keys(value, format!("{path}.{key}").trim_start_matches('.'), found);
            }
        }
        _ => drop(found.insert(path.to_owned())),
    }
}

#[test]
fn every_key_of_the_configuration_is_told() {
    let text = include_str!("../../testdata/every-key.yaml");
    let mut known: BTreeSet<String> = EXCLUDED.map(str::to_owned).into();
    keys(&serde_yaml::from_str(text).unwrap(), "", &mut known);
    let page = page("configuration.md");
    let (file, _) = page.split_once("## Environment of the operator itself").unwrap();
    assert_eq!(rows(file), known);
}

#[test]
fn every_metric_is_told() {
    let name = Regex::new(r#""((?:openhands|punching_fist)_[a-z_]+)""#).unwrap();
    let mut known = BTreeSet::new();
    for package in ["controller", "gateway", "operator", "webhook"] {
        let file = root().join("crates").join(package).join("src/metrics.rs");
        let source = fs::read_to_string(file).unwrap();
        // Every name that is registered stands in one of these files, as a text of its own.
        let production = source.split("#[cfg(test)]").next().unwrap();
        known.extend(name.captures_iter(production).map(|found| found[1].to_owned()));
    }
    assert_eq!(rows(&page("metrics.md")), known);
}
