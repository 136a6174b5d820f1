//! The real engines through everything that a run can come to, from the task to its status, behind the gateways of two
//! replicas. What came of each run is the table in docs/agent.md; what runs spend beyond their budgets is the one in
//! docs/gateway.md. A row that is no longer true fails the test. With `UPDATE_DOCS=1` the tables are written anew;
//! `ENGINES=sdk,command` leaves the others out, as does `CASES=ok,loop`. Without either `main` goes through [`OF_MAIN`]
//! alone. Of the budgets only what `CASES` names is run, and one of the engine `sdk` if it names nothing.

mod budget;
mod cases;
mod checks;
mod engine;
mod runs;
mod table;

use std::env;
use std::sync::LazyLock;

use futures::future::join_all;
use punching_fist_e2e::{Failure, Outcome, Plan, Replica, Scripted, Service, Space, Stage};
use punching_fist_testkit::operator::Settings;
use serde_json::json;

use engine::Engine;
use runs::Run;
use table::{Place, Row, Table};

/// How many agents work at once: each takes about one processor while it starts, and some only wait.
const AT_ONCE: usize = 7;

/// What the engine `main` goes through if nobody asks for more: each of its starts takes ten seconds of a processor, and
/// its adapter is tested on recordings of everything else.
const OF_MAIN: [&str; 4] = ["ok", "rate-limited", "question", "unmetered"];

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

/// What the environment asks for: engines and cases by their names, all if it says nothing.
fn wanted() -> Vec<Run> {
    let in_brief = ["ENGINES", "CASES"].iter().all(|variable| env::var_os(variable).is_none());
    let is_asked_for = |run: &Run| {
        let is_spared = in_brief && run.engine == Engine::Main && !OF_MAIN.contains(&run.case.name);
        is_wanted("ENGINES", run.engine.name()) && is_wanted("CASES", run.case.name) && !is_spared
    };
    Run::all().into_iter().filter(is_asked_for).collect()
}

fn wanted_budgets() -> Vec<budget::Run> {
    let in_brief = env::var_os("CASES").is_none();
    let is_asked_for = |run: &budget::Run| {
        let is_spared = in_brief && !run.is_in_brief();
        is_wanted("ENGINES", run.engine.name()) && is_wanted("CASES", run.case.name) && !is_spared
    };
    budget::Run::all().into_iter().filter(is_asked_for).collect()
}

fn plan() -> Plan {
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
        models: outcomes.chain(budgets).collect(),
        replicas: vec![settings("engines-a"), settings("engines-b")],
    }
}

/// A replica. Whoever leads, agents reach the gateways of all.
fn settings(name: &str) -> Settings {
    let config = json!({ "gateway": { "url": SERVICE.url() }, "limits": { "maxConcurrent": AT_ONCE } });
    Settings { config, ..Settings::new(name) }
}

fn play<F>(name: &str, test: F)
where
    F: AsyncFnOnce(Space) -> Outcome,
{
    STAGE.play(name, async |space| {
        SERVICE.leads_to(space.world().replicas().iter().map(Replica::gateway));
        test(space).await
    });
}

#[test]
fn the_table_in_the_docs_is_true() {
    play("engines", async |space| {
        let all = join_all(RUNS.iter().map(|run| told(&run.profile, row(&space, run)))).await;
        finish(all, &Table::read(&OUTCOMES, Run::all().iter().map(Run::key).collect())?)
    });
}

#[test]
fn no_engine_spends_more_than_one_call_beyond_its_budget() {
    play("budgets", async |space| {
        let all = join_all(BUDGETS.iter().map(|run| told(&run.profile, run.play(&space)))).await;
        let keys = budget::Run::all().iter().map(budget::Run::key).collect();
        finish(all, &Table::read(&budget::TABLE, keys)?)
    });
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
