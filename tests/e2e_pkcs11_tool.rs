//! The module as OpenSC's pkcs11-tool uses it, through a real pcscd; OpenSSL judges the signatures.

mod common;

use common::cards::{PASSWORD, PIN, card};
use common::openssl::{Padding, PublicKey};
use common::pcscd::with_pcscd;
use common::{Modules, Scratch, library, run, tool};
use jpki_pkcs11::emulator::image::Kind;
use std::fs;
use std::path::Path;
use std::process::Command;

const MESSAGE: &[u8] = b"practice makes perfect";

/// A token by the module that shows it alone, and what its key is known by.
struct Token<'a> {
    module: &'a Path,
    secret: &'static str,
    id: &'static str,
    key: &'static str,
    certificate: &'static str,
    ca_certificate: &'static str,
}

fn auth(modules: &Modules) -> Token<'_> {
    Token {
        module: &modules.auth,
        secret: PIN,
        id: "01",
        key: "User Authentication Key",
        certificate: "User Authentication Certificate",
        ca_certificate: "03",
    }
}

fn sign(modules: &Modules) -> Token<'_> {
    Token {
        module: &modules.sign,
        secret: PASSWORD,
        id: "02",
        key: "Digital Signature Key",
        certificate: "Digital Signature Certificate",
        ca_certificate: "04",
    }
}

fn pkcs11_tool(module: &Path) -> Command {
    let mut command = Command::new(tool("pkcs11-tool", "opensc"));
    command.arg("--module").arg(module);
    command
}

impl Token<'_> {
    fn logged_in(&self) -> Command {
        let mut command = pkcs11_tool(self.module);
        command.args(["--login", "--pin", self.secret]);
        command
    }

    fn public_key<'a>(&self, scratch: &'a Scratch) -> PublicKey<'a> {
        let certificate = scratch.path().join("certificate");
        run(self
            .logged_in()
            .args(["--read-object", "--type", "cert", "--id", self.id, "--output-file"])
            .arg(&certificate))
        .ok();
        PublicKey::of_certificate(scratch, fs::read(certificate).unwrap())
    }

    fn signature(&self, scratch: &Scratch, mechanism: &[&str], input: &[u8]) -> Vec<u8> {
        let signature = scratch.path().join("signed");
        run(self
            .logged_in()
            .args(["--sign", "--id", self.id, "--mechanism"])
            .args(mechanism)
            .arg("--input-file")
            .arg(scratch.file("input", input))
            .arg("--output-file")
            .arg(&signature))
        .ok();
        fs::read(signature).unwrap()
    }
}

/// Whether `pkcs11-tool --list-objects` showed an object of this label.
fn shows(objects: &str, label: &str) -> bool {
    objects.lines().any(|line| line.trim_start().strip_prefix("label:").is_some_and(|shown| shown.trim() == label))
}

/// How many objects of a class `pkcs11-tool --list-objects` showed.
fn count(objects: &str, class: &str) -> usize {
    objects.lines().filter(|line| line.starts_with(class)).count()
}

#[test]
fn a_card_is_two_tokens_and_each_module_shows_its_own() {
    with_pcscd("a_card_is_two_tokens_and_each_module_shows_its_own", |pcscd| {
        let scratch = Scratch::new();
        let modules = Modules::in_dir(&scratch);
        let _card = pcscd.insert(&card(&scratch, Kind::MyNumber));
        let slots = |module: &Path| run(pkcs11_tool(module).arg("--list-token-slots")).ok();
        let (auth, sign) = ("PRACTICE Auth (4-digit PIN) ", "PRACTICE Sign (6-16 chars) ");
        let both = slots(&modules.both);
        assert!(both.contains(auth) && both.contains(sign), "{both}");
        let shown = slots(&modules.auth);
        assert!(shown.contains(auth) && !shown.contains(sign), "{shown}");
        let shown = slots(&modules.sign);
        assert!(!shown.contains(auth) && shown.contains(sign), "{shown}");
        for flag in ["login required", "token initialized", "PIN initialized"] {
            assert!(both.contains(flag), "{flag}: {both}");
        }
        assert!(!both.contains("PIN count low") && !both.contains("rng"), "{both}");
    });
}

#[test]
fn no_reader_and_no_card_are_no_error() {
    with_pcscd("no_reader_and_no_card_are_no_error", |pcscd| {
        let scratch = Scratch::new();
        let modules = Modules::in_dir(&scratch);
        assert!(run(pkcs11_tool(&modules.both).arg("--list-slots")).ok().contains("Virtual PCD 00 00"));
        pcscd.stop();
        // How pkcs11-tool says that there are none; C_Initialize and C_GetSlotList went well.
        let none = run(pkcs11_tool(&modules.both).arg("--list-slots")).refused();
        assert!(none.contains("No slots.") && !none.contains("CKR_"), "{none}");
    });
}

