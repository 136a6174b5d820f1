//! What stock kubectl shows of tasks: columns, waits, Events, explanations, logs.

use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use kube::Api;
use punching_fist_api::{AlertTask, MaintenanceTask, Phase};
use punching_fist_e2e::{TIMEOUT, until};
use serde_json::{Value, json};

use crate::STAGE;

/// The columns of a table by their headers: kubectl aligns them.
fn cell<'a>(table: &'a str, header: &str) -> &'a str {
    let mut lines = table.lines();
    let (head, row) = (lines.next().unwrap_or_default(), lines.next().unwrap_or_default());
    let at = head.find(header).unwrap_or_else(|| panic!("no column {header} in\n{table}"));
    let rest = &head[at + header.len()..];
    let width = rest.find(|c: char| c != ' ').map_or(row.len() - at, |spaces| header.len() + spaces);
    row[at..(at + width).min(row.len())].trim()
}

fn assert_cells(table: &str, cells: &[(&str, &str)]) {
    for (header, value) in cells {
        assert_eq!(cell(table, header), *value, "{table}");
    }
}

/// What is shown of the task `mt`.
const NARROW: [(&str, &str); 5] = [
    ("NAME", "mt"),
    ("PHASE", "Succeeded"),
    ("REASON", "VerdictReached"),
    ("VERDICT", "NeedsHuman"),
    ("RETRIES", "0"),
];

/// What is shown of the task `at` where there is room.
const WIDE: [(&str, &str); 6] = [
    ("ALERT", "Burning"),
    ("SEVERITY", "critical"),
    ("PHASE", "Succeeded"),
    ("VERDICT", "NeedsHuman"),
    ("COST", "0.0125"),
    ("MESSAGE", "Ask the owner."),
];

#[test]
fn columns_are_worth_reading() {
    STAGE.play("columns", async |space| {
        let used = r#"!usage {"costUSD":"0.0125","calls":1}"#;
        let script = format!("{used}\n!verdict NeedsHuman Ask the owner.");
        space.task::<MaintenanceTask>("mt", &script).await?;
        let labels = json!({ "alertname": "Burning", "severity": "critical" });
        let spec = json!({
            "prompt": script, "alertName": "Burning", "severity": "critical",
            "notification": { "alerts": [{ "labels": labels }] },
        });
        space.task_with::<AlertTask>("at", spec).await?;
        space.kubectl(&["wait", "--for=condition=Complete", TIMEOUT, "mt/mt", "at/at"]).await?;
        for kind in ["mt", "maintenancetasks"] {
            let narrow = space.kubectl(&["get", kind]).await?;
            assert_cells(&narrow, &NARROW);
            assert!(!cell(&narrow, "AGE").is_empty() && !narrow.contains("MESSAGE"), "{narrow}");
        }
        let wide = space.kubectl(&["get", "at", "-o", "wide"]).await?;
        assert_cells(&wide, &WIDE);
        assert!(cell(&wide, "JOB").starts_with("openhands-task-"), "{wide}");
        let both = space.kubectl(&["get", "punching-fist", "-o", "name"]).await?;
        assert_eq!(both, "alerttask.punching-fist.io/at\nmaintenancetask.punching-fist.io/mt\n");
        Ok(())
    });
}

#[test]
fn describe_shows_the_way_and_logs_the_steps() {
    STAGE.play("describe", async |space| {
        let task: MaintenanceTask =
            space.task("mt", "!run echo what I saw\n!await go\n!verdict Diagnosed Because of X.").await?;
        let running = space.phase::<MaintenanceTask>("mt", Phase::Running).await?;
        let job = running.status.and_then(|status| status.task.job).ok_or("no job")?.name;
        let job = format!("job/{job}");
        let early = until("the step is in the log while the agent works", async || {
            space.kubectl(&["logs", &job]).await.ok().filter(|log| log.contains("what I saw"))
        });
        early.await?;
        space.signal("go").await?;
        space.kubectl(&["wait", "--for=condition=Finished", TIMEOUT, "mt/mt"]).await?;
        let log = space.kubectl(&["logs", &job]).await?;
        for part in
            [r#""kind":"command""#, "echo what I saw", r#""kind":"output""#, r#""verdict":"Diagnosed""#]
        {
            assert!(log.contains(part), "{part} is not in\n{log}");
        }
        let uid = task.metadata.uid.ok_or("no uid")?;
        let described = until("all Events are there", async || {
            let said = space.kubectl(&["describe", "mt/mt"]).await.ok()?;
            let all = ["JobCreated", "AgentRunning", "VerdictReached", "Diagnosed: Because of X."];
            all.iter().all(|part| said.contains(part)).then_some(said)
        })
        .await?;
        assert!(described.contains(&uid), "{described}");
        Ok(())
    });
}

#[test]
fn watching_shows_progress() {
    STAGE.play("watching", async |space| {
        let shown = ["get", "mt", "--watch", "--output=custom-columns=P:.status.phase,R:.status.reason"];
        let mut watch = space.kubectl_follow(&shown)?;
        space.task::<MaintenanceTask>("mt", "!await go\n!verdict Diagnosed done").await?;
        let mut seen = watch.until("AgentRunning").await?;
        space.signal("go").await?;
        seen += &watch.until("VerdictReached").await?;
        let place = |word: &str| seen.find(word).unwrap_or_else(|| panic!("{word} was not shown:\n{seen}"));
        let places = ["Pending", "Running", "Succeeded"].map(place);
        assert!(places.is_sorted(), "{seen}");
        Ok(())
    });
}

#[test]
fn every_field_is_explained() {
    STAGE.play("explain", async |space| {
        for (kind, crd) in
            [("mt", "maintenancetasks.punching-fist.io"), ("at", "alerttasks.punching-fist.io")]
        {
            let api: Api<CustomResourceDefinition> = Api::all(space.world().client());
            let crd = serde_json::to_value(api.get(crd).await?)?;
            let schema = &crd["spec"]["versions"][0]["schema"]["openAPIV3Schema"]["properties"];
            let mut bare = Vec::new();
            for part in ["spec", "status"] {
                unexplained(part, &schema[part], &mut bare);
            }
            assert!(bare.is_empty(), "{kind} has no text for {bare:?}");
            // What kubectl reads there comes a moment later than the kind itself.
            until("kubectl knows the kind", async || space.kubectl(&["explain", kind]).await.ok()).await?;
            for path in ["spec", "spec.agent", "status", "status.result", "status.attempts"] {
                let text = space.kubectl(&["explain", &format!("{kind}.{path}")]).await?;
                assert!(text.contains("FIELDS:") && !text.contains("<no description>"), "{text}");
            }
        }
        let text = space.kubectl(&["explain", "mt.spec.timeoutSeconds"]).await?;
        assert!(text.contains("How long one attempt may work, in seconds."), "{text}");
        Ok(())
    });
}

/// The paths in `schema` of fields that no text explains.
fn unexplained(path: &str, schema: &Value, found: &mut Vec<String>) {
    if schema["description"].as_str().is_none_or(|text| text.trim().len() < 5) {
        found.push(path.to_owned());
    }
    let object = if schema["items"].is_object() { &schema["items"] } else { schema };
    for (name, property) in object["properties"].as_object().into_iter().flatten() {
        unexplained(&format!("{path}.{name}"), property, found);
    }
}
