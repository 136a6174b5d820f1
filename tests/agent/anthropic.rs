//! Anthropic's API from the engine to the provider: the SDK with the model and the prices of `deploy/2-config.yaml`, whose
//! provider is scripted.

use punching_fist_api::{MaintenanceTask, Phase, Verdict};
use punching_fist_e2e::{Failure, Scripted};
use punching_fist_testkit::scripted_model::{Behaviour, Step, Tokens, scripts};
use punching_fist_testkit::{images, manifests, repository, yaml};
use serde_json::{Value, json};

use crate::{KEY, beside_others};

const PROFILE: &str = "sdk-anthropic";
/// What each answer says that it took. Anthropic tells what came from the cache apart from the rest of the input.
const TOKENS: Tokens = Tokens { input: 1_000, cached: 800, output: 50 };

pub fn models() -> Vec<Scripted> {
    let told = |step| Step::Metered(Some(TOKENS), Box::new(step));
    let steps = [Step::Shell("echo look".to_owned()), Step::Finish(scripts::conclusion())];
    let shipped = deployed();
    let more = json!({
        "image": images::AGENT, "model": shipped["model"], "prices": shipped["prices"],
        "maxCostUSD": shipped["maxCostUSD"],
    });
    vec![Scripted { profile: PROFILE, behaviour: Behaviour::Steps(steps.map(told).into()), more }]
}

/// The profile that we ship.
fn deployed() -> Value {
    let documents = manifests::read(&repository::root().join("deploy/2-config.yaml")).unwrap_or_default();
    let text = documents.iter().find_map(|document| document["data"]["config.yaml"].as_str());
    let config: Value = text.and_then(|text| yaml::read(text).ok()?.pop()).unwrap_or_default();
    config["agents"]["openhands"].clone()
}

/// What an answer costs by the prices that we ship, which are those of a million tokens.
fn cost() -> Result<f64, Failure> {
    let prices = &deployed()["prices"];
    let parts = [("input", 200.0), ("cacheRead", 800.0), ("output", 50.0)].map(|(what, tokens)| {
        let price: f64 = prices[what].as_str().unwrap_or_default().parse()?;
        Ok::<_, Failure>(price * tokens / 1e6)
    });
    parts.into_iter().sum()
}

#[test]
fn the_model_that_we_ship_with_is_asked_paid_and_believed() {
    beside_others("anthropic", async |space| {
        let spec = json!({ "prompt": "Look.", "agent": { "profile": PROFILE } });
        space.task_with::<MaintenanceTask>("mt", spec).await?;
        let ended = space.phase::<MaintenanceTask>("mt", Phase::Succeeded).await?;
        let status = ended.status.ok_or("no status")?.task;
        assert_eq!(status.result.and_then(|result| result.verdict), Some(Verdict::Diagnosed));
        assert!(deployed()["model"].as_str().is_some_and(|model| model.starts_with("anthropic/")));
        let requests = space.world().model(PROFILE).requests();
        for request in &requests {
            // In Anthropic's form the system's prompt stands beside the messages, and the key in a header of its own.
            assert!(request.body["system"].is_array(), "{}", request.body);
            assert_eq!(request.authorization.as_deref(), Some(KEY.as_str()));
        }
        let total = status.usage.ok_or("no usage")?.total;
        let tokens = (total.input_tokens, total.cache_read_tokens, total.output_tokens);
        assert_eq!((requests.len(), total.calls, tokens), (2, 2, (2_000, 1_600, 100)));
        let (cost, expected): (f64, f64) = (total.cost_usd.unwrap_or_default().parse()?, 2.0 * cost()?);
        assert!((cost - expected).abs() < 1e-9, "{cost} is not {expected}");
        Ok(())
    });
}
