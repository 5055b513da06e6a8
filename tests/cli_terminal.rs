//! The program on a terminal, in a pipe and with a log: what a secret must never reach.

mod common;

use common::terminal::{self, Echo, Terminal};
use common::{run, tool};
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

/// The same with two cards in two readers.
fn two_cards() -> TempDir {
    let place = place();
    let made = jpki(place.path()).args(["card", "new", "b.card", "--seed", "two"]).output().unwrap();
    assert!(made.status.success(), "{made:?}");
    configure(place.path(), "practice = ['a.card', 'b.card']");
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

/// Runs `jpki` with `arguments` on a terminal that shows what is typed until it is told not to, and presses these keys when it asks for them; what was shown, and the exit
/// code.
fn on_a_terminal(place: &Path, arguments: &[&str], answers: &[(&str, &str)]) -> (String, Option<i32>) {
    let mut command = Command::new(env!("CARGO_BIN_EXE_jpki"));
    let script = prepared(terminal::script(), place);
    let shown = terminal::on_a_terminal(script, command.args(arguments), Echo::Always, answers);
    (shown.text, shown.code)
}

/// Runs `before` in a shell on a terminal that shows what is typed, then `jpki pin change auth`; says its process and its
/// exit code, and how it has left the terminal.
fn changes_on_a_terminal(place: &Path, before: &str) -> Terminal {
    let mut shell = Command::new("/bin/sh");
    // Not in the foreground of the shell, which would be busy with it; stdin is the terminal all the same.
    let body = format!(
        "{before} exec 3<&0; {} pin change auth <&3 & echo \"process $!.\"; wait $!; echo \"code $?.\"; stty -a",
        env!("CARGO_BIN_EXE_jpki")
    );
    Terminal::start(prepared(terminal::script(), place), shell.args(["-c", &body]), Echo::Always)
}

/// What the shell says at last: the exit code, and whether the terminal is as it was.
fn left(terminal: Terminal) -> (String, bool) {
    let shown = terminal.end().text;
    let (_, end) = shown.rsplit_once("code ").unwrap_or_else(|| panic!("no exit code: {shown}"));
    let (code, terminal) = end.split_once('.').unwrap();
    let modes: Vec<_> = terminal.split([' ', ';', '\r', '\n']).collect();
    let as_it_was = ["echo", "icanon", "isig"].iter().all(|mode| modes.contains(mode));
    (code.to_owned(), as_it_was)
}

#[test]
fn a_secret_typed_on_a_terminal_is_not_shown_and_what_comes_after_it_is() {
    let place = place();
    let mut terminal = changes_on_a_terminal(place.path(), "");
    terminal.await_text("process ");
    let process = terminal.await_text(".");
    for (question, answer) in CHANGE {
        terminal.await_text(question);
        terminal.press(answer);
    }
    let shown = terminal.end().text.replace(&process, "…");
    assert!(shown.contains("Tries left: 3.") && shown.contains("Enter it once more."), "{shown}");
    assert!(!shown.contains("1234") && !shown.contains("5678"), "{shown}");
    assert!(shown.contains("code 0."), "{shown}");
    assert!(shown.contains(" echo ") && !shown.contains("-echo "), "{shown}");
}

#[test]
fn a_question_that_is_no_secret_shows_its_answer() {
    let place = two_cards();
    let answers = [&[("Which card? ", "2\r"), ("2\r\n", "")], &CHANGE[..]].concat();
    let (shown, code) = on_a_terminal(place.path(), &["pin", "change", "auth"], &answers);
    assert_eq!(code, Some(0), "{shown}");
}

#[test]
fn whatever_ends_a_question_leaves_the_terminal_as_it_was() {
    let place = place();
    for end in ["Ctrl-C", "-TERM", "-INT", "-HUP", "-QUIT"] {
        let mut terminal = changes_on_a_terminal(place.path(), "");
        terminal.await_text("process ");
        let process = terminal.await_text(".");
        terminal.await_text("Tries left: 3. ");
        terminal.press(if end == "Ctrl-C" { "12\x03" } else { "12" });
        if end != "Ctrl-C" {
            run(Command::new(tool("kill", "procps")).args([end, &process])).ok();
        }
        assert_eq!(left(terminal), ("130".to_owned(), true), "{end}");
    }
    let status = jpki(place.path()).arg("status").output().unwrap();
    assert!(String::from_utf8(status.stdout).unwrap().contains("tries left 3"), "half a PIN was sent");
}

#[test]
fn a_signal_after_the_questions_ends_the_program_as_ever() {
    let place = place();
    let mut terminal = changes_on_a_terminal(place.path(), "");
    terminal.await_text("process ");
    let process = terminal.await_text(".");
    // Whoever holds the card's file keeps the card from comparing a secret.
    let card = fs::File::open(place.path().join("a.card")).unwrap();
    card.lock().unwrap();
    for (question, answer) in CHANGE {
        terminal.await_text(question);
        terminal.press(answer);
    }
    terminal.await_text("\n");
    run(Command::new(tool("kill", "procps")).args(["-TERM", &process])).ok();
    assert_eq!(left(terminal), ("143".to_owned(), true));
}

#[test]
fn keys_typed_before_a_question_are_no_answer_to_it() {
    // The card's number and a PIN, typed while the program has not begun.
    for (ahead, first) in [("1\r", "Which card? "), ("0000\r", "Tries left: 3. ")] {
        let place = if first == "Which card? " { two_cards() } else { place() };
        run(Command::new(tool("mkfifo", "coreutils")).arg(place.path().join("gate"))).ok();
        let mut terminal = changes_on_a_terminal(place.path(), "echo waiting.; cat gate >/dev/null;");
        terminal.await_text("waiting.");
        terminal.press(ahead);
        // Shown, it has arrived.
        terminal.await_text(ahead.trim_end());
        fs::write(place.path().join("gate"), "open\n").unwrap();
        if first == "Which card? " {
            terminal.await_text(first);
            terminal.press("2\r");
        }
        for (question, answer) in CHANGE {
            terminal.await_text(question);
            terminal.press(answer);
        }
        assert_eq!(left(terminal), ("0".to_owned(), true), "{first}");
        if first == "Which card? " {
            let status = jpki(place.path()).args(["status", "--reader", "Reader 00"]).output().unwrap();
            assert!(status.status.success());
            let mut second = jpki(place.path());
            second.args(["pin", "change", "auth", "--reader", "Reader 01"]);
            assert!(finish(second, b"5678\n1234\n1234\n").status.success(), "the second card was not changed");
        }
    }
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
    let place = two_cards();
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
    fs::set_permissions(place.path().join("config.toml"), Permissions::from_mode(0o666)).unwrap();
    let output = jpki(place.path()).arg("status").output().unwrap();
    let said = String::from_utf8(output.stderr).unwrap();
    assert_eq!((output.status.code(), output.stdout), (Some(2), Vec::new()), "{said}");
    assert!(said.contains("run chmod go-w on it") && said.contains("JPKI_PKCS11_CONF="), "{said}");
}
