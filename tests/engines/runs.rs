//! One engine in one case: its profile, its task, and how it is played.

use std::time::Duration;

use kube::runtime::wait::await_condition;
use punching_fist_api::{MaintenanceTask, Phase, TaskStatus};
use punching_fist_e2e::{Failure, Space};
use punching_fist_testkit::scripted_model::{Request, ScriptedModel};
use punching_fist_testkit::{images, wait};
use serde_json::{Value, json};

use crate::cases::{Act, CASES, Case};

/// How long a run may take, with its turn: all of them are made at once.
const LIMIT: Duration = Duration::from_secs(900);
/// The engines bear a provider's faults for minutes; here they are to give up.
const IMPATIENT: [(&str, &str); 3] =
    [("LLM_NUM_RETRIES", "2"), ("LLM_RETRY_MIN_WAIT", "1"), ("LLM_RETRY_MAX_WAIT", "1")];
/// The program of the engine `command`.
const AGENT: &str = include_str!("agent.sh");
/// A program that no image has.
const NOWHERE: &str = "no-such-program";

/// What runs the agent.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Engine {
    Sdk,
    Cli,
    Main,
    Command,
}

/// One engine in one case.
pub struct Run {
    pub engine: Engine,
    pub case: &'static Case,
    /// The name of its profile and its task.
    pub profile: String,
}

impl Engine {
    const ALL: [Self; 4] = [Self::Sdk, Self::Cli, Self::Main, Self::Command];

    pub fn name(self) -> &'static str {
        match self {
            Self::Sdk => "sdk",
            Self::Cli => "cli",
            Self::Main => "main",
            Self::Command => "command",
        }
    }

    fn image(self) -> &'static str {
        match self {
            Self::Sdk => images::AGENT,
            Self::Cli => images::CLI,
            Self::Main => images::MAIN,
            Self::Command => images::SHELL,
        }
    }
}

impl Run {
    /// Every engine in every case, case by case.
    pub fn all() -> Vec<Self> {
        let of_case = |case| Engine::ALL.map(|engine| Self::new(engine, case));
        CASES.iter().flat_map(of_case).collect()
    }

    fn new(engine: Engine, case: &'static Case) -> Self {
        Self { engine, case, profile: format!("{}-{}", engine.name(), case.name) }
    }

    /// What its profile says besides the model.
    pub fn profile(&self) -> Value {
        let is_there = self.case.act != Act::EmptyImage;
        let image = if is_there { self.engine.image() } else { images::SHELL };
        let env = IMPATIENT.iter().chain(self.case.env);
        let env: Vec<_> = env.map(|(name, value)| json!({ "name": name, "value": value })).collect();
        let mut profile = json!({ "engine": self.engine.name(), "image": image, "env": env });
        if self.engine == Engine::Command {
            profile["command"] = if is_there { json!(["sh", "-c", AGENT]) } else { json!([NOWHERE]) };
        }
        profile
    }

    /// Runs it to its end.
    pub async fn play(&self, space: &Space) -> Result<TaskStatus, Failure> {
        let mut spec = (self.case.spec)();
        spec["prompt"] = json!("Find out why the disk is full.");
        spec["agent"]["profile"] = json!(self.profile);
        let retries = spec.get("maxRetries").cloned().unwrap_or(json!(1));
        spec["maxRetries"] = retries;
        let task: MaintenanceTask = space.task_with(&self.profile, spec).await?;
        match self.case.act {
            Act::Nothing | Act::EmptyImage => {}
            Act::DeletePod => {
                self.waits_for_the_second_answer(space).await?;
                let pods = space.pods(&task).await?;
                let pod = pods.first().and_then(|pod| pod.metadata.name.as_deref()).ok_or("no pod")?;
                space.kubectl(&["delete", "pod", pod, "--wait=false"]).await?;
            }
            Act::Cancel => {
                self.waits_for_the_second_answer(space).await?;
                space.edit::<MaintenanceTask>(&self.profile, json!({ "cancel": true })).await?;
            }
        }
        self.end(space).await
    }

    async fn waits_for_the_second_answer(&self, space: &Space) -> Result<(), Failure> {
        let asked_twice = async || (steps(self.model(space)).len() >= 2).then_some(());
        Ok(wait::until("the model is asked twice", LIMIT, asked_twice).await?)
    }

    async fn end(&self, space: &Space) -> Result<TaskStatus, Failure> {
        let is_over = |task: Option<&MaintenanceTask>| {
            let phase = task.and_then(|task| task.status.as_ref()?.task.phase);
            phase.is_some_and(Phase::is_final)
        };
        let end = await_condition(space.api::<MaintenanceTask>(), &self.profile, is_over);
        let ended = tokio::time::timeout(LIMIT, end).await.map_err(|_| "it doesn't end")??;
        Ok(ended.and_then(|task| task.status).ok_or("no status")?.task)
    }

    /// The model behind it.
    pub fn model<'a>(&self, space: &'a Space) -> &'a ScriptedModel {
        space.world().model(&self.profile)
    }
}

/// The requests that are steps of an agent: others have no tools.
pub fn steps(model: &ScriptedModel) -> Vec<Request> {
    let is_step = |request: &Request| request.body["tools"].as_array().is_some_and(|tools| !tools.is_empty());
    model.requests().into_iter().filter(is_step).collect()
}
