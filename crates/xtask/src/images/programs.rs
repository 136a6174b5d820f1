//! The programs of the operator's image: built as its Dockerfile builds them, and started where nothing else is.

use std::error::Error;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use punching_fist_testkit::repository;

use super::context::Context;

/// A program of the image.
pub struct Program {
    /// Its name.
    pub name: &'static str,
    /// Where it was built.
    pub path: PathBuf,
}

const PROGRAMS: [&str; 2] = ["punching-fist", "punching-fist-runner"];
const FLAG: &str = "-C target-feature=+crt-static";

/// Files that make an empty directory look like an image: nothing at all, as ours is; a musl without any glibc, as Alpine
/// is; and directories of a glibc that is not the program's own.
const ROOTS: [(&str, &[&str]); 3] = [
    ("nothing", &[]),
    ("musl", &["etc/alpine-release", "lib/ld-musl-x86_64.so.1", "lib/libc.musl-x86_64.so.1"]),
    (
        "a broken glibc",
        &["etc/debian_version", "lib64/ld-linux-x86-64.so.2", "lib/x86_64-linux-gnu/libc.so.6"],
    ),
];

/// Builds them for this machine, from nothing but what Docker would get.
pub fn build(context: &Context) -> Result<Vec<Program>, Box<dyn Error>> {
    let target = format!("{}-unknown-linux-gnu", std::env::consts::ARCH);
    let built = repository::root().join("target");
    let source = built.join("images/context");
    context.copy(&source)?;
    let flags = format!("CARGO_TARGET_{}_RUSTFLAGS", target.to_uppercase().replace('-', "_"));
    let mut cargo = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    cargo.args(["build", "--release", "--locked", "--target", &target]);
    cargo.args(PROGRAMS.iter().flat_map(|name| ["--package", name]));
    let status = cargo.current_dir(source).env("CARGO_TARGET_DIR", &built).env(flags, FLAG).status()?;
    if !status.success() {
        return Err(format!("the programs can't be built: {status}").into());
    }
    let release = built.join(target).join("release");
    Ok(PROGRAMS.map(|name| Program { name, path: release.join(name) }).into())
}

/// Whether the program asks for no loader, and so for no library.
pub fn check_static(program: &Program) -> Result<(), Box<dyn Error>> {
    match has_interpreter(&fs::read(&program.path)?) {
        Some(false) => Ok(()),
        Some(true) => Err(format!("{} isn't static: it asks for a loader", program.name).into()),
        None => Err(format!("{} is no ELF program of 64 bits", program.name).into()),
    }
}

/// Looks for a program header of type `PT_INTERP` (elf(5)); none if `program` is no 64-bit little-endian ELF file.
fn has_interpreter(program: &[u8]) -> Option<bool> {
    const PT_INTERP: u32 = 3;
    if !program.starts_with(b"\x7fELF\x02\x01") {
        return None;
    }
    let number = |at: usize, size: usize| -> Option<usize> {
        let bytes = program.get(at..at.checked_add(size)?)?;
        bytes
            .iter()
            .rev()
            .try_fold(0_usize, |sum, byte| sum.checked_mul(256)?.checked_add(usize::from(*byte)))
    };
    let (table, size, count) = (number(32, 8)?, number(54, 2)?, number(56, 2)?);
    let kinds: Option<Vec<usize>> =
        (0..count).map(|index| number(table.checked_add(index.checked_mul(size)?)?, 4)).collect();
    Some(kinds?.contains(&(PT_INTERP as usize)))
}

/// Starts the program in every kind of root directory.
pub fn check_starts(program: &Program) -> Result<(), Box<dyn Error>> {
    for (name, files) in ROOTS {
        let root = tempfile::tempdir()?;
        for file in files {
            let path = root.path().join(file);
            fs::create_dir_all(path.parent().unwrap_or(root.path()))?;
            fs::write(path, "")?;
        }
        fs::copy(&program.path, root.path().join(program.name))?;
        let output = start(root.path(), program.name)?;
        let said = String::from_utf8_lossy(&output.stdout);
        if !output.status.success() || !said.starts_with(program.name) {
            let errors = String::from_utf8_lossy(&output.stderr);
            return Err(
                format!("{} doesn't start beside {name}: {} {errors}", program.name, output.status).into()
            );
        }
    }
    Ok(())
}

fn start(root: &Path, name: &str) -> std::io::Result<Output> {
    let mut chroot = Command::new("unshare");
    chroot.args(["--user", "--map-root-user", "chroot"]).arg(root).arg(format!("/{name}")).arg("--version");
    chroot.env_clear().env("PATH", "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin").output()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_program_that_asks_for_a_loader_is_told_from_others() {
        // Tests are linked to the machine's C library.
        let own = fs::read(std::env::current_exe().expect("known")).expect("readable");
        assert_eq!(has_interpreter(&own), Some(true));
        let mut without = own[..64].to_vec();
        without[56..58].copy_from_slice(&[0, 0]);
        assert_eq!(has_interpreter(&without), Some(false));
        for broken in [&own[..3], &own[..20], &own[..64], b"#!/bin/sh"] {
            assert_eq!(has_interpreter(broken), None);
        }
    }
}
