//! What stands for container images on our node: directories with programs, put first on PATH. They are links where
//! possible; the node shows a pod what they lead to.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::path::{Path, PathBuf};

use crate::python::Environment;
use crate::repository::{self, Programs};
use crate::{Error, cluster};

/// The operator's image, which holds the runner.
pub const OPERATOR: &str = "punching-fist:dev";
/// The image of the agent around the OpenHands SDK.
pub const AGENT: &str = "punching-fist-agent:dev";
/// An image with the command line `openhands`.
pub const CLI: &str = "openhands-cli";
/// An image with `openhands.core.main`.
pub const MAIN: &str = "openhands-main";
/// An image with nothing of its own: the host's programs are there anyway.
pub const SHELL: &str = "busybox";

/// From image to directory.
pub type Table = BTreeMap<String, PathBuf>;

/// The image without anything, made in `dir`.
///
/// # Errors
/// The directory can't be made.
pub fn shell(dir: &Path) -> Result<(String, PathBuf), Error> {
    Ok((SHELL.to_owned(), directory(dir, "busybox")?))
}

/// The operator's image, made in `dir`.
///
/// # Errors
/// The directory can't be made.
pub fn operator(dir: &Path, programs: &Programs) -> Result<(String, PathBuf), Error> {
    let image = directory(dir, "punching-fist")?;
    link(&programs.runner, &image.join("punching-fist-runner"))?;
    if let Some(operator) = &programs.operator {
        link(operator, &image.join("punching-fist"))?;
    }
    Ok((OPERATOR.to_owned(), image))
}

/// The agent's image, made in `dir`: its launcher, its package beside it, kubectl and a Python.
///
/// # Errors
/// The directory can't be made, or the checkout has no `agent/punching_fist_agent`.
pub fn agent(dir: &Path, environment: &Environment, kubectl: &Path) -> Result<(String, PathBuf), Error> {
    let image = directory(dir, "punching-fist-agent")?;
    let package = repository::root().join("agent/punching_fist_agent");
    copy_sources(&package, &image.join("lib/punching_fist_agent"))?;
    program(&image.join("punching-fist-agent"), &launcher(&environment.interpreter(), &image.join("lib")))?;
    furnished(AGENT, image, environment, kubectl)
}

/// The image of the engine `cli`, made in `dir`.
///
/// # Errors
/// The directory can't be made.
pub fn cli(dir: &Path, environment: &Environment, kubectl: &Path) -> Result<(String, PathBuf), Error> {
    let image = directory(dir, CLI)?;
    let text = "import sys\n\nfrom openhands_cli.entrypoint import main\n\nsys.exit(main())\n";
    program(&image.join("openhands"), &python(&environment.interpreter(), text))?;
    furnished(CLI, image, environment, kubectl)
}

/// The image of the engine `main`, made in `dir`: its `python` is the environment's.
///
/// # Errors
/// The directory can't be made.
pub fn main(dir: &Path, environment: &Environment, kubectl: &Path) -> Result<(String, PathBuf), Error> {
    let image = directory(dir, MAIN)?;
    let text = "import os\nimport sys\n\nos.execv(sys.executable, [sys.executable, *sys.argv[1:]])\n";
    program(&image.join("python"), &python(&environment.interpreter(), text))?;
    furnished(MAIN, image, environment, kubectl)
}

/// The image under its name, with what every agent's has for its shell.
fn furnished(
    name: &str,
    image: PathBuf,
    environment: &Environment,
    kubectl: &Path,
) -> Result<(String, PathBuf), Error> {
    link(&environment.python.interpreter, &image.join("python3"))?;
    link(kubectl, &image.join("kubectl"))?;
    for tool in ["git", "curl", "jq", "tmux"] {
        // On the host's PATH they may stand where a pod does not look, such as a home directory.
        if let Some(found) = cluster::on_path(tool) {
            link(&found, &image.join(tool))?;
        }
    }
    Ok((name.to_owned(), image))
}

fn launcher(interpreter: &Path, library: &Path) -> String {
    let text = format!(
        "import runpy\nimport sys\n\nsys.path.insert(0, {:?})\n\
         runpy.run_module(\"punching_fist_agent\", run_name=\"__main__\", alter_sys=True)\n",
        library.display().to_string(),
    );
    python(interpreter, &text)
}

/// A script for an environment's interpreter, which the first line names so that the node finds it.
fn python(interpreter: &Path, text: &str) -> String {
    format!("#!{} -B\n{text}", interpreter.display())
}

/// Puts one more program into an image that is there.
///
/// # Errors
/// There is no such image, or it has one of that name.
pub fn add(image: &Path, program: &Path, name: &str) -> Result<(), Error> {
    link(program, &image.join(name))
}

/// Writes a script that can be run.
///
/// # Errors
/// It can't be written.
pub fn program(path: &Path, text: &str) -> Result<(), Error> {
    fs::write(path, text).map_err(Error::file("write", path))?;
    fs::set_permissions(path, fs::Permissions::from_mode(0o755)).map_err(Error::file("make executable", path))
}

/// An empty directory `name` in `dir`.
fn directory(dir: &Path, name: &str) -> Result<PathBuf, Error> {
    let path = dir.join(name);
    if path.exists() {
        fs::remove_dir_all(&path).map_err(Error::file("remove", &path))?;
    }
    fs::create_dir_all(&path).map_err(Error::file("create", &path))?;
    Ok(path)
}

fn link(target: &Path, path: &Path) -> Result<(), Error> {
    symlink(target, path).map_err(Error::file("link", path))
}

/// Copies what is Python of `from`, without byte code and tests' leavings.
fn copy_sources(from: &Path, to: &Path) -> Result<(), Error> {
    fs::create_dir_all(to).map_err(Error::file("create", to))?;
    for entry in fs::read_dir(from).map_err(Error::file("list", from))?.flatten() {
        let (path, target) = (entry.path(), to.join(entry.file_name()));
        if path.is_dir() && entry.file_name() != "__pycache__" {
            copy_sources(&path, &target)?;
        } else if path.is_file() {
            fs::copy(&path, &target).map_err(Error::file("copy", &path))?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_launcher_names_its_interpreter_first() {
        let text = launcher(Path::new("/venv/bin/python"), Path::new("/image/lib"));
        assert!(text.starts_with("#!/venv/bin/python -B\n"), "{text}");
        assert!(text.contains("sys.path.insert(0, \"/image/lib\")"), "{text}");
    }

    #[test]
    fn sources_are_copied_without_byte_code() {
        let dir = tempfile::tempdir().unwrap();
        let (from, to) = (dir.path().join("a"), dir.path().join("b"));
        fs::create_dir_all(from.join("__pycache__")).unwrap();
        fs::create_dir_all(from.join("sub")).unwrap();
        for file in ["x.py", "sub/y.py", "__pycache__/x.pyc"] {
            fs::write(from.join(file), "").unwrap();
        }
        copy_sources(&from, &to).unwrap();
        assert!(to.join("x.py").exists() && to.join("sub/y.py").exists() && !to.join("__pycache__").exists());
    }
}
