//! What to type once the demo stands: the way to its cluster, and three commands worth trying.

use std::env;
use std::path::{Path, PathBuf};

use kube::ResourceExt as _;
use punching_fist_api::AlertTask;
use punching_fist_testkit::{cluster, repository};

/// The lines that lead to the cluster.
pub fn way(kubeconfig: &Path, kubectl: &Path) -> Vec<String> {
    let found = cluster::on_path("kubectl").is_some();
    let directory = kubectl.parent().filter(|_| !found);
    let kubeconfig = format!("export KUBECONFIG={}", quoted(kubeconfig));
    let path = directory.map(|directory| format!("export PATH=\"$PATH\":{}", quoted(directory)));
    [kubeconfig].into_iter().chain(path).collect()
}

/// Three commands.
pub fn commands(task: &AlertTask) -> [String; 3] {
    let (namespace, name) = (task.namespace().unwrap_or_default(), task.name_any());
    [
        "kubectl get alerttasks,maintenancetasks -A -o wide".to_owned(),
        format!("kubectl -n {namespace} describe alerttask {name}"),
        format!(
            "kubectl apply -f {} && kubectl get maintenancetasks -w",
            quoted(&from_here("examples/minimal.yaml"))
        ),
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
    use super::*;

    #[test]
    fn a_path_is_one_word() {
        for (path, expected) in
            [("/a/b-c.d", "/a/b-c.d"), ("/my house/x", "'/my house/x'"), ("/it's", r"'/it'\''s'")]
        {
            assert_eq!(quoted(Path::new(path)), expected);
        }
    }
}
