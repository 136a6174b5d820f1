//! The files of a volume, from its definition and what that refers to. Pure.

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::{
    DownwardAPIVolumeFile, KeyToPath, Pod, ProjectedVolumeSource, ServiceAccountTokenProjection, Volume,
    VolumeProjection,
};

use crate::fields::{self, Allocatable};
use crate::sources::{Kind, Sources};

/// What a file of a volume holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct File {
    pub bytes: Vec<u8>,
    pub mode: u32,
    /// Whether it is a token, which only the pod's user may read.
    pub token: bool,
}

/// Files by their path in the volume.
pub type Files = BTreeMap<String, File>;

/// Kubernetes' default for files of volumes.
const DEFAULT_MODE: i32 = 0o644;

/// Where the files of a volume come from.
pub struct Origin<'a> {
    pub pod: &'a Pod,
    pub sources: &'a Sources,
    pub node: &'a Allocatable,
    /// Tokens by their path in the volume.
    pub tokens: &'a BTreeMap<String, String>,
}

impl Origin<'_> {
    /// The files of `volume`.
    ///
    /// # Errors
    /// Something it refers to is missing and not optional; the message says what.
    pub fn files(&self, volume: &Volume) -> Result<Files, String> {
        if let Some(map) = &volume.config_map {
            let mode = map.default_mode.unwrap_or(DEFAULT_MODE);
            return self.keys(Kind::ConfigMap, &map.name, map.items.as_deref(), map.optional, mode);
        }
        if let Some(secret) = &volume.secret {
            let name = secret.secret_name.as_deref().unwrap_or_default();
            let mode = secret.default_mode.unwrap_or(DEFAULT_MODE);
            return self.keys(Kind::Secret, name, secret.items.as_deref(), secret.optional, mode);
        }
        if let Some(downward) = &volume.downward_api {
            let mode = downward.default_mode.unwrap_or(DEFAULT_MODE);
            return self.downward(downward.items.as_deref().unwrap_or_default(), mode);
        }
        volume.projected.as_ref().map_or(Ok(Files::new()), |projected| self.projected(projected))
    }

    fn projected(&self, projected: &ProjectedVolumeSource) -> Result<Files, String> {
        let mode = projected.default_mode.unwrap_or(DEFAULT_MODE);
        let mut files = Files::new();
        for part in projected.sources.iter().flatten() {
            files.extend(self.part(part, mode)?);
        }
        Ok(files)
    }

    fn part(&self, part: &VolumeProjection, mode: i32) -> Result<Files, String> {
        if let Some(map) = &part.config_map {
            return self.keys(Kind::ConfigMap, &map.name, map.items.as_deref(), map.optional, mode);
        }
        if let Some(secret) = &part.secret {
            return self.keys(Kind::Secret, &secret.name, secret.items.as_deref(), secret.optional, mode);
        }
        if let Some(downward) = &part.downward_api {
            return self.downward(downward.items.as_deref().unwrap_or_default(), mode);
        }
        let Some(token) = &part.service_account_token else {
            return Err("this node has no such projection".to_owned());
        };
        let text = self.tokens.get(&token.path).ok_or_else(|| format!("no token for {}", token.path))?;
        let file = File { bytes: text.clone().into_bytes(), mode: bits(mode), token: true };
        Ok(Files::from([(checked(&token.path)?, file)]))
    }

    /// The keys of one object: all of them, or those that `items` names.
    fn keys(
        &self,
        kind: Kind,
        name: &str,
        items: Option<&[KeyToPath]>,
        optional: Option<bool>,
        mode: i32,
    ) -> Result<Files, String> {
        let optional = optional == Some(true);
        let data = match self.sources.object(kind, name) {
            Ok(data) => data,
            Err(_) if optional => return Ok(Files::new()),
            Err(missing) => return Err(missing),
        };
        let file = |bytes: &Vec<u8>, mode| File { bytes: bytes.clone(), mode: bits(mode), token: false };
        let Some(items) = items.filter(|items| !items.is_empty()) else {
            return Ok(data.iter().map(|(key, bytes)| (key.clone(), file(bytes, mode))).collect());
        };
        let mut files = Files::new();
        for item in items {
            match data.get(&item.key) {
                Some(bytes) => {
                    files.insert(checked(&item.path)?, file(bytes, item.mode.unwrap_or(mode)));
                }
                None if optional => {}
                None => return Err(format!("references non-existent {kind:?} key: {}", item.key)),
            }
        }
        Ok(files)
    }

    fn downward(&self, items: &[DownwardAPIVolumeFile], mode: i32) -> Result<Files, String> {
        let mut files = Files::new();
        for item in items {
            let text = match (&item.field_ref, &item.resource_field_ref) {
                (Some(selector), _) => fields::field(self.pod, &selector.field_path)?,
                (None, Some(selector)) => fields::resource(self.pod, None, selector, self.node)?,
                (None, None) => continue,
            };
            let mode = bits(item.mode.unwrap_or(mode));
            files.insert(checked(&item.path)?, File { bytes: text.into_bytes(), mode, token: false });
        }
        Ok(files)
    }
}

