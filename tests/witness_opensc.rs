//! The practice card as OpenSC's own JPKI driver sees it, through a real pcscd: list, log in, sign with both keys. OpenSSL
//! judges what the card signs.

mod common;

use common::cards::{PASSWORD, PIN, card};
use common::openssl::{Padding, PublicKey};
use common::pcscd::{READER, with_pcscd};
use common::{Scratch, opensc, run, tool};
use jpki_pkcs11::emulator::image::Kind;
use std::fs;
use std::process::Command;

const MESSAGE: &[u8] = b"practice makes perfect";

/// `pkcs11-tool` with OpenSC's module, which tries the card with its JPKI driver only.
fn pkcs11_tool() -> Command {
    let mut command = Command::new(tool("pkcs11-tool", "opensc"));
    command.env("OPENSC_DRIVER", "jpki").arg("--module").arg(opensc());
    command
}

#[test]
fn pkcs15_tool_dumps_the_card() {
    with_pcscd("pkcs15_tool_dumps_the_card", |pcscd| {
        let scratch = Scratch::new();
        let _card = pcscd.insert(&card(&scratch, Kind::MyNumber));
        let dump = run(Command::new(tool("pkcs15-tool", "opensc")).args(["--dump", "--reader", READER])).ok();
        for expected in [
            "PKCS#15 Card [JPKI]",
            "PIN [User Authentication PIN]",
            "PIN [Digital Signature PIN]",
            "Private RSA Key [User Authentication Key]",
            "Private RSA Key [Digital Signature Key]",
            "X.509 Certificate [User Authentication Certificate]",
            "Tries left     : 3",
            "Tries left     : 5",
        ] {
            assert!(dump.contains(expected), "{expected}:\n{dump}");
        }
    });
}

#[test]
fn its_module_signs_with_both_keys() {
    with_pcscd("its_module_signs_with_both_keys", |pcscd| {
        let scratch = Scratch::new();
        let _card = pcscd.insert(&card(&scratch, Kind::MyNumber));
        for (token, id, secret) in
            [("JPKI (User Authentication PIN)", "01", PIN), ("JPKI (Digital Signature PIN)", "02", PASSWORD)]
        {
            let [document, signature, certificate] =
                ["document", "signed", "certificate"].map(|name| scratch.path().join(name));
            fs::write(&document, MESSAGE).unwrap();
            let on_token = || {
                let mut command = pkcs11_tool();
                command.args(["--token-label", token, "--login", "--pin", secret]);
                command
            };
            let objects = run(on_token().arg("--list-objects")).ok();
            assert!(objects.contains("Private Key Object; RSA"), "{objects}");
            run(on_token()
                .args(["--sign", "--mechanism", "SHA256-RSA-PKCS", "--id", id, "--input-file"])
                .arg(&document)
                .arg("--output-file")
                .arg(&signature))
            .ok();
            run(on_token().args(["--read-object", "--type", "cert", "--id", id, "--output-file"]).arg(&certificate))
                .ok();
            PublicKey::of_certificate(&scratch, fs::read(&certificate).unwrap()).assert_signed(
                "sha256",
                Padding::Pkcs1,
                MESSAGE,
                &fs::read(&signature).unwrap(),
            );
        }
    });
}

#[test]
fn a_wrong_pin_costs_a_try_and_a_right_one_gives_it_back() {
    with_pcscd("a_wrong_pin_costs_a_try_and_a_right_one_gives_it_back", |pcscd| {
        let scratch = Scratch::new();
        let _card = pcscd.insert(&card(&scratch, Kind::MyNumber));
        let login = |pin: &str| {
            run(pkcs11_tool().args(["--token-label", "JPKI (User Authentication PIN)", "--login", "--pin", pin, "-O"]))
        };
        let slots = || run(pkcs11_tool().arg("--list-slots")).ok();
        assert!(!slots().contains("user PIN count low"));
        assert!(login("0000").refused().contains("CKR_PIN_INCORRECT"));
        assert!(slots().contains("user PIN count low"));
        login(PIN).ok();
        assert!(!slots().contains("user PIN count low"));
    });
}
