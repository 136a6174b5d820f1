//! What one test works with: its namespace, and what it does there.

use std::fmt::Debug;

use k8s_openapi::NamespaceResourceScope;
use k8s_openapi::api::batch::v1::Job;
use k8s_openapi::api::core::v1::{ConfigMap, Pod};
use kube::api::{ListParams, Patch, PatchParams, PostParams};
use kube::runtime::wait::await_condition;
use kube::{Api, Resource};
use punching_fist_api::{Phase, Task, names};
use punching_fist_testkit::namespaces;
use punching_fist_testkit::wait::PATIENCE;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt as _, BufReader, Lines};
use tokio::process::{Child, ChildStdout};

use crate::stage::World;
use crate::{Failure, kubectl, kubectl_command, kubectl_with};

/// A test's namespace, and the world around it.
#[derive(Clone)]
pub struct Space {
    world: &'static World,
    namespace: String,
    /// What the names of the test's tasks begin with, if others have tasks in the namespace too.
    prefix: String,
}

impl Space {
    pub(crate) fn new(world: &'static World, namespace: &str, prefix: &str) -> Self {
        Self { world, namespace: namespace.to_owned(), prefix: prefix.to_owned() }
    }

    /// The namespace of the default route, in the same world.
    #[must_use]
    pub fn of_alerts(&self) -> Self {
        Self::new(self.world, namespaces::AGENTS, &self.prefix)
    }

