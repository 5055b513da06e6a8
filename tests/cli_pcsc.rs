//! The program on a real pcscd: what it says when the card goes in the middle of a command, or the service is not there.

mod common;

use common::cards::{PASSWORD, PIN, card};
use common::pcscd::with_pcscd;
use common::{Scratch, jpki};
use jpki_pkcs11::emulator::image::{Image, Kind};
use std::fs;
use std::io::Write;
use std::path::Path;
use std::process::{Output, Stdio};

const NEW_PIN: &str = "5678";

/// Runs `jpki` to its end, with these lines for its stdin.
fn play(arguments: &[&str], lines: &[&str]) -> Said {
    let mut command = jpki();
    command.args(["--lang", "en"]).args(arguments);
    let mut child =
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("jpki can be run");
    let mut stdin = child.stdin.take().expect("it is piped");
    for line in lines {
        // It may have ended before it read all of them.
        if writeln!(stdin, "{line}").is_err() {
            break;
        }
    }
    drop(stdin);
    Said::of(child.wait_with_output().expect("it ends"))
}

#[derive(Debug)]
struct Said {
    stdout: String,
    stderr: String,
    code: Option<i32>,
}

impl Said {
    fn of(output: Output) -> Said {
        let text = |bytes| String::from_utf8(bytes).expect("it is UTF-8");
        Said { stdout: text(output.stdout), stderr: text(output.stderr), code: output.status.code() }
    }
}

fn has_pin(file: &Path, pin: &str) -> bool {
    let auth = Image::parse(&fs::read_to_string(file).unwrap()).unwrap().secrets.auth.unwrap();
    auth.value == pin
}

#[test]
fn whoever_changes_a_pin_hears_which_one_holds_at_whatever_command_the_card_leaves() {
    with_pcscd("whoever_changes_a_pin_hears_which_one_holds_at_whatever_command_the_card_leaves", |pcscd| {
        let scratch = Scratch::new();
        let mut unknown = 0;
        for command in 1.. {
            let file = scratch.path().join(format!("{command}.card"));
            fs::rename(card(&scratch, Kind::MyNumber), &file).unwrap();
            let mut leaving = pcscd.insert_leaving(&file, command);
            let said = play(&["pin", "change", "auth"], &[PIN, NEW_PIN, NEW_PIN]);
            leaving.await_departure();
            pcscd.remove(leaving);
            let changed = has_pin(&file, NEW_PIN);
            assert!(changed || has_pin(&file, PIN));
            match (said.stdout.contains("is changed"), said.stderr.contains("was changed is not known")) {
                // It left when it was to be logged out, and did so by leaving.
                (true, false) => {
                    assert!(changed, "command {command}: {said:?}");
                    assert_eq!(said.code, Some(0), "{said:?}");
                    break;
                }
                (false, true) => unknown += 1,
                (false, false) => assert!(!changed, "command {command}: {said:?}"),
                (true, true) => panic!("command {command}: {said:?}"),
            }
            assert_ne!(said.code, Some(0), "command {command}: {said:?}");
        }
        assert_eq!(unknown, 1, "CHANGE is one command");
    });
}

#[test]
fn what_was_read_with_the_password_is_shown_although_the_card_leaves_before_the_login_is_ended() {
    with_pcscd(
        "what_was_read_with_the_password_is_shown_although_the_card_leaves_before_the_login_is_ended",
        |pcscd| {
            let scratch = Scratch::new();
            let file = card(&scratch, Kind::MyNumber);
            for command in 1.. {
                let mut leaving = pcscd.insert_leaving(&file, command);
                let said = play(&["status", "--sign"], &[PASSWORD]);
                leaving.await_departure();
                pcscd.remove(leaving);
                if said.code == Some(0) {
                    assert!(said.stdout.contains("digital signature certificate: 20"), "{said:?}");
                    break;
                }
                assert_eq!(said.code, Some(3), "command {command}: {said:?}");
            }
        },
    );
}

#[test]
fn a_service_that_is_stopped_is_not_taken_for_a_machine_without_readers() {
    let scratch = Scratch::new();
    for arguments in [&["status"][..], &["pin", "change", "auth"], &["doctor", "--report"]] {
        let mut command = jpki();
        let output = command
            .args(["--lang", "en"])
            .args(arguments)
            .env("PCSCLITE_CSOCK_NAME", scratch.path().join("no service"))
            .env_remove("JPKI_PKCS11_CONF")
            .envs(["HOME", "XDG_CONFIG_HOME"].map(|name| (name, scratch.path())))
            .stdin(Stdio::null())
            .output();
        let said = Said::of(output.expect("jpki can be run"));
        assert!(said.stderr.contains("the PC/SC service is not running"), "{arguments:?}: {said:?}");
        assert_eq!(said.code, Some(3), "{arguments:?}: {said:?}");
    }
}
