//! What `make` sees to before it builds: `.ci/toolchain`, that there is a Rust toolchain, and `.ci/install`, the packages, on a
//! system that is not Debian's.

use std::fs::{self, Permissions};
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::Path;
use std::process::{Command, Output};

/// Runs it where there is bash and nothing else.
fn install(variables: &[(&str, &str)]) -> Output {
    let programs = tempfile::tempdir().unwrap();
    symlink("/bin/bash", programs.path().join("bash")).unwrap();
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join(".ci/install");
    let mut install = Command::new("/bin/bash");
    install.arg(script).args(["gcc", "make"]).env_clear().env("PATH", programs.path());
    install.envs(variables.iter().copied()).output().unwrap()
}

#[test]
fn where_there_is_no_dpkg_the_packages_are_named_and_make_goes_on() {
    let ran = install(&[]);
    let said = String::from_utf8(ran.stderr).unwrap();
    assert!(ran.status.success(), "{said}");
    assert!(said.contains("what Debian calls: gcc make"), "{said}");
}

#[test]
fn in_ci_a_system_without_dpkg_fails() {
    assert!(!install(&[("CI", "true")]).status.success());
}

/// Runs `.ci/toolchain` where there is bash and these programs, each of which says a version.
fn toolchain(programs: &[(&str, &str)]) -> Output {
    let folder = tempfile::tempdir().unwrap();
    for (name, version) in programs {
        let path = folder.path().join(name);
        fs::write(&path, format!("#!/bin/bash\necho '{name} {version} (0123456 2026-01-01)'\n")).unwrap();
        fs::set_permissions(&path, Permissions::from_mode(0o755)).unwrap();
    }
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join(".ci/toolchain");
    let mut toolchain = Command::new("/bin/bash");
    toolchain.arg(script).arg("cargo").env_clear().env("PATH", folder.path()).output().unwrap()
}

/// What it says where it fails: one sentence, with the packages of Debian that help.
fn lacking(programs: &[(&str, &str)]) -> String {
    let ran = toolchain(programs);
    let said = String::from_utf8(ran.stderr).unwrap();
    assert!(!ran.status.success(), "{programs:?}");
    assert_eq!(said.lines().count(), 1, "{said}");
    assert!(said.contains("apt-get install cargo-web rustc-web") && said.contains("https://rustup.rs"), "{said}");
    assert!(said.contains(concat!("Rust ", env!("CARGO_PKG_RUST_VERSION"), " or newer")), "{said}");
    said
}

#[test]
fn a_toolchain_that_is_missing_or_too_old_is_said_in_a_sentence() {
    assert!(lacking(&[]).starts_with("There is no cargo here"));
    assert!(lacking(&[("cargo", "1.96.0")]).starts_with("There is no rustc here"));
    // Debian 12's own.
    assert!(lacking(&[("cargo", "0.66.0"), ("rustc", "1.63.0")]).starts_with("The cargo here is 0.66.0"));
    assert!(lacking(&[("cargo", "1.96.0"), ("rustc", "1.85.0")]).starts_with("The rustc here is 1.85.0"));
}

#[test]
fn a_toolchain_of_the_declared_version_or_newer_will_do() {
    for version in [env!("CARGO_PKG_RUST_VERSION"), "1.100.0", "2.0.0-nightly"] {
        let ran = toolchain(&[("cargo", version), ("rustc", version)]);
        assert!(ran.status.success() && ran.stderr.is_empty(), "{ran:?}");
    }
}

#[test]
fn make_looks_for_the_toolchain_before_it_installs_packages() {
    for target in ["build", "demo", "setup", "setup-clients", "lint", "bare", "conformance", "fuzz-setup"] {
        let said = commands(target);
        let (toolchain, install) = (said.find(".ci/toolchain"), said.find(".ci/install"));
        assert!(toolchain.is_some() && toolchain < install, "{target}: {said}");
    }
}

/// Installing OpenSC registers its module with p11-kit, by which every program that uses p11-kit sees the signature token.
#[test]
fn the_demo_installs_nothing_that_stays_registered_with_p11_kit() {
    let said = commands("demo");
    assert!(said.contains("gnutls-bin") && !said.contains("opensc"), "{said}");
}

/// What `make` would run.
fn commands(target: &str) -> String {
    let mut make = Command::new("make");
    make.args(["--dry-run", "--directory", env!("CARGO_MANIFEST_DIR"), target]).env_remove("MAKEFLAGS");
    let ran = make.output().unwrap();
    assert!(ran.status.success(), "{ran:?}");
    String::from_utf8(ran.stdout).unwrap()
}
