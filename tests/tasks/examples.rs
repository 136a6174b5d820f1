//! The files of `examples/`, applied as they stand and run to their end by the shell agent.

use std::fs;
use std::path::PathBuf;

use punching_fist_e2e::TIMEOUT;
use punching_fist_testkit::repository;

use crate::STAGE;

/// The manifests of tasks; what else lies there is for Alertmanager.
fn manifests() -> Vec<PathBuf> {
    let listed = fs::read_dir(repository::root().join("examples")).into_iter().flatten().flatten();
    let yaml = listed.map(|entry| entry.path()).filter(|path| path.extension().is_some_and(|e| e == "yaml"));
    let is_task = |path: &PathBuf| fs::read_to_string(path).is_ok_and(|text| text.contains("\nkind: "));
    let mut tasks: Vec<PathBuf> = yaml.filter(is_task).collect();
    tasks.sort();
    tasks
}

#[test]
fn every_example_is_applied_and_runs() {
    STAGE.play("examples", async |space| {
        let files = manifests();
        assert!(files.len() >= 6, "{files:?}");
        for file in &files {
            space.kubectl(&["apply", "--filename", &file.to_string_lossy()]).await?;
        }
        let names = space.kubectl(&["get", "punching-fist", "--output=name"]).await?;
        assert_eq!(names.lines().count(), files.len(), "{names}");
        let mut wait = vec!["wait", "--for=condition=Complete", TIMEOUT];
        wait.extend(names.lines());
        space.kubectl(&wait).await?;
        Ok(())
    });
}

#[test]
fn the_shortest_task_runs_where_the_ground_has_prepared_for_it() {
    let minimal = repository::root().join("examples/minimal.yaml");
    for namespace in ["default", "shop", "punching-fist-agents"] {
        STAGE.play(namespace, async |space| {
            space.kubectl(&["apply", "--filename", &minimal.to_string_lossy()]).await?;
            let wait = ["wait", "--for=condition=Complete", TIMEOUT, "--filename"];
            space.kubectl(&[&wait[..], &[&minimal.to_string_lossy()]].concat()).await?;
            Ok(())
        });
    }
}
