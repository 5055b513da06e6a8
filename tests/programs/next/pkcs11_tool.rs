//! OpenSC's pkcs11-tool.

use super::{Both, with_both};
use crate::common::cards::{PASSWORD, PIN};
use crate::common::openssl::{Padding, PublicKey};
use crate::common::run;
use crate::ground::Card;
use crate::openssl::plain_openssl;
use crate::program::program;
use std::path::{Path, PathBuf};
use std::process::Command;

const PROGRAM: &str = "pkcs11-tool";
const MESSAGE: &str = "practice makes perfect";

fn pkcs11_tool(module: &Path, token: &str) -> Command {
    let mut command = program(PROGRAM, "opensc");
    command.arg("--module").arg(module).args(["--token-label", token]);
    command
}

/// A key of one of the cards.
struct Key<'a> {
    module: PathBuf,
    token: String,
    id: &'static str,
    secret: &'static str,
    certificate: &'a str,
}

fn auth<'a>(both: &Both<'_>, card: &'a Card) -> Key<'a> {
    let module = both.ground.installed.auth();
    Key { module, token: card.auth_token(), id: "01", secret: PIN, certificate: card.auth_certificate() }
}

fn sign<'a>(both: &Both<'_>, card: &'a Card) -> Key<'a> {
    let module = both.ground.installed.sign();
    Key { module, token: card.sign_token(), id: "02", secret: PASSWORD, certificate: card.sign_certificate() }
}

impl Key<'_> {
    /// Has it sign the message.
    fn signs(&self, both: &Both<'_>, mechanism: &str, format: &str) -> Vec<u8> {
        let input = both.ground.scratch.file("input", MESSAGE);
        let output = both.ground.scratch.path().join("signature");
        run(pkcs11_tool(&self.module, &self.token)
            .args(["--login", "--pin", self.secret, "--sign", "--id", self.id, "--mechanism", mechanism])
            .args(["--signature-format", format, "--input-file"])
            .args([&input, Path::new("--output-file"), &output]))
        .ok();
        std::fs::read(output).expect("it was written")
    }

    /// Whether C_Verify takes the last signature.
    fn verifies(&self, both: &Both<'_>, mechanism: &str, format: &str) {
        let (input, output) = (both.ground.scratch.path().join("input"), both.ground.scratch.path().join("signature"));
        let verdict = run(pkcs11_tool(&self.module, &self.token)
            .args(["--login", "--pin", self.secret, "--verify", "--id", self.id, "--mechanism", mechanism])
            .args(["--signature-format", format, "--input-file"])
            .args([&input, Path::new("--signature-file"), &output]))
        .ok();
        assert!(verdict.contains("Signature is valid"), "{verdict}");
    }

    fn assert_signed(&self, both: &Both<'_>, hash: &str, signature: &[u8]) {
        let scratch = &both.ground.scratch;
        let (pem, der) = (scratch.file("of-card.pem", self.certificate), scratch.path().join("of-card.der"));
        run(plain_openssl().args(["x509", "-outform", "DER", "-in"]).args([&pem, Path::new("-out"), &der])).ok();
        let der = std::fs::read(der).expect("openssl has written it");
        // Without options, which is right for a key on a curve, too.
        let key = PublicKey::of_certificate(scratch, der);
        key.assert_signed(hash, Padding::Pkcs1, MESSAGE.as_bytes(), signature);
    }
}

#[test]
fn each_card_signs_with_its_own_mechanisms() {
    with_both("pkcs11_tool::each_card_signs_with_its_own_mechanisms", |both| {
        for key in [auth(both, &both.next), sign(both, &both.next)] {
            let what = if key.id == "01" { "authentication" } else { "signature" };
            both.measure(PROGRAM, &format!("sign ({what} key)"), 1, || key.signs(both, "ECDSA-SHA384", "openssl"));
        }
        both.with_inserted(|| {
            for (of, rsa_of) in [(auth as fn(_, _) -> _, &both.today), (sign, &both.today)] {
                let key: Key<'_> = of(both, &both.next);
                for hash in ["sha256", "sha384", "sha512"] {
                    let mechanism = format!("ECDSA-{}", hash.to_uppercase());
                    let signature = key.signs(both, &mechanism, "openssl");
                    key.assert_signed(both, hash, &signature);
                    assert_eq!(key.signs(both, &mechanism, "rs").len(), 96);
                    key.verifies(both, &mechanism, "rs");
                }
                let key: Key<'_> = of(both, rsa_of);
                let signature = key.signs(both, "SHA256-RSA-PKCS", "rs");
                key.assert_signed(both, "sha256", &signature);
            }
        });
    });
}

#[test]
fn it_shows_each_tokens_key_and_mechanisms() {
    with_both("pkcs11_tool::it_shows_each_tokens_key_and_mechanisms", |both| {
        let auth = both.ground.installed.auth();
        let said = |card: &Card, action: &str| run(pkcs11_tool(&auth, &card.auth_token()).arg(action)).ok();
        let objects = both.measure(PROGRAM, "list objects", 0, || said(&both.next, "--list-objects"));
        assert!(
            objects.contains("EC  EC_POINT 384 bits") && objects.contains("EC_PARAMS:  06052b81040022"),
            "{objects}"
        );
        both.with_inserted(|| {
            let [today, next] = [&both.today, &both.next].map(|card| said(card, "--list-mechanisms"));
            assert!(today.contains("RSA-PKCS-PSS") && !today.contains("ECDSA"), "{today}");
            assert!(
                next.contains("ECDSA-SHA384, keySize={384,384}, sign, verify, EC F_P, EC OID, EC uncompressed"),
                "{next}"
            );
            assert!(!next.contains("RSA"), "{next}");
        });
    });
}

#[test]
fn an_rsa_signature_by_a_key_on_a_curve_is_refused_at_no_cost() {
    with_both("pkcs11_tool::an_rsa_signature_by_a_key_on_a_curve_is_refused_at_no_cost", |both| {
        let input = both.ground.scratch.file("input", MESSAGE);
        let (said, [_, next]) = both.with_inserted(|| {
            let mut tool = pkcs11_tool(&both.ground.installed.auth(), &both.next.auth_token());
            tool.args(["--login", "--pin", PIN, "--sign", "--id", "01", "--mechanism", "SHA256-RSA-PKCS"]);
            run(tool.arg("--input-file").arg(input).args(["--output-file", "/dev/null"])).refused()
        });
        assert!(said.contains("CKR_MECHANISM_INVALID"), "{said}");
        assert_eq!(next.verifies, 1);
        let log = std::fs::read_to_string(both.next.file.with_extension("log")).expect("there is one");
        assert!(!log.contains("> 80 2A"), "{log}");
    });
}
