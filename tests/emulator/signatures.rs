//! The six schemes against the card's own certificates, checked in software.

use crate::fixture::{bytes, card, data, hex, image, send};
use der::DecodePem;
use jpki_pkcs11::emulator::image::{Image, Kind};
use jpki_pkcs11::emulator::switches::{PssSalt, Switches, WrongInput};
use jpki_pkcs11::emulator::{Device, PracticeCard};
use rsa::pkcs8::DecodePublicKey;
use rsa::{Pkcs1v15Sign, Pss, PublicKey};
use sha2::{Digest, Sha256};
use x509_cert::Certificate;
use x509_cert::der::Encode;

const JPKI: &str = "00A4040C0AD392F000260100000001";

fn public_key(pem: &Option<String>) -> PublicKey {
    let certificate = Certificate::from_pem(pem.as_ref().unwrap()).unwrap();
    let spki = certificate.tbs_certificate().subject_public_key_info().to_der().unwrap();
    PublicKey::from_public_key_der(&spki).unwrap()
}

fn logged_in(image: Image) -> PracticeCard {
    let mut card = card(image);
    for command in [JPKI, "002000980431323334", "0020009B06414243313233"] {
        assert_eq!(send(&mut card, command), "9000", "{command}");
    }
    card
}

fn sign(card: &mut dyn Device, p1: u8, p2: u8, input: &[u8]) -> Vec<u8> {
    data(card, &format!("802A{p1:02X}{p2:02X}{:02X}{}00", input.len(), hex(input)))
}

#[test]
fn every_scheme_makes_the_signature_it_says_with_either_key() {
    let image = image(Kind::MyNumber);
    let keys = [(0x97, public_key(&image.certificates.auth)), (0x9A, public_key(&image.certificates.sign))];
    let mut card = logged_in(image);
    let message = b"hello\n";
    let hash = Sha256::digest(message);
    for (p2, key) in &keys {
        let bare = Pkcs1v15Sign::new_unprefixed;
        key.verify(bare(), message, &sign(&mut card, 0, *p2, message)).unwrap();
        key.verify(bare(), &hash, &sign(&mut card, 1, *p2, message)).unwrap();
        key.verify(Pkcs1v15Sign::new::<Sha256>(), &hash, &sign(&mut card, 2, *p2, &hash)).unwrap();
        key.verify(Pkcs1v15Sign::new::<Sha256>(), &hash, &sign(&mut card, 3, *p2, message)).unwrap();
        key.verify(Pss::<Sha256>::new_with_salt(32), &hash, &sign(&mut card, 4, *p2, &hash)).unwrap();
        key.verify(Pss::<Sha256>::new_with_salt(32), &hash, &sign(&mut card, 5, *p2, message)).unwrap();
    }
    let of_the_other = sign(&mut card, 2, 0x9A, &hash);
    assert!(keys[0].1.verify(Pkcs1v15Sign::new::<Sha256>(), &hash, &of_the_other).is_err());
}

/// Its keys were made by rsa 0.9.10, which searched for primes in another way than its successor.
#[test]
fn a_card_made_by_an_earlier_version_signs_as_it_did() {
    let image = Image::parse(include_str!("../data/earlier/mynumber.card")).unwrap();
    let keys = [(0x97, public_key(&image.certificates.auth)), (0x9A, public_key(&image.certificates.sign))];
    let mut card = logged_in(image);
    let hash = Sha256::digest(b"hello\n");
    for (p2, key) in &keys {
        key.verify(Pkcs1v15Sign::new::<Sha256>(), &hash, &sign(&mut card, 2, *p2, &hash)).unwrap();
        key.verify(Pss::<Sha256>::new_with_salt(32), &hash, &sign(&mut card, 4, *p2, &hash)).unwrap();
    }
}

