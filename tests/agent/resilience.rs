//! What becomes of runs when gateways go, and when there is no key yet; and what can be seen of a run's costs meanwhile.

use std::fs;

use nix::sys::signal::Signal;
use punching_fist_api::{MaintenanceTask, Phase, TaskStatus};
use punching_fist_e2e::{Failure, Space, until};
use serde_json::json;

use crate::held::{FIRST, LAST};
use crate::{HELD, beside_others, key_file, settings};

fn status(task: MaintenanceTask) -> Result<TaskStatus, Failure> {
    Ok(task.status.ok_or("no status")?.task)
}

async fn begin(space: &Space, profile: &str, script: &str) -> Result<(), Failure> {
    let spec = json!({ "prompt": script, "agent": { "profile": profile } });
    space.task_with::<MaintenanceTask>("mt", spec).await?;
    Ok(())
}

#[test]
fn an_operator_that_is_told_to_stop_lets_a_stream_end_and_settles_it() {
    beside_others("leaving", async |space| {
        let leaving = space.world().start(settings("agent-leaving")).await?;
        let ask = format!("!run STREAM=true ask-model http://{}/v1 leaving", leaving.gateway());
        begin(&space, "held", &format!("{ask}\n!verdict Diagnosed done")).await?;
        let is_under_way = |task: &MaintenanceTask| {
            let usage = task.status.as_ref().and_then(|status| status.task.usage.as_ref());
            usage.is_some_and(|usage| usage.in_flight.len() == 1 && usage.total.calls == 0)
        };
        let task = space.until("mt", "a call under way in status.usage.inFlight", is_under_way).await?;
        HELD.begun(1).await?;
        let mut operator = leaving.operator().await;
        operator.process_mut().signal(Signal::SIGTERM);
        let waits = async || leaving.log().contains("waiting for them to end").then_some(());
        until("it waits for the stream", waits).await?;
        assert!(operator.process_mut().exited().is_none(), "it has not waited");
        HELD.release();
        assert!(operator.process_mut().wait().await?.success());
        let settled = space.api::<MaintenanceTask>().get("mt").await?;
        let usage = status(settled)?.usage.ok_or("no usage")?;
        assert_eq!((usage.total.calls, usage.total.cost_usd.as_deref()), (1, Some("1")));
        assert_eq!(usage.in_flight.len(), 0, "settled before it went");
        space.phase::<MaintenanceTask>("mt", Phase::Succeeded).await?;
        let pod = space.pods(&task).await?.pop().and_then(|pod| pod.metadata.name).ok_or("no pod")?;
        let log = space.kubectl(&["logs", &pod]).await?;
        assert!(log.contains(FIRST) && log.contains(LAST) && log.contains("[DONE]"), "{log}");
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
