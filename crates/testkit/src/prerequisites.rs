//! What has to be on this machine, looked at before anything is started: one line for each thing that is missing, with
//! what to install.

use std::env;
use std::net::SocketAddr;
use std::process::{Command, Stdio};
use std::time::Duration;

use punching_fist_node::process::Nursery;

use crate::cluster::{Existing, on_path};
use crate::python::{self, Environment, Packages};
use crate::{Binaries, Cache, Error, loopback, toolchain};

/// The oldest Go that can fetch a newer one by itself, and the one that the pins ask for.
const OLDEST_GO: (u32, u32) = (1, 21);
const PINNED_GO: (u32, u32) = (1, 26);

/// Programs without which no process is started here (util-linux).
const ALWAYS: [&str; 1] = ["setpriv"];
/// Programs that make a pod's namespaces (util-linux).
const FOR_PODS: [&str; 2] = ["unshare", "mount"];

/// A part of the ground that needs something of this machine.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Part {
    /// A control plane of our own.
    ControlPlane,
    /// The cluster of `$KUBECONFIG`, instead.
    ExistingCluster,
    /// A node of our own.
    Node,
    /// Alertmanager.
    Alertmanager,
    /// The agent's virtual environment.
    Agent,
    /// Those of the other engines.
    Engines,
}

impl Part {
    /// What it imports.
    fn packages(self) -> &'static [Packages] {
        match self {
            Self::Agent => &[Packages::Sdk],
            Self::Engines => &[Packages::Cli, Packages::Main],
            Self::ControlPlane | Self::ExistingCluster | Self::Node | Self::Alertmanager => &[],
        }
    }
}

/// What a command is about to need.
#[derive(Clone, Debug, Default)]
pub struct Needs {
    /// What it is about to start.
    pub parts: Vec<Part>,
    /// Addresses that the user asked for.
    pub addresses: Vec<SocketAddr>,
}

impl Needs {
    /// Looks at everything, and says all that is missing at once.
    ///
    /// # Errors
    /// Something is missing.
    pub async fn check(&self, cache: &Cache) -> Result<(), Error> {
        let mut missing = Vec::new();
        missing.extend(ALWAYS.into_iter().filter_map(missing_program));
        if self.has(Part::Node) {
            missing.extend(FOR_PODS.into_iter().filter_map(missing_program));
            missing.extend(missing_namespaces());
        }
        if self.has(Part::ExistingCluster) {
            missing.extend(missing_kubectl(cache));
            missing.extend(Existing::of_user().await.err().map(|error| error.to_string()));
        }
        let (go, python) = (self.builds_go(cache), !self.uninstalled(cache).await.is_empty());
        if go {
            missing.extend(missing_go());
        }
        for packages in self.packages() {
            missing.extend(packages.find_python().await.is_none().then(|| packages.missing_python()));
        }
        if go || python {
            missing.extend(cache.check_writable().err().map(|error| error.to_string()));
        }
        missing.extend(self.addresses.iter().filter_map(taken));
        if missing.is_empty() { Ok(()) } else { Err(Error::Prerequisites(missing)) }
    }

    /// What has to be built before anything can start, and about how long that takes.
    pub async fn missing_builds(&self, cache: &Cache) -> Vec<(&'static str, Duration)> {
        let mut missing = Vec::new();
        if self.has(Part::ControlPlane) && Binaries::found(cache).is_none() {
            missing.push(("the control plane, from its Go modules", toolchain::CONTROL_PLANE_ESTIMATE));
        }
        if self.has(Part::Alertmanager) && toolchain::found_alertmanager(cache).is_none() {
            missing.push(("Alertmanager, from its Go module", toolchain::ALERTMANAGER_ESTIMATE));
        }
        let uninstalled = self.uninstalled(cache).await;
        missing.extend(uninstalled.iter().map(|packages| (packages.what(), python::INSTALL_ESTIMATE)));
        missing
    }

    /// Builds, where the user can watch it, what is not in the cache.
    ///
    /// # Errors
    /// A build failed.
    pub async fn build(&self, nursery: &Nursery, cache: &Cache) -> Result<(), Error> {
        for part in &self.parts {
            match part {
                Part::ControlPlane => drop(Binaries::get(nursery, cache).await?),
                Part::Alertmanager => drop(toolchain::alertmanager(nursery, cache).await?),
                Part::Node | Part::ExistingCluster | Part::Agent | Part::Engines => {}
            }
        }
        for packages in self.packages() {
            Environment::of(packages, nursery, cache).await?;
        }
        Ok(())
    }

