//! `client.c`, compiled.

use crate::common::{Scratch, run, tool};
use std::path::{Path, PathBuf};
use std::process::Command;

/// The program, in `scratch`.
pub fn compile(scratch: &Scratch) -> PathBuf {
    let program = scratch.path().join("client");
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/attacks/client.c");
    run(Command::new(tool("gcc", "gcc")).args(["-std=gnu11", "-O1", "-Wall", "-o"]).arg(&program).arg(source)).ok();
    program
}
