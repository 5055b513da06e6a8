//! Programs that may ask for a secret, with bounds on what they may do.

use crate::common::{Ran, Scratch, run, tool};
use std::fs::File;
use std::path::Path;
use std::process::Command;

/// A command that is ended if it takes longer than 90 seconds. It has no terminal, not even that of whoever runs the
/// tests, so that what it asks for it reads from its standard input.
pub fn bounded(program: impl AsRef<Path>) -> Command {
    let mut command = Command::new(tool("timeout", "coreutils"));
    command.args(["--kill-after=5", "90"]).arg(tool("setsid", "util-linux")).arg(program.as_ref());
    command
}

/// Runs `command` and types these lines into it.
pub fn run_typing(scratch: &Scratch, command: &mut Command, typed: &str) -> Ran {
    let typed = scratch.file("typed", format!("{typed}\n"));
    run(command.stdin(File::open(typed).expect("it was written")))
}
