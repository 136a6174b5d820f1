//! The volumes of a pod: directories of the node, filled from what they refer to, and mounted into its containers.

mod contents;
mod directory;

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use k8s_openapi::api::authentication::v1::{BoundObjectReference, TokenRequest, TokenRequestSpec};
use k8s_openapi::api::core::v1::{
    Container, Pod, ServiceAccount, ServiceAccountTokenProjection, Volume, VolumeMount,
};
use k8s_openapi::jiff::{SignedDuration, Timestamp};
use kube::api::PostParams;
use kube::{Api, Client};

use crate::calls::{self, CallError};
use crate::environment::{self, Variables};
use crate::fields::{self, Allocatable};
use crate::sandbox::Mount;
use crate::security::Privileges;
use crate::sources::{self, Sources};
use contents::{Files, Origin};
use directory::Ownership;

/// How often the files are compared with what they come from.
pub const REFRESH: Duration = Duration::from_secs(60);

/// How long a token is good that says nothing about it, in seconds.
const TOKEN_SECONDS: i64 = 3600;

/// Why a volume can't be mounted, yet or at all.
#[derive(Debug, thiserror::Error)]
pub enum VolumeError {
    /// What it refers to is missing.
    #[error("{0}")]
    Content(String),
    /// The API server.
    #[error(transparent)]
    Call(#[from] CallError),
    /// The host's disk.
    #[error("can't write volume: {0}")]
    Disk(#[from] io::Error),
}

/// A token and when to ask for the next.
#[derive(Debug)]
struct Token {
    text: String,
    renew_at: Timestamp,
}

/// The volumes of one pod.
pub struct Volumes {
    client: Client,
    directory: PathBuf,
    ownership: Ownership,
    allocatable: Allocatable,
    written: BTreeMap<String, Files>,
    tokens: BTreeMap<(String, String), Token>,
    version: u64,
}

impl Volumes {
    /// The volumes of `pod`, which are to be in `directory`.
    pub fn new(
        client: Client,
        directory: PathBuf,
        pod: &Pod,
        node: &Allocatable,
        privileges: Privileges,
    ) -> Self {
        let ownership = match privileges {
            Privileges::Root => ownership(pod),
            Privileges::UserNamespace => Ownership::default(),
        };
        Self {
            client,
            directory,
            ownership,
            allocatable: node.clone(),
            written: BTreeMap::new(),
            tokens: BTreeMap::new(),
            version: 0,
        }
    }

    /// Makes every volume, or brings it up to date.
    ///
    /// # Errors
    /// The first volume that can't be made: its name and why.
    pub async fn refresh(&mut self, pod: &Pod) -> Result<(), (String, VolumeError)> {
        for volume in pod.spec.iter().flat_map(|spec| spec.volumes.iter().flatten()) {
            self.make(pod, volume).await.map_err(|error| (volume.name.clone(), error))?;
        }
        Ok(())
    }

    /// Whether anything can change under a running pod.
    pub fn change(pod: &Pod) -> bool {
        let mut volumes = pod.spec.iter().flat_map(|spec| spec.volumes.iter().flatten());
        volumes.any(|volume| volume.empty_dir.is_none())
    }

    async fn make(&mut self, pod: &Pod, volume: &Volume) -> Result<(), VolumeError> {
        let path = self.path(&volume.name);
        if volume.empty_dir.is_some() {
            let made = path.exists();
            return if made { Ok(()) } else { Ok(directory::make_shared(&path, self.ownership)?) };
        }
        let filled = [volume.config_map.is_some(), volume.secret.is_some(), volume.projected.is_some()];
        if !filled.contains(&true) && volume.downward_api.is_none() {
            return Err(VolumeError::Content("this node has no volumes of this kind".to_owned()));
        }
        let files = self.files(pod, volume).await?;
        if self.written.get(&volume.name) != Some(&files) {
            self.version += 1;
            directory::write(&path, &files, self.ownership, self.version)?;
            self.written.insert(volume.name.clone(), files);
        }
        Ok(())
    }

    async fn files(&mut self, pod: &Pod, volume: &Volume) -> Result<Files, VolumeError> {
        let namespace = pod.metadata.namespace.as_deref().unwrap_or_default();
        let sources = Sources::fetch(&self.client, namespace, sources::of_volume(volume)).await?;
        let mut tokens = BTreeMap::new();
        for projection in contents::tokens(volume) {
            tokens.insert(projection.path.clone(), self.token(pod, &volume.name, projection).await?);
        }
        let origin = Origin { pod, sources: &sources, node: &self.allocatable, tokens: &tokens };
        origin.files(volume).map_err(VolumeError::Content)
    }

    /// The token that was asked for, or a new one when four fifths of its time are over.
    async fn token(
        &mut self,
        pod: &Pod,
        volume: &str,
        projection: &ServiceAccountTokenProjection,
    ) -> Result<String, VolumeError> {
        let key = (volume.to_owned(), projection.path.clone());
        let now = Timestamp::now();
        if let Some(token) = self.tokens.get(&key).filter(|token| now < token.renew_at) {
            return Ok(token.text.clone());
        }
        let namespace = pod.metadata.namespace.as_deref().unwrap_or_default();
        let account =
            pod.spec.as_ref().and_then(|spec| spec.service_account_name.as_deref()).unwrap_or("default");
        let api: Api<ServiceAccount> = Api::namespaced(self.client.clone(), namespace);
        let (request, parameters) = (token_request(pod, projection), PostParams::default());
        let answer = calls::bounded(api.create_token_request(account, &parameters, &request)).await?;
        let text = answer.status.map(|status| status.token).unwrap_or_default();
        let seconds = projection.expiration_seconds.unwrap_or(TOKEN_SECONDS);
        let renew_at = now.saturating_add(SignedDuration::from_secs(seconds * 4 / 5)).unwrap_or(now);
        self.tokens.insert(key, Token { text: text.clone(), renew_at });
        Ok(text)
    }

    fn path(&self, volume: &str) -> PathBuf {
        self.directory.join(volume)
    }

    /// What a container has mounted where. `variables` are for `subPathExpr`.
    ///
    /// # Errors
    /// A `subPath` can't be made, or leads out of its volume.
    pub fn mounts(
        &self,
        pod: &Pod,
        container: &Container,
        variables: &Variables,
    ) -> Result<Vec<Mount>, String> {
        let empty: Vec<_> = pod
            .spec
            .iter()
            .flat_map(|spec| spec.volumes.iter().flatten())
            .filter(|volume| volume.empty_dir.is_some())
            .map(|volume| volume.name.as_str())
            .collect();
        let mut mounts = Vec::new();
        for mount in container.volume_mounts.iter().flatten() {
            let writable = empty.contains(&mount.name.as_str());
            let source = self.source(mount, writable, variables)?;
            let read_only = !writable || mount.read_only == Some(true);
            mounts.push(Mount { source, target: mount.mount_path.clone(), read_only });
        }
        Ok(mounts)
    }

    fn source(&self, mount: &VolumeMount, writable: bool, variables: &Variables) -> Result<PathBuf, String> {
        let volume = self.path(&mount.name);
        let part = match (&mount.sub_path, &mount.sub_path_expr) {
            (_, Some(expression)) => environment::expand(expression, variables),
            (Some(path), None) => path.clone(),
            (None, None) => String::new(),
        };
        if part.is_empty() {
            return Ok(volume);
        }
        let trouble =
            |why: String| format!("failed to prepare subPath for volumeMount \"{}\": {why}", mount.name);
        within(&volume, &part, writable).map_err(trouble)
    }
}

/// A path in a volume. The pod may have put links there: none may lead out, as the node follows them on the host.
fn within(volume: &Path, part: &str, create: bool) -> Result<PathBuf, String> {
    let volume = volume.canonicalize().map_err(|error| error.to_string())?;
    let mut path = volume.clone();
    for name in part.split('/').filter(|name| !name.is_empty() && *name != ".") {
        path.push(name);
        if create && path.symlink_metadata().is_err() {
            fs::create_dir(&path).map_err(|error| error.to_string())?;
            fs::set_permissions(&path, fs::Permissions::from_mode(0o777))
                .map_err(|error| error.to_string())?;
        }
        path = path.canonicalize().map_err(|error| format!("{part}: {error}"))?;
        if !path.starts_with(&volume) {
            return Err(format!("{part} leads out of the volume"));
        }
    }
    Ok(path)
}

fn ownership(pod: &Pod) -> Ownership {
    let context = pod.spec.as_ref().and_then(|spec| spec.security_context.as_ref());
    let of_pod = context.and_then(|context| context.run_as_user);
    let mut users = fields::containers(pod)
        .map(|container| container.security_context.as_ref().and_then(|own| own.run_as_user).or(of_pod));
    let first = users.next().flatten();
    let only = first.filter(|_| users.all(|user| user == first));
    Ownership {
        group: context.and_then(|context| context.fs_group).and_then(|group| u32::try_from(group).ok()),
        user: only.and_then(|user| u32::try_from(user).ok()),
    }
}

fn token_request(pod: &Pod, projection: &ServiceAccountTokenProjection) -> TokenRequest {
    let bound = BoundObjectReference {
        api_version: Some("v1".to_owned()),
        kind: Some("Pod".to_owned()),
        name: pod.metadata.name.clone(),
        uid: pod.metadata.uid.clone(),
    };
    let spec = TokenRequestSpec {
        audiences: projection.audience.iter().cloned().collect(),
        bound_object_ref: Some(bound),
        expiration_seconds: Some(projection.expiration_seconds.unwrap_or(TOKEN_SECONDS)),
    };
    TokenRequest { spec, ..TokenRequest::default() }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;

    #[test]
    fn sub_paths_stay_in_their_volume() {
        let scratch = tempfile::tempdir().unwrap();
        let volume = scratch.path().canonicalize().unwrap().join("v");
        fs::create_dir_all(volume.join("a")).unwrap();
        symlink("/etc", volume.join("out")).unwrap();
        symlink("a", volume.join("in")).unwrap();
        for (part, create, want) in [
            ("a", false, Ok("a")),
            ("in", false, Ok("a")),
            ("new/deep", true, Ok("new/deep")),
            ("none", false, Err("none: No such file or directory (os error 2)")),
            ("out", true, Err("out leads out of the volume")),
            ("out/ssh", true, Err("out/ssh leads out of the volume")),
            ("../x", false, Err("../x leads out of the volume")),
        ] {
            let got = within(&volume, part, create);
            assert_eq!(got, want.map(|path| volume.join(path)).map_err(str::to_owned), "{part}");
        }
    }
}
