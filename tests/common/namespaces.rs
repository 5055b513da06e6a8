//! Mounts that are a test's own.

use super::{Scratch, run, tool};
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::process::Command;
use std::sync::OnceLock;

/// What unshare(1) is told for a mount namespace, before what else it is told. Root stays root; others become it inside.
///
/// # Panics
/// Where mounts inside would be seen outside.
pub fn own_mounts() -> Vec<&'static str> {
    let mut options = vec!["--mount"];
    options.extend((!is_root()).then_some("--map-root-user"));
    options.extend(propagation());
    options
}

/// Whether this process may make namespaces without one of users.
pub fn is_root() -> bool {
    fs::metadata("/proc/self").is_ok_and(|process| process.uid() == 0)
}

/// unshare(1) keeps mounts inside by a property of the mount at `/`. In a plain chroot none is there, and it fails. Then they
/// stay inside if the mount around the chroot is private already, which is tried once, with a harmless one.
fn propagation() -> &'static [&'static str] {
    static PROPAGATION: OnceLock<&[&str]> = OnceLock::new();
    PROPAGATION.get_or_init(|| {
        let mounts = fs::read_to_string("/proc/self/mountinfo").expect("/proc is there");
        if mounts.lines().any(|mount| mount.split(' ').nth(4) == Some("/")) {
            return &[];
        }
        let scratch = Scratch::new();
        let seen = run(Command::new(tool("unshare", "util-linux"))
            .args(["--mount", "--propagation", "unchanged", "sh", "-ec", SEEN_OUTSIDE, "sh"])
            .arg(scratch.path()))
        .ok();
        let advice = "bind it to itself before you chroot into it: mount --bind ROOT ROOT && mount --make-private ROOT";
        assert_eq!(seen, "no\n", "this root is no mount of its own, and mounts in it are seen outside; {advice}");
        &["--propagation", "unchanged"]
    })
}

/// Whether the test's process sees a mount at `$1` that was made inside.
const SEEN_OUTSIDE: &str = r#"
mount -t tmpfs tmpfs "$1"
if grep -q " $1 " "/proc/$PPID/mountinfo"; then echo yes; else echo no; fi
umount "$1"
"#;
