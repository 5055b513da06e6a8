//! What may be the next card: its keys, signatures and certificates, with OpenSSL as the second opinion. What it answers to
//! which command is in `tests/scripts/next.toml`.

use crate::fixture::{bytes, card, data, directory, hex, image, order, send};
use der::{DecodePem, Encode};
use jpki_pkcs11::emulator::image::{Image, Kind};
use jpki_pkcs11::emulator::issue::{self, Order};
use jpki_pkcs11::emulator::logged::Logged;
use jpki_pkcs11::emulator::resident::Resident;
use jpki_pkcs11::emulator::store::{ImageError, Store};
use jpki_pkcs11::emulator::{PracticeCard, PracticeReaders};
use jpki_pkcs11::transport::{Readers, Transaction};
use p384::ecdsa::signature::hazmat::PrehashVerifier;
use p384::ecdsa::{Signature, VerifyingKey};
use p384::pkcs8::{DecodePublicKey, EncodePublicKey, LineEnding};
use sha2::{Digest, Sha256, Sha384, Sha512};
use std::fs;
use std::path::Path;
use std::process::Command;
use std::time::Duration;
use x509_cert::Certificate;

const NEXT: &str = "00A4040C0AF04A504B494E45585401";
const PIN: &str = "002000960431323334";
const PASSWORD: &str = "0020009806414243313233";
const AUTH_KEY: u8 = 0x95;
const SIGN_KEY: u8 = 0x97;

fn certificate(pem: &Option<String>) -> Certificate {
    Certificate::from_pem(pem.as_ref().unwrap()).unwrap()
}

fn public_key(pem: &Option<String>) -> VerifyingKey {
    let spki = certificate(pem).tbs_certificate().subject_public_key_info().to_der().unwrap();
    VerifyingKey::from_public_key_der(&spki).unwrap()
}

fn logged_in(image: Image, secrets: &[&str]) -> PracticeCard {
    let mut card = card(image);
    for command in [&[NEXT], secrets].concat() {
        assert_eq!(send(&mut card, command), "9000", "{command}");
    }
    card
}

fn sign(card: &mut PracticeCard, p2: u8, hash: &[u8]) -> Vec<u8> {
    data(card, &format!("802A00{p2:02X}{:02X}{}00", hash.len(), hex(hash)))
}

fn openssl(directory: &Path, arguments: &str) -> (bool, String) {
    let mut command = Command::new("openssl");
    command.args(arguments.split(' ')).current_dir(directory);
    let output = command.output().expect("openssl is needed for these tests");
    (output.status.success(), String::from_utf8([output.stdout, output.stderr].concat()).unwrap())
}

#[test]
fn openssl_verifies_a_signature_over_each_hash_with_either_key() {
    let image = image(Kind::Next);
    let keys = [(AUTH_KEY, public_key(&image.certificates.auth)), (SIGN_KEY, public_key(&image.certificates.sign))];
    let mut card = logged_in(image, &[PASSWORD]);
    let message = b"hello\n";
    let hashes = [
        ("sha256", Sha256::digest(message).to_vec()),
        ("sha384", Sha384::digest(message).to_vec()),
        ("sha512", Sha512::digest(message).to_vec()),
    ];
    let directory = directory();
    fs::write(directory.path().join("message"), message).unwrap();
    for (p2, key) in &keys {
        fs::write(directory.path().join("key"), key.to_public_key_pem(LineEnding::LF).unwrap()).unwrap();
        for (name, hash) in &hashes {
            let raw = sign(&mut card, *p2, hash);
            assert_eq!(raw.len(), 96);
            let signature = Signature::from_slice(&raw).unwrap();
            fs::write(directory.path().join("signature"), signature.to_der().as_bytes()).unwrap();
            let dgst = format!("dgst -{name} -verify key -signature signature message");
            let (done, text) = openssl(directory.path(), &dgst);
            assert!(done && text.contains("Verified OK"), "{name}: {text}");
        }
    }
    // The other key's is none.
    let (p2, key) = (&keys[0].0, &keys[1].1);
    let signature = Signature::from_slice(&sign(&mut card, *p2, &hashes[1].1)).unwrap();
    assert!(key.verify_prehash(&hashes[1].1, &signature).is_err());
}

