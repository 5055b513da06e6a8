//! `.ci/install`, by which `make` sees to the packages it needs, on a system that is not Debian's.

use std::os::unix::fs::symlink;
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
