//! Programs under test: each ends even where it hangs, asks nobody at the keyboard, and sees what it is to see.

use crate::common::namespaces::own_mounts;
use crate::common::{Ran, Scratch, run, tool};
use std::fs::File;
use std::path::Path;
use std::process::Command;

/// `program`, ended after a minute and a half: a test ends even where the program does not.
pub fn bounded(program: impl AsRef<Path>) -> Command {
    let mut command = Command::new(tool("timeout", "coreutils"));
    command.args(["--kill-after=5", "90"]).arg(program.as_ref());
    command
}

/// The same of an installed program.
pub fn program(name: &str, package: &str) -> Command {
    bounded(tool(name, package))
}

/// The same without a terminal, even that of whoever runs the tests, so that what it asks for it reads from its standard
/// input.
pub fn without_terminal(program: impl AsRef<Path>) -> Command {
    let mut command = bounded(tool("setsid", "util-linux"));
    command.arg(program.as_ref());
    command
}

/// Runs `command` and types these lines into it.
pub fn run_typing(scratch: &Scratch, command: &mut Command, typed: &str) -> Ran {
    let typed = scratch.file("typed", format!("{typed}\n"));
    run(command.stdin(File::open(typed).expect("it was written")))
}

/// unshare(1) with mounts of its own and these options, before those that say what to run; bounded, too. Root stays root.
pub fn in_namespaces(options: &[&str]) -> Command {
    let mut command = program("unshare", "util-linux");
    command.args(own_mounts()).args(options);
    command
}

/// `program`, which finds modules through p11-kit: those of this directory, not the system's.
pub fn with_p11_kit_modules(modules: &Path, program: impl AsRef<Path>) -> Command {
    let mut command = in_namespaces(&[]);
    command.args(["sh", "-ec", IN_PLACE_OF_THE_SYSTEMS]).args([modules, program.as_ref()]);
    command
}

const IN_PLACE_OF_THE_SYSTEMS: &str = r#"
mount --bind "$0" /usr/share/p11-kit/modules
! [ -d /etc/pkcs11 ] || mount -t tmpfs tmpfs /etc/pkcs11
exec "$@"
"#;