#[test]
fn the_authentication_certificate_is_public_and_its_key_is_not() {
    with_pcscd("the_authentication_certificate_is_public_and_its_key_is_not", |pcscd| {
        let scratch = Scratch::new();
        let modules = Modules::in_dir(&scratch);
        let _card = pcscd.insert(&card(&scratch, Kind::MyNumber));
        let token = auth(&modules);
        let public = run(pkcs11_tool(token.module).arg("--list-objects")).ok();
        assert!(shows(&public, token.certificate) && shows(&public, "User Authentication Public Key"), "{public}");
        assert_eq!(count(&public, "Certificate Object"), 1, "{public}");
        assert_eq!(count(&public, "Public Key Object"), 1, "{public}");
        assert_eq!(count(&public, "Private Key Object"), 0, "{public}");
        let both = run(pkcs11_tool(&modules.both).args(["--slot", "0", "--list-objects"])).ok();
        assert_eq!(count(&both, "Certificate Object"), 2, "the CA's too: {both}");
        assert!(both.contains(&format!("ID:         {}", token.ca_certificate)), "{both}");
        assert_eq!(count(&both, "Public Key Object"), 1, "none for a CA: {both}");
        let all = run(token.logged_in().arg("--list-objects")).ok();
        assert_eq!(count(&all, "Private Key Object"), 1, "{all}");
        assert!(shows(&all, token.key), "{all}");
    });
}

#[test]
fn the_signature_certificate_shows_after_its_password() {
    with_pcscd("the_signature_certificate_shows_after_its_password", |pcscd| {
        let scratch = Scratch::new();
        let modules = Modules::in_dir(&scratch);
        let _card = pcscd.insert(&card(&scratch, Kind::MyNumber));
        let token = sign(&modules);
        let public = run(pkcs11_tool(token.module).arg("--list-objects")).ok();
        assert_eq!(count(&public, " Object;"), 0, "{public}");
        // The file with both tokens shows the CA's.
        let public = run(pkcs11_tool(&modules.both).args(["--slot", "1", "--list-objects"])).ok();
        assert_eq!((count(&public, "Certificate Object"), count(&public, "Key Object")), (1, 0), "{public}");
        assert!(
            public.contains(&format!("ID:         {}", token.ca_certificate)) && !shows(&public, token.certificate),
            "{public}"
        );
        let all = run(token.logged_in().arg("--list-objects")).ok();
        assert_eq!(count(&all, "Certificate Object"), 2, "{all}");
        assert!(shows(&all, token.certificate) && shows(&all, token.key), "{all}");
    });
}

#[test]
fn openssl_verifies_every_mechanism_with_both_keys() {
    with_pcscd("openssl_verifies_every_mechanism_with_both_keys", |pcscd| {
        let scratch = Scratch::new();
        let modules = Modules::in_dir(&scratch);
        let _card = pcscd.insert(&card(&scratch, Kind::MyNumber));
        for token in [auth(&modules), sign(&modules)] {
            let key = token.public_key(&scratch);
            for hash in ["sha1", "sha224", "sha256", "sha384", "sha512"] {
                let mechanism = format!("{}-RSA-PKCS", hash.to_uppercase());
                let signature = token.signature(&scratch, &[&mechanism], MESSAGE);
                key.assert_signed(hash, Padding::Pkcs1, MESSAGE, &signature);
            }
            assert_eq!(key.recover(&token.signature(&scratch, &["RSA-PKCS"], MESSAGE)), MESSAGE);
            let signature = token.signature(&scratch, &["SHA256-RSA-PKCS-PSS"], MESSAGE);
            key.assert_signed("sha256", Padding::Pss, MESSAGE, &signature);
            let hash = <sha2::Sha256 as sha2::Digest>::digest(MESSAGE);
            let signature = token.signature(&scratch, &["RSA-PKCS-PSS", "--hash-algorithm", "SHA256"], &hash);
            key.assert_signed("sha256", Padding::Pss, MESSAGE, &signature);
        }
    });
}

#[test]
fn the_module_verifies_what_it_signed_and_nothing_else() {
    with_pcscd("the_module_verifies_what_it_signed_and_nothing_else", |pcscd| {
        let scratch = Scratch::new();
        let modules = Modules::in_dir(&scratch);
        let _card = pcscd.insert(&card(&scratch, Kind::MyNumber));
        for token in [auth(&modules), sign(&modules)] {
            for mechanism in ["SHA256-RSA-PKCS", "SHA256-RSA-PKCS-PSS"] {
                let signature = scratch.file("signature", token.signature(&scratch, &[mechanism], MESSAGE));
                let verify = |message: &[u8]| {
                    run(token
                        .logged_in()
                        .args(["--verify", "--id", token.id, "--mechanism", mechanism, "--signature-file"])
                        .arg(&signature)
                        .arg("--input-file")
                        .arg(scratch.file("message", message)))
                };
                let verdict = verify(MESSAGE).ok();
                assert!(verdict.contains("Signature is valid"), "{verdict}");
                let verdict = verify(b"something else");
                assert!(!verdict.stdout.contains("Signature is valid"), "{verdict:?}");
            }
        }
    });
}

#[test]
fn pkcs11_tools_own_test_finds_no_error() {
    with_pcscd("pkcs11_tools_own_test_finds_no_error", |pcscd| {
        let scratch = Scratch::new();
        let modules = Modules::in_dir(&scratch);
        let _card = pcscd.insert(&card(&scratch, Kind::MyNumber));
        for token in [auth(&modules), sign(&modules)] {
            let report = run(token.logged_in().arg("--test")).ok();
            assert!(report.contains("No errors"), "{report}");
        }
    });
}

