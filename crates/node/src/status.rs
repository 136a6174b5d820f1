//! A pod's status from the states of its containers, as a kubelet computes it. Pure.

use k8s_openapi::api::core::v1::{ContainerStatus, HostIP, Pod, PodCondition, PodIP, PodStatus};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use k8s_openapi::jiff::Timestamp;

use crate::fields::ADDRESS;
use crate::states;

/// All that the node knows about a pod.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Progress {
    /// When the node took the pod.
    pub start_time: Option<Time>,
    /// The init containers, in the order of the spec.
    pub init: Vec<ContainerStatus>,
    /// The containers, in the order of the spec.
    pub main: Vec<ContainerStatus>,
    /// Volumes are there, and the first container may run.
    pub ready_to_start: bool,
    /// All init containers did their work.
    pub initialized: bool,
    /// Nothing runs any more, and nothing will.
    pub ended: bool,
    /// Why the pod as a whole failed: reason and message.
    pub failure: Option<(String, String)>,
}

/// The status to show. `before` is the one that was shown last: times of conditions come from it.
pub fn pod_status(pod: &Pod, progress: &Progress, before: &PodStatus, now: Timestamp) -> PodStatus {
    let phase = phase(pod, progress);
    let failure = progress.failure.clone();
    PodStatus {
        phase: Some(phase.to_owned()),
        reason: failure.as_ref().map(|(reason, _)| reason.clone()),
        message: failure.map(|(_, message)| message),
        conditions: Some(conditions(progress, phase, before, now)),
        host_ip: Some(ADDRESS.to_owned()),
        host_ips: Some(vec![HostIP { ip: ADDRESS.to_owned() }]),
        pod_ip: Some(ADDRESS.to_owned()),
        pod_ips: Some(vec![PodIP { ip: ADDRESS.to_owned() }]),
        start_time: progress.start_time.clone(),
        container_statuses: Some(shown(&progress.main, progress)),
        init_container_statuses: (!progress.init.is_empty()).then(|| shown(&progress.init, progress)),
        ..PodStatus::default()
    }
}

/// Readiness is running here: probes are left out. The messages of a pod share 12 KiB.
fn shown(containers: &[ContainerStatus], progress: &Progress) -> Vec<ContainerStatus> {
    let share = 12 * 1024 / (progress.main.len() + progress.init.len()).max(1);
    let mut containers = containers.to_vec();
    for status in &mut containers {
        let running = states::is_running(status);
        status.started = Some(running);
        let init = progress.init.iter().any(|init| init.name == status.name);
        status.ready = running || (init && states::succeeded(status));
        for state in [&mut status.state, &mut status.last_state] {
            let end = state.as_mut().and_then(|state| state.terminated.as_mut());
            if let Some(message) = end.and_then(|end| end.message.as_mut()) {
                message.truncate(
                    (0..=share.min(message.len())).rfind(|&at| message.is_char_boundary(at)).unwrap_or(0),
                );
            }
        }
    }
    containers
}

/// kubelet's `getPhase`.
fn phase(pod: &Pod, progress: &Progress) -> &'static str {
    let policy = pod.spec.as_ref().and_then(|spec| spec.restart_policy.as_deref()).unwrap_or("Always");
    let never_ran = |status: &&ContainerStatus| {
        states::end(status).is_none() && !states::is_running(status) && !states::has_ended_once(status)
    };
    let all_succeeded = progress.main.iter().all(states::succeeded);
    if progress.failure.is_some() {
        return "Failed";
    }
    if progress.ended {
        return if progress.initialized && all_succeeded { "Succeeded" } else { "Failed" };
    }
    if !progress.initialized || progress.main.iter().any(|status| never_ran(&status)) {
        return "Pending";
    }
    let stopped = progress.main.iter().all(|status| states::end(status).is_some());
    match policy {
        "Never" | "OnFailure" if stopped && all_succeeded => "Succeeded",
        "Never" if stopped => "Failed",
        _ => "Running",
    }
}

fn conditions(progress: &Progress, phase: &str, before: &PodStatus, now: Timestamp) -> Vec<PodCondition> {
    let names = |statuses: &[ContainerStatus], fine: fn(&ContainerStatus) -> bool| {
        let names: Vec<_> = statuses.iter().filter(|s| !fine(s)).map(|s| s.name.as_str()).collect();
        names.join(" ")
    };
    let unready = names(&progress.main, states::is_running);
    let ready = match phase {
        "Succeeded" => Err(("PodCompleted", None)),
        "Failed" => Err(("PodFailed", None)),
        _ if unready.is_empty() => Ok(()),
        _ => Err(("ContainersNotReady", Some(format!("containers with unready status: [{unready}]")))),
    };
    let initialized = if progress.initialized {
        Ok(())
    } else {
        let incomplete = names(&progress.init, states::succeeded);
        let message = format!("containers with incomplete status: [{incomplete}]");
        Err(("ContainersNotInitialized", Some(message)))
    };
    let started = if progress.ready_to_start && !progress.ended { Ok(()) } else { Err(("", None)) };
    [
        ("PodReadyToStartContainers", started),
        ("Initialized", initialized),
        ("Ready", ready.clone()),
        ("ContainersReady", ready),
        ("PodScheduled", Ok(())),
    ]
    .into_iter()
    .map(|(type_, state)| condition(type_, state, before, now))
    .collect()
}

