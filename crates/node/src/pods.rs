//! All pods of the cluster as the node sees them: it takes those that nobody has, and runs those that are its own.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::Arc;
use std::time::Duration;

use futures::{StreamExt as _, pin_mut};
use k8s_openapi::api::core::v1::Pod;
use kube::Api;
use kube::runtime::{WatchStreamExt as _, watcher};
use tokio::sync::{oneshot, watch};
use tokio::task::JoinSet;

use crate::backoff::Backoff;
use crate::binding::{self, Decision};
use crate::context::Context;
use crate::events::about_pod;
use crate::pod::{PodTask, Seen};
use crate::stop::StopOrder;

/// Between tries to bind a pod.
const BIND_RETRY: (Duration, Duration) = (Duration::from_millis(500), Duration::from_secs(10));

/// The pods that the node knows.
pub struct Pods {
    context: Arc<Context>,
    labels: BTreeMap<String, String>,
    /// Those that run here, by uid.
    own: HashMap<String, watch::Sender<Seen>>,
    /// Those that are being bound.
    binding: HashMap<String, oneshot::Sender<()>>,
    tasks: JoinSet<()>,
    /// While the watch begins anew: what it has shown since.
    listed: HashSet<String>,
}

impl Pods {
    /// None yet. `labels` are the node's.
    pub fn new(context: Arc<Context>, labels: BTreeMap<String, String>) -> Self {
        Self {
            context,
            labels,
            own: HashMap::new(),
            binding: HashMap::new(),
            tasks: JoinSet::new(),
            listed: HashSet::new(),
        }
    }

    /// Watches pods until the order to stop, then ends all that run.
    pub async fn run(mut self, mut stop: StopOrder) {
        let api: Api<Pod> = Api::all(self.context.client.clone());
        let events = watcher(api, watcher::Config::default()).default_backoff().modify(|pod| {
            pod.metadata.managed_fields = None;
        });
        pin_mut!(events);
        while stop.given().is_none() {
            tokio::select! {
                event = events.next() => match event {
                    Some(Ok(event)) => self.see(event),
                    Some(Err(error)) => tracing::debug!(%error, "the watch of pods begins anew"),
                    None => break,
                },
                Some(_) = self.tasks.join_next() => {}
                () = stop.changed() => {}
            }
        }
        for seen in self.own.values() {
            seen.send_replace(Seen::NodeStops);
        }
        self.binding.clear();
        stop.bound(async { while self.tasks.join_next().await.is_some() {} }).await;
    }

    fn see(&mut self, event: watcher::Event<Pod>) {
        match event {
            watcher::Event::Init => self.listed.clear(),
            watcher::Event::InitApply(pod) => {
                self.listed.extend(pod.metadata.uid.clone());
                self.see_pod(pod);
            }
            watcher::Event::InitDone => {
                let listed = std::mem::take(&mut self.listed);
                let gone: Vec<_> = self.own.keys().filter(|uid| !listed.contains(*uid)).cloned().collect();
                for uid in gone {
                    self.forget(&uid);
                }
                self.binding.retain(|uid, _| listed.contains(uid));
            }
            watcher::Event::Apply(pod) => self.see_pod(pod),
            watcher::Event::Delete(pod) => self.forget(pod.metadata.uid.as_deref().unwrap_or_default()),
        }
    }

    fn forget(&mut self, uid: &str) {
        self.binding.remove(uid);
        if let Some(seen) = self.own.remove(uid) {
            seen.send_replace(Seen::Gone);
        }
    }

    fn see_pod(&mut self, pod: Pod) {
        let Some(uid) = pod.metadata.uid.clone() else { return };
        let decision = binding::decide(&pod, &self.context.node, &self.labels, &self.context.allocatable);
        if decision != Decision::Bind {
            self.binding.remove(&uid);
        }
        match decision {
            Decision::Run => self.run_pod(uid, Arc::new(pod)),
            Decision::Bind => self.bind(uid, pod),
            Decision::Unschedulable(why) => self.mark(pod, why),
            Decision::Leave => {}
        }
    }

    fn run_pod(&mut self, uid: String, pod: Arc<Pod>) {
        if let Some(seen) = self.own.get(&uid) {
            seen.send_replace(Seen::Present(pod));
            return;
        }
        let (sender, seen) = watch::channel(Seen::Present(Arc::clone(&pod)));
        self.own.insert(uid, sender);
        self.tasks.spawn(PodTask::new(Arc::clone(&self.context), pod, seen).run());
    }

    /// Binds in the background, until it is done or the pod is seen bound or gone.
    fn bind(&mut self, uid: String, pod: Pod) {
        if self.binding.get(&uid).is_some_and(|running| !running.is_closed()) {
            return;
        }
        let (alive, mut cancelled) = oneshot::channel();
        self.binding.insert(uid, alive);
        let context = Arc::clone(&self.context);
        self.tasks.spawn(async move {
            tokio::select! {
                () = bind(&context, &pod) => {}
                _ = &mut cancelled => {}
            }
        });
    }

    fn mark(&mut self, pod: Pod, why: String) {
        if binding::is_marked(&pod, &why) {
            return;
        }
        let context = Arc::clone(&self.context);
        self.tasks.spawn(async move {
            context.events.warning(&about_pod(&pod), "FailedScheduling", &why);
            if let Err(error) = binding::mark(&context.client, &pod, &why).await {
                tracing::debug!(%error, "can't say that a pod is unschedulable");
            }
        });
    }
}

async fn bind(context: &Context, pod: &Pod) {
    let mut backoff = Backoff::up_to(BIND_RETRY.0, BIND_RETRY.1);
    loop {
        match binding::bind(&context.client, pod, &context.node).await {
            Ok(()) => {
                let namespace = pod.metadata.namespace.as_deref().unwrap_or_default();
                let name = pod.metadata.name.as_deref().unwrap_or_default();
                let note = format!("Successfully assigned {namespace}/{name} to {}", context.node);
                return context.events.normal(&about_pod(pod), "Scheduled", note);
            }
            Err(error) if error.is_gone() => return,
            Err(error) => {
                tracing::debug!(%error, "can't bind a pod");
                tokio::time::sleep(backoff.wait()).await;
            }
        }
    }
}
