//! `cargo xtask agents`: runs the real packages of every engine against the scripted model, through every end that a run
//! can come to, and keeps what they print and write as fixtures of the runner's adapters. A second run gives the same
//! files.

mod cases;
mod engine;
mod fixture;
mod normal;
mod sandbox;

use std::process::ExitCode;

use futures::{StreamExt as _, stream};
use punching_fist_testkit::python::{Environment, Packages};
use punching_fist_testkit::scripted_model::ScriptedModel;
use punching_fist_testkit::{Cache, Nursery};

use crate::Outcome;
use cases::{CASES, Case};
use engine::Engine;

/// How many agents run at once: each takes about one processor while it starts.
const AT_ONCE: usize = 3;

/// Which runs are recorded.
#[derive(clap::Args)]
pub struct Arguments {
    /// Only this engine [default: all of them]
    #[arg(long, value_enum)]
    engine: Option<Engine>,
    /// Only this case [default: all of them]
    #[arg(long, value_name = "NAME", value_parser = CASES.map(|case| case.name))]
    case: Option<String>,
}

/// Records the runs.
pub async fn run(arguments: &Arguments) -> Outcome {
    let (nursery, cache) = (Nursery::start()?, Cache::of_user());
    let mut runs = Vec::new();
    for engine in Engine::ALL.into_iter().filter(|engine| arguments.engine.is_none_or(|only| only == *engine))
    {
        let environment = Environment::of(engine.packages(), &nursery, &cache).await?;
        let cases =
            CASES.iter().filter(|case| arguments.case.as_deref().is_none_or(|only| only == case.name));
        runs.extend(cases.map(|case| (engine, case, environment.clone())));
    }
    let recorded = stream::iter(runs).map(|(engine, case, environment)| record(engine, case, environment));
    let failures: Vec<String> = recorded
        .buffer_unordered(AT_ONCE)
        .filter_map(async |outcome: Result<(), String>| outcome.err())
        .collect()
        .await;
    if failures.is_empty() { Ok(ExitCode::SUCCESS) } else { Err(failures.join("\n").into()) }
}

async fn record(engine: Engine, case: &Case, environment: Environment) -> Result<(), String> {
    let outcome = async {
        let model = ScriptedModel::start((case.behaviour)()).await?;
        let ran = sandbox::run(engine, case, &environment, &model).await?;
        fixture::write(engine, case, &environment, &ran)?;
        let calls = model.requests().len();
        println!("{} {}: exit {}, {calls} calls, {:.0?}", engine.name(), case.name, ran.exit, ran.took);
        Ok::<_, Box<dyn std::error::Error>>(())
    };
    outcome.await.map_err(|error| format!("{} {}: {error}", engine.name(), case.name))
}

impl Engine {
    fn packages(self) -> Packages {
        match self {
            Self::Sdk => Packages::Sdk,
            Self::Cli => Packages::Cli,
            Self::Main => Packages::Main,
        }
    }
}
