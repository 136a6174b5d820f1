//! Where this replica is: its namespace, and its name among the replicas.

use std::path::Path;

use punching_fist_controller::Replica;

use crate::cli::RunArguments;

/// Where a pod finds its own namespace.
const NAMESPACE_FILE: &str = "/var/run/secrets/kubernetes.io/serviceaccount/namespace";

/// The namespace is unknown.
#[derive(Debug, thiserror::Error)]
#[error(
    "the operator's own namespace is unknown: set NAMESPACE (in a pod, from the field metadata.namespace), or mount the \
     ServiceAccount's token"
)]
pub struct NamespaceUnknown;

/// Where this replica is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Place {
    /// The operator's own namespace.
    pub namespace: String,
    /// This replica among the others; never the same for two processes.
    pub replica: String,
}

impl Place {
    /// The same, for the controller.
    pub fn replica(&self) -> Replica {
        Replica { name: self.replica.clone(), namespace: self.namespace.clone() }
    }
}

/// From the environment, else from what Kubernetes puts into every pod.
pub fn find(arguments: &RunArguments) -> Result<Place, NamespaceUnknown> {
    let namespace = given(arguments.namespace.as_deref()).or_else(pods_namespace);
    let replica = given(arguments.pod_name.as_deref()).unwrap_or_else(random_replica);
    Ok(Place { namespace: namespace.ok_or(NamespaceUnknown)?, replica })
}

/// The namespace of the pod that this runs in, by what Kubernetes puts there beside the ServiceAccount's token; none
/// outside of one.
pub fn pods_namespace() -> Option<String> {
    from_file(Path::new(NAMESPACE_FILE))
}

fn given(value: Option<&str>) -> Option<String> {
    value.map(str::trim).filter(|value| !value.is_empty()).map(str::to_owned)
}

fn from_file(path: &Path) -> Option<String> {
    given(std::fs::read_to_string(path).ok().as_deref())
}

/// The host's name and something random: outside of a cluster two replicas may well share a host.
fn random_replica() -> String {
    let host = from_file(Path::new("/proc/sys/kernel/hostname")).unwrap_or_else(|| "unknown".to_owned());
    format!("{host}-{:08x}", rand::random::<u32>())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn arguments(namespace: Option<&str>, pod_name: Option<&str>) -> RunArguments {
        RunArguments {
            config: "config.yaml".into(),
            namespace: namespace.map(str::to_owned),
            pod_name: pod_name.map(str::to_owned),
            log_format: None,
        }
    }

    #[test]
    fn what_is_given_is_taken() {
        let place = find(&arguments(Some("ops"), Some("punching-fist-0"))).unwrap();
        assert_eq!(place, Place { namespace: "ops".to_owned(), replica: "punching-fist-0".to_owned() });
    }

    #[test]
    fn replicas_without_a_name_differ() {
        let replica = || find(&arguments(Some("ops"), Some(" "))).unwrap().replica;
        assert_ne!(replica(), replica());
    }

    #[test]
    fn outside_of_a_pod_the_namespace_has_to_be_given() {
        let error = find(&arguments(Some(""), None)).unwrap_err().to_string();
        assert!(error.contains("set NAMESPACE"), "{error}");
    }
}
