//! One pass over one object: observe, decide, build, apply, status.

use std::sync::Arc;
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use k8s_openapi::api::batch::v1::Job;
use k8s_openapi::api::core::v1::Pod;
use kube::runtime::controller::Action;
use kube::runtime::reflector::ObjectRef;
use kube::{Api, ResourceExt};
use punching_fist_api::{Phase, Task, reasons};
use punching_fist_core::job::{self, Run};
use punching_fist_core::meter::{self, Rest};
use punching_fist_core::pods::{self, Obstacle, PodRecord};
use punching_fist_core::run::{self, Decision, Mirror, Observed, Outcome, Progress, ReportSource, Say};
use punching_fist_core::status::ControllerStatus;
use punching_fist_core::{phase, prompt, text};

use crate::context::Context;
use crate::jobs::Made;
use crate::preflight::{Cleared, Hindrance};
use crate::write::Report;
use crate::{Error, events, jobs, preflight, report, successor, write};

/// Nothing is expected before the next event; this only bounds what a lost one can cost.
const AT_REST: Duration = Duration::from_secs(600);
/// Something is under way of which no event may tell: a pod that doesn't come up, a limit that passes.
const UNDER_WAY: Duration = Duration::from_secs(15);
/// A cache or a log is a moment behind.
const SOON: Duration = Duration::from_secs(1);
/// How long a Job without a pod, or a pod that doesn't start, is left alone before its Events are read.
const UNEXPLAINED: SignedDuration = SignedDuration::from_secs(10);
/// A kubelet that can't mount a volume says so again within two minutes.
const MOUNTS_RETRIED: SignedDuration = SignedDuration::from_secs(180);
/// How long after the end of a run its report is tried for.
const REPORT_WAIT: SignedDuration = SignedDuration::from_secs(60);
/// What `status.result.report` may hold, in characters; bytes are never fewer.
const REPORT_LIMIT: usize = 65536;
/// How long after an end without a Job alerts that were left open are seen to.
const FOLLOWED_WITHIN: SignedDuration = SignedDuration::from_mins(10);

/// One pass.
pub(crate) struct Pass<'a, K: Task> {
    task: &'a K,
    context: &'a Context,
    api: Api<K>,
    jobs: Api<Job>,
    uid: String,
    /// As the cache has it.
    job: Option<Arc<Job>>,
    generation: i64,
    status: ControllerStatus,
    now: Timestamp,
}

/// The task's Job, as the cache has it.
fn cached_job<K: Task>(task: &K, uid: &str, context: &Context) -> Option<Arc<Job>> {
    let namespace = task.meta().namespace.as_deref()?;
    let job = context.jobs.get(&ObjectRef::new(&job::name(uid)).within(namespace))?;
    jobs::is_of(&job, uid).then_some(job)
}

/// Whether something goes on, or ends, for no reason that a pod's status tells.
fn wants_explanation(decision: &Decision) -> bool {
    match decision {
        Decision::Follow(progress) => progress.unexplained,
        Decision::Stop(say) => say.reason() == reasons::POD_START_TIMEOUT,
        _ => false,
    }
}

impl<'a, K: Task> Pass<'a, K> {
    /// Looks at `task` now.
    pub(crate) fn new(task: &'a K, context: &'a Context) -> Result<Self, Error> {
        let namespace = task.namespace().ok_or(Error::Incomplete("namespace"))?;
        let uid = task.uid().ok_or(Error::Incomplete("uid"))?;
        let job = cached_job(task, &uid, context);
        let metered = meter::is_metered(task, job.as_deref(), &context.settings);
        Ok(Self {
            task,
            context,
            api: Api::namespaced(context.client.clone(), &namespace),
            jobs: Api::namespaced(context.client.clone(), &namespace),
            uid,
            job,
            generation: task.meta().generation.unwrap_or(0),
            status: ControllerStatus::read(task, metered),
            now: (context.clock)(),
        })
    }

    /// Makes it.
    pub(crate) async fn run(&self) -> Result<Action, Error> {
        let job = self.job.as_deref();
        match self.decide(job, None) {
            Decision::Seek(lost) => self.seek(&lost).await,
            decision => self.explained(decision, job).await,
        }
    }

    /// Acts on what was decided, once it is known why a Job has no pod, or why its pod doesn't start.
    async fn explained(&self, mut decision: Decision, job: Option<&Job>) -> Result<Action, Error> {
        if let Some(job) = job.filter(|_| wants_explanation(&decision)) {
            let explanation = self.explanation(job).await?;
            decision = self.decide(Some(job), explanation.as_ref());
        }
        tracing::debug!(task = self.task.name_any(), ?decision, "decided");
        self.act(decision, job).await
    }

