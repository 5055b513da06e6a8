//! S/MIME: OpenSSL's `smime` signs with the engine and the signature key; GnuTLS verifies beside OpenSSL itself.

use crate::common::cards::PASSWORD;
use crate::common::{Ran, run, tool};
use crate::ground::{Card, Ground, with_ground};
use crate::program::{run_typing, without_terminal};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

const PROGRAM: &str = "openssl smime";
const TEXT: &str = "練習のメールです。\n";

fn openssl() -> Command {
    without_terminal(tool("openssl", "openssl"))
}

/// Has OpenSSL sign a mail with the token of `module`, and the password typed at its prompt.
fn sign(ground: &Ground<'_>, card: &Card, module: &Path, password: &str) -> (Ran, PathBuf) {
    let file = |name: &str, content: &str| ground.scratch.file(name, content);
    let (text, signed) = (file("text", TEXT), ground.scratch.path().join("signed.eml"));
    let certificate = file("certificate.pem", card.sign_certificate());
    let ca = file("sign-ca.pem", card.sign_ca());
    // OpenSC's module shows both tokens.
    let key = match *module == ground.installed.sign() {
        true => "pkcs11:id=%02;type=private",
        false => "pkcs11:token=JPKI%20%28Digital%20Signature%20PIN%29;id=%02;type=private",
    };
    let ran = run_typing(
        &ground.scratch,
        openssl()
            .args([
                "smime", "-sign", "-engine", "pkcs11", "-keyform", "engine", "-inkey", key, "-md", "sha256", "-text",
            ])
            .args(["-from", "taro@example.jp", "-to", "hanako@example.jp", "-subject", "practice", "-signer"])
            .args([&certificate, Path::new("-certfile"), &ca])
            .args([Path::new("-in"), &text, Path::new("-out"), &signed])
            .env("OPENSSL_CONF", ground.installed.conf("openssl-engine.cnf"))
            .env("PKCS11_MODULE_PATH", module),
        password,
    );
    (ran, signed)
}

/// The two parts of a multipart/signed message: what is signed, as it is hashed, and the signature in base64.
fn parts(signed: &Path) -> (String, String) {
    let mail = fs::read_to_string(signed).expect("it was signed").replace("\r\n", "\n");
    let boundary = mail.split("boundary=\"").nth(1).and_then(|rest| rest.split('"').next()).expect("it has parts");
    let boundary = format!("--{boundary}");
    let mut parts = mail.split(&boundary).skip(1).filter_map(|part| part.strip_prefix('\n'));
    let content = parts.next().and_then(|part| part.strip_suffix('\n')).expect("the first part is what is signed");
    let signature = parts.next().and_then(|part| part.split("\n\n").nth(1)).expect("the second is the signature");
    (content.replace('\n', "\r\n"), signature.to_owned())
}

/// What GnuTLS says of it, trusting this CA.
fn certtool(ground: &Ground<'_>, ca: &str, content: &str, signature: &str) -> Ran {
    let armoured = format!("-----BEGIN PKCS7-----\n{}\n-----END PKCS7-----\n", signature.trim());
    let [armoured, content, ca] = [("signature.pem", &*armoured), ("content", content), ("trusted.pem", ca)]
        .map(|(name, text)| ground.scratch.file(name, text));
    run(without_terminal(tool("certtool", "gnutls-bin")).args(["--p7-verify", "--infile"]).args([
        &armoured,
        Path::new("--load-data"),
        &content,
        Path::new("--load-ca-certificate"),
        &ca,
    ]))
}

#[test]
fn a_signed_mail_is_verified_by_openssl_and_gnutls() {
    with_ground("mail::a_signed_mail_is_verified_by_openssl_and_gnutls", |ground| {
        let card = ground.card();
        let ((ran, signed), cost) =
            ground.with_inserted(&card, |_| sign(ground, &card, &ground.installed.sign(), PASSWORD));
        ran.ok();
        let ca = ground.scratch.file("sign-ca.pem", card.sign_ca());
        let verified =
            run(openssl().args(["smime", "-verify", "-text", "-in"]).arg(&signed).arg("-CAfile").arg(ca)).ok();
        assert_eq!(verified.replace("\r\n", "\n"), TEXT);
        let (content, signature) = parts(&signed);
        let verified = certtool(ground, card.sign_ca(), &content, &signature);
        assert!(verified.success && verified.stderr.contains("Signature status: ok"), "{verified:?}");
        certtool(ground, card.sign_ca(), &content.replace("練習", "演習"), &signature).refused();
        certtool(ground, card.auth_ca(), &content, &signature).refused();
        assert_eq!((cost.verifies, card.tries()), (1, (3, 5)));
    });
}

#[test]
fn a_wrong_password_costs_one_try() {
    with_ground("mail::a_wrong_password_costs_one_try", |ground| {
        let card = ground.card();
        let ((ran, _), cost) =
            ground.with_inserted(&card, |_| sign(ground, &card, &ground.installed.sign(), "WRONG12"));
        ran.refused();
        assert_eq!((cost.verifies, card.tries()), (1, (3, 4)));
    });
}

#[test]
fn signing_a_mail_costs_less_than_with_opensc() {
    with_ground("mail::signing_a_mail_costs_less_than_with_opensc", |ground| {
        let card = ground.card();
        ground.compare(&card, PROGRAM, "sign a mail", &ground.installed.sign(), |module| {
            // With OpenSC's it is asked for a second time, for the signature.
            sign(ground, &card, module, &format!("{PASSWORD}\n{PASSWORD}")).0.success
        });
        assert_eq!(card.tries(), (3, 5));
    });
}
