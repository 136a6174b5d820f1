//! What a profile may add to the volumes and mounts of the pod, and that it takes none of the operator's own.

use std::collections::BTreeSet;

use k8s_openapi::api::core::v1::PodSpec;
use punching_fist_api::MaintenanceTask;
use punching_fist_core::pod;
use serde_json::json;

use super::{assert_refusals, assert_refused, assert_taken, config, direct};

#[test]
fn a_volume_is_one_and_no_door_to_the_host() {
    assert_refused(
        direct,
        &[
            (
                "volumes: [{name: home, emptyDir: {}}]",
                "volumes[0].name: `home` is a volume of the operator's own",
            ),
            ("volumes: [{name: A, emptyDir: {}}]", "volumes[0].name: `A` must be lower case"),
            (
                "volumes: [{name: a, emptyDir: {}}, {name: a, emptyDir: {}}]",
                "volumes[1].name: `a` is there twice",
            ),
            ("volumes: [{name: a}]", "volumes[0]: say what it is made of"),
            (
                "volumes: [{name: a, emptyDir: {}, secret: {}}]",
                "volumes[0]: can be one thing only: emptyDir or secret",
            ),
            (
                "volumes: [{name: a, hostPath: {path: /}}]",
                "volumes[0].hostPath: the restricted Pod Security profile",
            ),
            ("volumes: [{name: a, emptydir: {}}]", "volumes[0].emptydir: unknown key"),
        ],
    );
    let host = direct("volumes: [{name: a, hostPath: {path: /}}]");
    assert_taken(&format!("allowPrivilegedAgents: true\n{host}"));
}

#[test]
fn a_mount_has_a_volume_and_a_place_that_is_free() {
    assert_refused(
        direct,
        &[
            ("volumeMounts: [{name: a, mountPath: /a}]", "volumeMounts[0].name: there is no volume `a`"),
            (
                "volumeMounts: [{name: home, mountPath: /a}]",
                "volumeMounts[0].name: there is no volume `home`",
            ),
        ],
    );
    let at = |path: &str| {
        direct(&format!(
            "volumes: [{{name: a, emptyDir: {{}}}}], volumeMounts: [{{name: a, mountPath: {path}}}]"
        ))
    };
    for path in
        ["/", "/punching-fist", "/punching-fist-token/x", "/workspace", "/workspace/", "/home/agent", "/tmp"]
    {
        let expected = format!("agents.openhands.volumeMounts[0].mountPath: `{path}` is the operator's own");
        assert_refusals(&[(at(path).as_str(), expected.as_str())]);
    }
    for path in ["data", "'/a:b'"] {
        assert_refusals(&[(at(path).as_str(), "volumeMounts[0].mountPath: must begin with a slash")]);
    }
    for path in ["/data", "/workspace/cache", "/home", "/tmp/x"] {
        assert_taken(&at(path));
    }
}

/// The pod of a task that has everything, in each way to reach the model.
fn pods() -> Vec<PodSpec> {
    let text = include_str!("../../../../testdata/every-key.yaml");
    let config = config(text).unwrap().in_namespace("ops");
    let of = |profile: &str| {
        let task: MaintenanceTask = serde_json::from_value(json!({
            "apiVersion": "punching-fist.io/v1alpha1", "kind": "MaintenanceTask",
            "metadata": { "name": "a", "namespace": "b", "uid": "c" },
            "spec": { "prompt": "p", "cluster": "staging", "agent": { "profile": profile, "skills": [{ "configMap": "s" }] } },
        }))
        .unwrap();
        pod::spec(&task.spec.task, config.settings.profile(profile).unwrap(), &config.settings)
    };
    ["small", "signed", "script"].map(of).into()
}

#[test]
fn what_the_pod_has_of_the_operator_can_not_be_taken() {
    let own = ["cache"];
    let refused = |more: String, expected: String| {
        let text = format!("allowPrivilegedAgents: true\n{}", direct(&more));
        assert_refusals(&[(text.as_str(), expected.as_str())]);
    };
    let mut seen = BTreeSet::new();
    for pod in pods() {
        for volume in pod.volumes.into_iter().flatten().filter(|volume| !own.contains(&volume.name.as_str()))
        {
            let more = format!("volumes: [{{name: {}, emptyDir: {{}}}}]", volume.name);
            refused(more, format!("`{}` is a volume of the operator's own", volume.name));
            seen.insert(volume.name);
        }
        let mounts =
            pod.containers.into_iter().flat_map(|container| container.volume_mounts.unwrap_or_default());
        for mount in mounts.filter(|mount| !own.contains(&mount.name.as_str())) {
            let path = mount.mount_path;
            let more = format!(
                "volumes: [{{name: a, emptyDir: {{}}}}], volumeMounts: [{{name: a, mountPath: {path}}}]"
            );
            refused(more, format!("`{path}` is the operator's own"));
        }
    }
    assert!(seen.len() >= 5, "{seen:?}");
}
