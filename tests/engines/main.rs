//! The real engines through everything that a run can come to, from the task to its status, behind the gateways of two
//! replicas. What came of each run is the table in docs/agent.md; what runs spend beyond their budgets is the one in
//! docs/gateway.md. A row that is no longer true fails the test. With `UPDATE_DOCS=1` the tables are written anew;
//! `ENGINES=sdk,command` leaves the others out, as does `CASES=ok,loop`. Without either the real engines go through the
//! cases of [`OF_SDK`] and [`OF_CLI`] alone. Of the budgets only what `CASES` names is run, and a few if it
//! names nothing.

mod budget;
mod cases;
mod checks;
mod engine;
mod runs;
mod skills;
mod table;

use std::env;
use std::sync::LazyLock;

use futures::future::join_all;
use punching_fist_e2e::{Failure, Outcome, Plan, Scripted, Service, Space, Stage};
use punching_fist_testkit::operator::Settings;
use serde_json::json;

use engine::Engine;
use runs::Run;
use table::{Place, Row, Table};

/// How many agents work at once: each takes about one processor while it starts, and some only wait.
const AT_ONCE: usize = 6;

/// What the engines go through if nobody asks for more, each of whose starts takes up to ten seconds of a processor. Their
/// adapters are tested on recordings of everything else; all three come to verdicts here with their skills, and `sdk` does
/// and looks for the key in other tests.
const OF_SDK: [&str; 3] = ["hangs", "forged", "deleted"];
const OF_CLI: [&str; 2] = ["budget", "forged"];

/// Where it is told what comes of runs.
const OUTCOMES: Place = Place {
    file: "docs/agent.md",
    head: "| the agent, its model, its pod | engine | phase | verdict | reason | exit codes | attempts |\n|---|---|---|---|---|---|---|\n",
};

static STAGE: Stage = Stage::new(plan);
/// Where agents reach the gateways of both replicas, as a Service of Kubernetes does it.
static SERVICE: LazyLock<Service> = LazyLock::new(Service::start);
static RUNS: LazyLock<Vec<Run>> = LazyLock::new(wanted);
static BUDGETS: LazyLock<Vec<budget::Run>> = LazyLock::new(wanted_budgets);

/// Whether the environment asks for this one: by its name, or by nothing at all.
fn is_wanted(variable: &str, name: &str) -> bool {
    env::var(variable).map_or(true, |names| names.split(',').any(|wanted| wanted == name))
}

/// A name that nothing has asks for nothing, and a test of nothing fails at nothing.
fn assert_known(variable: &str, known: &[&str]) {
    let asked = env::var(variable).unwrap_or_default();
    let unknown = asked.split(',').find(|name| !name.is_empty() && !known.contains(name));
    assert_eq!(unknown, None, "{variable}={asked} names what isn't there; there are: {known:?}");
}

fn is_in_brief(run: &Run) -> bool {
    match run.engine {
        Engine::Sdk => OF_SDK.contains(&run.case.name),
        Engine::Cli => OF_CLI.contains(&run.case.name),
        Engine::Main => false,
        Engine::Command => true,
    }
}

fn is_engine_wanted(engine: Engine) -> bool {
    is_wanted("ENGINES", engine.name())
}

/// What the environment asks for: engines and cases by their names, all if it says nothing.
fn wanted() -> Vec<Run> {
    let in_brief = ["ENGINES", "CASES"].iter().all(|variable| env::var_os(variable).is_none());
    let is_asked_for = |run: &Run| {
        let is_spared = in_brief && !is_in_brief(run);
        is_engine_wanted(run.engine) && is_wanted("CASES", run.case.name) && !is_spared
    };
    Run::all().into_iter().filter(is_asked_for).collect()
}

fn wanted_budgets() -> Vec<budget::Run> {
    let in_brief = env::var_os("CASES").is_none();
    let is_asked_for = |run: &budget::Run| {
        let is_spared = in_brief && !run.is_in_brief();
        is_engine_wanted(run.engine) && is_wanted("CASES", run.case.name) && !is_spared
    };
    budget::Run::all().into_iter().filter(is_asked_for).collect()
}

fn plan() -> Plan {
    assert_known("ENGINES", &Engine::ALL.map(Engine::name));
    let of_runs = Run::all().into_iter().map(|run| run.case.name);
    let of_budgets = budget::Run::all().into_iter().map(|run| run.case.name);
    assert_known("CASES", &of_runs.chain(of_budgets).collect::<Vec<_>>());
    let outcomes = RUNS.iter().map(|run| Scripted {
        profile: &run.profile,
        behaviour: (run.case.behaviour)(),
        more: run.profile(),
    });
    let budgets = BUDGETS.iter().map(|run| Scripted {
        profile: &run.profile,
        behaviour: run.behaviour(),
        more: run.profile(),
    });
    Plan {
        shell_agent: env!("CARGO_BIN_EXE_shell-agent"),
        openhands: true,
        models: outcomes.chain(budgets).chain(skills::models(is_engine_wanted)).collect(),
        replicas: vec![settings("engines-a"), settings("engines-b")],
    }
}

/// A replica. Whoever leads, agents reach the gateways of all.
fn settings(name: &str) -> Settings {
    let config = json!({ "gateway": { "url": SERVICE.url() }, "limits": { "maxConcurrent": AT_ONCE } });
    Settings { config, ..Settings::new(name) }
}

#[test]
fn the_table_in_the_docs_is_true() {
    STAGE.play_behind(&SERVICE, "engines", async |space| {
        let all = join_all(RUNS.iter().map(|run| told(&run.profile, row(&space, run)))).await;
        finish(all, &Table::read(&OUTCOMES, Run::all().iter().map(Run::key).collect())?)
    });
}

#[test]
fn no_engine_spends_more_than_one_call_beyond_its_budget() {
    STAGE.play_behind(&SERVICE, "budgets", async |space| {
        let all = join_all(BUDGETS.iter().map(|run| told(&run.profile, run.play(&space)))).await;
        let keys = budget::Run::all().iter().map(budget::Run::key).collect();
        finish(all, &Table::read(&budget::TABLE, keys)?)
    });
}

#[test]
fn every_engine_reads_its_skills_and_starts_its_servers() {
    STAGE.play_behind(&SERVICE, "skills", async |space| skills::play(&space, is_engine_wanted).await);
}

async fn row(space: &Space, run: &Run) -> Result<Row, Failure> {
    let ended = run.play(space).await?;
    checks::check(space, run, &ended).await?;
    // For who looks by hand: `-- --nocapture`.
    println!("{}: {}", run.profile, ended.last_error.as_deref().unwrap_or("no error"));
    Ok(run.row(&ended))
}

/// What came of a run, with its name.
async fn told(name: &str, run: impl Future<Output = Result<Row, Failure>>) -> Result<Row, String> {
    let outcome = run.await.map_err(|error| format!("{name}: {error}"));
    match &outcome {
        Ok(row) => println!("{row}"),
        Err(error) => println!("{error}"),
    }
    outcome
}

/// Compares what came of all with the docs, or writes it there.
fn finish(all: Vec<Result<Row, String>>, table: &Table) -> Outcome {
    let (rows, failures): (Vec<_>, Vec<_>) = all.into_iter().partition(Result::is_ok);
    let failures: Vec<String> = failures.into_iter().filter_map(Result::err).collect();
    if !failures.is_empty() {
        return Err(failures.join("\n").into());
    }
    let rows: Vec<Row> = rows.into_iter().flatten().collect();
    if env::var_os("UPDATE_DOCS").is_some() { table.write(&rows) } else { table.compare(&rows) }
}
