//! What a profile may ask of the agent's pod: who it runs as, where it is placed, and what is mounted into it. What the API
//! server or the namespace's Pod Security would refuse later is refused here.

use std::path::Path;

use k8s_openapi::api::core::v1::{Toleration, Volume, VolumeMount};
use punching_fist_api::names;
use punching_fist_core::pod::{is_reserved_path, is_reserved_volume};
use serde_json::Value;

use super::{AgentProfile, Check, forms, locate};

/// What a volume may be made of in a namespace that enforces the restricted Pod Security profile, as prepared ones do.
const RESTRICTED: [&str; 9] = [
    "configMap",
    "csi",
    "downwardAPI",
    "emptyDir",
    "ephemeral",
    "image",
    "persistentVolumeClaim",
    "projected",
    "secret",
];
/// Labels and annotations of the operator and of the Job controller: their keys, or the part before the slash.
const LABELS: [&str; 9] = [
    names::GROUP,
    names::LABEL_APP,
    names::LABEL_MANAGED_BY,
    names::LABEL_COMPONENT,
    names::LABEL_TASK_TYPE,
    names::LABEL_TASK_ID,
    "batch.kubernetes.io",
    "controller-uid",
    "job-name",
];

impl Check<'_> {
    /// What the profile at `path` asks of the pod.
    pub(super) fn pod(&mut self, path: &str, profile: &AgentProfile, allow_privileged: bool) {
        let objects = [
            ("serviceAccountName", Some(&profile.service_account_name)),
            ("remediateServiceAccountName", Some(&profile.remediate_service_account_name)),
            ("runtimeClassName", profile.runtime_class_name.as_ref()),
            ("priorityClassName", profile.priority_class_name.as_ref()),
        ];
        for (key, name) in objects {
            self.form(name.and_then(|name| forms::object_name(name)), &format!("{path}.{key}"));
        }
        self.labels(path, profile);
        for (index, toleration) in profile.tolerations.iter().enumerate() {
            self.form(wrong_toleration(toleration), &format!("{path}.tolerations[{index}]"));
        }
        for (index, volume) in profile.volumes.iter().enumerate() {
            let others = &profile.volumes[..index];
            self.volume(&format!("{path}.volumes[{index}]"), volume, others, allow_privileged);
        }
        for (index, mount) in profile.volume_mounts.iter().enumerate() {
            let others = &profile.volume_mounts[..index];
            self.mount(&format!("{path}.volumeMounts[{index}]"), mount, others, &profile.volumes);
        }
    }

    fn labels(&mut self, path: &str, profile: &AgentProfile) {
        let maps = [
            ("nodeSelector", &profile.node_selector),
            ("podLabels", &profile.pod_labels),
            ("podAnnotations", &profile.pod_annotations),
        ];
        for (kind, map) in maps {
            for (key, value) in map {
                let path = locate::below(&format!("{path}.{kind}"), key);
                let is_ours = kind != "nodeSelector" && is_ours(key);
                let ours = is_ours.then(|| format!("`{key}` is set by the operator itself"));
                let wrong = forms::qualified_name(key).or(ours);
                // An annotation's value may be anything.
                let value = || (kind != "podAnnotations").then(|| forms::label_value(value)).flatten();
                self.form(wrong.or_else(value), &path);
            }
        }
    }

    fn volume(&mut self, path: &str, volume: &Volume, others: &[Volume], allow_privileged: bool) {
        let name = &volume.name;
        let wrong = forms::label(name).or_else(|| {
            is_reserved_volume(name)
                .then(|| format!("`{name}` is a volume of the operator's own: choose another name"))
        });
        self.form(wrong, &format!("{path}.name"));
        let is_first = others.iter().all(|other| other.name != *name);
        self.require(is_first, &format!("{path}.name"), format!("`{name}` is there twice"));
        match sources(volume).as_slice() {
            [source] => {
                let fits = allow_privileged || RESTRICTED.contains(&source.as_str());
                let message = "the restricted Pod Security profile of prepared namespaces refuses it; ask for such pods with \
                               allowPrivilegedAgents: true";
                self.require(fits, &format!("{path}.{source}"), message);
            }
            [] => self.refuse(
                path,
                "say what it is made of: one of configMap, secret, persistentVolumeClaim, emptyDir and so on",
            ),
            several => self.refuse(path, format!("can be one thing only: {}", several.join(" or "))),
        }
    }

    fn mount(&mut self, path: &str, mount: &VolumeMount, others: &[VolumeMount], volumes: &[Volume]) {
        let name = &mount.name;
        let is_known = volumes.iter().any(|volume| volume.name == *name);
        let message = format!("there is no volume `{name}` in this profile's volumes");
        self.require(is_known, &format!("{path}.name"), message);
        let place = Path::new(&mount.mount_path);
        let wrong = if !mount.mount_path.starts_with('/') || mount.mount_path.contains(':') {
            Some("must begin with a slash and have no colon in it".to_owned())
        } else if is_reserved_path(&mount.mount_path) {
            Some(format!("`{}` is the operator's own: choose another place", mount.mount_path))
        } else if others.iter().any(|other| Path::new(&other.mount_path) == place) {
            Some(format!("`{}` is there twice", mount.mount_path))
        } else {
            None
        };
        self.form(wrong, &format!("{path}.mountPath"));
    }
}

fn is_ours(key: &str) -> bool {
    let prefix = key.split_once('/').map_or(key, |(prefix, _)| prefix);
    LABELS.contains(&key) || LABELS.contains(&prefix)
}

/// The kinds of source that a volume has: one, if it is a volume.
fn sources(volume: &Volume) -> Vec<String> {
    let written = serde_json::to_value(volume).unwrap_or_default();
    let fields = written.as_object().into_iter().flatten();
    fields
        .filter(|(key, value)| *key != "name" && **value != Value::Null)
        .map(|(key, _)| key.clone())
        .collect()
}

/// What of a toleration the API server refuses.
fn wrong_toleration(toleration: &Toleration) -> Option<String> {
    let Toleration { key, operator, value, effect, toleration_seconds } = toleration;
    let (key, value) = (key.as_deref().unwrap_or_default(), value.as_deref().unwrap_or_default());
    let (operator, effect) = (operator.as_deref().unwrap_or("Equal"), effect.as_deref().unwrap_or_default());
    let refuse = |message: &str| Some(message.to_owned());
    match operator {
        "Equal" if key.is_empty() => refuse("needs a key, or operator: Exists for every taint"),
        "Exists" if !value.is_empty() => refuse("can't have a value with operator: Exists"),
        "Equal" | "Exists" if !["", "NoSchedule", "PreferNoSchedule", "NoExecute"].contains(&effect) => {
            Some(format!("effect `{effect}` must be NoSchedule, PreferNoSchedule or NoExecute"))
        }
        "Equal" | "Exists" if toleration_seconds.is_some() && effect != "NoExecute" => {
            refuse("can have tolerationSeconds with effect: NoExecute alone")
        }
        "Equal" | "Exists" => {
            let wrong_key = (!key.is_empty()).then(|| forms::qualified_name(key)).flatten();
            wrong_key.or_else(|| forms::label_value(value))
        }
        _ => Some(format!("operator `{operator}` must be Equal or Exists")),
    }
}
