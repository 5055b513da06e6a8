//! A process with rights that its caller lacks, and one that was given somebody else's files. To make either takes root:
//! whoever is not is told which tests were left out.

use crate::client;
use crate::common::cards::card;
use crate::common::namespaces::{is_root, own_mounts};
use crate::common::{Modules, Scratch, needs_root, run, tool};
use jpki_pkcs11::emulator::image::Kind;
use std::fs::{self, Permissions};
use std::os::unix::fs::{MetadataExt, PermissionsExt, chown};
use std::path::{Path, PathBuf};
use std::process::Command;

const NOBODY: u32 = 65_534;
const NEEDS_ROOT: &str = "a set-uid program, and a file of another user's, are root's to make";

/// A client, a module, and files by which a caller would decide what the module does: all of them name a practice card.
struct Stage {
    scratch: Scratch,
    client: PathBuf,
    module: PathBuf,
}

impl Stage {
    fn new() -> Stage {
        let scratch = Scratch::new();
        fs::set_permissions(scratch.path(), Permissions::from_mode(0o755)).unwrap();
        let client = client::compile(&scratch);
        let module = Modules::in_dir(&scratch).both;
        let card = card(&scratch, Kind::MyNumber);
        let text = format!("practice = ['{}']\n", card.display());
        for directory in ["home/.config/jpki-pkcs11", "xdg/jpki-pkcs11"] {
            let directory = scratch.path().join(directory);
            fs::create_dir_all(&directory).unwrap();
            fs::write(directory.join("config.toml"), &text).unwrap();
        }
        scratch.file("named.toml", &text);
        for file in Stage::files(&scratch) {
            fs::set_permissions(file, Permissions::from_mode(0o644)).unwrap();
        }
        Stage { scratch, client, module }
    }

    fn files(scratch: &Scratch) -> [PathBuf; 3] {
        ["home/.config/jpki-pkcs11/config.toml", "xdg/jpki-pkcs11/config.toml", "named.toml"]
            .map(|file| scratch.path().join(file))
    }

    /// What the client sees, as `user`, with `variables`. No PC/SC service is within its reach; where there is root to do it,
    /// set-uid programs, to whom variables say nothing, work in the scratch directory, also where the system's directory of
    /// temporary files is mounted without.
    fn seen(&self, user: u32, variables: &[(&str, PathBuf)]) -> String {
        if !is_root() {
            assert_eq!(user, own_user(), "only root can be somebody else");
            let mut command = Command::new(&self.client);
            command.arg("slots").arg(&self.module).env_clear().env("PCSCLITE_CSOCK_NAME", "/nonexistent");
            return run(command.envs(variables.iter().map(|(name, value)| (name, value)))).ok();
        }
        let mut command = Command::new(tool("unshare", "util-linux"));
        command
            .args(own_mounts())
            .args(["sh", "-ec", WITH_RIGHTS_AND_WITHOUT_PCSCD])
            .arg(self.scratch.path())
            .arg(tool("setpriv", "util-linux"))
            .args([format!("--reuid={user}"), format!("--regid={user}"), "--clear-groups".into()])
            .args([self.client.as_os_str(), "slots".as_ref(), self.module.as_os_str()])
            .env_clear()
            .env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin");
        run(command.envs(variables.iter().map(|(name, value)| (name, value)))).ok()
    }

    /// What the module logs as `user` in each of [`Stage::ways`], in none of which it shows a reader.
    fn said(&self, user: u32) -> Vec<String> {
        let logs = self.at("logs");
        fs::create_dir_all(&logs).unwrap();
        fs::set_permissions(&logs, Permissions::from_mode(0o777)).unwrap();
        let log = logs.join("log");
        let said = |mut way: Vec<(&'static str, PathBuf)>| {
            way.push(("JPKI_PKCS11_LOG", log.clone()));
            assert_eq!(self.seen(user, &way), "secure 0 initialize 0 slots 0 rv 0\n", "{way:?}");
            let said = fs::read_to_string(&log).unwrap();
            fs::remove_file(&log).unwrap();
            said
        };
        self.ways().into_iter().map(said).collect()
    }

    fn at(&self, path: &str) -> PathBuf {
        self.scratch.path().join(path)
    }

