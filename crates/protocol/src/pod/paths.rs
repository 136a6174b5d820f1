//! Where things stand in the agent's container.

/// What the names of our own directories at the root begin with. Nothing else is mounted there.
pub const PREFIX: &str = "punching-fist";
/// The directory that the init container puts the runner into.
pub const RUNNER_DIRECTORY: &str = "/punching-fist";
/// The runner.
pub const RUNNER: &str = "/punching-fist/runner";
/// The directory with the prompt.
pub const TASK: &str = "/punching-fist-task";
/// The directory with the token for the gateway.
pub const TOKEN: &str = "/punching-fist-token";
/// The directory with the skills, a directory each.
pub const SKILLS: &str = "/punching-fist-skills";
/// The directory with the kubeconfig of another cluster.
pub const CLUSTER: &str = "/punching-fist-cluster";

/// Where the agent works.
pub const WORKSPACE: &str = "/workspace";
/// Where the agent's tools keep their state.
pub const HOME: &str = "/home/agent";
/// Where programs keep what nobody needs for long.
pub const TMP: &str = "/tmp";
/// Where OpenHands kept its state up to 0.44.
pub const OPENHANDS_STATE: &str = "/.openhands-state";
/// Where the node's Docker daemon listens.
pub const DOCKER_SOCKET: &str = "/var/run/docker.sock";

/// Where Kubernetes looks for a container's termination message.
pub const TERMINATION_LOG: &str = "/dev/termination-log";
/// The directory below which Kubernetes mounts what it gives a pod unasked.
pub const KUBERNETES: &str = "/var/run/secrets/kubernetes.io";
/// The token for the cluster's own API server, if the pod has one.
pub const SERVICE_ACCOUNT_TOKEN: &str = "/var/run/secrets/kubernetes.io/serviceaccount/token";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_stands_in_a_directory_begins_with_it() {
        assert!(RUNNER.starts_with(RUNNER_DIRECTORY) && SERVICE_ACCOUNT_TOKEN.starts_with(KUBERNETES));
        for ours in [RUNNER_DIRECTORY, TASK, TOKEN, SKILLS, CLUSTER] {
            assert!(ours.strip_prefix('/').is_some_and(|name| name.starts_with(PREFIX)), "{ours}");
        }
    }
}
