//! The kubeconfig of another cluster: it comes from a Secret that a user names, and may hold data only. What would start
//! a program or read a file in the pod is refused.
//!
//! Two readers of YAML differ in what they make of tags, merges and repeated keys. So nobody else reads what came: the
//! agent gets what was read here, written anew as JSON, in which there is nothing to differ about.

use serde_json::Value;

/// What a user or a cluster may not have: keys without regard to case, `_` as `-`.
const REFUSED: [&str; 6] =
    ["exec", "auth-provider", "tokenfile", "client-certificate", "client-key", "certificate-authority"];
/// What holds a secret.
const SECRET: [&str; 3] = ["token", "password", "client-key-data"];

/// Why a kubeconfig isn't used.
#[derive(Debug, thiserror::Error)]
pub enum KubeconfigError {
    /// It is no YAML.
    #[error("it can't be read: {0}")]
    Unreadable(String),
    /// It would start a program or read a file.
    #[error(
        "{owner} has {field}, which starts a program or reads a file: put the data itself into the kubeconfig \
         (token, client-certificate-data, client-key-data, certificate-authority-data)"
    )]
    Refused {
        /// The user or cluster.
        owner: String,
        /// The key as it stands there.
        field: String,
    },
}

/// A kubeconfig that holds data only.
#[derive(Debug)]
pub struct Kubeconfig {
    /// The whole of it, as JSON.
    pub text: String,
    /// The secrets in it.
    pub secrets: Vec<String>,
}

/// Reads a kubeconfig, unless it has what is refused.
pub fn read(text: &str) -> Result<Kubeconfig, KubeconfigError> {
    let config: Value =
        serde_yaml::from_str(text).map_err(|error| KubeconfigError::Unreadable(error.to_string()))?;
    if !config.is_object() {
        return Err(KubeconfigError::Unreadable("it is no YAML object".to_owned()));
    }
    let mut secrets = Vec::new();
    for (kind, list) in [("user", "users"), ("cluster", "clusters")] {
        for entry in config[list].as_array().into_iter().flatten() {
            let owner = format!("{kind} {:?}", entry["name"].as_str().unwrap_or_default());
            walk(entry, &owner, &mut secrets)?;
        }
    }
    // Also where a reader less strict than kubectl would look.
    walk(&config, "the kubeconfig", &mut secrets)?;
    secrets.sort();
    secrets.dedup();
    Ok(Kubeconfig { text: config.to_string(), secrets })
}

fn walk(value: &Value, owner: &str, secrets: &mut Vec<String>) -> Result<(), KubeconfigError> {
    match value {
        Value::Object(fields) => fields.iter().try_for_each(|(field, value)| {
            let key = field.to_ascii_lowercase().replace('_', "-");
            if REFUSED.contains(&key.as_str()) {
                return Err(KubeconfigError::Refused { owner: owner.to_owned(), field: field.clone() });
            }
            secrets.extend(value.as_str().filter(|_| SECRET.contains(&key.as_str())).map(str::to_owned));
            walk(value, owner, secrets)
        }),
        Value::Array(values) => values.iter().try_for_each(|value| walk(value, owner, secrets)),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn user(fields: &str) -> String {
        format!(
            "apiVersion: v1\nkind: Config\nclusters:\n- name: other\n  cluster: {{server: https://1.2.3.4, \
             certificate-authority-data: QQ==}}\nusers:\n- name: agent\n  user: {{{fields}}}\n"
        )
    }

    #[test]
    fn data_is_taken_and_its_secrets_are_known() {
        let read = read(&user("token: abcdefgh, client-certificate-data: QQ==, client-key-data: S2V5"));
        assert_eq!(read.expect("it holds data only").secrets, ["S2V5", "abcdefgh"]);
    }

    #[test]
    fn programs_and_files_are_refused_by_name() {
        for field in [
            "exec",
            "Exec",
            "auth-provider",
            "auth_provider",
            "tokenFile",
            "client-certificate",
            "client-key",
        ] {
            let error = read(&user(&format!("{field}: {{command: sh}}"))).expect_err(field).to_string();
            assert!(error.contains("user \"agent\"") && error.contains(field), "{error}");
        }
        let cluster = "clusters: [{name: prod, cluster: {certificate-authority: /etc/passwd}}]";
        let error = read(cluster).expect_err("a file").to_string();
        assert!(error.contains("cluster \"prod\"") && error.contains("certificate-authority"), "{error}");
    }

    #[test]
    fn nothing_hides_behind_an_alias_or_in_another_place() {
        for text in [
            "x: &a {exec: {command: sh}}\nusers: [{name: u, user: {<<: *a}}]",
            "Users: [{name: u, user: {exec: {command: sh}}}]",
            "users: {name: u, user: {exec: {}}}",
            "- exec",
            "",
            "{",
            "a: 1\n---\nusers: [{user: {exec: {}}}]",
        ] {
            assert!(read(text).is_err(), "{text}");
        }
    }
    /// kubectl takes a key with this tag for base64, and would find `exec` here.
    #[test]
    fn what_another_reader_would_see_is_not_there() {
        let text = user("!!binary ZXhlYw==: {command: sh}, token: abcdefgh");
        let written = read(&text).expect("a key that means nothing").text;
        let again: Value = serde_json::from_str(&written).expect("JSON");
        let keys: Vec<_> = again["users"][0]["user"].as_object().expect("fields").keys().collect();
        assert_eq!(keys, ["ZXhlYw==", "token"]);
        assert!(!written.contains('!'), "{written}");
    }
}
