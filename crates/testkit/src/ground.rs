//! The ground: a cluster with our kinds, our rights, namespaces prepared for agents and a node, on which operators and
//! an Alertmanager are started one by one. The demo, `cargo xtask cluster` and the end-to-end tests stand on it.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use kube::Client;
use kube::CustomResourceExt as _;
use punching_fist_api::{AlertTask, MaintenanceTask};
use punching_fist_node::process::Nursery;
use serde_json::Value;
use tempfile::TempDir;

use crate::alertmanager::{self, Alertmanager};
use crate::cluster::{Cluster, Existing};
use crate::control_plane::ControlPlane;
use crate::operator::{self, Operator, Place};
use crate::python::Environment;
use crate::repository::Programs;
use crate::{Binaries, Cache, Error, images, manifests, namespaces, repository, toolchain};

/// Kinds of `deploy/` that only make sense where the operator is a pod.
const OF_PODS: [&str; 2] = ["Deployment", "Service"];

/// What the ground is to be.
pub struct Builder {
    directory: Option<PathBuf>,
    existing: bool,
    operator: bool,
    agent: bool,
    model_key: String,
    images: images::Table,
}

/// The ground.
pub struct Ground {
    directory: PathBuf,
    // Removed last, when nothing writes into it any more.
    _temporary: Option<TempDir>,
    nursery: Nursery,
    cache: Cache,
    cluster: Cluster,
    programs: Programs,
    kubeconfig: PathBuf,
    model_key: String,
    images: images::Table,
}

impl Builder {
    /// Where data, logs and configurations go; a temporary directory otherwise.
    #[must_use]
    pub fn directory(mut self, directory: impl Into<PathBuf>) -> Self {
        self.directory = Some(directory.into());
        self
    }

    /// Stand on the cluster of `$KUBECONFIG`.
    #[must_use]
    pub fn existing(mut self, existing: bool) -> Self {
        self.existing = existing;
        self
    }

    /// Whether the operator is built, so that replicas of it can be started.
    #[must_use]
    pub fn operators(mut self, operator: bool) -> Self {
        self.operator = operator;
        self
    }

    /// Whether the agent's image is there, which takes its virtual environment.
    #[must_use]
    pub fn agent(mut self, agent: bool) -> Self {
        self.agent = agent;
        self
    }

    /// The model's key, for the Secret of the prepared namespaces.
    #[must_use]
    pub fn model_key(mut self, key: impl Into<String>) -> Self {
        self.model_key = key.into();
        self
    }

    /// One more image for the node.
    #[must_use]
    pub fn image(mut self, name: impl Into<String>, directory: impl Into<PathBuf>) -> Self {
        self.images.insert(name.into(), directory.into());
        self
    }

    /// Builds what is missing and starts everything but operators and Alertmanager.
    ///
    /// # Errors
    /// Something can't be built or started.
    pub async fn start(self) -> Result<Ground, Error> {
        let nursery =
            Nursery::start().map_err(|source| Error::Spawn { name: "the nursery".to_owned(), source })?;
        let cache = Cache::of_user();
        let (directory, temporary) = self.place()?;
        let programs = Programs::build(&nursery, self.operator).await?;
        let cluster = self.cluster(&nursery, &cache, &directory).await?;
        let table = self.images(&nursery, &cache, &directory, &programs, &cluster.kubectl()).await?;
        let kubeconfig = directory.join("kubeconfig");
        fs::write(&kubeconfig, cluster.kubeconfig()?).map_err(Error::file("write", &kubeconfig))?;
        let model_key = self.model_key.clone();
        let ground = Ground {
            directory,
            _temporary: temporary,
            nursery,
            cache,
            cluster,
            programs,
            kubeconfig,
            model_key,
            images: table,
        };
        ground.furnish().await?;
        Ok(ground)
    }

    fn place(&self) -> Result<(PathBuf, Option<TempDir>), Error> {
        if let Some(directory) = &self.directory {
            fs::create_dir_all(directory).map_err(Error::file("create", directory))?;
            return Ok((directory.clone(), None));
        }
        let made = tempfile::Builder::new().prefix("punching-fist-").tempdir();
        let temporary = made.map_err(Error::file("create a directory in", std::env::temp_dir()))?;
        Ok((temporary.path().to_owned(), Some(temporary)))
    }

    async fn cluster(&self, nursery: &Nursery, cache: &Cache, directory: &Path) -> Result<Cluster, Error> {
        if self.existing {
            return Ok(Cluster::Existing(Box::new(Existing::of_user().await?)));
        }
        let binaries = Binaries::get(nursery, cache).await?;
        let own = ControlPlane::start(nursery, &binaries, &directory.join("control-plane")).await?;
        Ok(Cluster::Own(Box::new(own)))
    }

