//! A configuration that somebody meant and that cannot be used leaves no reader to anybody: else what was typed for a
//! practice card goes to the real one. The "real" card here lies in a virtual reader of a real pcscd, and counts.

mod common;

use common::cards::{PIN, card};
use common::pcscd::{Pcscd, with_pcscd};
use common::rival::Asked;
use common::{Modules, Ran, Scratch, jpki, needs_root, run, tool, write_private};
use jpki_pkcs11::emulator::image::Kind;
use std::ffi::OsString;
use std::fs::{self, Permissions};
use std::io::Write;
use std::os::unix::fs::{PermissionsExt, chown, symlink};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// A group that is nobody's here.
const FOREIGN: u32 = 4242;

/// A card in the reader, one to practise with in a file, and the configuration that names it.
struct Stage<'p> {
    pcscd: &'p Pcscd,
    _scratch: Scratch,
    practice: Scratch,
    real: Asked,
    modules: Modules,
}

impl Stage<'_> {
    fn set(pcscd: &Pcscd) -> (Stage<'_>, common::pcscd::Inserted) {
        let (scratch, practice) = (Scratch::new(), Scratch::new());
        let real = card(&scratch, Kind::MyNumber);
        let inserted = pcscd.insert(&real);
        card(&practice, Kind::MyNumber);
        let modules = Modules::in_dir(&practice);
        (Stage { pcscd, _scratch: scratch, practice, real: Asked::of(&real), modules }, inserted)
    }

    fn named(&self) -> PathBuf {
        self.practice.path().join("config.toml")
    }

    /// The file that is as it should be.
    fn well(&self) -> PathBuf {
        let path = self.named();
        // It may have been something else.
        let _ = fs::remove_file(&path).or_else(|_| fs::remove_dir(&path));
        write_private(&path, "practice = ['mynumber.card']\n");
        path
    }

    /// pkcs11-tool on the module, in a process whose `JPKI_PKCS11_CONF` is this.
    fn tool(&self, configuration: Option<&OsString>, arguments: &[&str]) -> Ran {
        let mut command = Command::new(tool("pkcs11-tool", "opensc"));
        command.arg("--module").arg(&self.modules.both).args(arguments);
        run(command.envs(configuration.map(|value| ("JPKI_PKCS11_CONF", value))))
    }

    /// The program, which is told three secrets; what it said, and its exit code.
    fn jpki(&self, configuration: Option<&OsString>, arguments: &[&str]) -> (String, Option<i32>) {
        let mut command = jpki();
        command.args(["--lang", "en"]).args(arguments).envs(configuration.map(|value| ("JPKI_PKCS11_CONF", value)));
        let mut child =
            command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("it runs");
        // It may have ended before it asks.
        let _ = child.stdin.take().expect("it is piped").write_all(b"7777\n5678\n5678\n");
        let output = child.wait_with_output().expect("it ends");
        let text = |bytes| String::from_utf8(bytes).expect("it is UTF-8");
        (text(output.stdout) + &text(output.stderr), output.status.code())
    }

    /// That module and program use no reader, say why and what to do, and that the real card hears nothing.
    fn assert_no_readers(&self, what: &str, configuration: Option<&OsString>, mend: &str) {
        let log = self.practice.path().join("log");
        let ((), commands) = self.real.by(|| {
            let said = self.tool(configuration, &["--list-slots"]).refused();
            assert!(said.contains("No slots"), "{what}: {said}");
            let said = self.tool(configuration, &["--show-info"]).stdout;
            assert!(said.contains("run jpki doctor"), "{what}: {said}");
            for _ in 0..3 {
                self.tool(configuration, &["--login", "--pin", "7777", "--list-objects"]).refused();
            }
            let mut logged = Command::new(tool("pkcs11-tool", "opensc"));
            logged.arg("--module").arg(&self.modules.auth).arg("--list-slots").env("JPKI_PKCS11_LOG", &log);
            run(logged.envs(configuration.map(|value| ("JPKI_PKCS11_CONF", value)))).refused();
            let said = fs::read_to_string(&log).expect("there is a log");
            assert!(said.contains(mend) && said.contains("no reader is used"), "{what}: {said}");
            fs::remove_file(&log).expect("it is ours");
            for arguments in [&["status"][..], &["pin", "change", "auth", "--stdin"], &["doctor", "--report"]] {
                let (said, code) = self.jpki(configuration, arguments);
                assert!(said.contains(mend) && said.contains("configuration"), "{what}, {arguments:?}: {said}");
                assert_eq!(code, Some(2), "{what}, {arguments:?}: {said}");
            }
            let (said, code) = self.jpki(configuration, &["doctor"]);
            assert!(said.contains("Configuration\n  DO    ") && said.contains(mend), "{what}: {said}");
            assert_eq!(code, Some(2), "{what}: {said}");
        });
        assert_eq!(commands, [] as [String; 0], "{what}: the real card was asked");
    }

    /// That the practice card is used, and the real one hears nothing.
    fn assert_practice(&self, what: &str, configuration: &OsString) {
        let ((), commands) = self.real.by(|| {
            let listed = self.tool(Some(configuration), &["--list-slots"]).ok();
            assert!(listed.contains("Practice Reader"), "{what}: {listed}");
            let (said, code) = self.jpki(Some(configuration), &["status"]);
            assert_eq!(code, Some(0), "{what}: {said}");
        });
        assert_eq!(commands, [] as [String; 0], "{what}: the real card was asked");
    }
}

