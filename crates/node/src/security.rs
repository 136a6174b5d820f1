//! As whom a container runs: its user, its groups, its capabilities. Pure.

use k8s_openapi::api::core::v1::{Capabilities, PodSecurityContext, SecurityContext};

/// What root in a container may do under containerd when nothing else is said.
const DEFAULT_CAPABILITIES: &[&str] = &[
    "audit_write",
    "chown",
    "dac_override",
    "fowner",
    "fsetid",
    "kill",
    "mknod",
    "net_bind_service",
    "net_raw",
    "setfcap",
    "setgid",
    "setpcap",
    "setuid",
    "sys_chroot",
];

/// With what the node itself runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Privileges {
    /// The host's root: every pod gets the user that it asks for.
    Root,
    /// An ordinary user: pods run as this user, who is root in their user namespace.
    UserNamespace,
}

/// As whom a container runs.
#[derive(Debug, PartialEq, Eq)]
pub struct Credentials {
    pub user: i64,
    pub group: i64,
    /// Supplementary groups, `fsGroup` among them.
    pub groups: Vec<i64>,
    no_new_privileges: bool,
    /// `None`: all that there are.
    capabilities: Option<Vec<String>>,
    pub read_only_root: bool,
}

impl Credentials {
    /// What the pod and the container ask for, the container first.
    ///
    /// # Errors
    /// `runAsNonRoot` and root; the message is a kubelet's.
    pub fn of(pod: Option<&PodSecurityContext>, container: Option<&SecurityContext>) -> Result<Self, String> {
        let asked = container.and_then(|c| c.run_as_user).or_else(|| pod.and_then(|p| p.run_as_user));
        let non_root =
            container.and_then(|c| c.run_as_non_root).or_else(|| pod.and_then(|p| p.run_as_non_root));
        match asked {
            None if non_root == Some(true) => {
                return Err("container has runAsNonRoot and image will run as root".to_owned());
            }
            Some(0) if non_root == Some(true) => {
                return Err("container's runAsUser breaks non-root policy".to_owned());
            }
            _ => {}
        }
        let group = container.and_then(|c| c.run_as_group).or_else(|| pod.and_then(|p| p.run_as_group));
        let privileged = container.and_then(|c| c.privileged).unwrap_or(false);
        Ok(Self {
            user: asked.unwrap_or(0),
            group: group.unwrap_or(0),
            groups: groups(pod),
            no_new_privileges: container.and_then(|c| c.allow_privilege_escalation) == Some(false),
            capabilities: capabilities(privileged, container.and_then(|c| c.capabilities.as_ref())),
            read_only_root: container.and_then(|c| c.read_only_root_filesystem).unwrap_or(false),
        })
    }

    /// The options of `setpriv` that make a process run so. None of them has a space in it.
    pub fn setpriv(&self, privileges: Privileges) -> String {
        let mut words = vec!["--inh-caps=-all".to_owned()];
        if privileges == Privileges::Root {
            words.extend([format!("--reuid={}", self.user), format!("--regid={}", self.group)]);
            words.push(self.groups_option());
        }
        if self.no_new_privileges {
            words.push("--no-new-privs".to_owned());
        }
        // In a user namespace the user stays its root, whom only this keeps from root's powers.
        if privileges == Privileges::UserNamespace && self.user != 0 {
            words.push("--bounding-set=-all".to_owned());
        } else if let Some(capabilities) = &self.capabilities {
            let kept: String = capabilities.iter().flat_map(|name| [",+", name]).collect();
            words.push(format!("--bounding-set=-all{kept}"));
        }
        words.join(" ")
    }

    fn groups_option(&self) -> String {
        if self.groups.is_empty() {
            return "--clear-groups".to_owned();
        }
        let numbers: Vec<_> = self.groups.iter().map(i64::to_string).collect();
        format!("--groups={}", numbers.join(","))
    }
}

fn groups(pod: Option<&PodSecurityContext>) -> Vec<i64> {
    let asked = pod.iter().flat_map(|p| p.supplemental_groups.iter().flatten());
    let mut groups: Vec<_> = asked.chain(pod.and_then(|p| p.fs_group.as_ref())).copied().collect();
    groups.sort_unstable();
    groups.dedup();
    groups
}

