//! Commands that end, and that see what they are to see.

use crate::common::tool;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::process::Command;

/// `program`, ended after a minute.
pub fn bounded(program: &Path) -> Command {
    let mut command = Command::new(tool("timeout", "coreutils"));
    command.args(["--kill-after", "5", "60"]).arg(program);
    command
}

/// unshare(1) with these options, before those that say what to run; ended after a minute, too.
pub fn in_namespaces(options: &[&str]) -> Command {
    let mut command = bounded(&tool("unshare", "util-linux"));
    // Root stays root, whom sshd needs to be.
    if !Path::new("/proc/self").metadata().is_ok_and(|process| process.uid() == 0) {
        command.arg("--map-root-user");
    }
    command.args(options);
    command
}