    async fn act(&self, decision: Decision, job: Option<&Job>) -> Result<Action, Error> {
        match decision {
            Decision::Leave => Ok(self.leave()),
            Decision::Settled => self.settle(job).await,
            Decision::Close(outcome) => self.end(self.task, &outcome).await,
            Decision::Stop(say) => self.stop(&say).await,
            Decision::Delete(outcome) => self.delete(job, &outcome).await,
            Decision::Hold(say) => self.wait(&say, false, AT_REST).await,
            Decision::Rest(left) => Ok(Action::requeue(left.unsigned_abs())),
            Decision::Ask => self.ask().await,
            Decision::Make => self.make().await,
            // Looked for already, in `run`.
            Decision::Seek(lost) => self.end(self.task, &lost).await,
            Decision::Follow(progress) => self.follow(&progress).await,
            Decision::Finish(outcome) => self.finish(outcome).await,
        }
    }

    fn decide(&self, job: Option<&Job>, explanation: Option<&Obstacle>) -> Decision {
        let (settings, pods) = (&self.context.settings, self.pods(job));
        run::decide(&Observed { task: self.task, job, pods: &pods, explanation, settings, now: self.now })
    }

    /// The pods of the task's own Job: one that somebody else made speaks for nobody, whatever it names as its owner.
    fn pods(&self, job: Option<&Job>) -> Vec<PodRecord> {
        let recorded = self.task.task_status().and_then(|status| status.job.as_ref()?.uid.clone());
        let own = recorded.or_else(|| job?.uid());
        let mut pods = self.context.pods.pods_of(&self.uid);
        pods.retain(|pod| own.is_some() && pod.job_uid == own);
        pods
    }

    /// What Events say of the Job, or of the pod that it has; nothing while either is fresh.
    async fn explanation(&self, job: &Job) -> Result<Option<Obstacle>, Error> {
        let is_old = |made: Option<Timestamp>| made.is_some_and(|made| self.now >= made + UNEXPLAINED);
        let (client, pods) = (&self.context.client, self.pods(Some(job)));
        match pods::live(&pods) {
            Some(pod) if is_old(pod.created) => {
                let namespace = job.namespace().ok_or(Error::Incomplete("namespace"))?;
                jobs::mount_failure(client, &namespace, &pod.uid, self.now - MOUNTS_RETRIED).await
            }
            None if is_old(job.metadata.creation_timestamp.as_ref().map(|made| made.0)) => {
                jobs::refusal(client, job).await
            }
            _ => Ok(None),
        }
    }

    /// The object is being deleted: it needs no slot any more.
    fn leave(&self) -> Action {
        self.context.queue.give_back(&self.uid);
        Action::await_change()
    }

    /// It is over: what stands in its status is everything. What it left open gets its own run; then the Job may go.
    async fn settle(&self, job: Option<&Job>) -> Result<Action, Error> {
        self.context.pods.forget(&self.uid);
        self.write(self.task, self.status.clone().seen(self.generation)).await?;
        let ttl = |job: &Job| job.spec.as_ref().and_then(|spec| spec.ttl_seconds_after_finished);
        let is_new = job.map_or_else(|| self.ended_lately(), |job| ttl(job).is_none());
        if let Some(alert) = self.task.as_alert().filter(|_| is_new) {
            successor::make(alert, self.context).await?;
        }
        let wanted = self.task.task_spec().ttl_seconds_after_finished;
        if let Some(job) = job.filter(|job| phase::is_over(job) && ttl(job) != Some(wanted)) {
            jobs::set_ttl(&self.jobs, job, wanted).await?;
        }
        self.rest().await
    }

    /// What calls have cost that died with a replica of the gateway is written when nobody can settle them any more.
    async fn rest(&self) -> Result<Action, Error> {
        let usage = self.task.task_status().and_then(|status| status.usage.as_ref());
        match meter::rest(usage, self.now) {
            Rest::Nothing => Ok(Action::requeue(AT_REST)),
            Rest::Look(after) => Ok(Action::requeue(AT_REST.min(after.unsigned_abs()))),
            Rest::Write(usage) => {
                write::usage(&self.api, self.task, &usage).await?;
                Ok(Action::requeue(SOON))
            }
        }
    }

    /// Without a Job that tells by its TTL whether the end was seen to, only the time can: a task that followed and was
    /// deleted since must not come back.
    fn ended_lately(&self) -> bool {
        let ended = self.task.task_status().and_then(|status| status.completion_time.as_ref());
        ended.is_some_and(|ended| self.now < ended.0 + FOLLOWED_WITHIN)
    }

