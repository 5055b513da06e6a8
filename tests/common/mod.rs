//! The ground end-to-end tests stand on: tools, a private pcscd ([`pcscd`]), and the programs and cards under test.

#![allow(dead_code, reason = "every test program uses its own part of the ground")]
#![allow(clippy::print_stderr, reason = "what a test leaves behind is said where its failure is said")]
#![allow(clippy::print_stdout, reason = "what a test measured is worth reading")]

mod built;
pub mod cards;
pub mod client;
pub mod conversation;
pub mod forgery;
pub mod make;
pub mod namespaces;
pub mod openssl;
pub mod pcscd;
pub mod rival;
pub mod running;
pub mod terminal;
pub mod witness;

use std::fs::Permissions;
use std::io::{self, Write};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::time::{Duration, Instant};
use std::{env, fs, thread};
use tempfile::TempDir;

pub use built::built;

/// The path of an installed tool.
///
/// # Panics
/// With the name of the Debian package, where the tool is missing: a test that does not run is not a test that passed.
pub fn tool(name: &str, package: &str) -> PathBuf {
    let places = env::var_os("PATH").unwrap_or_default();
    env::split_paths(&places)
        .chain(["/usr/sbin", "/sbin", "/usr/bin"].map(PathBuf::from))
        .map(|place| place.join(name))
        .find(|path| path.is_file())
        .unwrap_or_else(|| panic!("{name} is missing: apt-get install {package} (or `make setup`)"))
}

/// The path of a library of Debian's, given below its directory of libraries.
///
/// # Panics
/// With the name of the Debian package, where it is missing.
pub fn library(name: &str, package: &str) -> PathBuf {
    ["/usr/lib/x86_64-linux-gnu", "/usr/lib/aarch64-linux-gnu"]
        .map(|directory| Path::new(directory).join(name))
        .into_iter()
        .find(|path| path.is_file())
        .unwrap_or_else(|| panic!("{name} is missing: apt-get install {package} (or `make setup`)"))
}

/// OpenSC's module.
pub fn opensc() -> PathBuf {
    library("opensc-pkcs11.so", "opensc-pkcs11")
}

/// Runs `command` to its end.
pub fn run(command: &mut Command) -> Ran {
    let Output { status, stdout, stderr } =
        command.output().unwrap_or_else(|error| panic!("{command:?} cannot be run: {error}"));
    Ran {
        shown: format!("{command:?}"),
        success: status.success(),
        stdout: String::from_utf8_lossy(&stdout).into_owned(),
        stderr: String::from_utf8_lossy(&stderr).into_owned(),
    }
}

/// A command that has ended.
#[derive(Debug)]
pub struct Ran {
    shown: String,
    pub success: bool,
    pub stdout: String,
    pub stderr: String,
}

impl Ran {
    /// Its standard output.
    ///
    /// # Panics
    /// If it failed.
    pub fn ok(self) -> String {
        assert!(self.success, "{} failed\n{}{}", self.shown, self.stdout, self.stderr);
        self.stdout
    }

    /// Both outputs.
    ///
    /// # Panics
    /// If it succeeded.
    pub fn refused(self) -> String {
        assert!(!self.success, "{} succeeded\n{}{}", self.shown, self.stdout, self.stderr);
        self.stdout + &self.stderr
    }
}

/// Whether this test can be done, which takes root, and `why`. Continuous integration is root; who is not is told, past
/// the test program's keeping of what tests say, that something was left out.
///
/// # Panics
/// In continuous integration that is not root.
pub fn needs_root(why: &str) -> bool {
    let root = namespaces::is_root();
    assert!(root || env::var_os("CI").is_none(), "run this as root: {why}");
    if !root {
        let test = thread::current().name().unwrap_or("a test").to_owned();
        writeln!(io::stderr(), "LEFT OUT, since it takes root: {test}: {why}").expect("stderr can be written to");
    }
    root
}

/// Waits until `condition` holds; asks 50 times a second.
///
/// # Panics
/// After ten seconds.
pub fn eventually<T>(what: &str, mut condition: impl FnMut() -> Option<T>) -> T {
    let deadline = Instant::now() + Duration::from_secs(10);
    loop {
        if let Some(outcome) = condition() {
            return outcome;
        }
        assert!(Instant::now() < deadline, "not within ten seconds: {what}");
        thread::sleep(Duration::from_millis(20));
    }
}

/// A directory of its own for one test, removed at its end.
pub struct Scratch(TempDir);

impl Scratch {
    pub fn new() -> Scratch {
        // A short name, because the path of a Unix socket has 107 characters at most.
        Scratch(tempfile::Builder::new().prefix("jpki-").tempdir().expect("there is room for temporary files"))
    }

    pub fn path(&self) -> &Path {
        self.0.path()
    }

    pub fn file(&self, name: &str, content: impl AsRef<[u8]>) -> PathBuf {
        let path = self.path().join(name);
        fs::write(&path, content).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        path
    }

    /// The module's configuration: see [`configured`] for who is to read it.
    pub fn configuration(&self, text: &str) -> PathBuf {
        let path = self.path().join("config.toml");
        write_private(&path, text);
        path
    }
}

/// Writes a file that the module takes, whatever the umask: it ignores what others may write.
pub fn write_private(path: &Path, text: &str) {
    fs::write(path, text)
        .and_then(|()| fs::set_permissions(path, Permissions::from_mode(0o600)))
        .unwrap_or_else(|error| panic!("{}: {error}", path.display()));
}

/// The command, in which the module has this configuration and no PC/SC service: should it ignore the file for any
/// reason, it finds no reader instead of the real card of whoever runs the tests.
pub fn configured<'c>(command: &'c mut Command, configuration: &Path) -> &'c mut Command {
    command.env("JPKI_PKCS11_CONF", configuration).env("PCSCLITE_CSOCK_NAME", "/nonexistent")
}

/// Where cargo puts what it builds for these tests.
pub fn target_dir() -> PathBuf {
    let program = Path::new(env!("CARGO_BIN_EXE_jpki"));
    program.parent().expect("a program lies in a directory").to_owned()
}

/// The program `jpki`.
pub fn jpki() -> Command {
    Command::new(env!("CARGO_BIN_EXE_jpki"))
}

/// Copies what was built, for everybody to load and run, whatever the umask was under which it was. By another process: one
/// that a test beside this starts meanwhile would inherit the open copy, and while somebody has it open for writing nobody
/// can run it.
pub fn install(built: &Path, path: &Path) {
    run(Command::new(tool("install", "coreutils")).args(["-m", "755"]).args([built, path])).ok();
}

/// The module as built, under its four names in `scratch`: what it shows depends on the name.
pub struct Modules {
    pub both: PathBuf,
    pub auth: PathBuf,
    pub sign: PathBuf,
    pub ssh: PathBuf,
}

impl Modules {
    /// What the four files are called.
    pub const NAMES: [&str; 4] =
        ["libjpki_pkcs11.so", "libjpki_pkcs11-auth.so", "libjpki_pkcs11-sign.so", "libjpki_pkcs11-ssh.so"];

    pub fn in_dir(scratch: &Scratch) -> Modules {
        let built = built();
        let copy = |name: &str| {
            let path = scratch.path().join(name);
            install(&built, &path);
            path
        };
        let [both, auth, sign, ssh] = Modules::NAMES.map(copy);
        Modules { both, auth, sign, ssh }
    }
}
