//! A small Job controller with a kubelet: it moves Jobs and their pods on, by hand or by itself, as the real ones do it.

use std::time::Duration;

use k8s_openapi::api::batch::v1::Job;
use k8s_openapi::api::core::v1::Pod;
use kube::ResourceExt;
use punching_fist_api::{AlertTask, MaintenanceTask};
use punching_fist_protocol::LongResult;
use punching_fist_testkit::recording::RecordingApi;
use serde_json::{Value, json};

use super::clock;
use super::objects::{NS, verdict};

/// How the attempts of a Job end, one after the other: exit code and termination message. The last one repeats; without
/// any, the agent works for ever.
pub(super) type Script = Vec<(i32, String)>;

/// The cluster around the API server.
#[derive(Clone)]
pub(super) struct Cluster {
    api: RecordingApi,
}

impl Cluster {
    pub(super) fn new(api: &RecordingApi) -> Self {
        Self { api: api.clone() }
    }

    /// The Job of that name.
    pub(super) fn job(&self, name: &str) -> Job {
        self.api.read::<Job>(NS, name).unwrap_or_else(|| panic!("Job {name} is there"))
    }

    /// The pods of a Job, oldest first.
    pub(super) fn pods_of(&self, job: &str) -> Vec<Pod> {
        let prefix = format!("{job}-");
        self.api.all::<Pod>().into_iter().filter(|pod| pod.name_any().starts_with(&prefix)).collect()
    }

    /// Makes the Job's next pod, which has nothing to tell yet.
    pub(super) fn make_pod(&self, job: &str) -> String {
        let job = self.job(job);
        let name = format!("{}-{}", job.name_any(), self.pods_of(&job.name_any()).len());
        let template = job.spec.as_ref().and_then(|spec| spec.template.metadata.clone()).unwrap_or_default();
        let created = clock::now().to_string();
        let owner = json!({"apiVersion": "batch/v1", "kind": "Job", "name": job.name_any(), "uid": job.uid(), "controller": true});
        let metadata = json!({"name": name, "namespace": NS, "ownerReferences": [owner], "labels": template.labels, "annotations": template.annotations, "creationTimestamp": created});
        self.api.seed::<Pod>(
            &serde_json::from_value(json!({"metadata": metadata, "status": {"phase": "Pending"}}))
                .expect("a pod"),
        );
        self.job_status(&job.name_any(), &json!({"active": 1, "ready": 0, "startTime": created}));
        name
    }

    /// Says how the agent's container is: `{"running": {}}`, `{"waiting": …}`, `{"terminated": …}`.
    pub(super) fn container(&self, pod: &str, state: &Value) {
        let ready = state.get("running").is_some();
        let container = json!({"name": "openhands-task", "image": "punching-fist-agent:1", "imageID": "", "ready": ready, "restartCount": 0, "state": state});
        let phase = if ready { "Running" } else { "Pending" };
        self.pod_status(pod, &json!({"phase": phase, "containerStatuses": [container]}));
    }

    /// Sets what is given of a pod's status.
    pub(super) fn pod_status(&self, pod: &str, status: &Value) {
        self.api.change::<Pod>(NS, pod, |pod| pod.status = Some(merged(pod.status.as_ref(), status)));
    }

    /// The agent's container ends.
    pub(super) fn end_container(&self, pod: &str, exit_code: i32, message: &str) {
        let reason = if exit_code == 0 { "Completed" } else { "Error" };
        let finished = clock::now().to_string();
        self.container(pod, &json!({"terminated": {"exitCode": exit_code, "reason": reason, "message": message, "finishedAt": finished}}));
        self.pod_status(pod, &json!({"phase": if exit_code == 0 { "Succeeded" } else { "Failed" }}));
    }

    /// Sets what is given of a Job's status; null takes a field away.
    pub(super) fn job_status(&self, job: &str, status: &Value) {
        self.api.change::<Job>(NS, job, |job| job.status = Some(merged(job.status.as_ref(), status)));
    }

    /// The Job is over, well.
    pub(super) fn complete(&self, job: &str) {
        let now = clock::now().to_string();
        let condition = json!({"type": "Complete", "status": "True", "lastTransitionTime": now});
        self.job_status(job, &json!({"active": null, "ready": null, "succeeded": 1, "completionTime": now, "conditions": [condition]}));
    }

