//! `cargo xtask images`: `build` makes the images (`build.rs`) and weighs them (`layers.rs`). `check` asks whether the
//! Dockerfiles' parts keep what they promise, as far as it can be tried without Docker: the static programs are built from
//! what Docker would get, and started where nothing else is. How a Dockerfile is read is in `dockerfile.rs`, what an image
//! may hold in `context.rs`, the programs in `programs.rs`.

mod build;
mod context;
mod dockerfile;
mod layers;
mod programs;

use std::fs;
use std::path::Path;
use std::process::ExitCode;

use punching_fist_testkit::repository;

use crate::Outcome;
use context::Context;
use dockerfile::Dockerfile;

/// The most that the two programs of the operator's image may have together, in bytes: 30 MB, less the certificates.
const PROGRAMS_MAX: u64 = 29_700_000;

/// Every Dockerfile, and the directory that it is built with, from the repository's root.
const IMAGES: [(&str, &str); 3] = [
    ("Dockerfile", ""),
    ("agent/Dockerfile", "agent"),
    ("examples/skills/kubernetes-mcp.Dockerfile", "examples/skills"),
];

/// What to do about the images.
#[derive(clap::Subcommand)]
pub enum Command {
    /// Read the Dockerfiles, build the static programs from what Docker would get, and start them in empty places (takes
    /// minutes, as the programs are optimised)
    Check,
    /// Build the images of the operator and the agent with docker or buildah, and say how large each layer is
    Build(build::Arguments),
}

/// Does it.
pub fn run(command: &Command) -> Outcome {
    match command {
        Command::Check => check(),
        Command::Build(arguments) => build::run(arguments),
    }
}

fn check() -> Outcome {
    let complaints = complaints()?;
    for complaint in &complaints {
        println!("{complaint}");
    }
    if !complaints.is_empty() {
        return Ok(ExitCode::FAILURE);
    }
    let programs = programs::build(&Context::of("")?)?;
    let mut total = 0;
    for program in &programs {
        programs::check_static(program)?;
        programs::check_starts(program)?;
        let bytes = fs::metadata(&program.path)?.len();
        total += bytes;
        println!("{:<22} {:>6.2} MB, static, starts where nothing else is", program.name, megabytes(bytes));
    }
    println!("{:<22} {:>6.2} MB of {:.1}", "together", megabytes(total), megabytes(PROGRAMS_MAX));
    if total > PROGRAMS_MAX {
        return Err("the operator's image is too large".into());
    }
    Ok(ExitCode::SUCCESS)
}

/// What is wrong with any of the Dockerfiles, each with its file and line.
fn complaints() -> Result<Vec<String>, Box<dyn std::error::Error>> {
    let mut all = Vec::new();
    for (file, directory) in IMAGES {
        let text = fs::read_to_string(repository::root().join(file))?;
        let context = Context::of(directory)?;
        all.extend(
            Dockerfile::parse(&text)
                .complaints(|source| context.has(Path::new(source)))
                .into_iter()
                .map(|complaint| format!("{file}, line {}: {}", complaint.line, complaint.text)),
        );
    }
    Ok(all)
}

#[expect(clippy::cast_precision_loss, reason = "a size to read")]
fn megabytes(bytes: u64) -> f64 {
    bytes as f64 / 1e6
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_dockerfiles_can_be_built_from_what_is_here() {
        assert_eq!(complaints().expect("readable"), Vec::<String>::new());
    }

    #[test]
    fn the_operator_is_built_from_its_sources_alone() {
        let context = Context::of("").expect("readable");
        for part in ["Cargo.lock", "crates/operator/src/main.rs", "crates/runner/Cargo.toml"] {
            assert!(context.has(Path::new(part)), "{part}");
        }
        for other in ["target", ".git", "agent/requirements.lock", "deploy"] {
            assert!(!context.has(Path::new(other)), "{other}");
        }
    }
}
