//! The program on a terminal, in a pipe and with a log: what a secret must never reach.

mod common;

use common::terminal;
use std::fs::{self, Permissions};
use std::io::Write;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::{Command, Output, Stdio};
use tempfile::TempDir;

/// The questions of `pin change auth` on a card that has all its tries, and the answers that make 1234 into 5678.
const CHANGE: [(&str, &str); 3] = [("Tries left: 3. ", "1234\r"), ("new", "5678\r"), ("once more", "5678\r")];

/// A directory with a practice card and the configuration that puts it in the reader.
fn place() -> TempDir {
    let place = TempDir::new().unwrap();
    let made = jpki(place.path()).args(["card", "new", "a.card", "--seed", "terminal"]).output().unwrap();
    assert!(made.status.success(), "{made:?}");
    configure(place.path(), "practice = ['a.card']");
    place
}

fn configure(place: &Path, text: &str) {
    let path = place.join("config.toml");
    fs::write(&path, text).unwrap();
    // Whatever the umask: a file that others may write is not read, and then the readers would be real ones.
    fs::set_permissions(&path, Permissions::from_mode(0o600)).unwrap();
}

fn jpki(place: &Path) -> Command {
    prepared(Command::new(env!("CARGO_BIN_EXE_jpki")), place)
}

fn prepared(mut command: Command, place: &Path) -> Command {
    command
        .current_dir(place)
        .env_clear()
        .env("PATH", std::env::var_os("PATH").unwrap())
        .env("HOME", place)
        .env("JPKI_PKCS11_CONF", place.join("config.toml"))
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    command
}

fn finish(mut command: Command, input: &[u8]) -> Output {
    let mut child = command.spawn().unwrap();
    child.stdin.take().unwrap().write_all(input).unwrap();
    child.wait_with_output().unwrap()
}

/// Runs `jpki` with `arguments` on a terminal and presses these keys when it asks for them; what was shown, and the exit
/// code.
fn on_a_terminal(place: &Path, arguments: &[&str], answers: &[(&str, &str)]) -> (String, Option<i32>) {
    let mut command = Command::new(env!("CARGO_BIN_EXE_jpki"));
    let shown = terminal::on_a_terminal(prepared(terminal::script(), place), command.args(arguments), answers);
    (shown.text, shown.code)
}

#[test]
fn a_secret_typed_on_a_terminal_is_not_shown() {
    let place = place();
    let (shown, code) = on_a_terminal(place.path(), &["pin", "change", "auth"], &CHANGE);
    assert_eq!(code, Some(0), "{shown}");
    assert!(shown.contains("Tries left: 3."), "{shown}");
    assert!(shown.contains("Enter it once more."), "{shown}");
    assert!(!shown.contains("1234") && !shown.contains("5678"), "{shown}");
}

#[test]
fn keys_that_correct_a_secret_work() {
    let place = place();
    let (shown, code) = on_a_terminal(
        place.path(),
        &["pin", "change", "auth"],
        &[("Tries left: 3. ", "99\x15123X\x7f4\r"), ("new", "5678\r"), ("once more", "5678\r")],
    );
    assert_eq!(code, Some(0), "{shown}");
}

#[test]
fn ctrl_c_at_a_secret_sends_nothing() {
    let place = place();
    let (shown, code) = on_a_terminal(place.path(), &["pin", "change", "auth"], &[("Tries left: 3. ", "000\x03")]);
    assert_eq!(code, Some(130), "{shown}");
    assert!(shown.contains("cancelled"), "{shown}");
    let status = jpki(place.path()).arg("status").output().unwrap();
    assert!(String::from_utf8(status.stdout).unwrap().contains("tries left 3"));
}

#[test]
fn of_two_cards_the_person_chooses_one() {
    let place = place();
    let made = jpki(place.path()).args(["card", "new", "b.card", "--seed", "two"]).output().unwrap();
    assert!(made.status.success(), "{made:?}");
    configure(place.path(), "practice = ['a.card', 'b.card']");
    let (shown, code) =
        on_a_terminal(place.path(), &["pin", "change", "auth"], &[&[("Which card? ", "2\r")], &CHANGE[..]].concat());
    assert_eq!(code, Some(0), "{shown}");
    let still = |reader: &str, pin: &str| {
        let mut command = jpki(place.path());
        command.args(["pin", "change", "auth", "--reader", reader]);
        finish(command, format!("{pin}\n{pin}\n{pin}\n").as_bytes()).status.success()
    };
    assert!(still("Reader 00", "1234"), "the first card was changed");
    assert!(still("Reader 01", "5678"), "the second card was not changed");
}

