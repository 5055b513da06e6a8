//! Java 17's own provider SunPKCS11: keytool, jarsigner, and a program that gets a page over HTTPS.

use crate::common::cards::{PASSWORD, PIN};
use crate::common::conversation::Conversation;
use crate::common::rival::{self, ISD};
use crate::common::{Ran, opensc, run};
use crate::ground::{Ground, with_ground};
use crate::program::program;
use crate::tls::{Server, Version, admitted_by};
use std::path::{Path, PathBuf};
use std::process::Command;

const PROGRAM: &str = "Java";

pub fn java(name: &str) -> Command {
    program(name, "openjdk-17-jdk-headless")
}

/// A key of the card's, in Java's words.
pub struct Key {
    configuration: &'static str,
    pub alias: &'static str,
    /// Where OpenSC's module has it among its slots.
    slot: u8,
    secret: &'static str,
}

pub const AUTH: Key =
    Key { configuration: "java-auth.cfg", alias: "User Authentication Certificate", slot: 0, secret: PIN };
pub const SIGN: Key =
    Key { configuration: "java-sign.cfg", alias: "Digital Signature Certificate", slot: 1, secret: PASSWORD };

impl Key {
    pub fn module(&self, ground: &Ground<'_>) -> PathBuf {
        if self.secret == PIN { ground.installed.auth() } else { ground.installed.sign() }
    }

    /// The installed configuration, or for OpenSC's module one of the same kind.
    pub fn configuration(&self, ground: &Ground<'_>, module: &Path) -> PathBuf {
        if module != opensc() {
            return ground.installed.conf(self.configuration);
        }
        let text = format!("name = OpenSC\nlibrary = {}\nslotListIndex = {}\n", module.display(), self.slot);
        ground.scratch.file("opensc.cfg", text)
    }

    /// keytool or jarsigner with this key.
    pub fn tool(&self, name: &str, configuration: &Path) -> Command {
        let mut command = java(name);
        command.args(["-J-Duser.language=en", "-keystore", "NONE", "-storetype", "PKCS11", "-storepass", self.secret]);
        command.args(["-providerClass", "sun.security.pkcs11.SunPKCS11", "-providerArg"]).arg(configuration);
        command
    }
}

fn keytool_lists(name: &str, key: &Key) {
    with_ground(name, |ground| {
        let card = ground.card();
        let list = |module: &Path| run(key.tool("keytool", &key.configuration(ground, module)).arg("-list")).stdout;
        let is_listed = |listing: &str| listing.contains(&format!("{}, PrivateKeyEntry", key.alias));
        let module = key.module(ground);
        let what = format!("keytool -list, {}", key.configuration);
        ground.compare(&card, PROGRAM, &what, &module, |module| is_listed(&list(module)));
        let (listing, cost) = ground.with_inserted(&card, |_| list(&module));
        assert!(listing.contains("Your keystore contains 1 entry"), "{listing}");
        assert_eq!(cost.verifies, 1);
        assert_eq!(card.tries(), (3, 5));
    });
}

#[test]
fn keytool_lists_the_authentication_key() {
    keytool_lists("java::keytool_lists_the_authentication_key", &AUTH);
}

#[test]
fn keytool_lists_the_signature_key() {
    keytool_lists("java::keytool_lists_the_signature_key", &SIGN);
}

/// An archive with a file in it.
pub fn archive(ground: &Ground<'_>) -> PathBuf {
    let archive = ground.scratch.path().join("archive.jar");
    ground.scratch.file("document", "practice makes perfect");
    run(java("jar").arg("--create").arg("--file").arg(&archive).arg("-C").arg(ground.scratch.path()).arg("document"))
        .ok();
    archive
}

/// What `jarsigner -verify` says of an archive.
pub fn verified(archive: &Path) -> Ran {
    run(java("jarsigner").args(["-J-Duser.language=en", "-verify", "-verbose", "-certs"]).arg(archive))
}

fn jarsigner_signs(name: &str, key: &Key) {
    with_ground(name, |ground| {
        let card = ground.card();
        let archive = archive(ground);
        let signed = ground.scratch.path().join("signed.jar");
        let sign = |module: &Path, algorithm: &str| {
            let mut jarsigner = key.tool("jarsigner", &key.configuration(ground, module));
            run(jarsigner.args(["-sigalg", algorithm, "-signedjar"]).args([&signed, &archive]).arg(key.alias))
        };
        let module = key.module(ground);
        let what = format!("jarsigner, {}", key.configuration);
        ground.compare(&card, PROGRAM, &what, &module, |module| sign(module, "SHA256withRSA").success);
        for algorithm in ["SHA256withRSA", "RSASSA-PSS"] {
            let (ran, cost) = ground.with_inserted(&card, |_| sign(&module, algorithm));
            ran.ok();
            assert_eq!(cost.verifies, 1, "{algorithm}");
            let said = verified(&signed).ok();
            assert!(said.contains("jar verified"), "{said}");
            assert!(said.contains(&format!("Signature algorithm: {algorithm}, 2048-bit key")), "{said}");
        }
        assert_eq!(card.tries(), (3, 5));
    });
}