fn capabilities(privileged: bool, asked: Option<&Capabilities>) -> Option<Vec<String>> {
    let named = |list: Option<&Vec<String>>| -> Vec<String> {
        let lower = |name: &String| name.to_lowercase().trim_start_matches("cap_").to_owned();
        list.into_iter().flatten().map(lower).collect()
    };
    let (added, dropped) =
        (named(asked.and_then(|a| a.add.as_ref())), named(asked.and_then(|a| a.drop.as_ref())));
    let all = |list: &[String]| list.iter().any(|name| name == "all");
    if privileged || (all(&added) && dropped.is_empty()) {
        return None;
    }
    let defaults = DEFAULT_CAPABILITIES.iter().map(|&name| name.to_owned());
    let mut kept: Vec<_> = defaults.filter(|name| !all(&dropped) && !dropped.contains(name)).collect();
    kept.extend(added.into_iter().filter(|name| name != "all"));
    kept.sort_unstable();
    kept.dedup();
    Some(kept)
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn credentials(pod: Value, container: Value) -> Result<Credentials, String> {
        let pod = serde_json::from_value(pod).unwrap();
        let container = serde_json::from_value(container).unwrap();
        Credentials::of(Some(&pod), Some(&container))
    }

    #[test]
    fn the_container_overrides_the_pod() {
        let got = credentials(
            json!({"runAsUser": 1000, "runAsGroup": 1000, "fsGroup": 2000, "supplementalGroups": [3000, 2000]}),
            json!({"runAsUser": 1001, "allowPrivilegeEscalation": false, "capabilities": {"drop": ["ALL"]}}),
        )
        .unwrap();
        assert_eq!((got.user, got.group), (1001, 1000));
        assert_eq!(
            got.setpriv(Privileges::Root),
            "--inh-caps=-all --reuid=1001 --regid=1000 --groups=2000,3000 --no-new-privs --bounding-set=-all"
        );
        assert_eq!(
            got.setpriv(Privileges::UserNamespace),
            "--inh-caps=-all --no-new-privs --bounding-set=-all"
        );
    }

    #[test]
    fn capabilities_are_added_and_dropped() {
        for (asked, want) in [
            (json!({"privileged": true}), None),
            (json!({"capabilities": {"add": ["ALL"]}}), None),
            (json!({"capabilities": {"drop": ["ALL"], "add": ["NET_ADMIN"]}}), Some("-all,+net_admin")),
            (
                json!({"capabilities": {"drop": ["NET_RAW", "MKNOD", "CAP_KILL"]}}),
                Some(
                    "-all,+audit_write,+chown,+dac_override,+fowner,+fsetid,+net_bind_service,+setfcap,+setgid,\
                     +setpcap,+setuid,+sys_chroot",
                ),
            ),
        ] {
            let options = credentials(json!({}), asked.clone()).unwrap().setpriv(Privileges::Root);
            let bounding = options.split(' ').find_map(|word| word.strip_prefix("--bounding-set="));
            assert_eq!(bounding, want, "{asked}");
        }
    }

    #[test]
    fn root_is_refused_where_it_must_not_be() {
        for (pod, container, want) in [
            (
                json!({"runAsNonRoot": true}),
                json!({}),
                Err("container has runAsNonRoot and image will run as root"),
            ),
            (
                json!({"runAsNonRoot": true}),
                json!({"runAsUser": 0}),
                Err("container's runAsUser breaks non-root policy"),
            ),
            (json!({"runAsNonRoot": true}), json!({"runAsUser": 5}), Ok(5)),
            (json!({"runAsNonRoot": true}), json!({"runAsNonRoot": false}), Ok(0)),
            (json!({}), json!({}), Ok(0)),
        ] {
            let got = credentials(pod.clone(), container.clone()).map(|c| c.user);
            assert_eq!(got, want.map_err(str::to_owned), "{pod} {container}");
        }
    }
}