/// FIPS 186-5 §6.4.1: of a longer hash the leftmost 384 bits count, a shorter one is the number that it spells.
#[test]
fn a_hash_of_any_length_is_signed_as_the_number_of_its_leftmost_bits() {
    let image = image(Kind::Next);
    let key = public_key(&image.certificates.auth);
    let mut card = logged_in(image, &[PIN]);
    for length in [1, 20, 23, 24, 32, 47, 48, 49, 64] {
        let hash: Vec<u8> = (1..=length).collect();
        let mut number = [0; 48];
        let leftmost = &hash[..hash.len().min(48)];
        number[48 - leftmost.len()..].copy_from_slice(leftmost);
        let signature = Signature::from_slice(&sign(&mut card, AUTH_KEY, &hash)).unwrap();
        key.verify_prehash(&number, &signature).unwrap_or_else(|error| panic!("{length}: {error}"));
    }
}

#[test]
fn no_two_signatures_over_one_hash_are_the_same() {
    let mut card = logged_in(image(Kind::Next), &[PIN]);
    assert_ne!(sign(&mut card, AUTH_KEY, &[7; 48]), sign(&mut card, AUTH_KEY, &[7; 48]));
}

#[test]
fn openssl_reads_the_certificates_as_they_are_meant() {
    let certificates = image(Kind::Next).certificates;
    let directory = directory();
    for (pem, not_after) in [
        (&certificates.auth, "May  5 14:59:59 2035 GMT"),
        (&certificates.sign, "May  5 14:59:59 2035 GMT"),
        (&certificates.auth_ca, "Jan  1 00:00:00 2046 GMT"),
        (&certificates.sign_ca, "Jan  1 00:00:00 2046 GMT"),
    ] {
        fs::write(directory.path().join("certificate"), pem.as_ref().unwrap()).unwrap();
        let (done, text) = openssl(directory.path(), "x509 -noout -text -in certificate");
        assert!(done, "{text}");
        for line in ["Public Key Algorithm: id-ecPublicKey", "ASN1 OID: secp384r1", not_after, "O=PRACTICE, NOT VALID"]
        {
            assert!(text.replace(" = ", "=").replace(['"', '\\'], "").contains(line), "no {line:?} in\n{text}");
        }
        assert_eq!(text.matches("Signature Algorithm: ecdsa-with-SHA384").count(), 2, "{text}");
        // RFC 5758 §3.2: without parameters.
        assert!(certificate(pem).signature_algorithm().parameters.is_none());
    }
}

/// What moving house comes to: the same keys, certified anew by the same authority.
#[test]
fn a_card_that_is_certified_again_keeps_its_keys_and_openssl_verifies_the_new_certificates() {
    let order = order(Kind::Next);
    let first = issue::personalise(&order).unwrap();
    let mut again = first.clone();
    let resident = Resident { address: "見本県練習市新町2番地".into(), ..Resident::default() };
    issue::clerk_step(&mut again, &Order { resident, ..order.clone() }, &order.authority().unwrap()).unwrap();
    assert!(again.keys == first.keys && again.secrets == first.secrets);
    assert!(again.certificates.sign_ca == first.certificates.sign_ca);
    let numbers = [&first, &again].map(|image| {
        let certificate = certificate(&image.certificates.sign);
        certificate.tbs_certificate().serial_number().as_bytes().to_vec()
    });
    assert_ne!(numbers[0], numbers[1]);
    assert_eq!(public_key(&again.certificates.sign), public_key(&first.certificates.sign));
    let directory = directory();
    fs::write(directory.path().join("leaf"), again.certificates.sign.as_ref().unwrap()).unwrap();
    fs::write(directory.path().join("ca"), again.certificates.sign_ca.as_ref().unwrap()).unwrap();
    let (done, text) = openssl(directory.path(), "verify -x509_strict -attime 1768446000 -CAfile ca leaf");
    assert!(done && text.contains(": OK"), "{text}");
}

