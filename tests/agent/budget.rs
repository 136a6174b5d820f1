//! What a run spends beyond its budget, in calls of the model: one at most, whatever the agent, the replicas and the
//! provider do. Every answer costs a dollar here.

use futures::future::try_join_all;
use punching_fist_api::{MaintenanceTask, Phase, TaskStatus};
use punching_fist_e2e::money::Spent;
use punching_fist_e2e::{Failure, Space, until};
use serde_json::{Value, json};

use crate::{SERVICE, beside_others, settings};

/// More calls than any budget here.
const MANY: &str = "seq 20";

/// A run that goes on until it is stopped.
struct Case {
    /// The task, and what its requests say.
    name: &'static str,
    profile: &'static str,
    budget: &'static str,
    script: String,
    /// Attempts that it takes.
    attempts: usize,
}

/// What came of it.
struct Row {
    name: &'static str,
    let_through: usize,
    budget: f64,
    spent: f64,
}

impl Row {
    /// Prints it: the docs cite it.
    fn tell(&self) {
        let Self { name, let_through, budget, spent } = self;
        println!("| {name} | {let_through} | {budget} | {spent} | {:+} |", spent - budget);
    }
}

/// Calls one after the other, to the addresses in turn, until one is refused.
fn calls(who: &str, urls: &[&str]) -> String {
    let calls: Vec<String> = urls.iter().map(|url| call(url, who)).collect();
    format!("!model for number in $({MANY}); do {}; done", calls.join("; "))
}

/// One call; what the script says is the refusal alone.
fn call(url: &str, who: &str) -> String {
    format!("ask-model {url} {who} > /tmp/said || {{ cat /tmp/said; exit 1; }}")
}

/// Eight calls at once, to the addresses in turn.
fn parallel(who: &str, urls: [&str; 2]) -> String {
    let [first, second] = urls;
    let call = |url: &str, number: usize| format!("ask-model {url} {who} > /tmp/said.{number} &");
    let calls: Vec<String> =
        (0..8).map(|number| call(if number % 2 == 0 { first } else { second }, number)).collect();
    format!("!model {} wait; grep -h punching-fist-gateway /tmp/said.* || exit 0; exit 1", calls.join(" "))
}

async fn begin(space: &Space, case: &Case) -> Result<(), Failure> {
    let spec = json!({
        "prompt": case.script,
        "maxRetries": 2,
        "agent": { "profile": case.profile, "maxCostUSD": case.budget },
    });
    space.task_with::<MaintenanceTask>(case.name, spec).await?;
    Ok(())
}

/// Waits for its end, and checks that it is the right one.
async fn end(space: &Space, case: &Case) -> Result<Row, Failure> {
    let name = case.name;
    let ended = space.end::<MaintenanceTask>(name).await?.status.ok_or("no status")?.task;
    assert_eq!(
        (ended.phase, ended.reason.as_deref()),
        (Some(Phase::Failed), Some("BudgetExceeded")),
        "{name}: {:?}",
        ended.message
    );
    assert_eq!(ended.attempts.len(), case.attempts, "{name}: {:?}", ended.attempts);
    let row = row(space, case, &ended)?;
    assert!(row.spent >= row.budget, "{name}: stopped too early: {} of {}", row.spent, row.budget);
    assert!(row.spent - row.budget <= 1.0, "{name}: spent {} of {}", row.spent, row.budget);
    Ok(row)
}

fn row(space: &Space, case: &Case, status: &TaskStatus) -> Result<Row, Failure> {
    let spent = Spent::read(status)?;
    let let_through = requests(space, case.profile, case.name);
    assert_eq!(spent.calls, let_through, "{}: calls in the status, and at the model", case.name);
    let row = Row { name: case.name, let_through, budget: case.budget.parse()?, spent: spent.dollars };
    row.tell();
    Ok(row)
}

/// How many calls of that task have reached the model.
fn requests(space: &Space, profile: &str, who: &str) -> usize {
    let requests = space.world().model(profile).requests();
    requests.iter().filter(|request| request.body["messages"][0]["content"] == who).count()
}

/// The last attempt was ended by the gateway, and says so.
fn told_by_the_gateway(status: &TaskStatus, spent: &str, budget: &str) {
    let last = status.attempts.last().map(|attempt| (attempt.exit_code, attempt.reason.as_deref()));
    assert_eq!(last, Some((Some(12), Some("BudgetExceeded"))));
    let error = status.last_error.as_deref().unwrap_or_default();
    assert!(error.contains(&format!("spent {spent} of its budget of {budget} US dollars")), "{error}");
}

fn urls(space: &Space) -> [String; 2] {
    let [first, second] = space.world().replicas() else { panic!("the plan has two replicas") };
    [first, second].map(|replica| format!("http://{}/v1", replica.gateway()))
}