/// A condition, with the time of its last change.
fn condition(
    type_: &str,
    state: Result<(), (&str, Option<String>)>,
    before: &PodStatus,
    now: Timestamp,
) -> PodCondition {
    let status = if state.is_ok() { "True" } else { "False" };
    let old = before.conditions.iter().flatten().find(|c| c.type_ == type_ && c.status == status);
    let (reason, message) = state.err().unwrap_or_default();
    PodCondition {
        type_: type_.to_owned(),
        status: status.to_owned(),
        reason: Some(reason.to_owned()).filter(|reason| !reason.is_empty()),
        message,
        last_transition_time: old.map_or(Some(Time(now)), |old| old.last_transition_time.clone()),
        ..PodCondition::default()
    }
}

#[cfg(test)]
mod tests {
    use k8s_openapi::api::core::v1::{Container, ContainerState, ContainerStateTerminated};
    use serde_json::json;

    use super::*;

    const NOW: Timestamp = Timestamp::UNIX_EPOCH;

    fn pod(policy: &str) -> Pod {
        serde_json::from_value(json!({"spec": {"restartPolicy": policy, "containers": []}})).unwrap()
    }

    fn exit(code: i32) -> ContainerState {
        states::terminated(ContainerStateTerminated {
            exit_code: code,
            ..ContainerStateTerminated::default()
        })
    }

    fn container(name: &str, state: ContainerState, last: Option<ContainerState>) -> ContainerStatus {
        let container = Container { name: name.to_owned(), ..Container::default() };
        ContainerStatus { state: Some(state), last_state: last, ..states::fresh(&container, "") }
    }

    fn progress(main: Vec<ContainerState>) -> Progress {
        let name = |index| format!("c{index}");
        let main = main.into_iter().enumerate().map(|(i, state)| container(&name(i), state, None)).collect();
        Progress { main, initialized: true, ready_to_start: true, ..Progress::default() }
    }

    #[test]
    fn the_phase_is_a_kubelets() {
        let run = || states::running(NOW);
        let wait = || states::waiting("ContainerCreating", None);
        let crashing = || {
            let state = states::waiting("CrashLoopBackOff", None);
            Progress { main: vec![container("c", state, Some(exit(1)))], ..progress(vec![]) }
        };
        let ended = |progress: Progress| Progress { ended: true, ..progress };
        let uninitialized = |progress: Progress| Progress { initialized: false, ..progress };
        let late =
            Progress { failure: Some(("DeadlineExceeded".into(), String::new())), ..progress(vec![run()]) };
        for (policy, progress, want) in [
            ("Never", progress(vec![wait()]), "Pending"),
            ("Never", progress(vec![run(), wait()]), "Pending"),
            ("Never", progress(vec![run()]), "Running"),
            ("Never", progress(vec![run(), exit(1)]), "Running"),
            ("Never", progress(vec![exit(0), exit(0)]), "Succeeded"),
            ("Never", progress(vec![exit(0), exit(1)]), "Failed"),
            ("OnFailure", progress(vec![exit(0)]), "Succeeded"),
            ("OnFailure", progress(vec![exit(1)]), "Running"),
            ("Always", progress(vec![exit(0)]), "Running"),
            ("Always", crashing(), "Running"),
            ("Always", ended(progress(vec![exit(0)])), "Succeeded"),
            ("Always", ended(progress(vec![exit(143)])), "Failed"),
            ("Never", uninitialized(progress(vec![wait()])), "Pending"),
            ("Never", ended(uninitialized(progress(vec![wait()]))), "Failed"),
            ("Never", late, "Failed"),
        ] {
            let got = pod_status(&pod(policy), &progress, &PodStatus::default(), NOW).phase;
            assert_eq!(got.as_deref(), Some(want), "{policy} {progress:?}");
        }
    }

    #[test]
    fn conditions_keep_the_time_of_their_last_change() {
        let waiting = progress(vec![states::waiting("ContainerCreating", None)]);
        let first = pod_status(&pod("Always"), &waiting, &PodStatus::default(), NOW);
        let later = Timestamp::from_second(60).unwrap();
        let second = pod_status(&pod("Always"), &progress(vec![states::running(NOW)]), &first, later);
        let shown: Vec<_> = second
            .conditions
            .iter()
            .flatten()
            .map(|c| {
                (c.type_.as_str(), c.status.as_str(), c.last_transition_time.clone().unwrap().0 == later)
            })
            .collect();
        assert_eq!(
            shown,
            [
                ("PodReadyToStartContainers", "True", false),
                ("Initialized", "True", false),
                ("Ready", "True", true),
                ("ContainersReady", "True", true),
                ("PodScheduled", "True", false),
            ]
        );
        let unready = first.conditions.iter().flatten().find(|c| c.type_ == "Ready").unwrap();
        assert_eq!(unready.message.as_deref(), Some("containers with unready status: [c0]"));
    }

    #[test]
    fn messages_share_what_a_pod_may_say() {
        let end = ContainerStateTerminated {
            message: Some("é".repeat(2048)),
            ..ContainerStateTerminated::default()
        };
        let four = progress((0..4).map(|_| states::terminated(end.clone())).collect());
        let status = pod_status(&pod("Never"), &four, &PodStatus::default(), NOW);
        let lengths: Vec<_> = status
            .container_statuses
            .iter()
            .flatten()
            .map(|s| states::end(s).unwrap().message.as_ref().unwrap().len())
            .collect();
        assert_eq!(lengths, [3072; 4]);
    }
}