#[test]
fn jarsigner_signs_with_the_authentication_key() {
    jarsigner_signs("java::jarsigner_signs_with_the_authentication_key", &AUTH);
}

#[test]
fn jarsigner_signs_with_the_signature_key() {
    jarsigner_signs("java::jarsigner_signs_with_the_signature_key", &SIGN);
}

fn a_program_is_let_in(name: &str, version: Version) {
    with_ground(name, |ground| {
        let card = ground.card();
        let server = Server::start(&ground.scratch, version, card.auth_ca());
        let page = |module: &Path| {
            let mut client = java("java");
            client.arg(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/clients/Client.java")).arg(server.url());
            client.arg(&server.authority).arg(AUTH.configuration(ground, module)).arg(PIN);
            run(&mut client)
        };
        let auth = ground.installed.auth();
        ground.compare(&card, PROGRAM, &format!("HttpsURLConnection, {version}"), &auth, |module| {
            admitted_by(&page(module).stdout, version).is_some()
        });
        let (page, cost) = ground.with_inserted(&card, |_| page(&auth).ok());
        assert_eq!(admitted_by(&page, version), Some("RSA-PSS"), "{page}\n{}", server.log());
        assert_eq!(cost.verifies, 1);
        assert_eq!(card.tries(), (3, 5));
    });
}

#[test]
fn an_https_client_is_let_in_at_tls_1_2() {
    a_program_is_let_in("java::an_https_client_is_let_in_at_tls_1_2", Version::Tls12);
}

#[test]
fn an_https_client_is_let_in_at_tls_1_3() {
    a_program_is_let_in("java::an_https_client_is_let_in_at_tls_1_3", Version::Tls13);
}

#[test]
fn a_wrong_pin_costs_one_try() {
    with_ground("java::a_wrong_pin_costs_one_try", |ground| {
        let card = ground.card();
        let wrong = Key { secret: "9999", ..AUTH };
        let (said, cost) = ground.with_inserted(&card, |_| {
            run(wrong.tool("keytool", &ground.installed.conf(AUTH.configuration)).arg("-list")).refused()
        });
        assert!(said.contains("load failed"), "{said}");
        assert_eq!(cost.verifies, 1);
        assert_eq!(card.tries(), (2, 5));
    });
}

/// `tests/clients/Signer.java`, with the key loaded.
fn signer(ground: &Ground<'_>) -> Conversation {
    let mut java = java("java");
    java.arg(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/clients/Signer.java"));
    let mut signer = Conversation::with(java.arg(ground.installed.conf(AUTH.configuration)).arg(PIN));
    assert_eq!(signer.say("load"), "ok");
    signer
}

#[test]
fn a_program_goes_on_after_another_made_the_card_forget_its_login() {
    with_ground("java::a_program_goes_on_after_another_made_the_card_forget_its_login", |ground| {
        let card = ground.card();
        let ((), cost) = ground.with_inserted(&card, |_| {
            let mut signer = signer(ground);
            assert_eq!(signer.say("sign"), "ok");
            rival::once(0, &[ISD]);
            assert_eq!(signer.say("sign"), "ok");
        });
        assert_eq!(cost.verifies, 2);
        assert_eq!(card.tries(), (3, 5));
    });
}

#[test]
fn a_program_signs_again_with_its_key_store_loaded_again_after_the_card_was_out() {
    with_ground("java::a_program_signs_again_with_its_key_store_loaded_again_after_the_card_was_out", |ground| {
        let card = ground.card();
        let inserted = ground.pcscd.insert(&card.file);
        let mut signer = signer(ground);
        assert_eq!(signer.say("sign"), "ok");
        ground.pcscd.remove(inserted);
        assert_eq!(signer.say("sign"), "Token has been removed");
        let inserted = ground.pcscd.insert(&card.file);
        assert_eq!(signer.say("load"), "ok");
        assert_eq!(signer.say("sign"), "ok");
        ground.pcscd.remove(inserted);
        assert_eq!((card.cost().verifies, card.tries()), (2, (3, 5)));
    });
}
