//! Checking an ECDSA signature on the curve P-384 with the public key.

use super::mechanism::CardInput;
use crate::cert;
use crate::pkcs11::edge::rv::{Result, Rv};
use p384::ecdsa::signature::hazmat::PrehashVerifier;
use p384::ecdsa::{Signature, VerifyingKey};
use std::fmt;

/// Bytes of r, and of s.
const NUMBER_LEN: usize = cert::P384Key::NUMBER_LEN;

/// A public key on P-384.
#[derive(Clone, PartialEq, Eq)]
pub struct P384Key(VerifyingKey);

// Its point tells whose key it is.
impl fmt::Debug for P384Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("P384Key")
    }
}

impl P384Key {
    /// Bytes of a signature: r and s as they are, one after the other (PKCS#11 Mechanisms 3.0 §2.3.1).
    pub const SIGNATURE_LEN: usize = 2 * NUMBER_LEN;

    /// The key of a certificate.
    pub fn new(key: &cert::P384Key) -> Option<P384Key> {
        VerifyingKey::from_sec1_bytes(key.point()).ok().map(P384Key)
    }

    /// Whether `signature` is this key's over `input` (FIPS 186-5 §6.4.2).
    ///
    /// # Errors
    /// CKR_SIGNATURE_LEN_RANGE, CKR_SIGNATURE_INVALID. CKR_KEY_TYPE_INCONSISTENT: such input is for no key of this type.
    pub fn verify(&self, input: &CardInput, signature: &[u8]) -> Result<()> {
        let CardInput::Ecdsa { hash } = input else { return Err(Rv::KEY_TYPE_INCONSISTENT) };
        if signature.len() != Self::SIGNATURE_LEN {
            return Err(Rv::SIGNATURE_LEN_RANGE);
        }
        // Which says no to a number that is 0, or not below the order.
        let signature = Signature::from_slice(signature).map_err(|_| Rv::SIGNATURE_INVALID)?;
        // A hash that is shorter than the order is the same number with zeros before it. The library takes none of less than
        // half that length.
        let mut number = [0; NUMBER_LEN];
        let start = NUMBER_LEN.checked_sub(hash.len());
        start.and_then(|start| number.get_mut(start..)).ok_or(Rv::DATA_LEN_RANGE)?.copy_from_slice(hash);
        self.0.verify_prehash(&number, &signature).map_err(|_| Rv::SIGNATURE_INVALID)
    }
}

#[cfg(test)]
mod tests {
    use super::super::mechanism::{Operation, Parsed};
    use super::*;
    use cryptoki_sys::*;

    /// The order of the curve (SEC 2 §2.5.1), big endian.
    const ORDER: &str =
        "FFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFC7634D81F4372DDF581A0DB248B0A77AECEC196ACCC52973";

    fn hex(hex: &str) -> Vec<u8> {
        (0..hex.len()).step_by(2).map(|at| u8::from_str_radix(&hex[at..at + 2], 16).unwrap()).collect()
    }

    /// A value of the file of signatures that OpenSSL made.
    fn openssl(name: &str) -> Vec<u8> {
        let file = include_str!("../../../tests/data/openssl-p384.txt");
        hex(file.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' ')).expect("a line of that name"))
    }

    fn key() -> P384Key {
        let cert::PublicKey::P384(key) = cert::PublicKey::from_info(&openssl("key")).unwrap() else {
            panic!("not on P-384")
        };
        P384Key::new(&key).unwrap()
    }

    fn input(mechanism: CK_MECHANISM_TYPE, data: &[u8]) -> CardInput {
        let mut operation = Operation::new(Parsed::new((mechanism, &[])).unwrap());
        operation.update(data).unwrap();
        operation.finish(P384Key::SIGNATURE_LEN).unwrap()
    }

    const MECHANISMS: [(CK_MECHANISM_TYPE, &str); 4] = [
        (CKM_ECDSA, "ECDSA"),
        (CKM_ECDSA_SHA256, "ECDSA_SHA256"),
        (CKM_ECDSA_SHA384, "ECDSA_SHA384"),
        (CKM_ECDSA_SHA512, "ECDSA_SHA512"),
    ];

    #[test]
    fn signatures_made_by_openssl_are_good_for_their_own_mechanism_and_data_only() {
        for (mechanism, name) in MECHANISMS {
            let signature = openssl(name);
            for (other, _) in MECHANISMS {
                let verdict = if other == mechanism { Ok(()) } else { Err(Rv::SIGNATURE_INVALID) };
                assert_eq!(key().verify(&input(other, b"JPKI"), &signature), verdict, "{name}");
            }
            assert_eq!(key().verify(&input(mechanism, b"JPKJ"), &signature), Err(Rv::SIGNATURE_INVALID));
            for at in [0, 47, 48, 95] {
                let mut signature = signature.clone();
                signature[at] ^= 1;
                let verdict = key().verify(&input(mechanism, b"JPKI"), &signature);
                assert_eq!(verdict, Err(Rv::SIGNATURE_INVALID), "{name}");
            }
        }
    }

    #[test]
    fn zeros_before_a_short_hash_change_nothing_and_bytes_behind_48_neither() {
        let signature = openssl("ECDSA");
        let padded = [&[0; 44], &b"JPKI"[..]].concat();
        assert_eq!(key().verify(&input(CKM_ECDSA, &padded), &signature), Ok(()));
        let longer = [&padded[..], b"whatever"].concat();
        assert_eq!(key().verify(&input(CKM_ECDSA, &longer), &signature), Ok(()));
        let behind = [&b"JPKI"[..], &[0; 44]].concat();
        assert_eq!(key().verify(&input(CKM_ECDSA, &behind), &signature), Err(Rv::SIGNATURE_INVALID));
    }

    #[test]
    fn a_signature_has_96_bytes_and_is_never_taken_as_der() {
        let good = openssl("ECDSA_SHA384");
        let der = Signature::from_slice(&good).unwrap();
        let der = [
            &[0x30, 0x66, 0x02, 0x31, 0x00],
            der.r().to_bytes().as_slice(),
            &[0x02, 0x31, 0x00],
            der.s().to_bytes().as_slice(),
        ]
        .concat();
        for wrong in [&[][..], &good[1..], &good[..48], &[&good[..], &[0]].concat(), &der] {
            assert_eq!(key().verify(&input(CKM_ECDSA_SHA384, b"JPKI"), wrong), Err(Rv::SIGNATURE_LEN_RANGE));
        }
    }

    #[test]
    fn r_and_s_lie_between_zero_and_the_order() {
        let good = openssl("ECDSA_SHA384");
        let (r, s) = good.split_at(48);
        let order = hex(ORDER);
        for bad in [&[0; 48][..], &order, &[0xFF; 48]] {
            for signature in [[bad, s].concat(), [r, bad].concat(), [bad, bad].concat()] {
                let verdict = key().verify(&input(CKM_ECDSA_SHA384, b"JPKI"), &signature);
                assert_eq!(verdict, Err(Rv::SIGNATURE_INVALID), "{signature:02X?}");
            }
        }
    }

    #[test]
    fn input_for_an_rsa_key_is_none_for_this_one() {
        for input in [CardInput::Pkcs1 { data: vec![1] }, CardInput::Pss { hash: [1; 32] }] {
            assert_eq!(key().verify(&input, &openssl("ECDSA")), Err(Rv::KEY_TYPE_INCONSISTENT));
        }
    }
}
