//! XML signatures as e-government applications use them: enveloped, RSA with SHA-256, canonical XML 1.0, the certificate
//! in X509Data. xmlsec1 verifies them without the card.

use crate::common::cards::PASSWORD;
use crate::common::{Ran, Scratch, opensc, run, tool};
use crate::database;
use crate::ground::{Card, Ground, with_ground};
use crate::program::{run_typing, without_terminal};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

/// An application to sign.
pub fn application(scratch: &Scratch) -> PathBuf {
    scratch.file("application.xml", APPLICATION.replace("{signature}", ""))
}

/// Asserts that xmlsec1 takes the signature for whole and its certificate for one of the card's signature CA, and neither
/// when the text or the CA is another.
pub fn assert_signed(scratch: &Scratch, card: &Card, signed: &Path) {
    let ran = verify(scratch, card.sign_ca(), signed);
    assert!(ran.success && (ran.stdout + &ran.stderr).contains("SignedInfo References (ok/all): 1/1"));
    let text = fs::read_to_string(signed).expect("it was signed");
    for part in ["xmlenc#sha256", "xmldsig-more#rsa-sha256", "#enveloped-signature", "X509Certificate"] {
        assert!(text.contains(part), "{part}\n{text}");
    }
    assert!(text.contains("練習の申請"), "{text}");
    let tampered = scratch.file("tampered.xml", text.replace("練習の申請", "練習の申込"));
    verify(scratch, card.sign_ca(), &tampered).refused();
    verify(scratch, card.auth_ca(), signed).refused();
}

fn verify(scratch: &Scratch, ca: &str, signed: &Path) -> Ran {
    let ca = scratch.file("trusted.pem", ca);
    run(without_terminal(tool("xmlsec1", "xmlsec1")).args(["--verify", "--trusted-pem"]).args([&ca, signed]))
}

const APPLICATION: &str = "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n\
<申請書 xmlns=\"urn:practice:application\"><手続>練習の申請</手続>{signature}</申請書>\n";

/// What xmlsec1 fills in.
const TEMPLATE: &str = r#"<Signature xmlns="http://www.w3.org/2000/09/xmldsig#"><SignedInfo>
<CanonicalizationMethod Algorithm="http://www.w3.org/TR/2001/REC-xml-c14n-20010315"/>
<SignatureMethod Algorithm="http://www.w3.org/2001/04/xmldsig-more#rsa-sha256"/>
<Reference URI=""><Transforms>
<Transform Algorithm="http://www.w3.org/2000/09/xmldsig#enveloped-signature"/>
</Transforms><DigestMethod Algorithm="http://www.w3.org/2001/04/xmlenc#sha256"/><DigestValue/></Reference>
</SignedInfo><SignatureValue/><KeyInfo><X509Data><X509Certificate/></X509Data></KeyInfo></Signature>"#;

fn template(scratch: &Scratch) -> PathBuf {
    scratch.file("template.xml", APPLICATION.replace("{signature}", TEMPLATE))
}

