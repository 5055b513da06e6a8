//! pyHanko, with `pyhanko.yml` as a user copies it and the signature password typed at its prompt.

use crate::common::cards::PASSWORD;
use crate::common::{Ran, run};
use crate::cost::Cost;
use crate::ground::{Ground, with_ground};
use crate::pdf::{assert_signed, document, pdfsig_on, pyhanko, pyhanko_on, tampered};
use crate::program::{program, run_typing};
use std::fs;
use std::path::{Path, PathBuf};

/// A holder's name as Japanese forms have it, with the ideographic space.
const NAME: &str = "練習　太郎";

/// Has pyHanko sign a document in a directory that holds its configuration.
fn sign(ground: &Ground<'_>, conf: &str, options: &[&str], password: &str) -> (Ran, PathBuf) {
    ground.scratch.file("pyhanko.yml", conf);
    let document = document(&ground.scratch);
    let signed = ground.scratch.path().join("signed.pdf");
    let ran = run_typing(
        &ground.scratch,
        pyhanko()
            .args(["sign", "addsig", "--field", "Signature"])
            .args(options)
            .args(["pkcs11", "--p11-setup", "jpki"])
            .args([&document, &signed])
            .current_dir(ground.scratch.path()),
        password,
    );
    (ran, signed)
}

fn conf(ground: &Ground<'_>) -> String {
    fs::read_to_string(ground.installed.conf("pyhanko.yml")).expect("it is installed")
}

/// The signature's dictionary, as text.
fn dictionary(signed: &Path) -> String {
    let document = fs::read(signed).expect("it was signed");
    let at = document.windows(10).position(|part| part == b"/Type /Sig").expect("it has a signature");
    String::from_utf8_lossy(&document[at..(at + 400).min(document.len())]).into_owned()
}

/// Whether the document has this certificate in it, in a signature's hexadecimal digits.
fn holds(ground: &Ground<'_>, signed: &Path, certificate: &str) -> bool {
    let (pem, der) = (ground.scratch.file("held.pem", certificate), ground.scratch.path().join("held.der"));
    run(program("openssl", "openssl").args(["x509", "-outform", "DER", "-in"]).arg(pem).arg("-out").arg(&der)).ok();
    let hex: String = fs::read(der).expect("it was written").iter().map(|byte| format!("{byte:02x}")).collect();
    let document = fs::read(signed).expect("it was signed").to_ascii_lowercase();
    document.windows(hex.len()).any(|part| part == hex.as_bytes())
}

#[test]
fn a_pades_signature_is_verified_by_pyhanko_and_pdfsig() {
    with_ground("pyhanko::a_pades_signature_is_verified_by_pyhanko_and_pdfsig", |ground| {
        let card = ground.card();
        let ((), cost) = ground.with_inserted(&card, |_| {
            let (ran, signed) = sign(ground, &conf(ground), &["--use-pades"], PASSWORD);
            ran.ok();
            assert!(dictionary(&signed).contains("/SubFilter /ETSI.CAdES.detached"));
            assert_signed(&ground.scratch, &card, &signed, &[]);
            assert!(holds(ground, &signed, card.sign_ca()), "whoever verifies it needs the authority's certificate");
            let tampered = tampered(&ground.scratch, &signed);
            pyhanko_on(&ground.scratch, &card, &tampered, &[]).refused();
            assert!(pdfsig_on(&ground.scratch, &card, &tampered).stdout.contains("Digest Mismatch."));
        });
        assert_eq!((cost.verifies, card.tries()), (1, (3, 5)));
    });
}

#[test]
fn the_registrys_signature_has_a_name_and_a_date() {
    with_ground("pyhanko::the_registrys_signature_has_a_name_and_a_date", |ground| {
        let card = ground.card();
        let ((), cost) = ground.with_inserted(&card, |_| {
            let (ran, signed) = sign(ground, &conf(ground), &["--name", NAME], PASSWORD);
            ran.ok();
            let dictionary = dictionary(&signed);
            assert!(dictionary.contains("/SubFilter /adbe.pkcs7.detached"), "{dictionary}");
            assert!(dictionary.contains("/M (D"), "{dictionary}");
            // UTF-16 with its mark, as PDF 1.7 has text strings, and octal where a byte is not ASCII.
            assert!(dictionary.contains(r"/Name (\376\377\175\364"), "{dictionary}");
            assert_signed(&ground.scratch, &card, &signed, &[]);
        });
        assert_eq!((cost.verifies, card.tries()), (1, (3, 5)));
    });
}

#[test]
fn a_wrong_password_costs_one_try_and_one_of_wrong_form_none() {
    with_ground("pyhanko::a_wrong_password_costs_one_try_and_one_of_wrong_form_none", |ground| {
        let card = ground.card();
        let signs = |password: &str| {
            let ((ran, signed), cost) =
                ground.with_inserted(&card, |_| sign(ground, &conf(ground), &["--use-pades"], password));
            let said = ran.refused();
            assert!(!signed.exists() || fs::metadata(&signed).is_ok_and(|file| file.len() == 0), "{said}");
            cost.verifies
        };
        assert_eq!((signs("12345"), card.tries()), (0, (3, 5)));
        assert_eq!((signs("WRONG12"), card.tries()), (1, (3, 4)));
    });
}

#[test]
fn signing_costs_less_than_with_opensc() {
    with_ground("pyhanko::signing_costs_less_than_with_opensc", |ground| {
        let card = ground.card();
        let sign_module = ground.installed.sign();
        ground.compare(&card, "pyHanko", "sign a PDF document", &sign_module, |module| {
            let conf = conf(ground);
            let conf = if module == sign_module {
                conf
            } else {
                // OpenSC's module shows both tokens, under names of its own.
                conf.replace(&sign_module.display().to_string(), &module.display().to_string())
                    .replace("token-criteria: {}", "token-criteria: {label: JPKI (Digital Signature PIN)}")
            };
            sign(ground, &conf, &["--use-pades"], PASSWORD).0.success
        });
        assert_eq!(card.tries(), (3, 5));
    });
}

/// pyHanko's salt for RSASSA-PSS is as long as the key allows, the card's as long as the hash.
#[test]
fn prefer_pss_is_refused_before_anything_is_signed() {
    with_ground("pyhanko::prefer_pss_is_refused_before_anything_is_signed", |ground| {
        let card = ground.card();
        let conf = conf(ground).replace("    cert-id: 2\n", "    cert-id: 2\n    prefer-pss: true\n");
        let (said, cost) = ground.with_inserted(&card, |_| sign(ground, &conf, &["--use-pades"], PASSWORD).0.refused());
        assert!(said.contains("Generic processing error"), "{said}");
        assert_eq!((cost.verifies, card.tries()), (1, (3, 5)));
    });
}

/// With CKA_ALWAYS_AUTHENTICATE a second question is asked, and both reach the card.
#[test]
fn always_authenticate_asks_again_for_the_signature() {
    with_ground("pyhanko::always_authenticate_asks_again_for_the_signature", |ground| {
        ground.pcscd.configure_module("[sign]\nalways_authenticate = true\n");
        let card = ground.card();
        let conf = conf(ground).replace("#signing-pin-mode", "signing-pin-mode");
        let (signed, Cost { verifies, .. }) = ground.with_inserted(&card, |_| {
            let (ran, signed) = sign(ground, &conf, &["--use-pades"], &format!("{PASSWORD}\n{PASSWORD}"));
            ran.ok();
            signed
        });
        assert_signed(&ground.scratch, &card, &signed, &[]);
        assert_eq!((verifies, card.tries()), (2, (3, 5)));
    });
}
