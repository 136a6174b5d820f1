//! What `agent.skills` brings, in front of the engines' own readers: instructions, a skill that the prompt calls up, and an
//! MCP server that is started in the pod. Judged by what the model was sent.

use futures::future::try_join_all;
use punching_fist_api::{MaintenanceTask, Phase};
use punching_fist_e2e::{Failure, Outcome, Scripted, Space};
use punching_fist_testkit::scripted_model::{Behaviour, Step, scripts};
use serde_json::{Value, json};

use crate::engine::{Engine, IMPATIENT};
use crate::runs::{self, steps};

/// Those that read skills; for `command` they are files.
const READERS: [Engine; 3] = [Engine::Sdk, Engine::Cli, Engine::Main];
const SERVER: &str = include_str!("mcp_server.py");
const TOOL: &str = "environment";
const INSTRUCTION: &str = "Nobody but the storage team deletes volumes.";
const SKILL: &str = "---\nname: disk\ndescription: What to do about a full disk.\ntriggers:\n  - disk\n---\nLook at the largest directory first.\n";
/// A variable of the profile, and one that is made of it for the server.
const TEAM: [(&str, &str); 1] = [("TAUGHT_TEAM", "storage")];
const OF_SERVER: &str = "TAUGHT_BY";

/// The profile, and the task, of an engine.
fn name(engine: Engine) -> &'static str {
    match engine {
        Engine::Sdk => "sdk-taught",
        Engine::Cli => "cli-taught",
        Engine::Main => "main-taught",
        Engine::Command => "command-taught",
    }
}

/// The models behind them.
pub fn models(is_wanted: impl Fn(Engine) -> bool) -> Vec<Scripted> {
    let ask = |prefix: &str| Step::Call(TOOL.to_owned(), json!({ "prefix": prefix }));
    let scripted = |engine: Engine| Scripted {
        profile: name(engine),
        behaviour: Behaviour::Steps(vec![
            ask("TAUGHT_"),
            ask("LLM_API"),
            Step::Finish(scripts::conclusion()),
        ]),
        more: engine.profile(IMPATIENT.iter().chain(&TEAM)),
    };
    READERS.into_iter().filter(|engine| is_wanted(*engine)).map(scripted).collect()
}

/// Runs a task of each engine that knows the same ConfigMap.
pub async fn play(space: &Space, is_wanted: impl Fn(Engine) -> bool) -> Outcome {
    let server = json!({ "command": "python3", "args": ["/punching-fist-skills/taught/server.py"],
        "env": { OF_SERVER: "${TAUGHT_TEAM}" } });
    let servers = json!({ "mcpServers": { "taught": server } }).to_string();
    let data =
        json!({ "AGENTS.md": INSTRUCTION, "disk.md": SKILL, "mcp.json": servers, "server.py": SERVER });
    let config_map =
        json!({ "apiVersion": "v1", "kind": "ConfigMap", "metadata": { "name": "taught" }, "data": data });
    space.kubectl_apply(&config_map).await?;
    let engines = READERS.into_iter().filter(|engine| is_wanted(*engine));
    try_join_all(engines.map(|engine| check(space, engine))).await.map(drop)
}

async fn check(space: &Space, engine: Engine) -> Outcome {
    let name = name(engine);
    let skills = json!([{ "configMap": "taught" }]);
    let spec = json!({ "prompt": "Find out why the disk is full.", "maxRetries": 0,
        "agent": { "profile": name, "skills": skills } });
    space.task_with::<MaintenanceTask>(name, spec).await?;
    let ended = runs::end(space, name).await?;
    let lacks = |what: &str| -> Failure { format!("{name}: {what}: {ended:?}").into() };
    if ended.phase != Some(Phase::Succeeded) {
        return Err(lacks("it came to no verdict"));
    }
    let asked: Vec<Value> =
        steps(space.world().model(name)).into_iter().map(|request| request.body).collect();
    let (first, last) = asked.first().zip(asked.last()).ok_or_else(|| lacks("the model was not asked"))?;
    for told in [INSTRUCTION, "Look at the largest directory first.", TOOL] {
        if !first.to_string().contains(told) {
            return Err(lacks(&format!("the model was not told {told:?}")));
        }
    }
    let shown = outputs(last);
    let [of_pod, of_key] = shown.as_slice() else { return Err(lacks(&format!("the server said {shown:?}"))) };
    if !of_pod.contains("TAUGHT_BY TAUGHT_TEAM") || of_key.contains("LLM_API_KEY") {
        return Err(lacks(&format!("the server's environment is another one: {shown:?}")));
    }
    Ok(())
}

/// What the tools gave, in a request that has the conversation so far.
fn outputs(body: &Value) -> Vec<String> {
    let messages = body["messages"].as_array().into_iter().flatten();
    messages
        .filter(|message| message["role"] == "tool")
        .map(|message| message["content"].to_string())
        .collect()
}
