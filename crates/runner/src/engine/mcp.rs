//! MCP servers for the engines that start them by themselves: in an `mcp.json` `${NAME}` stands for a variable of the pod,
//! and a program gets the pod's environment but for the model's key. Their own clients would give it PATH and HOME alone.

use std::collections::BTreeMap;

use punching_fist_protocol::pod::variables::{KUBECONFIG, LLM_API_KEY};
use serde_json::{Map, Value};

use crate::judge::Fault;
use crate::start;
use crate::task::Task;

/// What programs of the pod find in their environment, without the model's key.
pub fn environment(task: &Task) -> BTreeMap<String, String> {
    let mut variables: BTreeMap<String, String> = std::env::vars_os()
        .filter_map(|(name, value)| name.into_string().ok().zip(value.into_string().ok()))
        .collect();
    variables.remove(LLM_API_KEY);
    if task.kubeconfig.is_some() {
        let path = start::kubeconfig_path(task).to_string_lossy().into_owned();
        variables.insert(KUBECONFIG.to_owned(), path);
    }
    variables
}

/// The task's servers as they are to be started in that environment.
pub fn servers(task: &Task, environment: &BTreeMap<String, String>) -> Result<Map<String, Value>, Fault> {
    let mut servers = task.skills.mcp_servers.clone();
    for (name, server) in &mut servers {
        expand(server, environment).map_err(|variable| unset(name, &variable))?;
        if server["command"].is_string() {
            furnish(server, environment);
        }
    }
    Ok(servers)
}

fn unset(name: &str, variable: &str) -> Fault {
    Fault::refused(format!(
        "the MCP server {name:?} of the task's skills needs the environment variable {variable}: set it in agent.env"
    ))
}

/// What the server says itself stays.
fn furnish(server: &mut Value, environment: &BTreeMap<String, String>) {
    let mut variables: Map<String, Value> =
        environment.iter().map(|(name, value)| (name.clone(), value.as_str().into())).collect();
    if let Value::Object(own) = server["env"].take() {
        variables.extend(own);
    }
    server["env"] = Value::Object(variables);
}

/// Puts variables into every string; else the name of one that isn't there.
fn expand(value: &mut Value, environment: &BTreeMap<String, String>) -> Result<(), String> {
    match value {
        Value::String(text) => *text = expanded(text, environment)?,
        Value::Array(values) => values.iter_mut().try_for_each(|value| expand(value, environment))?,
        Value::Object(fields) => fields.values_mut().try_for_each(|value| expand(value, environment))?,
        _ => {}
    }
    Ok(())
}

/// `${NAME}`, and `${NAME:-default}` for one that may be missing; whatever else has a dollar in it stays.
fn expanded(text: &str, environment: &BTreeMap<String, String>) -> Result<String, String> {
    let (mut out, mut rest) = (String::new(), text);
    while let Some((before, after)) = rest.split_once("${") {
        out.push_str(before);
        let Some((reference, after)) = after.split_once('}').filter(|(reference, _)| is_reference(reference))
        else {
            out.push_str("${");
            rest = after;
            continue;
        };
        let (name, default) =
            reference.split_once(":-").map_or((reference, None), |(name, or)| (name, Some(or)));
        let value = environment.get(name).map(String::as_str).or(default).ok_or_else(|| name.to_owned())?;
        out.push_str(value);
        rest = after;
    }
    Ok(out + rest)
}

fn is_reference(text: &str) -> bool {
    let name = text.split_once(":-").map_or(text, |(name, _)| name);
    !name.is_empty() && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_')
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::skills::Skills;

    fn started(server: Value) -> Result<Value, Fault> {
        let skills =
            Skills { mcp_servers: Map::from_iter([("one".to_owned(), server)]), ..Skills::default() };
        let pod = [("TOKEN", "t\"1"), ("KUBERNETES_SERVICE_HOST", "10.0.0.1")];
        let pod = pod.map(|(name, value)| (name.to_owned(), value.to_owned())).into();
        servers(&Task { skills, ..Task::default() }, &pod).map(|mut servers| servers["one"].take())
    }

    #[test]
    fn a_program_gets_the_pods_environment_and_its_own_word_counts() {
        let server =
            json!({"command": "mcp", "args": ["--token=${TOKEN}", "$HOME ${"], "env": {"TOKEN": "mine"}});
        let started = started(server).expect("it can be started");
        assert_eq!(started["args"], json!(["--token=t\"1", "$HOME ${"]));
        assert_eq!(started["env"], json!({"TOKEN": "mine", "KUBERNETES_SERVICE_HOST": "10.0.0.1"}));
    }

    #[test]
    fn an_address_gets_variables_and_no_environment() {
        let server = json!({"url": "http://x/${A:-a}${}", "headers": {"Authorization": "Bearer ${TOKEN}"}});
        let expected = json!({"url": "http://x/a${}", "headers": {"Authorization": "Bearer t\"1"}});
        assert_eq!(started(server), Ok(expected));
    }

    #[test]
    fn a_variable_that_is_not_there_is_named() {
        let fault = started(json!({"command": "mcp", "env": {"A": "${NOT_SET}"}})).expect_err("refused");
        assert!(
            fault.text.contains("\"one\"") && fault.text.contains("NOT_SET: set it in agent.env"),
            "{}",
            fault.text
        );
    }

    #[test]
    fn the_models_key_and_an_unchecked_kubeconfig_are_in_no_environment() {
        let kubeconfig = Some("{}".to_owned());
        let task = Task { kubeconfig, state_directory: "/state".into(), ..Task::default() };
        let pod = environment(&task);
        assert_eq!(pod.get(KUBECONFIG).map(String::as_str), Some("/state/kubeconfig"));
        assert!(!pod.contains_key(LLM_API_KEY) && pod.contains_key("PATH"));
    }
}
