//! The command lines of the three processes: pure, so that they can be read in one place.

use std::net::SocketAddr;
use std::path::Path;

/// Where each of them listens, all on loopback.
pub(super) struct Addresses {
    pub(super) etcd: SocketAddr,
    pub(super) api_server: SocketAddr,
    pub(super) controller_manager: SocketAddr,
}

/// Services get their addresses from here; nothing routes them.
const SERVICE_RANGE: &str = "10.0.0.0/24";

pub(super) fn etcd(dir: &Path, at: &Addresses) -> Vec<String> {
    vec![
        flag("data-dir", dir.join("etcd").display()),
        flag("listen-client-urls", format_args!("http://{}", at.etcd)),
        flag("advertise-client-urls", format_args!("http://{}", at.etcd)),
        // One member talks to nobody: any free port will do.
        flag("listen-peer-urls", "http://127.0.0.1:0"),
        // The data is thrown away with the cluster.
        flag("unsafe-no-fsync", true),
        flag("log-level", "warn"),
    ]
}

pub(super) fn api_server(dir: &Path, at: &Addresses) -> Vec<String> {
    let file = |name: &str| dir.join(name).display().to_string();
    vec![
        flag("etcd-servers", format_args!("http://{}", at.etcd)),
        flag("bind-address", at.api_server.ip()),
        flag("advertise-address", at.api_server.ip()),
        flag("secure-port", at.api_server.port()),
        // Loopback may not be an endpoint of the Service `kubernetes`.
        flag("endpoint-reconciler-type", "none"),
        flag("authorization-mode", "Node,RBAC"),
        // As installers have it: what refuses a privileged pod shall be the namespace's Pod Security label.
        flag("allow-privileged", true),
        flag("client-ca-file", file("ca.crt")),
        flag("tls-cert-file", file("apiserver.crt")),
        flag("tls-private-key-file", file("apiserver.key")),
        flag("service-account-issuer", "https://kubernetes.default.svc"),
        flag("service-account-key-file", file("tokens.pub")),
        flag("service-account-signing-key-file", file("tokens.key")),
        flag("service-cluster-ip-range", SERVICE_RANGE),
        // For `kubectl logs`: how it reaches the node, and how the two know each other.
        flag("kubelet-preferred-address-types", "InternalIP"),
        flag("kubelet-client-certificate", file("kubelet-client.crt")),
        flag("kubelet-client-key", file("kubelet-client.key")),
        flag("kubelet-certificate-authority", file("ca.crt")),
    ]
}

pub(super) fn controller_manager(dir: &Path, at: &Addresses) -> Vec<String> {
    let file = |name: &str| dir.join(name).display().to_string();
    vec![
        flag("kubeconfig", file("controller-manager.kubeconfig")),
        flag("authentication-kubeconfig", file("controller-manager.kubeconfig")),
        flag("authorization-kubeconfig", file("controller-manager.kubeconfig")),
        flag("leader-elect", false),
        flag("service-account-private-key-file", file("tokens.key")),
        flag("root-ca-file", file("ca.crt")),
        // Each controller acts with its own rights, as in a real cluster.
        flag("use-service-account-credentials", true),
        // Its start makes a token for each controller, and would wait for its own rate limit with them for 3 s.
        flag("kube-api-qps", 500),
        flag("kube-api-burst", 1000),
        flag("bind-address", at.controller_manager.ip()),
        flag("secure-port", at.controller_manager.port()),
    ]
}

fn flag(name: &str, value: impl std::fmt::Display) -> String {
    format!("--{name}={value}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn everything_listens_on_loopback_only() {
        let at = |port| SocketAddr::from(([127, 0, 0, 1], port));
        let all = Addresses { etcd: at(1), api_server: at(2), controller_manager: at(3) };
        let dir = Path::new("/d");
        for (arguments, expected) in [
            (etcd(dir, &all), "--listen-client-urls=http://127.0.0.1:1"),
            (api_server(dir, &all), "--bind-address=127.0.0.1"),
            (controller_manager(dir, &all), "--bind-address=127.0.0.1"),
        ] {
            assert!(arguments.iter().any(|argument| argument == expected), "{expected}: {arguments:?}");
            assert!(
                !arguments
                    .iter()
                    .any(|argument| argument.contains("=0.0.0.0") || argument.contains("//0.0.0.0")),
                "{arguments:?}"
            );
        }
    }
}
