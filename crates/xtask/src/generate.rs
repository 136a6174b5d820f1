//! `cargo xtask generate`: the files that are made from code and committed all the same, so that a reader, a cluster and
//! a GitOps tool have them without a build. CI makes them anew and compares.

use std::error::Error;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use punching_fist_api::crds;
use punching_fist_testkit::{repository, yaml};

use crate::Outcome;

/// What tells a reader not to edit a file.
const HEADER: &str =
    "# Made from crates/api by `cargo xtask generate`. Edit the types there, not this file.\n";

/// Write or compare.
#[derive(clap::Args)]
pub struct Arguments {
    /// Write nothing: fail if a file differs from what would be written
    #[arg(long)]
    check: bool,
}

/// A file and what it has to hold.
struct Generated {
    path: PathBuf,
    text: String,
}

/// Writes the files, or compares them.
pub fn run(arguments: &Arguments) -> Outcome {
    if arguments.check {
        check_all()?;
        return Ok(ExitCode::SUCCESS);
    }
    write(&files()?)
}

/// Compares all files with what would be written.
pub fn check_all() -> Result<(), Box<dyn Error>> {
    check(&files()?)
}

fn files() -> Result<Vec<Generated>, Box<dyn Error>> {
    crds().iter().map(|crd| kind(&format!("crds/{}.yaml", crd.spec.names.plural), crd)).collect()
}

fn kind(path: &str, definition: &CustomResourceDefinition) -> Result<Generated, Box<dyn Error>> {
    // By way of a JSON value, whose keys are sorted: the same types give the same bytes.
    let value = serde_json::to_value(definition)?;
    Ok(Generated { path: path.into(), text: format!("{HEADER}{}", yaml::write(&value)?) })
}

fn write(files: &[Generated]) -> Outcome {
    for file in files {
        let path = repository::root().join(&file.path);
        if fs::read_to_string(&path).is_ok_and(|text| text == file.text) {
            println!("{} is as it should be.", file.path.display());
            continue;
        }
        fs::create_dir_all(path.parent().unwrap_or(Path::new(".")))?;
        fs::write(&path, &file.text)?;
        println!("{} is written.", file.path.display());
    }
    Ok(ExitCode::SUCCESS)
}

fn check(files: &[Generated]) -> Result<(), Box<dyn Error>> {
    let mut differing = Vec::new();
    for file in files {
        let found = fs::read_to_string(repository::root().join(&file.path)).unwrap_or_default();
        if let Some(line) = first_difference(&found, &file.text) {
            differing.push(format!("{}:{line}", file.path.display()));
        }
    }
    if differing.is_empty() {
        return Ok(());
    }
    Err(format!("not what the code makes: {}; run `cargo xtask generate`", differing.join(", ")).into())
}

/// The number of the first line that is not the same, if there is one.
fn first_difference(found: &str, expected: &str) -> Option<usize> {
    if found == expected {
        return None;
    }
    let same = found.lines().zip(expected.lines()).take_while(|(one, other)| one == other).count();
    Some(same + 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_difference_is_found() {
        for (found, expected, line) in [
            ("a\nb\n", "a\nb\n", None),
            ("", "a\n", Some(1)),
            ("a\nb\n", "a\nc\n", Some(2)),
            ("a\n", "a\nb\n", Some(2)),
            ("a", "a\n", Some(2)),
        ] {
            assert_eq!(first_difference(found, expected), line, "{found:?} {expected:?}");
        }
    }

    #[test]
    fn the_same_types_give_the_same_bytes() {
        let texts = || files().unwrap().into_iter().map(|file| file.text).collect::<Vec<_>>();
        assert_eq!(texts(), texts());
    }
}