    fn packages(&self) -> impl Iterator<Item = Packages> {
        self.parts.iter().flat_map(|part| part.packages()).copied()
    }

    async fn uninstalled(&self, cache: &Cache) -> Vec<Packages> {
        let mut uninstalled = Vec::new();
        for packages in self.packages() {
            uninstalled.extend((!Environment::is_cached(packages, cache).await).then_some(packages));
        }
        uninstalled
    }

    fn has(&self, part: Part) -> bool {
        self.parts.contains(&part)
    }

    fn builds_go(&self, cache: &Cache) -> bool {
        let control_plane = self.has(Part::ControlPlane) && Binaries::found(cache).is_none();
        control_plane || (self.has(Part::Alertmanager) && toolchain::found_alertmanager(cache).is_none())
    }
}

fn missing_program(name: &str) -> Option<String> {
    let found = on_path(name).is_some();
    (!found).then(|| format!("{name} is missing: install util-linux (2.36 or newer)"))
}

fn missing_kubectl(cache: &Cache) -> Option<String> {
    let found = on_path("kubectl").is_some() || Binaries::found(cache).is_some();
    (!found).then(|| "kubectl is missing: install it (https://kubernetes.io/docs/tasks/tools)".to_owned())
}

fn missing_namespaces() -> Option<String> {
    if nix::unistd::geteuid().is_root() || on_path("unshare").is_none() {
        return None;
    }
    let tried = succeeds("unshare", &["--user", "--map-root-user", "--mount", "true"]);
    (!tried).then(|| {
        "this user can't make user namespaces, which pods run in: run as root, or allow them \
         (sysctl kernel.unprivileged_userns_clone=1, kernel.apparmor_restrict_unprivileged_userns=0)"
            .to_owned()
    })
}

fn missing_go() -> Option<String> {
    let install = "install Go 1.26 or newer (https://go.dev/dl), or set KUBEBUILDER_ASSETS to a directory with etcd, \
                   kube-apiserver, kube-controller-manager and kubectl";
    let Some(version) = go_version() else {
        return Some(format!("Go is missing, which builds the control plane: {install}"));
    };
    let fetches = env::var("GOTOOLCHAIN").map_or(true, |toolchain| toolchain != "local");
    let oldest = if fetches { OLDEST_GO } else { PINNED_GO };
    (parse_go(&version)? < oldest).then(|| format!("Go is too old ({version}): {install}"))
}

fn go_version() -> Option<String> {
    let output = Command::new("go").args(["env", "GOVERSION"]).stdin(Stdio::null()).output().ok()?;
    let text = String::from_utf8(output.stdout).ok()?;
    output.status.success().then(|| text.trim().to_owned())
}

/// `go1.26.8` as (1, 26); nothing for a development version, which is let pass.
fn parse_go(version: &str) -> Option<(u32, u32)> {
    let mut numbers = version.strip_prefix("go")?.split('.');
    Some((numbers.next()?.parse().ok()?, numbers.next()?.parse().ok()?))
}

fn taken(address: &SocketAddr) -> Option<String> {
    let free = loopback::is_free(*address);
    (!free).then(|| format!("{address} is taken: end what listens there, or choose another port"))
}

fn succeeds(program: &str, args: &[&str]) -> bool {
    let mut command = Command::new(program);
    command.args(args).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    command.status().is_ok_and(|status| status.success())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn go_versions_are_numbers() {
        for (text, expected) in [
            ("go1.26.8", Some((1, 26))),
            ("go1.9", Some((1, 9))),
            ("devel go1.27-abc", None),
            ("go1.27rc1", None),
        ] {
            assert_eq!(parse_go(text), expected, "{text}");
        }
    }

    #[tokio::test]
    async fn only_what_is_wanted_has_to_be_built() {
        let cache = Cache::at("/nowhere");
        let builds = async |parts: &[Part]| {
            let needs = Needs { parts: parts.to_vec(), ..Needs::default() };
            needs.missing_builds(&cache).await.len()
        };
        assert_eq!(builds(&[Part::Node]).await, 0);
        assert_eq!(builds(&[Part::Alertmanager, Part::Agent]).await, 2);
        assert_eq!(builds(&[Part::Agent, Part::Engines]).await, 3);
    }

    #[tokio::test]
    async fn a_port_that_is_taken_is_told() {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let needs = Needs { addresses: vec![address], ..Needs::default() };
        let error = needs.check(&Cache::at("/nowhere")).await.unwrap_err().to_string();
        assert!(error.contains(&format!("{address} is taken")), "{error}");
    }
}
