//! OpenSC's pkcs11-tool. What it does with the module in detail is in `tests/e2e_pkcs11_tool.rs`; here stand its price, and
//! what it sees of cards that come and go.

use crate::common::cards::{PASSWORD, PIN};
use crate::common::running::Running;
use crate::common::{eventually, run, tool};
use crate::ground::with_ground;
use crate::pages::snippets;
use crate::program::{program, run_typing};
use std::fs::{self, File};
use std::io::Write;
use std::path::Path;
use std::process::{Command, Stdio};

const PROGRAM: &str = "pkcs11-tool";

fn pkcs11_tool(module: &Path) -> Command {
    let mut command = Command::new(tool(PROGRAM, "opensc"));
    command.arg("--module").arg(module);
    command
}

#[test]
fn listing_and_signing_cost_less_than_with_opensc() {
    with_ground("pkcs11_tool::listing_and_signing_cost_less_than_with_opensc", |ground| {
        let card = ground.card();
        let (both, auth, sign) = (ground.installed.both(), ground.installed.auth(), ground.installed.sign());
        let lists = |module: &Path| run(pkcs11_tool(module).arg("--list-objects")).success;
        ground.compare(&card, PROGRAM, "list tokens", &both, |module| run(pkcs11_tool(module).arg("-L")).success);
        ground.compare(&card, PROGRAM, "list objects", &auth, lists);
        let input = ground.scratch.file("input", "practice makes perfect");
        let signs = |module: &Path, label: &str, id: &str, secret: &str| {
            let tokens = run(pkcs11_tool(module).arg("--list-token-slots")).stdout;
            let token = tokens
                .lines()
                .filter_map(|line| line.trim().strip_prefix("token label"))
                .find(|token| token.contains(label));
            let token = token.and_then(|token| token.split_once(": ")).expect("there is a token for it").1.to_owned();
            run(pkcs11_tool(module)
                .args(["--token-label", &token, "--login", "--pin", secret, "--sign", "--id", id])
                .args(["--mechanism", "SHA256-RSA-PKCS", "--input-file"])
                .arg(&input)
                .arg("--output-file")
                .arg(ground.scratch.path().join("signature")))
            .success
        };
        ground.compare(&card, PROGRAM, "list, sign (authentication key)", &auth, |module| {
            signs(module, "Auth", "01", PIN)
        });
        ground.compare(&card, PROGRAM, "list, sign (signature key)", &sign, |module| {
            signs(module, if module == sign { "Sign" } else { "Digital Signature" }, "02", PASSWORD)
        });
        assert_eq!(card.tries(), (3, 5));
    });
}

#[test]
fn secrets_are_changed_and_signatures_verified() {
    with_ground("pkcs11_tool::secrets_are_changed_and_signatures_verified", |ground| {
        let card = ground.card();
        let (auth, sign) = (ground.installed.auth(), ground.installed.sign());
        let change = |module: &Path, old: &str, new: &str| {
            let change = ["--pin", old, "--change-pin", "--new-pin", new];
            run(pkcs11_tool(module).args(change)).success
        };
        // To what it is, so that both begin with the same card.
        ground.compare(&card, PROGRAM, "change the PIN", &auth, |module| change(module, PIN, PIN));
        let _card = ground.pcscd.insert(&card.file);
        assert!(change(&auth, PIN, "4321") && change(&sign, PASSWORD, "PRACTICE2"));
        let input = ground.scratch.file("input", "practice makes perfect");
        let signature = ground.scratch.path().join("signature");
        for (module, id, secret) in [(&auth, "01", "4321"), (&sign, "02", "PRACTICE2")] {
            let with = |action: &str| {
                let mut command = pkcs11_tool(module);
                command.args(["--login", "--pin", secret, "--id", id, "--mechanism", "SHA256-RSA-PKCS", action]);
                command.arg("--input-file").arg(&input);
                command
            };
            let before = card.cost().verifies;
            run(with("--sign").arg("--output-file").arg(&signature)).ok();
            let verdict = run(with("--verify").arg("--signature-file").arg(&signature)).ok();
            assert!(verdict.contains("Signature is valid"), "{verdict}");
            assert_eq!(card.cost().verifies - before, 2, "one a process");
        }
        assert_eq!(card.tries(), (3, 5));
    });
}

