//! PyKCS11 and python-pkcs11, with a program of `tests/clients` each, and the programs of `docs/programs/python.md`.

use crate::common::cards::{PASSWORD, PIN};
use crate::common::openssl::{Padding, PublicKey};
use crate::common::running::Running;
use crate::common::{Ran, eventually, library, run, tool};
use crate::ground::{Ground, with_ground};
use crate::pages::snippets;
use std::fs::{self, File};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// A library, and the program that uses it.
#[derive(Clone, Copy)]
struct Library {
    name: &'static str,
    program: &'static str,
}

const PYKCS11: Library = Library { name: "PyKCS11", program: "with_pykcs11.py" };
const PYTHON_PKCS11: Library = Library { name: "python-pkcs11", program: "with_python_pkcs11.py" };

/// That of the environment that `tests/programs/setup` makes.
fn interpreter() -> PathBuf {
    let python = Path::new(env!("CARGO_MANIFEST_DIR")).join("target/programs/venv/bin/python");
    assert!(python.is_file(), "no Python environment: run tests/programs/setup (or `make setup-clients`)");
    python
}

/// It, for a minute, and with no terminal where it could ask.
pub fn python() -> Command {
    let mut command = Command::new(tool("setsid", "util-linux"));
    command.args(["--wait", "timeout", "--kill-after=5", "60"]).arg(interpreter());
    command
}

impl Library {
    fn path(self) -> PathBuf {
        Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/clients").join(self.program)
    }

    fn run(self, module: &Path, arguments: &[&str]) -> Ran {
        run(python().arg(self.path()).arg(module).args(arguments))
    }

    /// Signs with either padding, and has the signatures verified: by OpenSSL, and by the library itself.
    fn signs_and_verifies(self, ground: &Ground<'_>) {
        let card = ground.card();
        let document = ground.scratch.file("document", "practice makes perfect");
        let other = ground.scratch.file("other", "something else");
        let signature = ground.scratch.path().join("signed");
        let [document, other, signature] = [&document, &other, &signature].map(|path| path.display().to_string());
        ground.compare(&card, self.name, "sign (authentication key)", &ground.installed.auth(), |module| {
            self.run(module, &["sign", PIN, "pkcs1", &document, &signature]).success
        });
        let _card = ground.pcscd.insert(&card.file);
        let tokens = [
            (ground.installed.auth(), PIN, card.auth_certificate()),
            (ground.installed.sign(), PASSWORD, card.sign_certificate()),
        ];
        for (module, secret, certificate) in tokens {
            let key = PublicKey::of_certificate(&ground.scratch, der(ground, certificate));
            for (name, padding) in [("pkcs1", Padding::Pkcs1), ("pss", Padding::Pss)] {
                let before = card.cost().verifies;
                self.run(&module, &["sign", secret, name, &document, &signature]).ok();
                assert_eq!(card.cost().verifies - before, 1);
                let signed = fs::read(&signature).expect("it was written");
                key.assert_signed("sha256", padding, b"practice makes perfect", &signed);
                let verdict = |document: &str| self.run(&module, &["verify", secret, name, document, &signature]).ok();
                assert_eq!((&*verdict(&document), &*verdict(&other)), ("True\n", "False\n"), "{name}");
            }
        }
        assert_eq!(card.tries(), (3, 5));
    }

    fn lists(self, ground: &Ground<'_>) {
        let card = ground.card();
        ground.compare(&card, self.name, "list objects", &ground.installed.auth(), |module| {
            self.run(module, &["list"]).success
        });
        let _card = ground.pcscd.insert(&card.file);
        let listed = self.run(&ground.installed.auth(), &["list"]).ok();
        assert!(listed.starts_with("PRACTICE Auth (4-digit PIN) "), "{listed}");
        for label in ["User Authentication Certificate", "User Authentication Public Key"] {
            assert_eq!(listed.lines().filter(|line| *line == label).count(), 1, "{listed}");
        }
        assert!(!listed.contains("User Authentication Key"), "not before a login: {listed}");
    }

    fn costs_one_try(self, ground: &Ground<'_>) {
        let card = ground.card();
        let _card = ground.pcscd.insert(&card.file);
        let document = ground.scratch.file("document", "practice makes perfect").display().to_string();
        let log_in = |pin: &str| self.run(&ground.installed.auth(), &["sign", pin, "pkcs1", &document, "/dev/null"]);
        let wrong = log_in("0000").refused();
        assert!(wrong.contains("PIN_INCORRECT") || wrong.contains("PinIncorrect"), "{wrong}");
        assert_eq!((card.tries(), card.cost().verifies), ((2, 5), 1));
        log_in("12a4").refused();
        assert_eq!((card.tries(), card.cost().verifies), ((2, 5), 1), "one of the wrong form is not sent");
        log_in(PIN).ok();
        assert_eq!(card.tries(), (3, 5));
    }

    fn changes_the_secrets(self, ground: &Ground<'_>) {
        let card = ground.card();
        let _card = ground.pcscd.insert(&card.file);
        let document = ground.scratch.file("document", "practice makes perfect").display().to_string();
        for (module, old, new) in
            [(ground.installed.auth(), PIN, "4321"), (ground.installed.sign(), PASSWORD, "PRACTICE2")]
        {
            self.run(&module, &["change", old, new]).ok();
            self.run(&module, &["sign", old, "pkcs1", &document, "/dev/null"]).refused();
            self.run(&module, &["sign", new, "pkcs1", &document, "/dev/null"]).ok();
        }
        assert_eq!(card.tries(), (3, 5));
    }

