//! The programs of a control plane and Alertmanager: found where the user says, in the cache, or built there from their
//! pinned Go modules.

use std::env;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use punching_fist_node::process::{Nursery, tied};
use tokio::io::{AsyncBufReadExt as _, AsyncRead, BufReader};
use tokio::process::Command;

use crate::cache::Key;
use crate::cluster::on_path;
use crate::process::tail;
use crate::progress::Progress;
use crate::{Cache, Error};

/// Pins of the control plane: module versions and their hashes.
const GO_MOD: &str = include_str!("../control-plane/go.mod");
const GO_SUM: &str = include_str!("../control-plane/go.sum");
/// Without the version flags the API server calls itself v0.0.0-master.
const LDFLAGS: &str = "-s -w -X k8s.io/component-base/version.gitVersion=v1.37.2 \
                       -X k8s.io/component-base/version.gitMajor=1 -X k8s.io/component-base/version.gitMinor=37";
/// DWARF is a quarter of the build's time and of no use here.
const BUILD_FLAGS: [&str; 5] = ["-v", "-trimpath", "-gcflags=all=-dwarf=false", "-ldflags", LDFLAGS];
const PACKAGES: [&str; 4] = [
    "go.etcd.io/etcd/server/v3",
    "k8s.io/kubernetes/cmd/kube-apiserver",
    "k8s.io/kubernetes/cmd/kube-controller-manager",
    "k8s.io/kubernetes/cmd/kubectl",
];
/// Newer ones don't build from their module: the files of their page are not in it.
const ALERTMANAGER: &str = "github.com/prometheus/alertmanager/cmd/alertmanager@v0.31.0";

/// Where the pin of the MCP server is.
const KUBERNETES_MCP: &str = include_str!("../../../examples/skills/kubernetes-mcp.Dockerfile");
const KUBERNETES_MCP_ESTIMATE: Duration = Duration::from_secs(5);

/// Cold build times, measured on four cores.
pub(crate) const CONTROL_PLANE_ESTIMATE: Duration = Duration::from_secs(270);
pub(crate) const ALERTMANAGER_ESTIMATE: Duration = Duration::from_secs(40);

/// The variable that envtest users know: a directory with etcd, kube-apiserver and kubectl.
pub const ASSETS: &str = "KUBEBUILDER_ASSETS";

/// Where the programs of a control plane are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Binaries {
    /// The store.
    pub etcd: PathBuf,
    /// The API server.
    pub kube_apiserver: PathBuf,
    /// The Job controller, the garbage collector, and all the others.
    pub kube_controller_manager: PathBuf,
    /// The user's tool, and the agent's.
    pub kubectl: PathBuf,
}

impl Binaries {
    /// All four from `$KUBEBUILDER_ASSETS` if they are there; else the cache's, built if need be.
    ///
    /// # Errors
    /// The build failed, or the cache can't be written.
    pub async fn get(nursery: &Nursery, cache: &Cache) -> Result<Self, Error> {
        if let Some(assets) =
            env::var_os(ASSETS).filter(|dir| !Self::in_directory(Path::new(dir)).is_complete())
        {
            let assets = assets.to_string_lossy();
            eprintln!(
                "{ASSETS} ({assets}) lacks some of the four programs (envtest brings no controller manager): not used."
            );
        }
        if let Some(found) = Self::found(cache) {
            return Ok(found);
        }
        let build = async |dir: &Path| build_control_plane(nursery, dir).await;
        Ok(Self::in_directory(&cache.entry(&control_plane_key(), build).await?))
    }

    /// The programs, if nothing has to be built for them.
    pub fn found(cache: &Cache) -> Option<Self> {
        let assets = env::var_os(ASSETS).map(|dir| Self::in_directory(Path::new(&dir)));
        assets
            .filter(Self::is_complete)
            .or_else(|| cache.find(&control_plane_key()).map(|dir| Self::in_directory(&dir)))
    }