fn cases(urls: &[String; 2]) -> Vec<Case> {
    let [first, second] = urls.each_ref().map(String::as_str);
    let service = format!("{}/v1", SERVICE.url());
    let own = "$LLM_BASE_URL";
    let dies = format!("!model {0}; {0}\n!fail ProviderFault away", call(own, "three-attempts"));
    let dies_even = dies.replace("three-attempts", "two-attempts");
    // Long enough for a busy machine to bring the call to the model, which doesn't answer.
    let gives_up = |who, how| format!("!run {how} TIME=15 ask-model {own} {who}\n{}", calls(who, &[own]));
    let case = |name, profile, budget, script| Case { name, profile, budget, script, attempts: 1 };
    vec![
        case("one-by-one", "metered", "4.5", calls("one-by-one", &[own])),
        case("to-the-cent", "metered", "4", calls("to-the-cent", &[own])),
        case("two-replicas", "metered", "4.5", calls("two-replicas", &[first, second])),
        case("eight-at-once", "metered", "4.5", parallel("eight-at-once", [first, second])),
        case("eight-over-service", "metered", "2", parallel("eight-over-service", [&service, &service])),
        Case { attempts: 3, ..case("three-attempts", "metered", "4.5", dies) },
        Case { attempts: 2, ..case("two-attempts", "metered", "4", dies_even) },
        case("no-usage", "unmetered", "4.5", calls("no-usage", &[own])),
        case("hangs-in-mid-stream", "hangs", "4.5", gives_up("hangs-in-mid-stream", "STREAM=true")),
        case("nobody-waits", "late", "4.5", gives_up("nobody-waits", "STREAM=false")),
    ]
}

#[test]
fn no_run_spends_more_than_one_call_beyond_its_budget() {
    beside_others("budgets", async |space| {
        let cases = cases(&urls(&space));
        for case in &cases {
            begin(&space, case).await?;
        }
        println!("| run | let through | budget | spent | beyond |\n|---|---|---|---|---|");
        let rows = try_join_all(cases.iter().map(|case| end(&space, case))).await?;
        for Row { name, let_through, budget, .. } in rows {
            #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a few calls")]
            let expected = budget.ceil() as usize;
            assert_eq!(let_through, expected, "{name}");
        }
        let ended = space.end::<MaintenanceTask>("one-by-one").await?.status.ok_or("no status")?.task;
        told_by_the_gateway(&ended, "5", "4.5");
        let ended = space.end::<MaintenanceTask>("three-attempts").await?.status.ok_or("no status")?.task;
        told_by_the_gateway(&ended, "5", "4.5");
        Ok(())
    });
}

#[test]
fn a_call_whose_replica_was_killed_stays_charged() {
    beside_others("killed", async |space| {
        let doomed = space.world().start(settings("agent-doomed")).await?;
        let script = format!(
            "!run TOKENS=50 ask-model http://{}/v1 killed\n{}",
            doomed.gateway(),
            calls("killed", &["$LLM_BASE_URL"])
        );
        let case = Case { name: "killed", profile: "late-for-two", budget: "4", script, attempts: 1 };
        begin(&space, &case).await?;
        until("the model is asked", async || (requests(&space, case.profile, "killed") == 1).then_some(()))
            .await?;
        doomed.operator().await.kill().await?;
        end(&space, &case).await?;
        let ended = space.end::<MaintenanceTask>("killed").await?.status.ok_or("no status")?.task;
        told_by_the_gateway(&ended, "4", "4");
        let usage = ended.usage.ok_or("no usage")?;
        let charges: Vec<&str> = usage.in_flight.iter().map(|entry| entry.charge_usd.as_str()).collect();
        assert_eq!((usage.total.calls, charges.as_slice()), (4, ["0.5"].as_slice()));
        Ok(())
    });
}

#[test]
fn a_model_that_costs_nothing_is_counted_and_never_refused() {
    beside_others("free", async |space| {
        let script = format!("{}\n!verdict Diagnosed done", calls("free", &["$LLM_BASE_URL"]));
        let agent: Value = json!({ "profile": "free", "maxCostUSD": "0.01" });
        space.task_with::<MaintenanceTask>("free", json!({ "prompt": script, "agent": agent })).await?;
        let ended = space.phase::<MaintenanceTask>("free", Phase::Succeeded).await?;
        let usage = ended.status.and_then(|status| status.task.usage).ok_or("no usage")?;
        assert_eq!((usage.total.calls, usage.total.output_tokens), (20, 2000));
        assert_eq!((usage.total.cost_usd.as_deref(), usage.in_flight.len()), (Some("0"), 0));
        assert_eq!(requests(&space, "free", "free"), 20);
        Ok(())
    });
}