    /// Writes down that it is to stop; the pass that this wakes deletes the Job.
    async fn stop(&self, say: &Say) -> Result<Action, Error> {
        let status = self.status.clone().stopping(say, self.generation, self.now);
        self.write(self.task, status).await?;
        Ok(Action::requeue(SOON))
    }

    async fn delete(&self, job: Option<&Job>, outcome: &Outcome) -> Result<Action, Error> {
        let live = if job.is_some() { None } else { self.live_job().await? };
        let Some(job) = job.or(live.as_ref()) else { return self.end(self.task, outcome).await };
        if job.metadata.deletion_timestamp.is_none() {
            jobs::delete(&self.jobs, job).await?;
        }
        Ok(Action::requeue(UNDER_WAY))
    }

    /// Asks for a slot, and takes it if it is granted.
    async fn ask(&self) -> Result<Action, Error> {
        let granted = self.context.queue.is_granted(&self.uid);
        let prompted = self.task.as_alert().map(prompt::known_alerts);
        let in_the_way = self.hindrance(prompted.unwrap_or(0), granted).await;
        if let Some(hindrance) = in_the_way.inspect_err(|error| self.set_aside_if_refused(error))? {
            return self.hold_up(&hindrance).await;
        }
        if !granted {
            let say = Say::new(reasons::QUEUED, "waits for a free slot");
            return self.wait(&say, false, AT_REST).await;
        }
        self.admit(prompted).await
    }

    /// What is in the way of a run. One that only goes on waiting in line isn't worth a look at the API server.
    async fn hindrance(&self, prompted: usize, granted: bool) -> Result<Option<Hindrance>, Error> {
        if let Some(hindrance) = preflight::namespace(self.task, self.context) {
            return Ok(Some(hindrance));
        }
        let profile = match preflight::clear(self.task, prompted, self.context) {
            Ok(cleared) => cleared.profile,
            Err(hindrance) => return Ok(Some(hindrance)),
        };
        if let Some(hindrance) = preflight::key(self.task, profile, self.context) {
            return Ok(Some(hindrance));
        }
        if granted || self.status.reason() != reasons::QUEUED {
            return preflight::service_account(self.task, profile, self.context).await;
        }
        Ok(None)
    }

    /// Writes down that it has a slot; the pass that this wakes makes the Job.
    async fn admit(&self, prompted: Option<usize>) -> Result<Action, Error> {
        let prompted = prompted.and_then(|count| i64::try_from(count).ok());
        let status = self.status.clone().admitted(job::name(&self.uid), prompted, self.generation, self.now);
        let written = self.write(self.task, status).await;
        written.inspect_err(|error| self.set_aside_if_refused(error))?;
        Ok(Action::requeue(UNDER_WAY))
    }

    /// Any other error says nothing about whether it can be admitted, or is: its slot stays taken, and the pass is made
    /// again.
    fn set_aside_if_refused(&self, error: &Error) {
        if error.is_refusal() {
            self.context.queue.set_aside(&self.uid);
        }
    }

    /// It waits for what is in its way, without a slot. One whose status can't be written would be given the next slot at
    /// once, so it is set aside.
    async fn hold_up(&self, hindrance: &Hindrance) -> Result<Action, Error> {
        let action = self.wait(&hindrance.say, hindrance.stalled, hindrance.again).await;
        match &action {
            Ok(_) | Err(Error::Conflict) => self.context.queue.give_back(&self.uid),
            Err(_) => self.context.queue.set_aside(&self.uid),
        }
        action
    }

    async fn wait(&self, say: &Say, stalled: bool, again: Duration) -> Result<Action, Error> {
        self.write(self.task, self.status.clone().waiting(say, stalled, self.generation, self.now)).await?;
        Ok(Action::requeue(again))
    }

