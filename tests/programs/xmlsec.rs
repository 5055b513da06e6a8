//! XML signatures as e-government applications use them: enveloped, RSA with SHA-256, canonical XML 1.0, the certificate
//! in X509Data. xmlsec1 verifies them without the card.

use crate::bounded::bounded;
use crate::common::cards::PASSWORD;
use crate::common::{Ran, Scratch, run, tool};
use crate::ground::{Card, with_ground};
use std::fs;
use std::path::{Path, PathBuf};

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
    run(bounded(tool("xmlsec1", "xmlsec1")).args(["--verify", "--trusted-pem"]).args([&ca, signed]))
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

/// xmlsec1 1.2 with OpenSSL 3 takes a key for private only if it has the private exponent, which no token's key has.
#[test]
fn xmlsec1_itself_does_not_take_an_engines_key_and_no_try_is_spent() {
    with_ground("xmlsec::xmlsec1_itself_does_not_take_an_engines_key_and_no_try_is_spent", |ground| {
        let card = ground.card();
        let certificate = ground.scratch.file("certificate.pem", card.sign_certificate());
        let template = template(&ground.scratch);
        let key = format!("pkcs11;pkcs11:id=%02;type=private?pin-value={PASSWORD},{}", certificate.display());
        let (said, _) = ground.with_inserted(&card, |_| {
            run(bounded(tool("xmlsec1", "xmlsec1"))
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
