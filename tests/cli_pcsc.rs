//! The program on a real pcscd: what it says when the card goes in the middle of a command, or the service is not there.

mod common;

use common::cards::{PASSWORD, PIN, card};
use common::pcscd::with_pcscd;
use common::rival::{ISD, Rival};
use common::{Scratch, jpki};
use jpki_pkcs11::emulator::image::{Image, Kind};
use pcsc::{Disposition, ShareMode};
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

/// As any program of the machine meets it that knows the practice card's commands (card.md §12.1).
#[test]
fn a_next_card_in_the_virtual_reader_signs_with_both_keys_what_its_password_opened() {
    with_pcscd("a_next_card_in_the_virtual_reader_signs_with_both_keys_what_its_password_opened", |pcscd| {
        let scratch = Scratch::new();
        let file = card(&scratch, Kind::Next);
        let inserted = pcscd.insert(&file);
        let program = Rival::connect(0, ShareMode::Exclusive);
        let select: &[u8] = b"\x00\xA4\x04\x0C\x0A\xF0JPKINEXT\x01";
        let sign = |p2| [&[0x80, 0x2A, 0, p2, 48], &[7; 48][..], &[0]].concat();
        let verify = |p2, secret: &str| [&[0, 0x20, 0, p2, secret.len() as u8], secret.as_bytes()].concat();
        assert_eq!(program.send(select), 0x9000);
        assert_eq!(program.ask(&sign(0x97)), (Vec::new(), 0x6982), "with neither secret");
        assert_eq!(program.send(&verify(0x96, "0000")), 0x63C2);
        assert_eq!(program.send(&verify(0x98, PASSWORD)), 0x9000);
        for p2 in [0x95, 0x97] {
            let (signature, sw) = program.ask(&sign(p2));
            assert_eq!((signature.len(), sw), (96, 0x9000), "{p2:02X}");
        }
        assert_eq!((program.send(ISD), program.send(select)), (0x9000, 0x9000));
        assert_eq!(program.send(&sign(0x95)), 0x6982, "after another application");
        program.leave(Disposition::LeaveCard);
        pcscd.remove(inserted);

        let log = fs::read_to_string(file.with_extension("log")).unwrap();
        assert_eq!(log.matches("[secret]").count(), 2, "{log}");
        assert!(!log.contains("30 30 30 30") && !log.contains("50 52 41 43"), "{log}");
        let secrets = Image::parse(&fs::read_to_string(&file).unwrap()).unwrap().secrets;
        assert_eq!([secrets.auth, secrets.sign].map(|secret| secret.unwrap().tries), [2, 5]);
    });
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
