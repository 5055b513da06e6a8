//! What `make install` does with what was built for these tests.

use super::{built, target_dir, tool};
use std::env;
use std::path::Path;
use std::process::Command;

/// `make TARGET`. Nothing of the environment says where: as root, a libdir or DESTDIR in it would be written to.
pub fn make(target: &str) -> Command {
    let mut make = Command::new(tool("make", "make"));
    make.args(["--silent", "--directory", env!("CARGO_MANIFEST_DIR"), target])
        .args([variable("BUILT_MODULE", &built()), variable("BUILT_PROGRAM", &target_dir().join("jpki"))])
        .env_clear()
        .env("PATH", env::var_os("PATH").unwrap_or_default());
    make
}

/// A variable of the Makefile.
pub fn variable(name: &str, path: &Path) -> String {
    format!("{name}={}", path.display())
}