/// The tokens that a volume asks for.
pub fn tokens(volume: &Volume) -> impl Iterator<Item = &ServiceAccountTokenProjection> {
    let parts = volume.projected.iter().flat_map(|projected| projected.sources.iter().flatten());
    parts.filter_map(|part| part.service_account_token.as_ref())
}

/// The API server accepts no other path; this node writes as root and does not rely on it.
fn checked(path: &str) -> Result<String, String> {
    let sound = !path.is_empty()
        && path.split('/').all(|part| !part.is_empty() && part != "." && !part.starts_with(".."));
    if sound { Ok(path.to_owned()) } else { Err(format!("path {path:?} leads out of the volume")) }
}

fn bits(mode: i32) -> u32 {
    u32::try_from(mode & 0o777).unwrap_or(0o644)
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn files(volume: Value) -> Result<Vec<String>, String> {
        let mut volume = volume;
        volume["name"] = json!("v");
        let volume: Volume = serde_json::from_value(volume).unwrap();
        let pod: Pod =
            serde_json::from_value(json!({"metadata": {"name": "web", "annotations": {"a": "1"}}})).unwrap();
        let sources = Sources::default().with(Kind::ConfigMap, "settings", &[("a", "1"), ("b", "2")]).with(
            Kind::Secret,
            "login",
            &[("password", "p")],
        );
        let node = Allocatable { cpu: "4".to_owned(), memory: "1Gi".to_owned() };
        let tokens = BTreeMap::from([("token".to_owned(), "t".to_owned())]);
        let origin = Origin { pod: &pod, sources: &sources, node: &node, tokens: &tokens };
        let line = |(path, file): (String, File)| {
            format!("{path} {:o} {}", file.mode, String::from_utf8(file.bytes).unwrap())
        };
        Ok(origin.files(&volume)?.into_iter().map(line).collect())
    }

    #[test]
    fn files_come_from_all_kinds_of_volumes() {
        for (volume, want) in [
            (json!({"emptyDir": {}}), vec![]),
            (json!({"configMap": {"name": "settings"}}), vec!["a 644 1", "b 644 2"]),
            (
                json!({"configMap": {"name": "settings", "defaultMode": 256,
                       "items": [{"key": "a", "path": "x/y"}, {"key": "b", "path": "z", "mode": 493}]}}),
                vec!["x/y 400 1", "z 755 2"],
            ),
            (json!({"configMap": {"name": "none", "optional": true}}), vec![]),
            (json!({"secret": {"secretName": "login"}}), vec!["password 644 p"]),
            (
                json!({"downwardAPI": {"items": [{"path": "n", "fieldRef": {"fieldPath": "metadata.annotations['a']"}}]}}),
                vec!["n 644 1"],
            ),
            (
                json!({"projected": {"defaultMode": 288, "sources": [
                    {"serviceAccountToken": {"path": "token"}},
                    {"configMap": {"name": "settings", "items": [{"key": "a", "path": "ca.crt"}]}},
                    {"downwardAPI": {"items": [{"path": "namespace", "fieldRef": {"fieldPath": "metadata.name"}}]}},
                ]}}),
                vec!["ca.crt 440 1", "namespace 440 web", "token 440 t"],
            ),
        ] {
            let want = want.into_iter().map(str::to_owned).collect();
            assert_eq!(files(volume.clone()), Ok(want), "{volume}");
        }
    }

    #[test]
    fn what_is_not_there_or_leads_out_of_the_volume_is_refused() {
        for (volume, why) in [
            (
                json!({"configMap": {"name": "settings", "items": [{"key": "c", "path": "c"}]}}),
                "references non-existent ConfigMap key: c",
            ),
            (json!({"configMap": {"name": "none"}}), "configmap \"none\" not found"),
            (
                json!({"secret": {"secretName": "login", "items": [{"key": "password", "path": "../x"}]}}),
                "path \"../x\" leads out of the volume",
            ),
        ] {
            assert_eq!(files(volume.clone()), Err(why.to_owned()), "{volume}");
        }
    }
}
