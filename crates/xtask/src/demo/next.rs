//! What to type once the demo stands: the way to its cluster, and three commands worth trying.

use std::env;
use std::path::{Path, PathBuf};

use kube::ResourceExt as _;
use punching_fist_api::{AlertTask, Task as _};
use punching_fist_testkit::{cluster, repository};

use super::ending;

/// The lines that lead to the cluster.
pub fn way(kubeconfig: &Path, kubectl: &Path) -> Vec<String> {
    let found = cluster::on_path("kubectl").is_some();
    let directory = kubectl.parent().filter(|_| !found);
    let kubeconfig = format!("export KUBECONFIG={}", quoted(kubeconfig));
    let path = directory.map(|directory| format!("export PATH=\"$PATH\":{}", quoted(directory)));
    [kubeconfig].into_iter().chain(path).collect()
}

/// Three commands: where to look on from a verdict, or why there is none.
pub fn commands(task: &AlertTask) -> [String; 3] {
    let (namespace, name) = (task.namespace().unwrap_or_default(), task.name_any());
    let last = task.task_status().and_then(|status| status.attempts.last());
    let third = match last.filter(|_| ending::verdict(task).is_none()) {
        Some(attempt) => format!("kubectl -n {namespace} logs {}", attempt.pod),
        None => format!(
            "kubectl apply -f {} && kubectl get maintenancetasks -w",
            quoted(&from_here("examples/minimal.yaml"))
        ),
    };
    [
        "kubectl get alerttasks,maintenancetasks -A -o wide".to_owned(),
        format!("kubectl -n {namespace} describe alerttask {name}"),
        third,
    ]
}

/// A path in the checkout, as short as it can be for who types where the demo was started.
fn from_here(path: &str) -> PathBuf {
    let root = repository::root();
    match env::current_dir() {
        Ok(here) if here == root => path.into(),
        _ => root.join(path),
    }
}

/// A word for a shell.
fn quoted(path: &Path) -> String {
    let text = path.display().to_string();
    let plain = |char: char| char.is_ascii_alphanumeric() || "/._-+,@%:=".contains(char);
    if text.chars().all(plain) { text } else { format!("'{}'", text.replace('\'', r"'\''")) }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    #[test]
    fn the_log_of_the_last_attempt_tells_why_there_is_no_verdict() {
        let third = |status: Value| {
            let spec = json!({ "notification": { "alerts": [{}] } });
            let metadata = json!({ "name": "crash", "namespace": "agents" });
            let task = json!({ "metadata": metadata, "spec": spec, "status": status });
            commands(&serde_json::from_value(task).unwrap())[2].clone()
        };
        let attempts = json!([{ "podUID": "1", "pod": "crash-1" }]);
        let failed = json!({ "phase": "Failed", "attempts": attempts });
        assert_eq!(third(failed), "kubectl -n agents logs crash-1");
        let diagnosed =
            json!({ "phase": "Succeeded", "attempts": attempts, "result": { "verdict": "Diagnosed" } });
        assert!(third(diagnosed).starts_with("kubectl apply -f "));
    }

    #[test]
    fn a_path_is_one_word() {
        for (path, expected) in
            [("/a/b-c.d", "/a/b-c.d"), ("/my house/x", "'/my house/x'"), ("/it's", r"'/it'\''s'")]
        {
            assert_eq!(quoted(Path::new(path)), expected);
        }
    }
}