    async fn images(
        &self,
        nursery: &Nursery,
        cache: &Cache,
        directory: &Path,
        programs: &Programs,
        kubectl: &Path,
    ) -> Result<images::Table, Error> {
        let dir = directory.join("images");
        let mut table = images::Table::from([images::shell(&dir)?, images::operator(&dir, programs)?]);
        if self.agent {
            let environment = Environment::get(nursery, cache).await?;
            table.extend([images::agent(&dir, &environment, kubectl)?]);
        }
        table.extend(self.images.clone());
        Ok(table)
    }
}

impl Ground {
    /// A ground with a node and without the agent's image.
    pub fn builder() -> Builder {
        Builder {
            directory: None,
            existing: false,
            operator: true,
            agent: false,
            model_key: "scripted".to_owned(),
            images: images::Table::new(),
        }
    }

    /// A client with all rights.
    pub fn client(&self) -> Client {
        self.cluster.client()
    }

    /// The cluster that it stands on.
    pub fn cluster(&self) -> &Cluster {
        &self.cluster
    }

    /// A file with a kubeconfig that has all rights.
    pub fn kubeconfig(&self) -> &Path {
        &self.kubeconfig
    }

    /// kubectl, of the same version as the API server.
    pub fn kubectl(&self) -> PathBuf {
        self.cluster.kubectl()
    }

    /// Where data, logs and configurations are.
    pub fn directory(&self) -> &Path {
        &self.directory
    }

    /// Where processes come from that shall end with the ground.
    pub fn nursery(&self) -> &Nursery {
        &self.nursery
    }

    /// Makes a namespace that agents can work in.
    ///
    /// # Errors
    /// The API server refuses something.
    pub async fn prepare_namespace(&self, name: &str) -> Result<(), Error> {
        namespaces::prepare(&self.client(), name, &self.model_key).await
    }

    /// Starts a replica of the operator and waits until it is ready.
    ///
    /// # Errors
    /// It can't be started, or is not ready in time.
    pub async fn operator(&self, settings: operator::Settings) -> Result<Operator, Error> {
        Operator::start(&self.operator_place(&settings).await?, settings).await
    }

    /// Starts a replica of the operator and doesn't wait for anything.
    ///
    /// # Errors
    /// It can't be started.
    pub async fn launch_operator(&self, settings: operator::Settings) -> Result<Operator, Error> {
        Operator::launch(&self.operator_place(&settings).await?, settings).await
    }

    async fn operator_place(&self, settings: &operator::Settings) -> Result<Place<'_>, Error> {
        let program = self.programs.operator.clone().ok_or_else(|| Error::Spawn {
            name: settings.name.clone(),
            source: io::Error::other("this ground was started without operators"),
        })?;
        let kubeconfig = self.cluster.kubeconfig_for_token(&operator::token(&self.client()).await?)?;
        let dir = self.directory.join("operators").join(&settings.name);
        Ok(Place { nursery: &self.nursery, program, kubeconfig, dir })
    }

    /// Starts an Alertmanager, building it if need be.
    ///
    /// # Errors
    /// It can't be built or started.
    pub async fn alertmanager(&self, settings: &alertmanager::Settings) -> Result<Alertmanager, Error> {
        let binary = toolchain::alertmanager(&self.nursery, &self.cache).await?;
        Alertmanager::start(&self.nursery, &binary, &self.directory.join("alertmanager"), settings).await
    }

    /// Ends the node and its pods, then the cluster if it is ours.
    ///
    /// # Errors
    /// The system can't tell how a process ended.
    pub async fn stop(self) -> Result<(), Error> {
        self.cluster.stop().await
    }

    /// Kinds, namespaces and rights.
    async fn furnish(&self) -> Result<(), Error> {
        let client = self.client();
        manifests::apply_kinds(&client, &[MaintenanceTask::crd(), AlertTask::crd()]).await?;
        namespaces::ensure(&client, namespaces::OPERATOR).await?;
        manifests::apply(&client, &deployed()?).await?;
        for name in namespaces::PREPARED {
            self.prepare_namespace(name).await?;
        }
        Ok(())
    }
}

/// What `deploy/` holds, less what runs the operator as a pod: here it is a process.
fn deployed() -> Result<Vec<Value>, Error> {
    let mut documents = manifests::read_directory(&repository::root().join("deploy"))?;
    documents.retain(|document| !OF_PODS.iter().any(|kind| document["kind"] == *kind));
    Ok(documents)
}