    fn in_directory(dir: &Path) -> Self {
        Self {
            etcd: dir.join("etcd"),
            kube_apiserver: dir.join("kube-apiserver"),
            kube_controller_manager: dir.join("kube-controller-manager"),
            kubectl: dir.join("kubectl"),
        }
    }

    /// Whether all four are there: a controller manager of another version than the API server is no good.
    fn is_complete(&self) -> bool {
        let all = [&self.etcd, &self.kube_apiserver, &self.kube_controller_manager, &self.kubectl];
        all.iter().all(|path| path.is_file())
    }
}

/// Alertmanager: the cache's, built if need be.
///
/// # Errors
/// The build failed, or the cache can't be written.
pub async fn alertmanager(nursery: &Nursery, cache: &Cache) -> Result<PathBuf, Error> {
    let build = async |dir: &Path| {
        let mut command = go(dir);
        command.args(["install", "-v", "-trimpath", ALERTMANAGER]).env("GOBIN", dir);
        build("Building Alertmanager", ALERTMANAGER_ESTIMATE, nursery, command).await
    };
    Ok(cache.entry(&alertmanager_key(), build).await?.join("alertmanager"))
}

/// The MCP server of `examples/skills`, as the package of its Dockerfile brings it: the cache's, installed if need be; none
/// if there is nothing to install it with.
///
/// # Errors
/// The Dockerfile names no package, npm fails, or the cache can't be written.
pub async fn kubernetes_mcp(nursery: &Nursery, cache: &Cache) -> Result<Option<PathBuf>, Error> {
    if lacks_kubernetes_mcp(cache) {
        return Ok(None);
    }
    let (name, package) = kubernetes_mcp_package();
    let install = async |dir: &Path| {
        let mut command = tied("npm");
        command.args(["install", "--ignore-scripts", "--no-save", "--no-audit", "--no-fund"]);
        command.arg("--prefix").arg(dir).arg(&package);
        build("Installing the MCP server for Kubernetes by npm", KUBERNETES_MCP_ESTIMATE, nursery, command)
            .await
    };
    let installed = cache.entry(&kubernetes_mcp_key(&package), install).await?;
    Ok(Some(installed.join("node_modules").join(&name).join("bin").join(&name)))
}

/// Whether the MCP server would have to be installed and npm isn't there.
pub fn lacks_kubernetes_mcp(cache: &Cache) -> bool {
    let (_, package) = kubernetes_mcp_package();
    cache.find(&kubernetes_mcp_key(&package)).is_none() && on_path("npm").is_none()
}

/// Its name, and with its version.
fn kubernetes_mcp_package() -> (String, String) {
    let name = format!("kubernetes-mcp-server-linux-{}", architecture());
    let version = KUBERNETES_MCP.split_once("${TARGETARCH}@").and_then(|(_, rest)| rest.split('"').next());
    let package = format!("{name}@{}", version.unwrap_or_default());
    (name, package)
}

fn kubernetes_mcp_key(package: &str) -> Key {
    Key::new("kubernetes-mcp", &[package])
}

/// As container images have it.
fn architecture() -> &'static str {
    match env::consts::ARCH {
        "x86_64" => "amd64",
        "aarch64" => "arm64",
        other => other,
    }
}

/// Alertmanager, if it has not to be built.
pub fn found_alertmanager(cache: &Cache) -> Option<PathBuf> {
    cache.find(&alertmanager_key()).map(|dir| dir.join("alertmanager"))
}

fn control_plane_key() -> Key {
    Key::new("control-plane", &[GO_MOD, GO_SUM, &BUILD_FLAGS.join(" "), &PACKAGES.join(" ")])
}

fn alertmanager_key() -> Key {
    Key::new("alertmanager", &[ALERTMANAGER])
}