#[test]
fn both_secrets_are_changed_and_the_old_ones_are_wrong_then() {
    with_pcscd("both_secrets_are_changed_and_the_old_ones_are_wrong_then", |pcscd| {
        let scratch = Scratch::new();
        let modules = Modules::in_dir(&scratch);
        let _card = pcscd.insert(&card(&scratch, Kind::MyNumber));
        for (token, new) in [(auth(&modules), "4321"), (sign(&modules), "PRACTICE2")] {
            run(token.logged_in().args(["--change-pin", "--new-pin", new])).ok();
            let refused = run(token.logged_in().arg("--list-objects")).refused();
            assert!(refused.contains("CKR_PIN_INCORRECT"), "{refused}");
            let token = Token { secret: new, ..token };
            assert_eq!(token.signature(&scratch, &["SHA256-RSA-PKCS"], MESSAGE).len(), 256);
        }
    });
}

#[test]
fn a_malformed_pin_costs_no_try_and_the_last_one_locks() {
    with_pcscd("a_malformed_pin_costs_no_try_and_the_last_one_locks", |pcscd| {
        let scratch = Scratch::new();
        let modules = Modules::in_dir(&scratch);
        let _card = pcscd.insert(&card(&scratch, Kind::MyNumber));
        let login =
            |pin: &str| run(pkcs11_tool(&modules.auth).args(["--login", "--pin", pin, "--list-objects"])).refused();
        let slots = || run(pkcs11_tool(&modules.auth).arg("--list-token-slots")).ok();
        assert!(login("12a4").contains("CKR_PIN_INCORRECT"));
        assert!(!slots().contains("user PIN count low"), "it was not sent");
        assert!(login("0000").contains("CKR_PIN_INCORRECT"));
        assert!(slots().contains("user PIN count low"));
        assert!(login("1111").contains("CKR_PIN_INCORRECT"));
        assert!(slots().contains("final user PIN try"));
        assert!(login("2222").contains("CKR_PIN_LOCKED"), "at the call that locks");
        assert!(slots().contains("user PIN locked"));
        assert!(login(PIN).contains("CKR_PIN_LOCKED"));
    });
}

#[test]
fn a_juki_card_is_one_signature_token() {
    with_pcscd("a_juki_card_is_one_signature_token", |pcscd| {
        let scratch = Scratch::new();
        let modules = Modules::in_dir(&scratch);
        let _card = pcscd.insert(&card(&scratch, Kind::Juki));
        let none = run(pkcs11_tool(&modules.auth).arg("--list-token-slots")).refused();
        assert!(none.contains("No slots."), "a PIN meant for another card would be a try of its password: {none}");
        for module in [&modules.both, &modules.sign] {
            let slots = run(pkcs11_tool(module).arg("--list-token-slots")).ok();
            assert_eq!(slots.matches("token label").count(), 1, "{slots}");
            assert!(slots.contains("PRACTICE Sign"), "{slots}");
        }
        let token = sign(&modules);
        let key = token.public_key(&scratch);
        let signature = token.signature(&scratch, &["SHA256-RSA-PKCS"], MESSAGE);
        assert_eq!(signature.len(), 128);
        key.assert_signed("sha256", Padding::Pkcs1, MESSAGE, &signature);
        let mechanisms = run(pkcs11_tool(token.module).arg("--list-mechanisms")).ok();
        assert!(mechanisms.contains("SHA256-RSA-PKCS,") && !mechanisms.contains("PSS"), "{mechanisms}");
        let report = run(token.logged_in().arg("--test")).ok();
        assert!(report.contains("No errors"), "{report}");
        run(token.logged_in().args(["--change-pin", "--new-pin", "AB12"])).ok();
        let token = Token { secret: "AB12", ..token };
        assert_eq!(token.signature(&scratch, &["SHA256-RSA-PKCS"], MESSAGE).len(), 128);
    });
}

/// Between the program and the module. It knows no 3.2 list, so it passes on the one that pkcs11-tool takes, and writes down no
/// more than that it did.
#[test]
fn pkcs11_tool_works_through_opensc_s_spy() {
    with_pcscd("pkcs11_tool_works_through_opensc_s_spy", |pcscd| {
        let scratch = Scratch::new();
        let _card = pcscd.insert(&card(&scratch, Kind::MyNumber));
        let modules = Modules::in_dir(&scratch);
        let spied = scratch.path().join("spied");
        let ran = run(pkcs11_tool(&library("pkcs11-spy.so", "opensc-pkcs11"))
            .env("PKCS11SPY", &modules.auth)
            .env("PKCS11SPY_OUTPUT", &spied)
            .args(["--login", "--pin", PIN, "--test"]));
        let shown = ran.ok();
        assert!(shown.contains("No errors"), "{shown}");
        let spied = fs::read_to_string(spied).unwrap();
        assert!(spied.contains("C_GetInterface"), "{spied}");
    });
}