    /// The world around it.
    pub fn world(&self) -> &'static World {
        self.world
    }

    /// The namespace.
    pub fn namespace(&self) -> &str {
        &self.namespace
    }

    /// The objects of a kind in it.
    pub fn api<K>(&self) -> Api<K>
    where
        K: Resource<DynamicType = (), Scope = NamespaceResourceScope>,
    {
        Api::namespaced(self.world.client(), &self.namespace)
    }

    /// kubectl in this namespace, with all rights: what it wrote.
    ///
    /// # Errors
    /// It fails.
    pub async fn kubectl(&self, arguments: &[&str]) -> Result<String, Failure> {
        let all = [&["--namespace", self.namespace.as_str()], arguments].concat();
        kubectl(self.world.ground(), &all).await
    }

    /// `kubectl apply` of this manifest: what it said.
    ///
    /// # Errors
    /// It fails.
    pub async fn kubectl_apply(&self, manifest: &Value) -> Result<String, Failure> {
        let arguments = ["--namespace", self.namespace.as_str(), "apply", "--filename=-"];
        kubectl_with(self.world.ground(), &arguments, &manifest.to_string()).await
    }

    /// Starts a kubectl that goes on by itself.
    ///
    /// # Errors
    /// The system refuses the process.
    pub fn kubectl_follow(&self, arguments: &[&str]) -> Result<Follow, Failure> {
        let all = [&["--namespace", self.namespace.as_str()], arguments].concat();
        let mut child = kubectl_command(self.world.ground(), &all).spawn()?;
        let stdout = child.stdout.take().ok_or("stdout is piped")?;
        Ok(Follow { _child: child, lines: BufReader::new(stdout).lines() })
    }

    /// Makes a task whose agent follows this script.
    ///
    /// # Errors
    /// The API server refuses it.
    pub async fn task<K: Task + serde::Serialize>(&self, name: &str, script: &str) -> Result<K, Failure> {
        self.task_with(name, json!({ "prompt": script })).await
    }

    /// Makes a task with this spec.
    ///
    /// # Errors
    /// The API server refuses it.
    pub async fn task_with<K>(&self, name: &str, spec: Value) -> Result<K, Failure>
    where
        K: Task + serde::Serialize,
    {
        let task = json!({
            "apiVersion": K::api_version(&()), "kind": K::kind(&()),
            "metadata": { "name": name }, "spec": spec,
        });
        Ok(self.api().create(&PostParams::default(), &serde_json::from_value(task)?).await?)
    }

    /// Changes the spec of a task.
    ///
    /// # Errors
    /// The API server refuses it.
    pub async fn edit<K: Task>(&self, name: &str, spec: Value) -> Result<K, Failure> {
        let patch = Patch::Merge(json!({ "spec": spec }));
        Ok(self.api().patch(name, &PatchParams::default(), &patch).await?)
    }

    /// Waits until an object is as it should be.
    ///
    /// # Errors
    /// It isn't so in time.
    pub async fn until<K>(&self, name: &str, what: &str, holds: impl Fn(&K) -> bool) -> Result<K, Failure>
    where
        K: Resource<DynamicType = (), Scope = NamespaceResourceScope>,
        K: Clone + Debug + DeserializeOwned + Send + 'static,
    {
        let condition = |object: Option<&K>| object.is_some_and(&holds);
        let found = tokio::time::timeout(PATIENCE, await_condition(self.api(), name, condition)).await;
        let late = || format!("{} {name}: not so in {} s: {what}", K::kind(&()), PATIENCE.as_secs());
        Ok(found.map_err(|_| late())??.ok_or_else(late)?)
    }

    /// Waits until a task is in this phase.
    ///
    /// # Errors
    /// It isn't in time.
    pub async fn phase<K: Task>(&self, name: &str, phase: Phase) -> Result<K, Failure> {
        let what = format!("phase {phase:?}");
        self.until(name, &what, |task: &K| task.task_status().and_then(|status| status.phase) == Some(phase))
            .await
    }

    /// Waits until a task says this reason.
    ///
    /// # Errors
    /// It doesn't in time.
    pub async fn reason<K: Task>(&self, name: &str, reason: &str) -> Result<K, Failure> {
        let says = |task: &K| task.task_status().and_then(|status| status.reason.as_deref()) == Some(reason);
        self.until(name, &format!("reason {reason}"), says).await
    }

    /// Waits until a task is over.
    ///
    /// # Errors
    /// It isn't in time.
    pub async fn end<K: Task>(&self, name: &str) -> Result<K, Failure> {
        let over = |task: &K| task.task_status().and_then(|status| status.phase).is_some_and(Phase::is_final);
        self.until(name, "Succeeded or Failed", over).await
    }

    /// Waits until there is no such object.
    ///
    /// # Errors
    /// It is still there when the time is over.
    pub async fn gone<K>(&self, name: &str) -> Result<(), Failure>
    where
        K: Resource<DynamicType = (), Scope = NamespaceResourceScope>,
        K: Clone + Debug + DeserializeOwned + Send + 'static,
    {
        let gone = await_condition(self.api::<K>(), name, |object: Option<&K>| object.is_none());
        let late = |_| format!("{} {name} is still there after {} s", K::kind(&()), PATIENCE.as_secs());
        tokio::time::timeout(PATIENCE, gone).await.map_err(late)??;
        Ok(())
    }

    /// The Jobs of a task: one at most, if all is well.
    ///
    /// # Errors
    /// The API server doesn't answer.
    pub async fn jobs<K: Task>(&self, task: &K) -> Result<Vec<Job>, Failure> {
        self.of_task(task).await
    }

    /// The pods of a task: one for each attempt.
    ///
    /// # Errors
    /// The API server doesn't answer.
    pub async fn pods<K: Task>(&self, task: &K) -> Result<Vec<Pod>, Failure> {
        self.of_task(task).await
    }

    async fn of_task<K: Task, O>(&self, task: &K) -> Result<Vec<O>, Failure>
    where
        O: Resource<DynamicType = (), Scope = NamespaceResourceScope> + Clone + Debug + DeserializeOwned,
    {
        let uid = task.meta().uid.as_deref().unwrap_or_default();
        let selector = ListParams::default().labels(&format!("{}={uid}", names::LABEL_TASK_ID));
        Ok(self.api().list(&selector).await?.items)
    }

    /// Makes the ConfigMap that a script's `await` waits for.
    ///
    /// # Errors
    /// The API server refuses it.
    pub async fn signal(&self, name: &str) -> Result<(), Failure> {
        let signal: ConfigMap = serde_json::from_value(json!({ "metadata": { "name": name } }))?;
        self.api().create(&PostParams::default(), &signal).await?;
        Ok(())
    }

    /// All that is known about the test's tasks.
    pub(crate) async fn diagnosis(&self) -> String {
        let mut parts = Vec::new();
        for (what, arguments) in [
            ("OBJECTS", ["get", "alerttasks,maintenancetasks,jobs,pods", "--output=wide"]),
            ("TASKS", ["get", "alerttasks,maintenancetasks", "--output=yaml"]),
            ("EVENTS", ["get", "events", "--sort-by=.metadata.creationTimestamp"]),
        ] {
            let text = self.kubectl(&arguments).await.unwrap_or_else(|error| error.to_string());
            parts.push(format!("== {what} of namespace {}\n{}", self.namespace, self.about_us(&text)));
        }
        for replica in self.world.replicas() {
            parts.push(format!("== END OF THE OPERATOR'S LOG\n{}", replica.log_tail()));
        }
        parts.join("\n\n")
    }

    /// Of a listing in a namespace with others' tasks: the lines that name ours. A document can't be filtered so.
    fn about_us(&self, text: &str) -> String {
        if self.prefix.is_empty() || text.starts_with("apiVersion") {
            return text.to_owned();
        }
        let ours = |line: &&str| line.contains(&self.prefix) || line.contains("NAME");
        text.lines().filter(ours).collect::<Vec<_>>().join("\n")
    }
}

/// A kubectl that goes on until it is dropped.
pub struct Follow {
    _child: Child,
    lines: Lines<BufReader<ChildStdout>>,
}

impl Follow {
    /// Reads until a line has `word` in it: all that was read.
    ///
    /// # Errors
    /// It ends, or doesn't say so in time.
    pub async fn until(&mut self, word: &str) -> Result<String, Failure> {
        let mut seen = String::new();
        while !seen.contains(word) {
            let next = tokio::time::timeout(PATIENCE, self.lines.next_line()).await;
            let line = next.map_err(|_| format!("{word} was not said:\n{seen}"))??;
            seen += &line.ok_or_else(|| format!("it ended without {word}:\n{seen}"))?;
            seen.push('\n');
        }
        Ok(seen)
    }
}