async fn build_control_plane(nursery: &Nursery, dir: &Path) -> Result<(), Error> {
    let module = tempfile::tempdir().map_err(Error::file("create", env::temp_dir()))?;
    for (name, text) in [("go.mod", GO_MOD), ("go.sum", GO_SUM)] {
        fs::write(module.path().join(name), text).map_err(Error::file("write", module.path().join(name)))?;
    }
    let mut command = go(module.path());
    command.arg("build").args(BUILD_FLAGS).arg("-o").arg(dir).args(PACKAGES);
    let what = "Building etcd, kube-apiserver, kube-controller-manager and kubectl";
    build(what, CONTROL_PLANE_ESTIMATE, nursery, command).await?;
    // Go names a program after its directory.
    fs::rename(dir.join("server"), dir.join("etcd")).map_err(Error::file("rename etcd in", dir))
}

fn go(dir: &Path) -> Command {
    let mut command = tied("go");
    // The pins are the whole truth: no workspace, vendor directory or flags of the user's.
    command.current_dir(dir).env("GOFLAGS", "-mod=readonly").env("GOWORK", "off").env("CGO_ENABLED", "0");
    command
}

/// Runs `command`, showing `what` it does and how many packages it has got through.
pub(crate) async fn build(
    what: &str,
    estimate: Duration,
    nursery: &Nursery,
    mut command: Command,
) -> Result<(), Error> {
    let progress = Progress::start(what, estimate);
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped());
    let refused = |source| Error::Spawn { name: what.to_owned(), source };
    let mut child = nursery.spawn(command).await.map_err(refused)?;
    let output = match child.stderr.take() {
        Some(stderr) => follow(stderr, &progress).await,
        None => String::new(),
    };
    if child.wait().await.map_err(refused)?.success() {
        progress.done();
        return Ok(());
    }
    Err(Error::Build { what: what.to_owned(), tail: tail(&output, 15) })
}

async fn follow(output: impl AsyncRead + Unpin, progress: &Progress) -> String {
    let mut lines = BufReader::new(output).lines();
    let (mut text, mut counts) = (String::new(), Counts::default());
    while let Ok(Some(line)) = lines.next_line().await {
        counts.add(&line);
        progress.note(counts.to_string());
        text.push_str(&line);
        text.push('\n');
    }
    text
}

/// How far a build is, from what `go build -v` and pip say.
#[derive(Default)]
struct Counts {
    downloaded: usize,
    compiled: usize,
}

impl Counts {
    fn add(&mut self, line: &str) {
        if line.starts_with("go: downloading ") || line.starts_with("Collecting ") {
            self.downloaded += 1;
        } else if line.contains('/') && !line.contains(' ') {
            self.compiled += 1;
        }
    }
}

impl std::fmt::Display for Counts {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match (self.downloaded, self.compiled) {
            (0, 0) => Ok(()),
            (downloaded, 0) => write!(f, "{downloaded} packages downloaded"),
            (_, compiled) => write!(f, "{compiled} packages compiled"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_said_is_counted() {
        for (lines, expected) in [
            (&[][..], ""),
            (&["go: downloading a v1", "go: downloading b v1"], "2 packages downloaded"),
            (&["Collecting a==1 (from -r b/c)"], "1 packages downloaded"),
            (
                &["go: downloading a v1", "k8s.io/api/core/v1", "net/http", "x.go:3: broken"],
                "2 packages compiled",
            ),
        ] {
            let mut counts = Counts::default();
            for line in lines {
                counts.add(line);
            }
            assert_eq!(counts.to_string(), expected);
        }
    }

    #[tokio::test]
    async fn a_build_that_fails_shows_its_last_words() {
        let mut command = tied("sh");
        command.args(["-c", "echo no such module >&2; exit 1"]);
        let nursery = Nursery::start().unwrap();
        let error = build("Building x", Duration::ZERO, &nursery, command).await.unwrap_err();
        assert_eq!(error.to_string(), "Building x failed; the end of what it said:\nno such module");
    }
}