#[test]
fn a_wrong_pin_costs_one_try_and_a_locked_one_none() {
    with_ground("pkcs11_tool::a_wrong_pin_costs_one_try_and_a_locked_one_none", |ground| {
        let card = ground.card();
        let _card = ground.pcscd.insert(&card.file);
        let auth = ground.installed.auth();
        let log_in = |pin: &str| {
            let before = card.cost().verifies;
            let refused = run(pkcs11_tool(&auth).args(["--login", "--pin", pin, "--list-objects"])).refused();
            (refused, card.cost().verifies - before, card.tries().0)
        };
        for (pin, why, verifies, tries) in [
            ("0000", "CKR_PIN_INCORRECT", 1, 2),
            ("12a4", "CKR_PIN_INCORRECT", 0, 2),
            ("0001", "CKR_PIN_INCORRECT", 1, 1),
            ("0002", "CKR_PIN_LOCKED", 1, 0),
            (PIN, "CKR_PIN_LOCKED", 0, 0),
        ] {
            let (refused, sent, left) = log_in(pin);
            assert!(refused.contains(why), "{pin}: {refused}");
            assert_eq!((sent, left), (verifies, tries), "{pin}");
        }
        assert_eq!(card.tries(), (0, 5), "the signature password is not touched");
    });
}

/// `--test-hotplug` asks for the return key: first to list the slots, then, after an `x`, to wait for events.
#[test]
fn cards_that_come_and_go_are_listed_and_waited_for() {
    with_ground("pkcs11_tool::cards_that_come_and_go_are_listed_and_waited_for", |ground| {
        let card = ground.card();
        let output = ground.scratch.path().join("output");
        let log = File::create(&output).expect("the scratch directory is ours");
        let mut test = pkcs11_tool(&ground.installed.auth());
        let mut test = Running::start(test.arg("--test-hotplug").stdin(Stdio::piped()).stdout(log));
        let mut keyboard = test.0.stdin.take().expect("it is piped");
        let mut seen = 0;
        // What it says from here on, up to and with `last`.
        let mut hear = |last: &str| {
            let said = eventually(last, || {
                let said = fs::read_to_string(&output).expect("it is ours").split_off(seen);
                said.find(last).map(|at| said[..at + last.len()].to_owned())
            });
            seen += said.len();
            said
        };
        let mut press = |key: &str| writeln!(keyboard, "{key}").expect("it listens");

        hear("Please press return");
        press("");
        assert!(!hear("Please press return").contains("token label"));
        let inserted = ground.pcscd.insert(&card.file);
        press("");
        assert!(hear("Please press return").contains("PRACTICE Auth"));
        press("x");
        hear("using C_WaitForSlotEvent");
        hear("Please press return");
        press("");
        let before = hear("Please press return");
        assert!(before.contains("event on slot 0x0"), "nobody has waited for the insertion: {before}");
        press("");
        hear("Calling C_WaitForSlotEvent");
        ground.pcscd.remove(inserted);
        let gone = hear("Please press return");
        assert!(gone.contains("event on slot 0x0") && !gone.contains("token label"), "{gone}");
        press("");
        hear("Calling C_WaitForSlotEvent");
        let _inserted = ground.pcscd.insert(&card.file);
        let back = hear("Please press return");
        assert!(back.contains("event on slot 0x0") && back.contains("PRACTICE Auth"), "{back}");
        press("x");
        assert!(test.ended().success());
        assert_eq!(card.cost().verifies, 0);
    });
}

#[test]
fn the_commands_of_the_page_sign_a_document_and_openssl_verifies_it() {
    with_ground("pkcs11_tool::the_commands_of_the_page_sign_a_document_and_openssl_verifies_it", |ground| {
        let card = ground.card();
        let _card = ground.pcscd.insert(&card.file);
        ground.scratch.file("document", "practice makes perfect");
        let modules = ground.installed.sign().parent().expect("it is in one").display().to_string();
        let commands = snippets(PROGRAM, "sh").into_iter().find(|commands| commands.contains("--sign"));
        let commands = commands.expect("the page says how to sign").replace("/usr/local/lib/pkcs11", &modules);
        let mut shell = program("bash", "bash");
        shell
            .args(["-ec", &format!("{commands}\necho \"${{PASSWORD-none}} is left\"")])
            .current_dir(ground.scratch.path());
        let said = run_typing(&ground.scratch, &mut shell, PASSWORD).ok();
        assert!(said.contains("Verified OK") && said.contains("none is left"), "{said}");
        assert_eq!((card.cost().verifies, card.tries()), (2, (3, 5)));
    });
}