#[test]
fn no_two_keys_of_a_card_and_its_authority_are_the_same() {
    let image = image(Kind::Next);
    let certificates = &image.certificates;
    let mut keys = [&certificates.auth, &certificates.auth_ca, &certificates.sign, &certificates.sign_ca]
        .map(|pem| public_key(pem).to_sec1_point(false).as_bytes().to_vec());
    keys.sort();
    assert!(keys.iter().zip(&keys[1..]).all(|(one, other)| one != other));
}

#[test]
fn openssl_takes_the_keys_in_its_file_for_those_of_its_certificates() {
    let image = image(Kind::Next);
    let directory = directory();
    for (key, pem) in [(&image.keys.auth, &image.certificates.auth), (&image.keys.sign, &image.certificates.sign)] {
        fs::write(directory.path().join("key"), key.as_ref().unwrap()).unwrap();
        let (done, text) = openssl(directory.path(), "pkey -in key -pubout");
        assert!(done, "{text}");
        assert_eq!(text, public_key(pem).to_public_key_pem(LineEnding::LF).unwrap());
    }
}

#[test]
fn a_card_with_another_kinds_keys_is_refused() {
    let [next, other] = [Kind::Next, Kind::Juki].map(image);
    for (mut image, key) in [(next.clone(), other.keys.sign.clone()), (other, next.keys.sign)] {
        image.keys.sign = key;
        let refused = PracticeCard::in_memory(image);
        assert!(matches!(refused, Err(ImageError::Key(_, "signature"))));
    }
}

#[test]
fn its_file_is_read_back_as_it_was_written() {
    let image = image(Kind::Next);
    let text = image.to_text().unwrap();
    assert!(text.contains("kind = \"next\"\n"), "{}", text.lines().take(5).collect::<String>());
    assert!(Image::parse(&text).unwrap() == image);
}

#[test]
fn in_the_embedded_reader_its_file_counts_its_tries_and_no_secret_is_in_the_log() {
    let directory = directory();
    let file = directory.path().join("next.card");
    drop(PracticeCard::create(&file, &image(Kind::Next)).unwrap());
    let readers = PracticeReaders::from_files(std::slice::from_ref(&file), Duration::ZERO);
    let mut link = readers.connect(&PracticeReaders::name(0)).unwrap();
    let mut transaction = Transaction::begin(&mut *link).unwrap();
    for (command, answer) in
        [(NEXT, "9000"), ("00200096 04 30303030", "63C2"), ("00200098 06 303030303030", "63C4"), (PASSWORD, "9000")]
    {
        assert_eq!(hex(&transaction.transmit(&bytes(command)).unwrap()), answer, "{command}");
    }
    let signature = transaction.transmit(&bytes("802A0095 01 07 00")).unwrap();
    assert_eq!(signature.len(), 98);
    drop(transaction);
    let secrets = Store::open(&file).unwrap().read().unwrap().secrets;
    assert_eq!([secrets.auth, secrets.sign].map(|secret| secret.unwrap().tries), [2, 5]);
    let log = format!("{:?}", readers.log());
    assert_eq!(log.matches("[secret]").count(), 3, "{log}");
    assert!(!log.contains("30 30 30") && !log.contains("41 42 43"), "{log}");
}

#[test]
fn no_secret_of_its_is_in_the_log() {
    let mut log = Vec::new();
    let mut card = Logged::new(card(image(Kind::Next)), &mut log);
    for command in [NEXT, PIN, PASSWORD, "00240196 04 35363738", "00240198 06 444546343536"] {
        assert_eq!(send(&mut card, command), "9000", "{command}");
    }
    card.finish().unwrap();
    let log = String::from_utf8(log).unwrap();
    assert_eq!(log.matches("[secret]").count(), 4, "{log}");
    for secret in ["31 32 33 34", "31323334", "41 42 43", "414243", "35 36 37 38", "44 45 46"] {
        assert!(!log.contains(secret), "{log}");
    }
}
