//! `cargo xtask images build`: builds the images with what this machine has, and says how large each of their layers is.

use std::error::Error;
use std::ffi::{OsStr, OsString};
use std::path::Path;
use std::process::{Command, ExitCode};

use punching_fist_testkit::repository;

use super::{layers, megabytes};
use crate::Outcome;

/// How images are built.
#[derive(clap::Args)]
pub struct Arguments {
    /// What builds [default: the first of them that there is]
    #[arg(long, value_enum)]
    engine: Option<Engine>,
    /// Only this one [default: all of them]
    #[arg(long, value_enum)]
    image: Option<Image>,
    /// What stands before the images' names
    #[arg(long, value_name = "NAME", default_value = "ghcr.io/punching-fist")]
    registry: String,
    /// Further options of the engine's own `build`, such as `--build-arg PYTHON=…`
    #[arg(last = true)]
    options: Vec<OsString>,
}

/// A program that builds images.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
enum Engine {
    /// Docker, with `BuildKit`
    Docker,
    /// Buildah, which needs no daemon
    Buildah,
}

/// An image of ours.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
enum Image {
    /// The operator, with the runner
    Operator,
    /// The agent of the engine `sdk`
    Agent,
}

/// Builds them.
pub fn run(arguments: &Arguments) -> Outcome {
    let engine = arguments.engine.or_else(Engine::find).ok_or("neither docker nor buildah is on PATH")?;
    for image in Image::ALL.into_iter().filter(|image| arguments.image.is_none_or(|only| only == *image)) {
        let tag = format!("{}/{}:{}", arguments.registry, image.name(), env!("CARGO_PKG_VERSION"));
        engine.build(image, &tag, &arguments.options)?;
        print_sizes(engine, &tag)?;
    }
    Ok(ExitCode::SUCCESS)
}

fn print_sizes(engine: Engine, tag: &str) -> Result<(), Box<dyn Error>> {
    let directory = tempfile::tempdir()?;
    let archive = directory.path().join("archive.tar");
    engine.save(tag, &archive)?;
    let layers = layers::of(&archive, directory.path())?;
    println!("\n{tag}\n{:>12} {:>12}", "unpacked", "to pull");
    for layer in &layers {
        print_size(layer.unpacked, layer.compressed, &layer.made_by);
    }
    let sum = |bytes: fn(&layers::Layer) -> u64| layers.iter().map(bytes).sum();
    print_size(sum(|layer| layer.unpacked), sum(|layer| layer.compressed), "together");
    Ok(())
}

fn print_size(unpacked: u64, compressed: u64, what: &str) {
    println!("{:>9.2} MB {:>9.2} MB  {what}", megabytes(unpacked), megabytes(compressed));
}

impl Engine {
    const ALL: [Self; 2] = [Self::Docker, Self::Buildah];

    fn find() -> Option<Self> {
        let answers = |engine: &Self| engine.command().arg("--version").output().is_ok();
        Self::ALL.into_iter().find(answers)
    }

    fn command(self) -> Command {
        Command::new(match self {
            Self::Docker => "docker",
            Self::Buildah => "buildah",
        })
    }

    fn build(self, image: Image, tag: &str, options: &[OsString]) -> Result<(), Box<dyn Error>> {
        let (file, context) = image.source();
        let version = concat!("org.opencontainers.image.version=", env!("CARGO_PKG_VERSION"));
        let mut build = self.command();
        build.args(["build", "--tag", tag, "--label", version, "--file"]).arg(repository::root().join(file));
        if self == Self::Buildah {
            build.arg("--layers");
        }
        build.args(options).arg(repository::root().join(context));
        succeed(build, tag)
    }

    fn save(self, tag: &str, archive: &Path) -> Result<(), Box<dyn Error>> {
        let mut save = self.command();
        match self {
            Self::Docker => save.args(["save", "--output"]).args([archive.as_os_str(), OsStr::new(tag)]),
            Self::Buildah => {
                let mut destination = OsString::from("docker-archive:");
                destination.extend([archive.as_os_str(), OsStr::new(":"), OsStr::new(tag)]);
                save.args(["push", "--quiet", tag]).arg(destination)
            }
        };
        succeed(save, tag)
    }
}

impl Image {
    const ALL: [Self; 2] = [Self::Operator, Self::Agent];

    fn name(self) -> &'static str {
        match self {
            Self::Operator => "punching-fist",
            Self::Agent => "punching-fist-agent",
        }
    }

    /// Its Dockerfile, and the directory that it is built with.
    fn source(self) -> (&'static str, &'static str) {
        match self {
            Self::Operator => ("Dockerfile", ""),
            Self::Agent => ("agent/Dockerfile", "agent"),
        }
    }
}

fn succeed(mut command: Command, tag: &str) -> Result<(), Box<dyn Error>> {
    let program = command.get_program().to_string_lossy().into_owned();
    let status = command.status().map_err(|error| format!("{program} can't be started: {error}"))?;
    if status.success() { Ok(()) } else { Err(format!("{tag}: {program} failed: {status}").into()) }
}
