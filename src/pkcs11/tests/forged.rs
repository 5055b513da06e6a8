//! Cards whose contents were made to do harm: text that acts on whoever shows it, and keys that are none.

use super::*;
use crate::apdu::READ_BINARY;
use crate::cert::Certificate as Read;
use crate::cert::forgery::{Forgery, rename};
use crate::emulator::local::Incident;
use der::Encode;
use der::asn1::{Any, AnyRef, BitString, ObjectIdentifier, UintRef};
use x509_cert::spki::AlgorithmIdentifierOwned;

const RSA_ENCRYPTION: &str = "1.2.840.113549.1.1.1";
const EC_PUBLIC_KEY: &str = "1.2.840.10045.2.1";

/// Clears the screen, ends the line, closes the nickname, and pretends to be HTML.
const HOSTILE: &[u8] = b"\x1b[2J\r\n\x9b\x00\x07:<b>\"'\xff";

/// The authentication certificate with another public key.
fn with_key(algorithm: &str, key: &[u8]) -> Image {
    let mut image = MY_NUMBER.clone();
    let mut certificate = Forgery::from_pem(image.certificates.auth.as_deref().unwrap());
    let info = &mut certificate.tbs.key;
    info.algorithm = AlgorithmIdentifierOwned {
        oid: ObjectIdentifier::new_unwrap(algorithm),
        parameters: Some(AnyRef::NULL.into()),
    };
    info.subject_public_key = BitString::from_bytes(key).unwrap();
    image.certificates.auth = Some(certificate.to_pem());
    image
}

fn rsa(modulus: &[u8], exponent: &[u8]) -> Vec<u8> {
    let key = rsa::pkcs1::RsaPublicKeyRef {
        modulus: UintRef::new(modulus).unwrap(),
        public_exponent: UintRef::new(exponent).unwrap(),
    };
    key.to_der().unwrap()
}

fn modulus(bytes: usize) -> Vec<u8> {
    let mut modulus = vec![0xA7; bytes];
    modulus[0] = 0xC1;
    modulus
}

#[test]
fn a_key_that_is_no_rsa_key_of_a_card_is_a_certificate_without_a_key() {
    let negative = {
        // The modulus without the zero that keeps it positive.
        let mut key = rsa(&modulus(256), &[1, 0, 1]);
        let at = key.windows(2).position(|pair| pair == [0x00, 0xC1]).unwrap();
        key[at] = 0xC1;
        key
    };
    let cases = [
        ("not RSA", EC_PUBLIC_KEY, rsa(&modulus(256), &[1, 0, 1])),
        ("16 384 bits", RSA_ENCRYPTION, rsa(&modulus(2048), &[1, 0, 1])),
        ("512 bits", RSA_ENCRYPTION, rsa(&modulus(64), &[1, 0, 1])),
        ("e = 1", RSA_ENCRYPTION, rsa(&modulus(256), &[1])),
        ("e even", RSA_ENCRYPTION, rsa(&modulus(256), &[1, 0, 0])),
        ("e of 64 bits", RSA_ENCRYPTION, rsa(&modulus(256), &[0xFF; 8])),
        ("negative", RSA_ENCRYPTION, negative),
        ("empty", RSA_ENCRYPTION, Vec::new()),
        ("a length of 4 GiB", RSA_ENCRYPTION, vec![0x30, 0x84, 0xFF, 0xFF, 0xFF, 0xFF]),
    ];
    for (what, algorithm, key) in cases {
        let ground = Ground::new(card(&with_key(algorithm, &key)));
        let session = ground.session(AUTH);
        ground.login(session, PIN).unwrap();
        assert!(ground.class(session, CKO_PRIVATE_KEY).is_empty(), "{what}");
        assert!(ground.class(session, CKO_PUBLIC_KEY).is_empty(), "{what}");
        assert_eq!(ground.class(session, CKO_CERTIFICATE).len(), 2, "{what}: it is a certificate all the same");
        let own = ground.find(session, &[(CKA_ID, &[1]), (CKA_CLASS, &CKO_CERTIFICATE.to_ne_bytes())])[0];
        assert!(ground.attribute(session, own, CKA_VALUE).is_ok(), "{what}");
        ground.login(ground.session(SIGN), PASSWORD).unwrap();
        ground.sign(ground.session(SIGN), b"x").unwrap();
    }
}

#[test]
fn a_certificate_that_is_not_the_private_keys_partner_lets_no_signature_out() {
    for bytes in [128, 256, 512] {
        let ground = Ground::new(card(&with_key(RSA_ENCRYPTION, &rsa(&modulus(bytes), &[1, 0, 1]))));
        let session = ground.session(AUTH);
        ground.login(session, PIN).unwrap();
        assert_eq!(ground.sign(session, b"x"), Err(Rv::DEVICE_ERROR), "{bytes}");
        assert_eq!(ground.state(session), CKS_RW_USER_FUNCTIONS);
        assert_eq!(ground.readers.verifies(), 1, "{bytes}");
    }
}

/// EF 0006 with hostile text wherever it has room: after the label, and in model and serial number.
fn hostile_information() -> Vec<u8> {
    let mut file = vec![b' '; 160];
    file.iter_mut().zip(HOSTILE.iter().cycle()).for_each(|(byte, hostile)| *byte = *hostile);
    file[..15].copy_from_slice(b"JPKIAPICCTOKEN2");
    file[15..32].fill(b' ');
    [file, vec![0x90, 0x00]].concat()
}

#[test]
fn hostile_token_information_is_printable_in_ck_token_info() {
    let ground = Ground::new(card(&MY_NUMBER));
    ground.readers.on_command(READER, |command| match (command.ins, command.p1) {
        (READ_BINARY, 0x86) => Incident::Answer(hostile_information()),
        _ => Incident::None,
    });
    for slot in [AUTH, SIGN] {
        let info = ground.module.token_info(slot).unwrap();
        let fields = [&info.label[..], &info.manufacturerID, &info.model, &info.serialNumber, &info.utcTime];
        assert!(fields.concat().iter().all(|byte| (0x20..0x7F).contains(byte)), "{info:?}");
        assert!(!info.label.contains(&b':'), "a colon breaks NSS nicknames: {}", text(&info.label));
    }
    let slot = ground.module.slot_info(AUTH).unwrap();
    assert!(!slot.slotDescription.iter().any(u8::is_ascii_control));
}

#[test]
fn labels_are_ours_whatever_the_certificate_says() {
    let mut image = MY_NUMBER.clone();
    let mut certificate = Forgery::from_pem(image.certificates.auth.as_deref().unwrap());
    rename(&mut certificate.tbs.subject, &Any::new(der::Tag::Utf8String, &HOSTILE[..6]).unwrap());
    let der = certificate.to_der().unwrap();
    image.certificates.auth = Some(certificate.to_pem());
    let ground = Ground::new(card(&image));
    let session = ground.session(AUTH);
    ground.login(session, PIN).unwrap();
    for object in ground.find(session, &[(CKA_ID, &[1])]) {
        assert!(ground.label(session, object).starts_with("User Authentication "));
    }
    let own = ground.find(session, &[(CKA_ID, &[1]), (CKA_CLASS, &CKO_CERTIFICATE.to_ne_bytes())])[0];
    let value = ground.attribute(session, own, CKA_VALUE).unwrap();
    assert_eq!(value, der, "the certificate itself is handed on as it is");
    assert_eq!(Read::parse(&value).unwrap().der(), der);
    ground.sign(session, b"x").unwrap();
}