    /// Makes the Job that its status names already. A definite refusal takes the admission back: no slot is held, and
    /// the spec can be mended.
    async fn make(&self) -> Result<Action, Error> {
        let prompted =
            self.task.as_alert().and_then(|alert| alert.status.as_ref()?.prompted_alerts).unwrap_or(0);
        let prompted = usize::try_from(prompted).unwrap_or(0);
        let Cleared { profile, prompt } = match preflight::clear(self.task, prompted, self.context) {
            Ok(cleared) => cleared,
            Err(hindrance) => return self.hold_up(&hindrance).await,
        };
        let run = Run { task: self.task, profile, settings: &self.context.settings, prompt: &prompt };
        let job = job::build(&run).ok_or(Error::Incomplete("name"))?;
        match jobs::create(&self.jobs, &job, &self.uid).await? {
            Made::Ours(job) => self.made(&job).await,
            Made::Taken => {
                let message =
                    format!("a Job {:?} is there and belongs to something else; delete it", job.name_any());
                self.hold_up(&Hindrance::of_cluster(reasons::JOB_NAME_TAKEN, message, UNDER_WAY * 4)).await
            }
            Made::Refused(why) => {
                let message = format!("the API server refuses the Job: {why}");
                self.hold_up(&Hindrance::of_cluster(reasons::JOB_REFUSED, message, UNDER_WAY * 4)).await
            }
        }
    }

    async fn made(&self, job: &Job) -> Result<Action, Error> {
        events::job_created(&self.context.recorder, self.task, &job.name_any()).await;
        let run = Mirror { job_uid: job.uid(), ..Mirror::default() };
        let say = Say::new(reasons::STARTING, "the Job makes its pod");
        self.follow(&Progress { phase: Phase::Pending, say, run, unexplained: false, collecting: false })
            .await
    }

    /// The cache has no Job where one was: only the API server can say that it is gone. It may be there and lack the
    /// labels that we watch by; then it is looked at like this each time.
    async fn seek(&self, lost: &Outcome) -> Result<Action, Error> {
        match self.live_job().await? {
            Some(job) => self.explained(self.decide(Some(&job), None), Some(&job)).await,
            None => self.end(self.task, lost).await,
        }
    }

    async fn live_job(&self) -> Result<Option<Job>, Error> {
        jobs::get(&self.jobs, &self.uid).await
    }

    async fn follow(&self, progress: &Progress) -> Result<Action, Error> {
        self.write(self.task, self.status.clone().progress(progress, self.generation, self.now)).await?;
        Ok(Action::requeue(if progress.collecting { SOON } else { UNDER_WAY }))
    }

    /// The end has an order, so that a crash between any two steps is mended by the next pass: the report, the terminal
    /// status, and (when that is seen) the Job's TTL.
    async fn finish(&self, outcome: Outcome) -> Result<Action, Error> {
        let Some(source) = &outcome.report else { return self.end(self.task, &outcome).await };
        match self.report(source).await {
            Ok(Some(task)) => self.end(&task, &outcome).await,
            Ok(None) if self.is_late(&outcome) => self.end(self.task, &outcome).await,
            Ok(None) => Ok(Action::requeue(SOON)),
            Err(error) if error.is_refusal() => {
                tracing::error!(task = self.task.name_any(), %error, "the task ends without its report");
                self.end(self.task, &outcome).await
            }
            Err(error) => Err(error),
        }
    }

    /// Whether the report was tried for long enough: since the end, or since this controller could.
    fn is_late(&self, outcome: &Outcome) -> bool {
        outcome.over_since.is_none_or(|over| self.now >= over.max(self.context.started) + REPORT_WAIT)
    }

    /// Reads the report from the pod's log and writes it; the object as it is then.
    async fn report(&self, source: &ReportSource) -> Result<Option<K>, Error> {
        let namespace = self.task.namespace().ok_or(Error::Incomplete("namespace"))?;
        let pods: Api<Pod> = Api::namespaced(self.context.client.clone(), &namespace);
        let Some(long) = report::read(&pods, source).await else { return Ok(None) };
        let text = [source.note.as_deref(), long.report.as_deref()]
            .into_iter()
            .flatten()
            .collect::<Vec<_>>()
            .join("\n\n");
        let text = text::cut(&text, REPORT_LIMIT);
        let report = Report {
            report: Some(text.as_str()).filter(|text| !text.is_empty()),
            plan: long.plan.as_deref(),
        };
        write::report(&self.api, self.task, report).await.map(Some)
    }

    async fn end(&self, task: &K, outcome: &Outcome) -> Result<Action, Error> {
        self.write(task, self.status.clone().finished(outcome, self.generation, self.now)).await?;
        self.context.queue.give_back(&self.uid);
        Ok(Action::requeue(SOON))
    }

    /// Writes the status, unless nothing is new; then tells about it.
    async fn write(&self, task: &K, status: ControllerStatus) -> Result<(), Error> {
        if status == self.status {
            return Ok(());
        }
        write::status(&self.api, task, &status).await?;
        self.context.metrics.written(&self.status, &status);
        self.context.queue.changed();
        events::tell(&self.context.recorder, self.task, &self.status, &status).await;
        Ok(())
    }
}
