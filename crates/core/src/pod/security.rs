//! Who the agent is on its node, and what it may do there.

use k8s_openapi::api::core::v1::{Capabilities, PodSecurityContext, SeccompProfile, SecurityContext};

use crate::profile::AgentProfile;

/// Nobody but a named user; none for the privileged pod, which is root as its image says.
pub(super) fn of_pod(profile: &AgentProfile) -> Option<PodSecurityContext> {
    (!profile.is_privileged()).then(|| PodSecurityContext {
        run_as_non_root: Some(true),
        run_as_user: Some(profile.run_as_user),
        run_as_group: Some(profile.run_as_user),
        fs_group: Some(profile.run_as_user),
        seccomp_profile: Some(SeccompProfile { type_: "RuntimeDefault".to_owned(), localhost_profile: None }),
        ..PodSecurityContext::default()
    })
}

/// What the restricted Pod Security profile asks of a container, and a root filesystem that nobody writes to.
pub(super) fn restricted() -> SecurityContext {
    SecurityContext {
        allow_privilege_escalation: Some(false),
        capabilities: Some(Capabilities { drop: Some(vec!["ALL".to_owned()]), add: None }),
        read_only_root_filesystem: Some(true),
        ..SecurityContext::default()
    }
}

/// What reaches the node's Docker daemon: as good as root on the node.
pub(super) fn privileged() -> SecurityContext {
    SecurityContext { privileged: Some(true), ..SecurityContext::default() }
}