/// Builds `tests/clients/xmlsign.c`, which signs with libxmlsec1's NSS back end.
fn xmlsign(scratch: &Scratch) -> PathBuf {
    let flags = run(Command::new(tool("pkg-config", "pkg-config")).args(["--cflags", "--libs", "xmlsec1-nss", "nss"]));
    assert!(flags.success, "apt-get install libxmlsec1-dev (or `make setup-clients`)\n{}", flags.stderr);
    let program = scratch.path().join("xmlsign");
    run(without_terminal(tool("gcc", "gcc"))
        .args(["-std=c11", "-Wall", "-Wextra", "-Werror", "-O1", "-o"])
        .args([&program, &Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/clients/xmlsign.c")])
        .args(flags.stdout.split_whitespace()))
    .ok();
    program
}

/// Signs with the token of `database` that is called `token`.
fn sign(ground: &Ground<'_>, xmlsign: &Path, database: &Path, token: &str, password: &str) -> (Ran, PathBuf) {
    let (template, signed) = (template(&ground.scratch), ground.scratch.path().join("signed.xml"));
    let nickname = format!("{token}:Digital Signature Certificate");
    let ran = run_typing(
        &ground.scratch,
        without_terminal(xmlsign).args([database, Path::new(&nickname), &template, &signed]),
        password,
    );
    (ran, signed)
}

/// What our signature token is called.
fn token(ground: &Ground<'_>) -> String {
    let listed =
        run(without_terminal(tool("pkcs11-tool", "opensc")).arg("--module").arg(ground.installed.sign()).arg("-L"))
            .ok();
    let label = listed.lines().find_map(|line| line.trim().strip_prefix("token label"));
    label.and_then(|label| label.split_once(": ")).expect("there is a token").1.to_owned()
}

#[test]
fn the_nss_back_end_signs_and_xmlsec1_verifies() {
    with_ground("xmlsec::the_nss_back_end_signs_and_xmlsec1_verifies", |ground| {
        let card = ground.card();
        let xmlsign = xmlsign(&ground.scratch);
        let database = database::with_module(ground, &card, &ground.installed.sign());
        let ((ran, signed), cost) =
            ground.with_inserted(&card, |_| sign(ground, &xmlsign, &database, &token(ground), PASSWORD));
        ran.ok();
        assert_signed(&ground.scratch, &card, &signed);
        assert_eq!((cost.verifies, card.tries()), (1, (3, 5)));
    });
}

#[test]
fn a_wrong_password_costs_one_try() {
    with_ground("xmlsec::a_wrong_password_costs_one_try", |ground| {
        let card = ground.card();
        let xmlsign = xmlsign(&ground.scratch);
        let database = database::with_module(ground, &card, &ground.installed.sign());
        let ((ran, signed), cost) =
            ground.with_inserted(&card, |_| sign(ground, &xmlsign, &database, &token(ground), "WRONG12"));
        assert!(!signed.exists(), "{}", ran.refused());
        assert_eq!((cost.verifies, card.tries()), (1, (3, 4)));
    });
}

#[test]
fn signing_costs_less_than_with_opensc() {
    with_ground("xmlsec::signing_costs_less_than_with_opensc", |ground| {
        let card = ground.card();
        let xmlsign = xmlsign(&ground.scratch);
        let sign_module = ground.installed.sign();
        let databases = [&sign_module, &opensc()].map(|module| database::with_module(ground, &card, module));
        let (token, _) = ground.with_inserted(&card, |_| token(ground));
        ground.compare(&card, "libxmlsec1-nss", "sign an XML document", &sign_module, |module| {
            let (database, token) = match module == sign_module {
                true => (&databases[0], &*token),
                false => (&databases[1], "JPKI (Digital Signature PIN)"),
            };
            sign(ground, &xmlsign, database, token, PASSWORD).0.success
        });
        assert_eq!(card.tries(), (3, 5));
    });
}

/// xmlsec1 1.2 with OpenSSL 3 takes a key for private only if it has the private exponent, which no token's key has.
#[test]
fn xmlsec1_itself_does_not_take_an_engines_key_and_no_try_is_spent() {
    with_ground("xmlsec::xmlsec1_itself_does_not_take_an_engines_key_and_no_try_is_spent", |ground| {
        let card = ground.card();
        let certificate = ground.scratch.file("certificate.pem", card.sign_certificate());
        let template = template(&ground.scratch);
        let key = format!("pkcs11;pkcs11:id=%02;type=private?pin-value={PASSWORD},{}", certificate.display());
        let (said, _) = ground.with_inserted(&card, |_| {
            run(without_terminal(tool("xmlsec1", "xmlsec1"))
                .args(["--sign", "--privkey-openssl-engine", &key, "--output"])
                .args([&ground.scratch.path().join("signed.xml"), &template])
                .env("OPENSSL_CONF", ground.installed.conf("openssl-engine.cnf"))
                .env("PKCS11_MODULE_PATH", ground.installed.sign()))
            .refused()
        });
        assert!(said.contains("key is not found"), "{said}");
        assert_eq!(card.tries(), (3, 5));
    });
}