#[test]
fn the_last_try_is_used_only_after_a_yes() {
    let place = place();
    for wrong in ["0001", "0002"] {
        let mut command = jpki(place.path());
        command.args(["pin", "change", "auth"]);
        assert_eq!(finish(command, format!("{wrong}\n5678\n5678\n").as_bytes()).status.code(), Some(4));
    }
    let (shown, code) = on_a_terminal(place.path(), &["pin", "change", "auth"], &[("[y/N] ", "n\r")]);
    assert_eq!(code, Some(130), "{shown}");
    let (shown, code) = on_a_terminal(
        place.path(),
        &["pin", "change", "auth"],
        &[("[y/N] ", "y\r"), ("Tries left: 1. ", "1234\r"), ("new", "5678\r"), ("once more", "5678\r")],
    );
    assert_eq!(code, Some(0), "{shown}");
}

#[test]
fn a_reader_of_the_output_that_has_gone_is_no_failure() {
    let place = place();
    let mut child = jpki(place.path()).arg("status").spawn().unwrap();
    drop(child.stdout.take());
    let output = child.wait_with_output().unwrap();
    assert_eq!((output.status.code(), output.stderr), (Some(0), Vec::new()));
}

#[test]
fn a_directory_that_is_gone_is_not_taken_for_an_output_that_cannot_be_written() {
    let place = place();
    let gone = place.path().join("gone");
    fs::create_dir(&gone).unwrap();
    let mut command = prepared(Command::new("sh"), place.path());
    let inside = r#"cd "$1" && rmdir "$1" && exec "$2" setup java --module-dir lib"#;
    command.args(["-c", inside, "sh"]).arg(&gone).arg(env!("CARGO_BIN_EXE_jpki"));
    let output = command.output().unwrap();
    let said = String::from_utf8(output.stderr).unwrap();
    assert!(said.starts_with("jpki: lib: "), "{said}");
    assert_eq!(output.status.code(), Some(1), "{said}");
}

#[test]
fn the_log_tells_neither_secrets_nor_the_holder() {
    let place = place();
    configure(place.path(), "practice = ['a.card']\nlog = 'the.log'\nlog_level = 'trace'");
    let mut command = jpki(place.path());
    command.args(["status", "--sign", "--unmask"]);
    let output = finish(command, b"PRACTICE1\n");
    assert!(output.status.success(), "{output:?}");
    assert!(String::from_utf8(output.stdout).unwrap().contains("練習"));
    let mut command = jpki(place.path());
    command.args(["pin", "change", "auth"]);
    assert!(finish(command, b"1234\n8642\n8642\n").status.success());
    let log = place.path().join("the.log");
    assert_eq!(fs::metadata(&log).unwrap().permissions().mode() & 0o777, 0o600);
    let log = fs::read(&log).unwrap();
    let hex = |text: &str| text.bytes().map(|byte| format!("{byte:02X}")).collect::<String>();
    for secret in ["PRACTICE1", "8642", "練習", "見本県"] {
        for form in [secret.to_owned(), hex(secret), hex(secret).to_lowercase()] {
            assert!(!log.windows(form.len()).any(|bytes| bytes == form.as_bytes()), "{secret} is in the log");
        }
    }
}

#[test]
fn a_named_configuration_that_is_not_used_stops_the_program() {
    let place = place();
    fs::set_permissions(place.path().join("config.toml"), Permissions::from_mode(0o664)).unwrap();
    let output = jpki(place.path()).arg("status").output().unwrap();
    let said = String::from_utf8(output.stderr).unwrap();
    assert_eq!((output.status.code(), output.stdout), (Some(2), Vec::new()), "{said}");
    assert!(said.contains("run chmod go-w on it") && said.contains("JPKI_PKCS11_CONF"), "{said}");
}
