//! What a ground is to be, and its start.

use std::fs;
use std::path::{Path, PathBuf};

use punching_fist_node::process::Nursery;
use tempfile::TempDir;

use super::{Ground, node};
use crate::cluster::{Cluster, Existing};
use crate::control_plane::ControlPlane;
use crate::python::{Environment, Packages};
use crate::repository::Programs;
use crate::{Binaries, Cache, Error, files, images};

/// What the ground is to be.
pub struct Builder {
    directory: Option<PathBuf>,
    existing: bool,
    operator: bool,
    packages: Vec<Packages>,
    model_key: Option<String>,
    images: images::Table,
}

impl Default for Builder {
    fn default() -> Self {
        Self {
            directory: None,
            existing: false,
            operator: true,
            packages: Vec::new(),
            model_key: None,
            images: images::Table::new(),
        }
    }
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
    pub fn agent(self, agent: bool) -> Self {
        self.with_packages(&[Packages::Sdk], agent)
    }

    /// Whether the images of the engines `cli` and `main` are there, which take a virtual environment each.
    #[must_use]
    pub fn engines(self, engines: bool) -> Self {
        self.with_packages(&[Packages::Cli, Packages::Main], engines)
    }

    /// The model's key, for a Secret in the prepared namespaces: agents that don't reach the model through the gateway need
    /// one.
    #[must_use]
    pub fn model_key(mut self, key: Option<&str>) -> Self {
        self.model_key = key.map(str::to_owned);
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
        let images = self.images(&nursery, &cache, &directory, &programs, &cluster.kubectl()).await?;
        let kubeconfig = directory.join("kubeconfig");
        files::write_private(&kubeconfig, &cluster.kubeconfig()?)?;
        let node = node::start(&nursery, &cluster, images, &directory).await?;
        let model_key = self.model_key;
        let ground = Ground {
            node,
            cluster,
            nursery,
            cache,
            programs,
            model_key,
            kubeconfig,
            directory,
            _temporary: temporary,
        };
        ground.furnish().await?;
        Ok(ground)
    }

    fn with_packages(mut self, wanted: &[Packages], are_wanted: bool) -> Self {
        self.packages.retain(|packages| !wanted.contains(packages));
        self.packages.extend(wanted.iter().filter(|_| are_wanted));
        self
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
        for packages in &self.packages {
            let environment = Environment::of(*packages, nursery, cache).await?;
            let image = match packages {
                Packages::Sdk => images::agent,
                Packages::Cli => images::cli,
                Packages::Main => images::main,
            };
            table.extend([image(&dir, &environment, kubectl)?]);
        }
        table.extend(self.images.clone());
        Ok(table)
    }
}
