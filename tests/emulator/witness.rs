//! The practice card seen by a client that nobody here wrote and that was tried on real cards: the crate `myna-card`.

use crate::fixture::{card, image};
use der::{Decode, DecodePem, Encode};
use jpki_pkcs11::emulator::image::{Image, Kind};
use jpki_pkcs11::emulator::switches::Answers;
use jpki_pkcs11::emulator::{Device, PracticeCard};
use myna_card::ap::common::CommonAp;
use myna_card::ap::jpki::{JpkiAp, SignatureScheme, TokenType};
use myna_card::{Card, Pin, Retries, Transmit};
use rsa::pkcs8::DecodePublicKey;
use rsa::{Pkcs1v15Sign, Pss, PublicKey};
use sha2::{Digest, Sha256};
use x509_cert::Certificate;

struct Cable(PracticeCard);

impl Transmit for Cable {
    fn transmit(&mut self, command: &[u8]) -> myna_card::Result<Vec<u8>> {
        Ok(self.0.transmit(command))
    }
}

fn plugged_in(image: Image) -> Card<Cable> {
    Card::new(Cable(card(image)))
}

fn pin(value: &str) -> Pin {
    Pin::new(value).unwrap()
}

fn key(der: &[u8]) -> PublicKey {
    let certificate = Certificate::from_der(der).unwrap();
    let spki = certificate.tbs_certificate().subject_public_key_info().to_der().unwrap();
    PublicKey::from_public_key_der(&spki).unwrap()
}

fn check(key: &PublicKey, scheme: SignatureScheme, input: &[u8], signature: &[u8]) {
    let hash = Sha256::digest(input);
    match scheme {
        SignatureScheme::Verbatim => key.verify(Pkcs1v15Sign::new_unprefixed(), input, signature),
        SignatureScheme::Sha256Bare => key.verify(Pkcs1v15Sign::new_unprefixed(), &hash, signature),
        SignatureScheme::PreHashedDigestInfo => key.verify(Pkcs1v15Sign::new::<Sha256>(), input, signature),
        SignatureScheme::Sha256DigestInfo => key.verify(Pkcs1v15Sign::new::<Sha256>(), &hash, signature),
        SignatureScheme::PreHashedPss => key.verify(Pss::<Sha256>::new_with_salt(32), input, signature),
        SignatureScheme::Sha256Pss => key.verify(Pss::<Sha256>::new_with_salt(32), &hash, signature),
    }
    .unwrap_or_else(|error| panic!("{scheme:?}: {error}"));
}

#[test]
fn it_reads_the_token_the_certificates_and_the_tries() {
    // Not by GET RESPONSE: it takes 6100 for no bytes more, where it means 256.
    for answers in [Answers::Whole, Answers::ExactLe] {
        let mut image = image(Kind::MyNumber);
        image.switches.answers = answers;
        let issued = |pem: &Option<String>| Certificate::from_pem(pem.as_ref().unwrap()).unwrap().to_der().unwrap();
        let certificates = image.certificates.clone();
        let mut card = plugged_in(image);
        assert_eq!(card.contact_atr().unwrap().len(), 9);
        assert_eq!(card.get_challenge(16).unwrap().len(), 16);
        let mut ap = JpkiAp::select(&mut card).unwrap();
        let token = ap.read_token_info().unwrap();
        assert_eq!((token.token_type, token.model.as_str()), (TokenType::Card, "PRACTICE"));
        assert_eq!((token.min_pin_len, token.max_pin_len), (6, 16));
        let there = ap.read_certificate_availability().unwrap();
        assert!(there.has_sign_certificate() && there.has_auth_certificate());
        assert_eq!(ap.read_auth_certificate_der().unwrap(), issued(&certificates.auth));
        assert_eq!(ap.read_auth_ca_certificate_der().unwrap(), issued(&certificates.auth_ca));
        assert_eq!(ap.read_sign_ca_certificate_der().unwrap(), issued(&certificates.sign_ca));
        assert!(ap.read_sign_certificate_der().is_err(), "before its password");
        assert_eq!(ap.auth_pin_retries().unwrap().count(), Some(3));
        ap.verify_sign_pin(&pin("ABC123")).unwrap();
        assert_eq!(ap.sign_pin_retries().unwrap(), Retries::Remaining(5));
        assert_eq!(ap.read_sign_certificate_der().unwrap(), issued(&certificates.sign));
    }
}

#[test]
fn it_signs_in_all_six_schemes_with_both_keys() {
    let hash = [7; 32];
    let schemes = [
        SignatureScheme::Verbatim,
        SignatureScheme::Sha256Bare,
        SignatureScheme::PreHashedDigestInfo,
        SignatureScheme::Sha256DigestInfo,
        SignatureScheme::PreHashedPss,
        SignatureScheme::Sha256Pss,
    ];
    let mut card = plugged_in(image(Kind::MyNumber));
    let mut ap = JpkiAp::select(&mut card).unwrap();
    for scheme in schemes {
        assert!(ap.sign_with_auth_key(scheme, &hash).is_err(), "before its PIN");
    }
    ap.verify_auth_pin(&pin("1234")).unwrap();
    ap.verify_sign_pin(&pin("ABC123")).unwrap();
    let auth = key(&ap.read_auth_certificate_der().unwrap());
    let sign = key(&ap.read_sign_certificate_der().unwrap());
    for scheme in schemes {
        check(&auth, scheme, &hash, &ap.sign_with_auth_key(scheme, &hash).unwrap());
        check(&sign, scheme, &hash, &ap.sign_with_sign_key(scheme, &hash).unwrap());
    }
}

#[test]
fn it_changes_a_pin_and_finds_the_old_one_refused() {
    let mut card = plugged_in(image(Kind::MyNumber));
    let mut ap = JpkiAp::select(&mut card).unwrap();
    ap.change_auth_pin(&pin("1234"), &pin("5678")).unwrap();
    assert!(ap.verify_auth_pin(&pin("1234")).is_err());
    assert_eq!(ap.auth_pin_retries().unwrap().count(), Some(2));
    ap.verify_auth_pin(&pin("5678")).unwrap();
}

#[test]
fn it_has_the_common_applications_key_sign_a_challenge() {
    let mut card = plugged_in(image(Kind::MyNumber));
    let mut ap = CommonAp::select(&mut card).unwrap();
    let first = ap.internal_authenticate(b"challenge").unwrap();
    assert_eq!(first.len(), 256);
    assert_eq!(ap.internal_authenticate(b"challenge").unwrap(), first);
    assert_ne!(ap.internal_authenticate(b"another").unwrap(), first);
}

#[test]
fn it_tells_the_telephones_by_their_labels() {
    for (kind, expected) in [(Kind::Android, TokenType::Android), (Kind::Ios, TokenType::IPhone)] {
        let mut card = plugged_in(image(kind));
        assert_eq!(JpkiAp::select(&mut card).unwrap().read_token_type().unwrap(), expected);
    }
}