    /// The run is over: its agent concluded, with this in the long form.
    pub(super) fn conclude(&self, job: &str, pod: &str, long: Option<&LongResult>) {
        self.end_container(pod, 0, &verdict(long));
        self.complete(job);
    }

    /// The Job is over, badly.
    pub(super) fn fail(&self, job: &str, reason: &str, failed: i32) {
        let now = clock::now().to_string();
        let condition = json!({"type": "Failed", "status": "True", "reason": reason, "message": "it failed", "lastTransitionTime": now});
        self.job_status(
            job,
            &json!({"active": null, "ready": null, "failed": failed, "conditions": [condition]}),
        );
    }

    /// The Job and its pods go for good: the end of a deletion in the foreground.
    pub(super) fn remove(&self, job: &str) {
        for pod in self.pods_of(job) {
            self.api.remove::<Pod>(NS, &pod.name_any());
        }
        self.api.remove::<Job>(NS, job);
    }

    /// Moves every Job on by one step a second, for ever.
    pub(super) async fn play(self, script: Script) {
        loop {
            for job in self.api.all::<Job>() {
                self.step(&job, &script);
            }
            tokio::time::sleep(Duration::from_secs(1)).await;
        }
    }

    fn step(&self, job: &Job, script: &Script) {
        let name = job.name_any();
        if job.metadata.deletion_timestamp.is_some() || self.is_orphan(job) {
            return self.remove(&name);
        }
        if has_ended(job) {
            return;
        }
        let pods = self.pods_of(&name);
        let Some(pod) = pods.last().filter(|_| is_active(job)) else {
            self.make_pod(&name);
            return;
        };
        match container_state(pod) {
            None => self.container(&pod.name_any(), &json!({"running": {}})),
            Some((false, _)) => {
                if let Some((code, message)) = script.get(pods.len() - 1).or(script.last()) {
                    self.end_container(&pod.name_any(), *code, message);
                }
            }
            Some((true, code)) => self.count(job, code, pods.len()),
        }
    }

    /// What the Job controller makes of an attempt that has ended.
    fn count(&self, job: &Job, exit_code: i64, attempts: usize) {
        let name = job.name_any();
        let failed = i32::try_from(attempts).unwrap_or(i32::MAX);
        let limit = job.spec.as_ref().and_then(|spec| spec.backoff_limit).unwrap_or(0);
        match exit_code {
            0 => self.complete(&name),
            11 | 12 => self.fail(&name, "PodFailurePolicy", failed),
            _ if failed > limit => self.fail(&name, "BackoffLimitExceeded", failed),
            _ => self.job_status(&name, &json!({"active": null, "ready": null, "failed": failed})),
        }
    }

    /// Whether the task that owned it is gone: then the garbage collector takes it.
    fn is_orphan(&self, job: &Job) -> bool {
        job.owner_references().iter().any(|owner| {
            let alert = self.api.read::<AlertTask>(NS, &owner.name).and_then(|task| task.uid());
            let maintenance = self.api.read::<MaintenanceTask>(NS, &owner.name).and_then(|task| task.uid());
            ![alert, maintenance].contains(&Some(owner.uid.clone()))
        })
    }
}

fn is_active(job: &Job) -> bool {
    job.status.as_ref().and_then(|status| status.active).unwrap_or(0) > 0
}

/// Whether the Job is over.
pub(super) fn has_ended(job: &Job) -> bool {
    let conditions = job.status.as_ref().and_then(|status| status.conditions.as_ref());
    conditions.is_some_and(|conditions| !conditions.is_empty())
}

/// Whether the container has ended, and how; none before it started.
fn container_state(pod: &Pod) -> Option<(bool, i64)> {
    let state = pod.status.as_ref()?.container_statuses.as_ref()?.first()?.state.as_ref()?;
    let code = state.terminated.as_ref().map(|end| i64::from(end.exit_code));
    Some((code.is_some(), code.unwrap_or_default()))
}

fn merged<T: serde::Serialize + serde::de::DeserializeOwned>(old: Option<&T>, new: &Value) -> T {
    let mut status = old.map_or_else(|| json!({}), |old| serde_json::to_value(old).expect("JSON"));
    for (field, value) in new.as_object().into_iter().flatten() {
        status[field] = value.clone();
    }
    serde_json::from_value(status).expect("a status")
}
