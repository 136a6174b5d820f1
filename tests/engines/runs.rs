//! One engine in one case: its profile, its task, and how it is played.

use std::fmt::Debug;
use std::time::Duration;

use kube::runtime::wait::await_condition;
use punching_fist_api::{MaintenanceTask, Phase, TaskStatus};
use punching_fist_e2e::{Failure, Space};
use punching_fist_testkit::scripted_model::{Request, ScriptedModel};
use punching_fist_testkit::{images, wait};
use serde_json::{Value, json};

use crate::cases::{Act, CASES, Case};
use crate::engine::{Engine, IMPATIENT};
use crate::table::{Key, Row};

/// How long a run may take, with its turn: all of them are made at once.
pub const LIMIT: Duration = Duration::from_secs(900);
/// A program that no image has.
const NOWHERE: &str = "no-such-program";

/// One engine in one case.
pub struct Run {
    pub engine: Engine,
    pub case: &'static Case,
    /// The name of its profile and its task.
    pub profile: String,
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
        let mut profile = self.engine.profile(IMPATIENT.iter().chain(self.case.env));
        if self.case.act == Act::EmptyImage {
            profile["image"] = json!(images::SHELL);
            if self.engine == Engine::Command {
                profile["command"] = json!([NOWHERE]);
            }
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
        end(space, &self.profile).await
    }

    async fn waits_for_the_second_answer(&self, space: &Space) -> Result<(), Failure> {
        let asked_twice = async || (steps(self.model(space)).len() >= 2).then_some(());
        Ok(wait::until_within(LIMIT, "the model is asked twice", asked_twice).await?)
    }

    /// What its row in the docs is found by.
    pub fn key(&self) -> Key {
        [self.case.title.to_owned(), format!("`{}`", self.engine.name())]
    }

    /// What came of it.
    pub fn row(&self, status: &TaskStatus) -> Row {
        let verdict = status.result.as_ref().and_then(|found| found.verdict);
        let codes = status
            .attempts
            .iter()
            .map(|attempt| attempt.exit_code.map_or_else(String::new, |code| code.to_string()));
        let reasons = status.attempts.iter().map(|attempt| attempt.reason.clone().unwrap_or_default());
        let cells = [
            word(status.phase),
            word(verdict),
            status.reason.clone().unwrap_or_default(),
            list(codes),
            format!("{}: {}", status.attempts.len(), list(reasons)),
        ];
        Row::new(self.key(), cells)
    }

    /// The model behind it.
    pub fn model<'a>(&self, space: &'a Space) -> &'a ScriptedModel {
        space.world().model(&self.profile)
    }
}

/// How a task ended.
pub async fn end(space: &Space, name: &str) -> Result<TaskStatus, Failure> {
    let is_over = |task: Option<&MaintenanceTask>| {
        let phase = task.and_then(|task| task.status.as_ref()?.task.phase);
        phase.is_some_and(Phase::is_final)
    };
    let end = await_condition(space.api::<MaintenanceTask>(), name, is_over);
    let ended = tokio::time::timeout(LIMIT, end).await.map_err(|_| "it doesn't end")??;
    Ok(ended.and_then(|task| task.status).ok_or("no status")?.task)
}

/// The requests that are steps of an agent: others have no tools.
pub fn steps(model: &ScriptedModel) -> Vec<Request> {
    let is_step = |request: &Request| request.body["tools"].as_array().is_some_and(|tools| !tools.is_empty());
    model.requests().into_iter().filter(is_step).collect()
}

/// An enum's word, as the status says it.
pub fn word(word: Option<impl Debug>) -> String {
    word.map(|word| format!("{word:?}")).unwrap_or_default()
}

fn list(parts: impl Iterator<Item = String>) -> String {
    parts.collect::<Vec<_>>().join(", ")
}
