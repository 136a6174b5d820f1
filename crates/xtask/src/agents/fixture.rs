//! A fixture: what an engine printed, how it exited, and the files that its adapter reads.

use std::collections::BTreeSet;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use punching_fist_testkit::python::Environment;
use punching_fist_testkit::repository;
use serde_json::{Value, json};

use super::cases::Case;
use super::engine::Engine;
use super::normal::Normal;
use super::sandbox::Ran;

/// Writes the fixture, in the place of the one before it.
pub fn write(engine: Engine, case: &Case, environment: &Environment, ran: &Ran) -> io::Result<()> {
    let place = repository::root().join("crates/runner/tests/fixtures").join(engine.name()).join(case.name);
    match fs::remove_dir_all(&place) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => fs::create_dir_all(&place)?,
    }
    let run = ran.directory.path();
    let mut normal = Normal::new(environment, run);
    let out = run.join("out");
    let printed = normal.stdout(&text(&out.join("stdout"))?);
    fs::write(place.join("stdout"), if engine == Engine::Main { sorted(&printed) } else { printed })?;
    fs::write(place.join("stderr"), normal.stderr(&text(&out.join("stderr"))?))?;
    fs::write(place.join("exit"), format!("{}\n", ran.exit))?;
    let files = engine.events().map(|below| files(&run.join(below))).unwrap_or_default();
    let calls = files.iter().filter(|(_, name)| is_call(name));
    for (number, (path, _)) in calls.enumerate() {
        let kept = normal.json(&usage(&text(path)?));
        keep(&place, &format!("completions/{}.json", number + 1), &kept)?;
    }
    let others = files.iter().filter(|(_, name)| !is_call(name));
    let mut others: Vec<(&str, String)> =
        others.map(|(path, name)| Ok((name.as_str(), text(path)?))).collect::<io::Result<_>>()?;
    recalled_first(&mut others);
    others.iter().try_for_each(|(name, text)| {
        let name = normal.path(name);
        keep(&place, &name, &normal.json(text))
    })
}

/// The threads of the engine `main` print in an order of their own.
fn sorted(text: &str) -> String {
    let lines: BTreeSet<&str> = text.lines().collect();
    lines.into_iter().flat_map(|line| [line, "\n"]).collect()
}

/// The engine `main` recalls what it knows while its state changes: which of the two events comes first is chance.
fn recalled_first(files: &mut [(&str, String)]) {
    for number in 1..files.len() {
        let event = |number: usize| serde_json::from_str::<Value>(&files[number].1).unwrap_or_default();
        let (mut first, mut second) = (event(number - 1), event(number));
        let recalled = second["observation"] == "recall" || second["observation"] == "null";
        if recalled && first["observation"] == "agent_state_changed" {
            let id = first["id"].take();
            first["id"] = std::mem::replace(&mut second["id"], id);
            (files[number - 1].1, files[number].1) = (second.to_string(), first.to_string());
        }
    }
}

fn keep(place: &Path, name: &str, text: &str) -> io::Result<()> {
    let target = place.join("files").join(name);
    fs::create_dir_all(target.parent().unwrap_or(place))?;
    fs::write(target, text)
}

/// Whether a file is what the engine `cli` keeps of a call, under a name that has the time in it.
fn is_call(name: &str) -> bool {
    name.starts_with("completions/")
}

/// Of a call what the adapter reads: the rest is the whole conversation once more.
fn usage(call: &str) -> String {
    let call: Value = serde_json::from_str(call).unwrap_or_default();
    let response = call.get("response").map(|response| json!({ "usage": response["usage"] }));
    json!({ "cost": call["cost"], "usage_summary": call["usage_summary"], "response": response }).to_string()
}

fn text(path: &Path) -> io::Result<String> {
    Ok(String::from_utf8_lossy(&fs::read(path)?).into_owned())
}

/// The files that adapters read, each with its path below `root`, in an order that doesn't depend on the run.
fn files(root: &Path) -> Vec<(PathBuf, String)> {
    let mut found = Vec::new();
    let mut directories = vec![root.to_owned()];
    while let Some(directory) = directories.pop() {
        let Ok(entries) = fs::read_dir(&directory) else { continue };
        for path in entries.flatten().map(|entry| entry.path()) {
            if path.is_dir() {
                directories.push(path);
            } else if let Some(name) = wanted(root, &path) {
                found.push((path, name));
            }
        }
    }
    found.sort_by_key(|(_, name)| (name.len(), name.clone()));
    found
}

/// Of `cli` the state and the calls (its events are on standard output), of `main` the events.
fn wanted(root: &Path, path: &Path) -> Option<String> {
    let name = path.strip_prefix(root).ok()?.to_str()?.to_owned();
    let is_state = path.file_name().is_some_and(|name| name == "base_state.json");
    let is_event = name.contains("/events/") && path.extension().is_some_and(|kind| kind == "json");
    let of_cli = name.contains("/event-");
    (is_state || is_call(&name) || is_event && !of_cli).then_some(name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_chance_gets_an_order() {
        let state = |id: u64| json!({ "id": id, "observation": "agent_state_changed" }).to_string();
        let recall = |id: u64| json!({ "id": id, "observation": "recall" }).to_string();
        for mut files in [vec![("3", state(3)), ("4", recall(4))], vec![("3", recall(3)), ("4", state(4))]] {
            recalled_first(&mut files);
            assert_eq!(files, [("3", recall(3)), ("4", state(4))]);
        }
        assert_eq!(sorted("b\na\nb\n"), "a\nb\n");
    }
}
