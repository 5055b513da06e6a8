//! The practice card as the crate `myna-card` sees it, through a real pcscd: a client of the applet that was tried on real
//! cards and that nobody here wrote. OpenSSL judges what the card signs.

mod common;

use common::Scratch;
use common::cards::{PASSWORD, PIN, card};
use common::openssl::{Padding, PublicKey};
use common::pcscd::{READER, with_pcscd};
use jpki_pkcs11::emulator::image::Kind;
use myna_card::Card;
use myna_card::ap::jpki::{JpkiAp, SignatureScheme, TokenType};
use myna_card::card::Retries;
use myna_card::pin::Pin;
use myna_card::transport::pcsc::{PcscTransport, Sharing, connect};
use sha2::{Digest, Sha256};

/// `30 31 …`: the DigestInfo of SHA-256 before its 32 bytes (`card.md` §9).
const SHA256_INFO: [u8; 19] =
    [0x30, 0x31, 0x30, 0x0D, 0x06, 0x09, 0x60, 0x86, 0x48, 0x01, 0x65, 0x03, 0x04, 0x02, 0x01, 0x05, 0x00, 0x04, 0x20];

const MESSAGE: &[u8] = b"practice makes perfect";

fn connected() -> Card<PcscTransport> {
    let mut card = connect(READER, Sharing::Shared).unwrap();
    // As this crate's own `power_cycle` does: the first command after power-up gets 6F00.
    match JpkiAp::select(&mut card) {
        Err(myna_card::Error::Status(status)) if status.value() == 0x6F00 => {}
        other => panic!("the first command after power-up: {:?}", other.err()),
    }
    card
}

#[test]
fn it_knows_the_card_and_its_files() {
    with_pcscd("it_knows_the_card_and_its_files", |pcscd| {
        let scratch = Scratch::new();
        let _card = pcscd.insert(&card(&scratch, Kind::MyNumber));
        let mut card = connected();
        let mut applet = JpkiAp::select(&mut card).unwrap();
        assert_eq!(applet.read_token_type().unwrap(), TokenType::Card);
        let info = applet.read_token_info().unwrap();
        assert_eq!(info.model.trim_end(), "PRACTICE");
        let available = applet.read_certificate_availability().unwrap();
        assert!(available.has_sign_certificate() && available.has_auth_certificate());
        for der in [
            applet.read_auth_certificate_der().unwrap(),
            applet.read_auth_ca_certificate_der().unwrap(),
            applet.read_sign_ca_certificate_der().unwrap(),
        ] {
            PublicKey::of_certificate(&scratch, der);
        }
    });
}

#[test]
fn the_sign_certificate_is_refused_before_its_password() {
    with_pcscd("the_sign_certificate_is_refused_before_its_password", |pcscd| {
        let scratch = Scratch::new();
        let _card = pcscd.insert(&card(&scratch, Kind::MyNumber));
        let mut card = connected();
        let mut applet = JpkiAp::select(&mut card).unwrap();
        let refused = applet.read_sign_certificate_der().unwrap_err().to_string();
        assert!(refused.contains("6982"), "{refused}");
        applet.verify_auth_pin(&Pin::new(PIN).unwrap()).unwrap();
        applet.read_sign_certificate_der().expect_err("the other secret does not open it");
        applet.verify_sign_pin(&Pin::new(PASSWORD).unwrap()).unwrap();
        PublicKey::of_certificate(&scratch, applet.read_sign_certificate_der().unwrap());
    });
}

#[test]
fn openssl_verifies_all_six_schemes_with_both_keys() {
    with_pcscd("openssl_verifies_all_six_schemes_with_both_keys", |pcscd| {
        let scratch = Scratch::new();
        let _card = pcscd.insert(&card(&scratch, Kind::MyNumber));
        let mut card = connected();
        let mut applet = JpkiAp::select(&mut card).unwrap();
        applet.verify_auth_pin(&Pin::new(PIN).unwrap()).unwrap();
        applet.verify_sign_pin(&Pin::new(PASSWORD).unwrap()).unwrap();
        let auth = applet.read_auth_certificate_der().unwrap();
        check_schemes(&PublicKey::of_certificate(&scratch, auth), |scheme, data| {
            applet.sign_with_auth_key(scheme, data).unwrap()
        });
        let sign = applet.read_sign_certificate_der().unwrap();
        check_schemes(&PublicKey::of_certificate(&scratch, sign), |scheme, data| {
            applet.sign_with_sign_key(scheme, data).unwrap()
        });
    });
}

fn check_schemes(key: &PublicKey<'_>, mut sign: impl FnMut(SignatureScheme, &[u8]) -> Vec<u8>) {
    let hash = Sha256::digest(MESSAGE);
    assert_eq!(key.recover(&sign(SignatureScheme::Verbatim, MESSAGE)), MESSAGE);
    let info = [&SHA256_INFO[..], &hash].concat();
    key.assert_signed("sha256", Padding::Pkcs1, MESSAGE, &sign(SignatureScheme::Verbatim, &info));
    assert_eq!(key.recover(&sign(SignatureScheme::Sha256Bare, MESSAGE)), *hash);
    for (scheme, data, padding) in [
        (SignatureScheme::PreHashedDigestInfo, &hash[..], Padding::Pkcs1),
        (SignatureScheme::Sha256DigestInfo, MESSAGE, Padding::Pkcs1),
        (SignatureScheme::PreHashedPss, &hash[..], Padding::Pss),
        (SignatureScheme::Sha256Pss, MESSAGE, Padding::Pss),
    ] {
        key.assert_signed("sha256", padding, MESSAGE, &sign(scheme, data));
    }
}

#[test]
fn it_counts_tries_and_changes_a_pin() {
    with_pcscd("it_counts_tries_and_changes_a_pin", |pcscd| {
        let scratch = Scratch::new();
        let _card = pcscd.insert(&card(&scratch, Kind::MyNumber));
        let mut card = connected();
        let mut applet = JpkiAp::select(&mut card).unwrap();
        assert_eq!(applet.auth_pin_retries().unwrap(), Retries::Remaining(3));
        assert_eq!(applet.sign_pin_retries().unwrap(), Retries::Remaining(5));
        applet.verify_auth_pin(&Pin::new("0000").unwrap()).expect_err("it is another");
        assert_eq!(applet.auth_pin_retries().unwrap(), Retries::Remaining(2));
        assert_eq!(applet.sign_pin_retries().unwrap(), Retries::Remaining(5));
        applet.change_auth_pin(&Pin::new(PIN).unwrap(), &Pin::new("4321").unwrap()).unwrap();
        assert_eq!(applet.auth_pin_retries().unwrap(), Retries::Remaining(3));
        applet.verify_auth_pin(&Pin::new(PIN).unwrap()).expect_err("it was changed");
        applet.verify_auth_pin(&Pin::new("4321").unwrap()).unwrap();
    });
}