    fn waits_for_the_card(self, ground: &Ground<'_>) {
        let card = ground.card();
        let output = ground.scratch.path().join("output");
        let log = File::create(&output).expect("the scratch directory is ours");
        let mut command = Command::new(interpreter());
        command.arg(self.path()).arg(ground.installed.auth()).arg("wait");
        let mut waiting = Running::start(command.stdin(Stdio::null()).stdout(log));
        let says = |said: &str| {
            eventually(said, || fs::read_to_string(&output).expect("it is ours").ends_with(said).then_some(()));
        };
        says("waiting\n");
        let inserted = ground.pcscd.insert(&card.file);
        says("inserted\n");
        ground.pcscd.remove(inserted);
        says("removed\n");
        assert!(waiting.ended().success());
    }
}

fn der(ground: &Ground<'_>, pem: &str) -> Vec<u8> {
    let (pem, der) = (ground.scratch.file("certificate.pem", pem), ground.scratch.path().join("certificate"));
    let openssl = tool("openssl", "openssl");
    run(Command::new(openssl).args(["x509", "-outform", "DER", "-in"]).arg(pem).arg("-out").arg(&der)).ok();
    fs::read(der).expect("openssl has written it")
}

#[test]
fn pykcs11_lists_what_is_public() {
    with_ground("python::pykcs11_lists_what_is_public", |ground| PYKCS11.lists(ground));
}

#[test]
fn pykcs11_signs_and_verifies_with_both_keys() {
    with_ground("python::pykcs11_signs_and_verifies_with_both_keys", |ground| PYKCS11.signs_and_verifies(ground));
}

#[test]
fn a_wrong_pin_costs_pykcs11_one_try() {
    with_ground("python::a_wrong_pin_costs_pykcs11_one_try", |ground| PYKCS11.costs_one_try(ground));
}

#[test]
fn pykcs11_changes_pin_and_password() {
    with_ground("python::pykcs11_changes_pin_and_password", |ground| PYKCS11.changes_the_secrets(ground));
}

#[test]
fn pykcs11_waits_for_the_card() {
    with_ground("python::pykcs11_waits_for_the_card", |ground| PYKCS11.waits_for_the_card(ground));
}

#[test]
fn python_pkcs11_lists_what_is_public() {
    with_ground("python::python_pkcs11_lists_what_is_public", |ground| PYTHON_PKCS11.lists(ground));
}

#[test]
fn python_pkcs11_signs_and_verifies_with_both_keys() {
    with_ground("python::python_pkcs11_signs_and_verifies_with_both_keys", |ground| {
        PYTHON_PKCS11.signs_and_verifies(ground);
    });
}

#[test]
fn a_wrong_pin_costs_python_pkcs11_one_try() {
    with_ground("python::a_wrong_pin_costs_python_pkcs11_one_try", |ground| PYTHON_PKCS11.costs_one_try(ground));
}

#[test]
fn python_pkcs11_changes_pin_and_password() {
    with_ground("python::python_pkcs11_changes_pin_and_password", |ground| PYTHON_PKCS11.changes_the_secrets(ground));
}

#[test]
fn python_pkcs11_sees_the_card_come_and_go() {
    with_ground("python::python_pkcs11_sees_the_card_come_and_go", |ground| PYTHON_PKCS11.waits_for_the_card(ground));
}

#[test]
fn the_programs_of_the_page_sign_a_document() {
    with_ground("python::the_programs_of_the_page_sign_a_document", |ground| {
        let card = ground.card();
        let _card = ground.pcscd.insert(&card.file);
        let key = PublicKey::of_certificate(&ground.scratch, der(ground, card.sign_certificate()));
        let modules = ground.installed.sign().parent().expect("it is in one").display().to_string();
        let snippets = snippets("python", "python");
        assert_eq!(snippets.len(), 2);
        ground.scratch.file("document", "practice makes perfect");
        for snippet in snippets {
            let program = ground.scratch.file("sign.py", snippet.replace("/usr/local/lib/pkcs11", &modules));
            let signed: [PathBuf; 2] = ["signature", "certificate.der"].map(|name| ground.scratch.path().join(name));
            let before = card.cost().verifies;
            let mut signing = python()
                .arg(program)
                .current_dir(ground.scratch.path())
                .stdin(Stdio::piped())
                .spawn()
                .expect("it can be run");
            let typed = writeln!(signing.stdin.take().expect("it is piped"), "{PASSWORD}");
            typed.expect("it asks for the password");
            assert!(signing.wait().expect("it is our child").success());
            assert_eq!(card.cost().verifies - before, 1);
            let [signature, certificate] = signed.map(|path| fs::read(path).expect("it was written"));
            key.assert_signed("sha256", Padding::Pkcs1, b"practice makes perfect", &signature);
            assert_eq!(certificate, der(ground, card.sign_certificate()));
        }
        assert_eq!(card.tries(), (3, 5));
    });
}

#[test]
fn python_pkcs11_lists_objects_through_opensc_s_spy() {
    with_ground("python::python_pkcs11_lists_objects_through_opensc_s_spy", |ground| {
        let card = ground.card();
        let _card = ground.pcscd.insert(&card.file);
        let mut spied = python();
        let written = ground.scratch.path().join("written");
        spied.env("PKCS11SPY", ground.installed.auth()).env("PKCS11SPY_OUTPUT", &written);
        let spy = library("pkcs11-spy.so", "opensc-pkcs11");
        let listed = run(spied.arg(PYTHON_PKCS11.path()).arg(spy).arg("list")).ok();
        assert!(listed.starts_with("PRACTICE Auth (4-digit PIN) "), "{listed}");
        // It takes the 2.40 list, which the spy knows.
        let written = fs::read_to_string(written).expect("the spy has written it");
        assert!(["C_OpenSession", "C_FindObjects"].iter().all(|call| written.contains(call)), "{written}");
    });
}
