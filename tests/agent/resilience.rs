//! What becomes of runs when gateways go, and when there is no key yet; and what can be seen of a run's costs meanwhile.

use std::fs;

use k8s_openapi::api::coordination::v1::Lease;
use kube::Api;
use kube::api::{Patch, PatchParams};
use nix::sys::signal::Signal;
use punching_fist_api::{MaintenanceTask, Phase, TaskStatus};
use punching_fist_e2e::{Failure, Outcome, Replica, Space, until};
use punching_fist_testkit::namespaces;
use punching_fist_testkit::operator::Operator;
use serde_json::json;

use crate::held::{FIRST, Held, LAST};
use crate::{DEPOSED, LEAVING, beside_others, key_file, settings, without_others};

fn status(task: MaintenanceTask) -> Result<TaskStatus, Failure> {
    Ok(task.status.ok_or("no status")?.task)
}

async fn begin(space: &Space, profile: &str, script: &str) -> Result<(), Failure> {
    let spec = json!({ "prompt": script, "agent": { "profile": profile } });
    space.task_with::<MaintenanceTask>("mt", spec).await?;
    Ok(())
}

/// Begins a run whose only call is answered by half, by the gateway of `replica`.
async fn hold(space: &Space, replica: &Replica, held: &Held) -> Result<MaintenanceTask, Failure> {
    let (profile, gateway) = (space.namespace(), replica.gateway());
    let ask = format!("!run STREAM=true ask-model http://{gateway}/v1 {profile}");
    begin(space, profile, &format!("{ask}\n!verdict Diagnosed done")).await?;
    let is_under_way = |task: &MaintenanceTask| {
        let usage = task.status.as_ref().and_then(|status| status.task.usage.as_ref());
        usage.is_some_and(|usage| usage.in_flight.len() == 1 && usage.total.calls == 0)
    };
    let task = space.until("mt", "a call under way in status.usage.inFlight", is_under_way).await?;
    held.begun(1).await?;
    Ok(task)
}

/// The operator stops, but lets the agent read its answer.
async fn waits(replica: &Replica, operator: &mut Operator) -> Outcome {
    let waits = async || replica.log().contains("waiting for them to end").then_some(());
    until("it waits for the stream", waits).await?;
    assert!(operator.process_mut().exited().is_none(), "it has not waited");
    Ok(())
}

/// Whether the call was paid for by the operator that has gone since, and the agent read all of it.
async fn check(space: &Space, task: &MaintenanceTask) -> Outcome {
    let settled = space.api::<MaintenanceTask>().get("mt").await?;
    let usage = status(settled)?.usage.ok_or("no usage")?;
    assert_eq!((usage.total.calls, usage.total.cost_usd.as_deref()), (1, Some("1")));
    assert_eq!(usage.in_flight.len(), 0, "settled before it went");
    space.phase::<MaintenanceTask>("mt", Phase::Succeeded).await?;
    let pod = space.pods(task).await?.pop().and_then(|pod| pod.metadata.name).ok_or("no pod")?;
    let log = space.kubectl(&["logs", &pod]).await?;
    assert!(log.contains(FIRST) && log.contains(LAST) && log.contains("[DONE]"), "{log}");
    Ok(())
}

#[test]
fn an_operator_that_is_told_to_stop_lets_a_stream_end_and_settles_it() {
    beside_others("leaving", async |space| {
        let leaving = space.world().start(settings("agent-leaving")).await?;
        let task = hold(&space, &leaving, &LEAVING).await?;
        let mut operator = leaving.operator().await;
        operator.process_mut().signal(Signal::SIGTERM);
        waits(&leaving, &mut operator).await?;
        LEAVING.release();
        assert!(operator.process_mut().wait().await?.success());
        check(&space, &task).await
    });
}

#[test]
fn an_operator_that_loses_the_lease_lets_a_stream_end_and_settles_it() {
    without_others("deposed", async |space| {
        let [one, other] = space.world().replicas() else { return Err("there are two replicas".into()) };
        let anybody = async || match (one.leads().await, other.leads().await) {
            (Ok(true), _) => Some((one, other)),
            (_, Ok(true)) => Some((other, one)),
            _ => None,
        };
        let (deposed, next) = until("one of them leads", anybody).await?;
        let task = hold(&space, deposed, &DEPOSED).await?;
        // As it looks to a leader that was cut off from the API server for longer than its Lease.
        let leases: Api<Lease> = Api::namespaced(space.world().client(), namespaces::OPERATOR);
        let holder = json!({ "spec": { "holderIdentity": next.name() } });
        leases.patch("punching-fist", &PatchParams::default(), &Patch::Merge(holder)).await?;
        let mut operator = deposed.operator().await;
        waits(deposed, &mut operator).await?;
        until("the other one leads", async || next.leads().await.ok()?.then_some(())).await?;
        DEPOSED.release();
        assert!(!operator.process_mut().wait().await?.success());
        assert!(deposed.log().contains("the Lease punching-fist was lost"), "{}", deposed.log_tail());
        check(&space, &task).await?;
        operator.restart().await?;
        Ok(())
    });
}

#[test]
fn a_run_waits_for_a_key_and_goes_on_by_itself_when_there_is_one() {
    beside_others("keyless", async |space| {
        begin(&space, "keyless", "!model ask-model $LLM_BASE_URL keyless\n!verdict Diagnosed done").await?;
        let waiting = status(space.reason("mt", "ModelKeyMissing").await?)?;
        assert_eq!((waiting.phase, waiting.job), (Some(Phase::Pending), None));
        fs::write(key_file(), "belated\n")?;
        space.phase::<MaintenanceTask>("mt", Phase::Succeeded).await?;
        let requests = space.world().model("keyless").requests();
        let keys: Vec<_> = requests.iter().map(|request| request.authorization.as_deref()).collect();
        assert_eq!(keys, [Some("Bearer belated")]);
        Ok(())
    });
}

#[test]
fn what_a_run_costs_can_be_watched_while_it_goes_on() {
    beside_others("watched", async |space| {
        let script = "!model ask-model $LLM_BASE_URL costs\n!await more\n!model ask-model $LLM_BASE_URL costs\n\
                      !await end\n!verdict Diagnosed done";
        begin(&space, "metered", script).await?;
        for (calls, cost, next) in [(1, "1", "more"), (2, "2", "end")] {
            let costs = |task: &MaintenanceTask| {
                let Some(status) = task.status.as_ref().map(|status| &status.task) else { return false };
                let total =
                    status.usage.as_ref().map(|usage| (usage.total.calls, usage.total.cost_usd.as_deref()));
                status.phase == Some(Phase::Running) && total == Some((calls, Some(cost)))
            };
            space.until::<MaintenanceTask>("mt", &format!("Running, and {cost} dollars"), costs).await?;
            space.signal(next).await?;
        }
        space.phase::<MaintenanceTask>("mt", Phase::Succeeded).await?;
        Ok(())
    });
}
