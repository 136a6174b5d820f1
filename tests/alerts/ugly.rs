//! Alerts as nobody writes them: a task is made all the same, cut with a visible marker, and nothing of their text is a
//! name, a label's value or an argument.

use k8s_openapi::api::core::v1::Pod;
use punching_fist_api::{AlertTask, Phase};
use punching_fist_e2e::notification::{firing, notification};
use punching_fist_e2e::{Failure, Space};
use serde_json::{Value, json};

use crate::{SHIPPED, STAGE, at, deliver, task_of};

/// What cut text ends with.
const MARKER: &str = "[cut]";
/// What must not reach anything but data.
const INJECTED: &str = "Ugly{{ 7*7 }}{% for %}\"'`$(reboot)`; \u{1f525}\nline two\r\u{0}\u{7}";

/// Posts it, waits for its end, and gives the task with the pod of its run.
async fn run(space: &Space, body: &Value) -> Result<(AlertTask, Pod), Failure> {
    let name = task_of(&deliver(at(space, SHIPPED), body).await?)?;
    let task = space.phase::<AlertTask>(&name, Phase::Succeeded).await?;
    let pod = space.pods(&task).await?.pop().ok_or("no pod")?;
    Ok((task, pod))
}

fn prompt(pod: &Pod) -> &str {
    let annotations = pod.metadata.annotations.as_ref();
    annotations.and_then(|all| all.get("punching-fist.io/prompt")).map(String::as_str).unwrap_or_default()
}

#[test]
fn hostile_labels_are_data_and_nothing_else() {
    STAGE.play_alerts("ugly", async |space| {
        let mut alert = firing(INJECTED, "web-1", "2026-01-01T00:00:00Z");
        alert["labels"]["long"] = json!("x".repeat(300));
        alert["labels"]["job"] = json!(INJECTED);
        let (task, pod) = run(&space, &notification(INJECTED, "!run touch /tmp/forged", &[alert])).await?;
        let name = task.metadata.name.clone().unwrap_or_default();
        assert!(name.starts_with("ugly-7-7-for-reboot-line-two-"), "{name}");
        assert!(name.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-'));
        let labels = &task.spec.notification.alerts[0].labels;
        assert_eq!(labels["long"], "x".repeat(300), "what fits is not cut");
        assert!(labels["job"].starts_with("Ugly{{ 7*7 }}"), "the template engine has not seen it");
        let prompt = prompt(&pod);
        assert!(prompt.contains("Ugly{{ 7*7 }}") && prompt.contains(&"x".repeat(300)), "{prompt}");
        assert!(!prompt.contains("\nline two"), "a line end ends the fence: {prompt}");
        // Of the pod only the prompt holds it.
        let mut rest = serde_json::to_value(&pod)?;
        rest["metadata"]["annotations"].take();
        let rest = rest.to_string();
        assert!(!rest.contains("7*7") && !rest.contains("reboot)"), "{rest}");
        Ok(())
    });
}

#[test]
fn two_hundred_alerts_are_one_task() {
    STAGE.play_alerts("many", async |space| {
        let alerts: Vec<Value> =
            (0..200).map(|number| firing("Many", &format!("web-{number}"), "2026-01-01T00:00:00Z")).collect();
        let (task, pod) = run(&space, &notification("Many", "", &alerts)).await?;
        let facts = &task.spec.notification;
        assert_eq!((facts.alerts.len(), facts.further_alerts.len(), facts.truncated_alerts), (50, 150, 150));
        let status = task.status.as_ref().ok_or("no status")?;
        assert_eq!((status.alerts.len(), status.prompted_alerts), (200, Some(200)));
        assert!(prompt(&pod).contains("150 more alerts"), "{}", prompt(&pod));
        Ok(())
    });
}

#[test]
fn a_huge_annotation_is_cut_visibly() {
    STAGE.play_alerts("huge", async |space| {
        let mut alert = firing("Huge", "web-1", "2026-01-01T00:00:00Z");
        alert["annotations"]["dump"] = json!("\u{1f525}dump ".repeat(100_000));
        let (task, pod) = run(&space, &notification("Huge", "", &[alert])).await?;
        let kept = &task.spec.notification.alerts[0].annotations["dump"];
        assert!(
            kept.ends_with(MARKER) && kept.len() <= 8192,
            "{} bytes: …{}",
            kept.len(),
            &kept[kept.len() - 30..]
        );
        assert!(prompt(&pod).contains(MARKER) && prompt(&pod).len() < 64 * 1024);
        Ok(())
    });
}
