//! What people see of the program: each file in `tests/cli` is a session, played on practice cards in the embedded reader
//! and compared line by line. `UPDATE_GOLDEN=1 cargo test --test cli_golden` writes down what the program says now.
//!
//! `$ ` begins a command, `< ` a line of its stdin, `! ` a line of stderr, `[n]` an exit code other than 0; all else is
//! stdout, a `~` where its line is empty. `$ config …` writes the configuration, `$ today …` says which day it is from now
//! on. The machine is one of the session's own: what `make install` installs, and nothing else.

mod common;

use common::Modules;
use der::DateTime;
use std::fs::{self, Permissions};
use std::io::Write;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use tempfile::TempDir;

macro_rules! sessions {
    ($($name:ident)*) => {
        $(#[test]
        fn $name() {
            play(stringify!($name));
        })*

        #[test]
        fn every_session_is_played() {
            let mut files: Vec<_> = fs::read_dir(directory())
                .unwrap()
                .map(|file| file.unwrap().path().file_stem().unwrap().to_str().unwrap().to_owned())
                .collect();
            files.sort();
            assert_eq!(files, [$(stringify!($name)),*]);
        }
    };
}

sessions! {
    card_new
    configuration
    doctor
    help
    juki
    locking
    next
    pin_change
    status
    status_states
    two_cards
    wrong_form
}

fn directory() -> &'static Path {
    Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/cli"))
}

fn play(name: &str) {
    let file = directory().join(format!("{name}.txt"));
    let expected = fs::read_to_string(&file).unwrap();
    let mut place = Place::new();
    let mut actual = String::new();
    let mut lines = expected.lines().peekable();
    while let Some(line) = lines.next() {
        match line.strip_prefix("$ ") {
            None if line.is_empty() || line.starts_with('#') => actual += &format!("{line}\n"),
            // The output of the command above, as it was.
            None => {}
            Some(command) => {
                actual += &format!("$ {command}\n");
                let mut input = String::new();
                while let Some(line) = lines.next_if(|line| line.starts_with("< ")) {
                    actual += &format!("{line}\n");
                    input += &format!("{}\n", &line[2..]);
                }
                actual += &place.run(command, &input);
            }
        }
    }
    if std::env::var_os("UPDATE_GOLDEN").is_some() {
        fs::write(&file, &actual).unwrap();
    }
    // The first line that differs says more than two whole sessions.
    for (number, (expected, actual)) in (1..).zip(expected.lines().zip(actual.lines())) {
        assert_eq!(expected, actual, "{}:{number}", file.display());
    }
    assert_eq!(expected.lines().count(), actual.lines().count(), "{}: lines", file.display());
}

/// Where a session is played.
struct Place {
    directory: TempDir,
    /// Seconds since 1970.
    today: u64,
}

impl Place {
    fn new() -> Place {
        Place { directory: TempDir::new().unwrap(), today: seconds("2026-06-01") }
    }

    fn path(&self) -> &Path {
        self.directory.path()
    }

    /// The machine's files. The module is installed once somebody asks for it.
    fn root(&self, asked_for_the_module: bool) -> PathBuf {
        let root = self.path().join("root");
        let modules = root.join("usr/lib/pkcs11");
        if asked_for_the_module && !modules.exists() {
            fs::create_dir_all(&modules).unwrap();
            for name in Modules::NAMES {
                common::install(&common::built(), &modules.join(name));
            }
        }
        root
    }

    /// Runs one command of a session and returns what it said.
    fn run(&mut self, command: &str, input: &str) -> String {
        let place = self.path();
        if let Some(day) = command.strip_prefix("today ") {
            self.today = seconds(day);
            return String::new();
        }
        let configuration = place.join("config.toml");
        if let Some(text) = command.strip_prefix("config ") {
            fs::write(&configuration, text).unwrap();
            // Whatever the umask: a file that others may write is not read, and then the readers would be real ones.
            fs::set_permissions(&configuration, Permissions::from_mode(0o600)).unwrap();
            return String::new();
        }
        let words: Vec<_> = command.split(' ').collect();
        let ["jpki", arguments @ ..] = words.as_slice() else { panic!("no such command: {command}") };
        let about_readers = matches!(arguments, ["status" | "pin" | "doctor", ..]);
        assert!(!about_readers || configuration.exists(), "without a practice card the readers would be real ones");
        let mut child = Command::new(env!("CARGO_BIN_EXE_jpki"))
            .args(arguments)
            .current_dir(place)
            .env_clear()
            .env("HOME", place)
            .env("JPKI_PKCS11_CONF", &configuration)
            .env("JPKI_TEST_NOW", self.today.to_string())
            .env("JPKI_TEST_ROOT", self.root(arguments.contains(&"doctor")))
            // Japan's days, wherever this runs.
            .env("TZ", "Pacific/Honolulu")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        child.stdin.take().unwrap().write_all(input.as_bytes()).unwrap();
        let output = child.wait_with_output().unwrap();
        let (stdout, stderr) = (String::from_utf8(output.stdout).unwrap(), String::from_utf8(output.stderr).unwrap());
        for secret in input.split_whitespace() {
            assert!(!stdout.contains(secret) && !stderr.contains(secret), "{command} told a secret:\n{stdout}{stderr}");
        }
        let mut said = String::new();
        for line in stdout.lines() {
            let line = line.trim_end();
            said += if line.is_empty() { "~" } else { line };
            said += "\n";
        }
        said.extend(stderr.lines().map(|line| format!("{}\n", format!("! {line}").trim_end())));
        match output.status.code() {
            Some(0) => {}
            Some(code) => said += &format!("[{code}]\n"),
            None => panic!("{command} was killed: {}", output.status),
        }
        said.replace(place.to_str().unwrap(), "…")
    }
}

/// Noon of this day in Japan.
fn seconds(day: &str) -> u64 {
    let moment: DateTime = format!("{day}T03:00:00Z").parse().unwrap();
    moment.unix_duration().as_secs()
}
