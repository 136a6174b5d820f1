//! The real engines through everything that a run can come to, from the task to its status; what came of each run is the
//! table in docs/agent.md. A row that is no longer true fails the test. With `UPDATE_DOCS=1` the table is written anew;
//! `ENGINES=sdk,command` leaves the others out, as does `CASES=ok,loop`. Without either `main` goes through [`OF_MAIN`] alone.

mod cases;
mod checks;
mod runs;
mod table;

use std::env;
use std::sync::LazyLock;

use futures::future::join_all;
use punching_fist_e2e::{Failure, Outcome, Plan, Scripted, Space, Stage};
use punching_fist_testkit::operator::Settings;
use serde_json::json;

use runs::{Engine, Run};
use table::{Row, Table};

/// How many agents work at once: each takes about one processor while it starts, and some only wait.
const AT_ONCE: usize = 7;

/// What the engine `main` goes through if nobody asks for more: each of its starts takes ten seconds of a processor, and
/// its adapter is tested on recordings of everything else.
const OF_MAIN: [&str; 4] = ["ok", "rate-limited", "question", "unmetered"];

static STAGE: Stage = Stage::new(plan);
static RUNS: LazyLock<Vec<Run>> = LazyLock::new(wanted);

/// What the environment asks for: engines and cases by their names, all if it says nothing.
fn wanted() -> Vec<Run> {
    let is_wanted = |variable: &str, name: &str| {
        env::var(variable).map_or(true, |names| names.split(',').any(|wanted| wanted == name))
    };
    let in_brief = ["ENGINES", "CASES"].iter().all(|variable| env::var_os(variable).is_none());
    let is_asked_for = |run: &Run| {
        let is_spared = in_brief && run.engine == Engine::Main && !OF_MAIN.contains(&run.case.name);
        is_wanted("ENGINES", run.engine.name()) && is_wanted("CASES", run.case.name) && !is_spared
    };
    Run::all().into_iter().filter(is_asked_for).collect()
}

fn plan() -> Plan {
    let models = RUNS.iter().map(|run| Scripted {
        profile: &run.profile,
        behaviour: (run.case.behaviour)(),
        more: run.profile(),
    });
    let config = json!({ "limits": { "maxConcurrent": AT_ONCE } });
    Plan {
        shell_agent: env!("CARGO_BIN_EXE_shell-agent"),
        openhands: true,
        models: models.collect(),
        replicas: vec![Settings { config, ..Settings::new("engines") }],
    }
}

#[test]
fn the_table_in_the_docs_is_true() {
    STAGE.play("engines", async |space| {
        let all = join_all(RUNS.iter().map(|run| row(&space, run))).await;
        let (rows, failures): (Vec<_>, Vec<_>) = all.into_iter().partition(Result::is_ok);
        if failures.is_empty() {
            return compare(&rows.into_iter().flatten().collect::<Vec<_>>());
        }
        let failures: Vec<String> = failures.into_iter().filter_map(Result::err).collect();
        Err(failures.join("\n").into())
    });
}

async fn row(space: &Space, run: &Run) -> Result<Row, String> {
    let outcome = async {
        let ended = run.play(space).await?;
        checks::check(space, run, &ended).await?;
        let row = Row::of(run, &ended);
        // For who looks by hand: `-- --nocapture`.
        println!("{row}\n    {}", ended.last_error.as_deref().unwrap_or("no error"));
        Ok::<_, Failure>(row)
    };
    outcome.await.map_err(|error| format!("{}: {error}", run.profile))
}

fn compare(rows: &[Row]) -> Outcome {
    let table = Table::read()?;
    if env::var_os("UPDATE_DOCS").is_some() {
        return table.write(rows);
    }
    table.compare(rows)
}
