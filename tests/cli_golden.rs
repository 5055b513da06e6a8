//! What people see of the program: each file in `tests/cli` is a session, played on practice cards in the embedded reader
//! and compared line by line. `UPDATE_GOLDEN=1 cargo test --test cli_golden` writes down what the program says now.
//!
//! `$ ` begins a command, `< ` a line of its stdin, `! ` a line of stderr, `[n]` an exit code other than 0; all else is
//! stdout, a `~` where its line is empty. `$ config …` writes the configuration. Today is any day, so that whether a period
//! is over is left out. So is what `jpki doctor` says of the machine: the module that is installed here, the programs, and
//! how many things are to be done.

use jpki_pkcs11::words::{self, Language};
use std::fs::{self, Permissions};
use std::io::Write;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
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
    doctor
    help
    juki
    locking
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
    let place = TempDir::new().unwrap();
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
                actual += &run(place.path(), command, &input);
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

/// Runs one command of a session in `place` and returns what it said.
fn run(place: &Path, command: &str, input: &str) -> String {
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
    let said = without_period(said.replace(place.to_str().unwrap(), "…"));
    if arguments.last() == Some(&"doctor") { without_machine(&said) } else { said }
}

/// What is `said` by the doctor up to the card's certificates, without the verdict on a certificate's period; and the exit
/// code if it is the card's.
fn without_machine(said: &str) -> String {
    let of_the_machine = said.find("Module\n").expect("the doctor always says something of the module");
    let (card, machine) = said.split_at(of_the_machine);
    let mut kept = String::new();
    let mut of_a_period = false;
    for line in card.lines() {
        let next = line.starts_with("        ");
        of_a_period = if next { of_a_period } else { line.contains(" – ") };
        match line.get(8..) {
            Some(what) if of_a_period && !next => kept += &format!("  …     {what}\n"),
            _ if of_a_period => {}
            _ => kept += &format!("{line}\n"),
        }
    }
    let code = machine.lines().last().filter(|line| ["[3]", "[5]"].contains(line));
    format!("{kept}Module …\n{}", code.map(|code| format!("{code}\n")).unwrap_or_default())
}

/// What is `said`, whatever the day: without where today stands in a certificate's period.
fn without_period(mut said: String) -> String {
    for period in ["not-yet", "running", "over"] {
        said = said.replace(&format!("\"period\": \"{period}\""), "\"period\": …");
    }
    for words in [words::NOT_YET, words::OVER] {
        for language in [Language::En, Language::Ja, Language::ZhTw] {
            said = said.replace(&format!(" ({})", words.text(language)), "");
        }
    }
    said
}