/// 1024 bits are the fewest that rsa 0.10 takes.
#[test]
fn a_juki_card_made_by_an_earlier_version_signs_as_it_did() {
    let image = Image::parse(include_str!("../data/earlier/juki.card")).unwrap();
    let key = public_key(&image.certificates.sign);
    let mut card = card(image);
    for command in [JPKI, "0020009B06414243313233", "00A4020C02001A"] {
        assert_eq!(send(&mut card, command), "9000", "{command}");
    }
    let signature = sign(&mut card, 0, 0, b"hello\n");
    key.verify(Pkcs1v15Sign::new_unprefixed(), b"hello\n", &signature).unwrap();
}

#[test]
fn a_pss_salt_is_never_the_same() {
    let mut card = logged_in(image(Kind::MyNumber));
    assert_ne!(sign(&mut card, 4, 0x97, &[7; 32]), sign(&mut card, 4, 0x97, &[7; 32]));
    assert_eq!(sign(&mut card, 2, 0x97, &[7; 32]), sign(&mut card, 2, 0x97, &[7; 32]));
}

#[test]
fn no_two_cards_and_no_two_power_ups_have_the_same_random_numbers() {
    const CHALLENGE: &str = "0084000010";
    let mut cards = [card(image(Kind::MyNumber)), card(image(Kind::MyNumber))];
    let mut seen: Vec<String> = Vec::new();
    for card in &mut cards {
        for _ in 0..2 {
            seen.push(send(card, CHALLENGE));
            card.power_on();
        }
    }
    let mut distinct = seen.clone();
    distinct.sort();
    distinct.dedup();
    assert_eq!(distinct.len(), seen.len(), "{seen:?}");
}

#[test]
fn a_card_may_take_a_salt_of_20_bytes() {
    let mut image = image(Kind::MyNumber);
    image.switches.pss_salt = PssSalt::Twenty;
    let key = public_key(&image.certificates.auth);
    let signature = sign(&mut logged_in(image), 4, 0x97, &[7; 32]);
    key.verify(Pss::<Sha256>::new_with_salt(20), &[7; 32], &signature).unwrap();
    assert!(key.verify(Pss::<Sha256>::new_with_salt(32), &[7; 32], &signature).is_err());
}

#[test]
fn input_to_be_padded_leaves_room_for_eleven_bytes() {
    let mut card = logged_in(image(Kind::MyNumber));
    let command = |length: usize| format!("802A0097{length:02X}{}00", "5A".repeat(length));
    assert_eq!(data(&mut card, &command(1)).len(), 256);
    assert_eq!(data(&mut card, &command(245)).len(), 256);
    assert_eq!(send(&mut card, &command(246)), "6985");

    let mut image = image(Kind::Juki);
    image.switches = Switches { wrong_input: WrongInput::WrongLength, ..image.switches };
    let key = public_key(&image.certificates.sign);
    let mut card = self::card(image);
    for command in [JPKI, "0020009B06414243313233", "00A4020C02001A"] {
        assert_eq!(send(&mut card, command), "9000");
    }
    let command = |length: usize| format!("802A0000{length:02X}{}00", "5A".repeat(length));
    let signature = data(&mut card, &command(117));
    key.verify(Pkcs1v15Sign::new_unprefixed(), &[0x5A; 117], &signature).unwrap();
    assert_eq!(send(&mut card, &command(118)), "6700");
}

#[test]
fn messages_have_255_bytes_at_most() {
    let mut card = logged_in(image(Kind::MyNumber));
    let command = |p1: u8, length: usize| format!("802A{p1:02X}9700{length:04X}{}0000", "5A".repeat(length));
    for p1 in [1, 3, 5] {
        assert_eq!(data(&mut card, &command(p1, 255)).len(), 256);
        assert_eq!(send(&mut card, &command(p1, 256)), "6985");
    }
}

#[test]
fn a_slow_card_takes_its_time_for_a_signature_only() {
    let mut image = image(Kind::MyNumber);
    image.switches.signature_ms = 300;
    let mut card = logged_in(image);
    let before = std::time::Instant::now();
    sign(&mut card, 0, 0x97, &bytes("0102"));
    assert!(before.elapsed().as_millis() >= 300);
}