    /// Each way in which a caller could name a configuration.
    fn ways(&self) -> [Vec<(&'static str, PathBuf)>; 3] {
        [
            vec![("HOME", self.at("home"))],
            vec![("XDG_CONFIG_HOME", self.at("xdg"))],
            vec![("JPKI_PKCS11_CONF", self.at("named.toml"))],
        ]
    }
}

fn own_user() -> u32 {
    fs::metadata("/proc/self").unwrap().uid()
}

const WITH_RIGHTS_AND_WITHOUT_PCSCD: &str = r#"
mount --bind "$0" "$0"
mount -o remount,bind,suid "$0"
mount -t tmpfs tmpfs /run
exec "$@"
"#;

#[test]
fn a_set_uid_program_takes_neither_configuration_nor_log_from_its_caller() {
    if !needs_root(NEEDS_ROOT) {
        return;
    }
    let stage = Stage::new();
    for way in stage.ways() {
        assert_eq!(stage.seen(0, &way), "secure 0 initialize 0 slots 2 rv 0\n", "the way works: {way:?}");
    }
    fs::set_permissions(&stage.client, Permissions::from_mode(0o4755)).unwrap();
    let log = stage.at("log");
    for mut way in stage.ways() {
        way.push(("JPKI_PKCS11_LOG", log.clone()));
        assert_eq!(stage.seen(NOBODY, &way), "secure 1 initialize 0 slots 0 rv 0\n", "{way:?}");
        assert!(!log.exists(), "a log was written where the caller said");
    }
}

#[test]
fn a_set_uid_program_leaves_nothing_in_its_callers_directories() {
    if !needs_root(NEEDS_ROOT) {
        return;
    }
    let stage = Stage::new();
    fs::set_permissions(&stage.client, Permissions::from_mode(0o4755)).unwrap();
    for directory in ["state", "run"] {
        fs::create_dir(stage.at(directory)).unwrap();
    }
    let variables = [("XDG_STATE_HOME", stage.at("state")), ("XDG_RUNTIME_DIR", stage.at("run"))];
    assert_eq!(stage.seen(NOBODY, &variables), "secure 1 initialize 0 slots 0 rv 0\n");
    for directory in ["state", "run"] {
        assert_eq!(fs::read_dir(stage.at(directory)).unwrap().count(), 0);
    }
}

#[test]
fn root_takes_no_file_of_a_user() {
    if !needs_root(NEEDS_ROOT) {
        return;
    }
    let stage = Stage::new();
    for file in Stage::files(&stage.scratch) {
        // As in a home directory that a `sudo` has kept, or a variable.
        let directory = file.parent().filter(|directory| directory.ends_with("jpki-pkcs11"));
        for path in [Some(file.as_path()), directory].into_iter().flatten() {
            chown(path, Some(NOBODY), Some(NOBODY)).unwrap();
        }
    }
    let said = stage.said(0);
    for passed_over in &said[..2] {
        assert!(passed_over.contains("passed over, since it belongs to another user"), "{passed_over}");
        assert!(!passed_over.contains("no reader is used"), "{passed_over}");
    }
    assert!(said[2].contains("no reader is used: JPKI_PKCS11_CONF="), "{}", said[2]);
    assert!(said[2].contains("it belongs to another user"), "{}", said[2]);
}

#[test]
fn a_file_that_this_user_cannot_read_leaves_no_readers_if_it_is_the_users() {
    if !needs_root(NEEDS_ROOT) {
        return;
    }
    let stage = Stage::new();
    for file in Stage::files(&stage.scratch) {
        fs::set_permissions(file, Permissions::from_mode(0o600)).unwrap();
    }
    let said = stage.said(NOBODY);
    for roots in &said[..2] {
        assert!(roots.contains("passed over, since it is not yours and cannot be read"), "{roots}");
        assert!(!roots.contains("no reader is used"), "{roots}");
    }
    assert!(said[2].contains("no reader is used: JPKI_PKCS11_CONF="), "{}", said[2]);
    for file in Stage::files(&stage.scratch) {
        chown(&file, Some(NOBODY), Some(NOBODY)).unwrap();
        fs::set_permissions(file, Permissions::from_mode(0o000)).unwrap();
    }
    for own in stage.said(NOBODY) {
        assert!(own.contains("no reader is used") && own.contains("it cannot be read"), "{own}");
    }
}

#[test]
fn a_file_that_others_may_write_is_not_taken() {
    let stage = Stage::new();
    for file in Stage::files(&stage.scratch) {
        fs::set_permissions(file, Permissions::from_mode(0o666)).unwrap();
    }
    for said in stage.said(own_user()) {
        assert!(said.contains("no reader is used") && said.contains("run chmod go-w on it"), "{said}");
    }
}

#[test]
fn a_log_is_not_written_through_a_link() {
    let stage = Stage::new();
    let victim = stage.scratch.file("victim", "as it was");
    std::os::unix::fs::symlink(&victim, stage.at("link")).unwrap();
    stage.seen(own_user(), &[("JPKI_PKCS11_LOG", stage.at("link"))]);
    assert_eq!(read(&victim), "as it was");
}

#[test]
fn a_log_is_not_written_into_somebody_elses_file() {
    if !needs_root(NEEDS_ROOT) {
        return;
    }
    let stage = Stage::new();
    let other = stage.scratch.file("other", "as it was");
    chown(&other, Some(NOBODY), Some(NOBODY)).unwrap();
    stage.seen(0, &[("JPKI_PKCS11_LOG", stage.at("other"))]);
    assert_eq!(read(&other), "as it was");
}

fn read(file: &Path) -> String {
    fs::read_to_string(file).unwrap()
}
