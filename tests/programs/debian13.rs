//! Programs of Debian 13, in the system that `tests/programs/setup` unpacks, with this machine's pcscd and /tmp.

use crate::common::library;
use crate::program::in_namespaces;
use std::env;
use std::path::Path;
use std::process::Command;

/// What is shown of this machine inside: devices (the terminal is one), the scratch directories, in one of which pcscd has
/// its socket, and the libpcsclite that goes with that pcscd: from 1.9 to 2.0 the protocol between them has changed.
const INSIDE: &str = r#"
set -e
root=$1 scratch=$2 libpcsclite=$3
shift 3
mkdir -p "$root$scratch"
mount --rbind "$scratch" "$root$scratch"
mount --rbind /dev "$root/dev"
mount --bind "$libpcsclite" "$root$libpcsclite"
exec unshare --root="$root" -- "$@"
"#;

/// `program` of Debian 13, ended after a minute.
///
/// # Panics
/// Where the system is missing.
pub fn debian_13(program: &str) -> Command {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("target/programs/debian-13");
    assert!(root.join("done").is_file(), "{} is missing: tests/programs/setup", root.display());
    let mut command = in_namespaces(&[]);
    command
        .args(["sh", "-c", INSIDE, "sh"])
        .args([root, env::temp_dir(), library("libpcsclite.so.1", "libpcsclite1")])
        .arg(program);
    command
}
