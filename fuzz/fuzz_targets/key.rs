//! A public key, and the certificate that has it: which keys are taken, and what is handed on of them.

#![no_main]

use der::asn1::{ObjectIdentifier, OctetString};
use der::Decode;
use jpki_pkcs11::cert::{Certificate, P384Key, PublicKey};
use libfuzzer_sys::fuzz_target;
use num_bigint::BigUint;

/// A certificate with a key on P-384, which OpenSSL made.
const CERTIFICATE: &[u8] = include_bytes!("../../src/cert/fixtures/p384.der");
/// The prime of P-384's field, and the curve's coefficient b (SEC 2 §2.5.1).
const PRIME: &[u8] = b"FFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFEFFFFFFFF0000000000000000FFFFFFFF";
const B: &[u8] = b"B3312FA7E23EE7E4988E056BE3F82D19181D9C6EFE8141120314088F5013875AC656398D8A2ED19D2A85C8EDD3EC2AEF";

fuzz_target!(|bytes: &[u8]| {
    let key = PublicKey::from_info(bytes);
    match &key {
        Ok(PublicKey::P384(key)) => {
            let point = key.point();
            assert!(bytes.ends_with(point) && bytes.windows(7).any(|window| window == P384Key::PARAMETERS));
            assert!(is_on_the_curve(point));
            let string = key.octet_string();
            assert_eq!(OctetString::from_der(&string).unwrap().as_bytes(), point);
            assert_eq!(<ObjectIdentifier>::from_der(&P384Key::PARAMETERS).unwrap().to_string(), "1.3.132.0.34");
            // The one encoding of such a key: whatever says something else about it was not taken.
            assert_eq!(bytes.len(), 120);
        }
        Ok(PublicKey::Rsa(key)) => {
            assert!((1024..=4096).contains(&key.bits()) && key.modulus().len() == key.bits().div_ceil(8));
        }
        Err(_) => {
            // No point of the curve, said to be one in the one way, is refused.
            let honest = Certificate::parse(CERTIFICATE).unwrap();
            let (start, _) = honest.public_key_info().split_at(23);
            let point = bytes.strip_prefix(start).and_then(|point| <&[u8; 97]>::try_from(point).ok());
            assert!(!point.is_some_and(|point| point[0] == 4 && is_on_the_curve(point)));
        }
    }
    // What the certificate says of it is the same.
    if let Some(certificate) = with_key(bytes).as_deref().and_then(|der| Certificate::parse(der).ok())
        && certificate.public_key_info() == bytes
    {
        assert_eq!(certificate.public_key(), key);
        assert!(!format!("{:?}", certificate.public_key()).contains("[4, "), "the point stays out of a log");
    }
});

/// The equation y² = x³ − 3x + b, by other code than the module's.
fn is_on_the_curve(point: &[u8; 97]) -> bool {
    let number = |hex| BigUint::parse_bytes(hex, 16).unwrap();
    let (prime, b) = (number(PRIME), number(B));
    let (x, y) = (BigUint::from_bytes_be(&point[1..49]), BigUint::from_bytes_be(&point[49..]));
    let three_x = BigUint::from(3_u8) * &x;
    x < prime && y < prime && (&y * &y + three_x) % &prime == (&x * &x * &x + b) % &prime
}

/// The certificate with this in the place of its key; `None` where that makes it too long to write its length so.
fn with_key(key: &[u8]) -> Option<Vec<u8>> {
    let honest = Certificate::parse(CERTIFICATE).unwrap();
    let old = honest.public_key_info();
    let at = CERTIFICATE.windows(old.len()).position(|window| window == old)?;
    let mut der = [&CERTIFICATE[..at], key, &CERTIFICATE[at + old.len()..]].concat();
    // Certificate and TBSCertificate, one after the other, begin 30 82 and two bytes of length.
    for start in [0, 4] {
        let field = der.get_mut(start + 2..start + 4)?;
        let length = usize::from(u16::from_be_bytes([field[0], field[1]])) + key.len();
        field.copy_from_slice(&u16::try_from(length.checked_sub(old.len())?).ok()?.to_be_bytes());
    }
    Some(der)
}