fn set_mode(path: &Path, mode: u32) {
    fs::set_permissions(path, Permissions::from_mode(mode)).unwrap();
}

#[test]
fn a_named_file_that_cannot_be_used_lets_nothing_reach_the_card_in_a_reader() {
    with_pcscd("a_named_file_that_cannot_be_used_lets_nothing_reach_the_card_in_a_reader", |pcscd| {
        let (stage, _inserted) = Stage::set(pcscd);
        let path = stage.well();
        let named = OsString::from(&path);
        stage.assert_practice("as it should be", &named);

        fs::write(&path, "practise = ['mynumber.card']\n").unwrap();
        stage.assert_no_readers("a misspelt key", Some(&named), "the nearest known one is `practice`");

        stage.well();
        set_mode(&path, 0o646);
        stage.assert_no_readers("others may write", Some(&named), "run chmod go-w on it");

        fs::remove_file(&path).unwrap();
        stage.assert_no_readers("removed", Some(&named), "there is no such file");
        symlink("nowhere", &path).unwrap();
        stage.assert_no_readers("a link to nothing", Some(&named), "there is no such file");
        fs::remove_file(&path).unwrap();
        fs::create_dir(&path).unwrap();
        stage.assert_no_readers("a directory", Some(&named), "not a regular file");
        fs::remove_dir(&path).unwrap();
        run(Command::new("mkfifo").arg(&path)).ok();
        stage.assert_no_readers("a pipe", Some(&named), "not a regular file");
        stage.assert_no_readers("a relative path", Some(&"config.toml".into()), "not a whole path");

        stage.well();
        stage.assert_practice("mended", &named);
    });
}

#[test]
fn a_named_file_that_others_could_have_written_lets_nothing_reach_the_card_in_a_reader() {
    if !needs_root("a file is root's to give to another group or user") {
        return;
    }
    with_pcscd("a_named_file_that_others_could_have_written_lets_nothing_reach_the_card_in_a_reader", |pcscd| {
        let (stage, _inserted) = Stage::set(pcscd);
        let path = stage.well();
        let named = OsString::from(&path);
        set_mode(&path, 0o664);
        stage.assert_practice("root's own group may write", &named);
        chown(&path, None, Some(FOREIGN)).unwrap();
        stage.assert_no_readers("a foreign group may write", Some(&named), "run chmod go-w on it");
        chown(&path, Some(FOREIGN), None).unwrap();
        set_mode(&path, 0o644);
        stage.assert_no_readers("another user's", Some(&named), "it belongs to another user");
    });
}

#[test]
fn a_mistake_in_the_users_own_file_lets_nothing_reach_the_card_in_a_reader() {
    with_pcscd("a_mistake_in_the_users_own_file_lets_nothing_reach_the_card_in_a_reader", |pcscd| {
        let (stage, _inserted) = Stage::set(pcscd);
        stage.pcscd.configure_module("ignore_reader = ['Virtual PCD']\n");
        stage.assert_no_readers("a misspelt key", None, "the nearest known one is `ignore_readers`");
        // Also where another file is as it should be, which does not say what the mistake meant.
        let named = OsString::from(stage.well());
        stage.assert_no_readers("with a named one", Some(&named), "the nearest known one is `ignore_readers`");
        stage.pcscd.configure_module("[sign]\nalways_authenticate = true\nignore_readers = ['Virtual PCD']\n");
        stage.assert_no_readers("below the wrong table", None, "it belongs above the first line in brackets");
        stage.pcscd.configure_module("");
        // Unset is unset, and then the card in the reader is the one that is meant.
        let (listed, commands) = stage.real.by(|| stage.tool(Some(&OsString::new()), &["--list-slots"]).ok());
        assert!(listed.contains("Virtual PCD") && !commands.is_empty(), "{listed}");
        let (_, commands) = stage.real.by(|| stage.tool(None, &["--login", "--pin", PIN, "--list-objects"]).ok());
        assert!(commands.iter().any(|command| command.contains("[secret]")), "the witness counts: {commands:?}");
    });
}

/// See `.cargo/config.toml`.
#[test]
fn tests_have_nothing_of_the_configuration_of_whoever_runs_them() {
    for variable in ["JPKI_PKCS11_CONF", "JPKI_PKCS11_LOG"] {
        assert_eq!(std::env::var_os(variable), None, "{variable}: is this run by cargo?");
    }
    for variable in ["XDG_CONFIG_HOME", "XDG_STATE_HOME", "XDG_RUNTIME_DIR", "PCSCLITE_CSOCK_NAME"] {
        let value = std::env::var_os(variable);
        assert_eq!(value, Some("/nonexistent".into()), "{variable}: is this run by cargo?");
    }
}
