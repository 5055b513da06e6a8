//! Checking an RSA signature with the public key.

use super::mechanism::{CardInput, SALT_LEN};
use crate::pkcs11::edge::rv::{Result, Rv};
use rsa::traits::PublicKeyParts;
use rsa::{BoxedUint, Pkcs1v15Sign, Pss};
use sha2::Sha256;
use std::fmt;
use std::ops::RangeInclusive;

/// An RSA public key of a size this module serves.
#[derive(Clone, PartialEq, Eq)]
pub struct RsaKey(rsa::PublicKey);

// Its modulus tells whose key it is.
impl fmt::Debug for RsaKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "RsaKey({})", self.0.n().bit_width())
    }
}

impl RsaKey {
    /// The bits of a modulus served, a Juki card's the fewest.
    const BITS: RangeInclusive<usize> = 1024..=4096;

    /// A key of modulus and exponent, both big endian. `None` for keys outside RSA-1024 to RSA-4096, even moduli, and
    /// exponents that are even, less than 3 or of more than 33 bits.
    pub fn new(modulus: &[u8], exponent: &[u8]) -> Option<RsaKey> {
        let [modulus, exponent] = [modulus, exponent].map(BoxedUint::from_be_slice_vartime);
        rsa::PublicKey::new_with_size_limits(modulus, exponent, Self::BITS).ok().map(RsaKey)
    }

    /// Bytes of the modulus, k in RFC 8017, and so of every signature.
    pub fn modulus_len(&self) -> usize {
        self.0.size()
    }

    /// Whether `signature` is this key's over `input` (RFC 8017 §8.1.2, §8.2.2).
    ///
    /// # Errors
    /// CKR_SIGNATURE_LEN_RANGE, CKR_SIGNATURE_INVALID. CKR_KEY_TYPE_INCONSISTENT: such input is for no key of this type.
    pub fn verify(&self, input: &CardInput, signature: &[u8]) -> Result<()> {
        if signature.len() != self.modulus_len() {
            return Err(Rv::SIGNATURE_LEN_RANGE);
        }
        let verdict = match input {
            CardInput::Pkcs1 { data } => self.0.verify(Pkcs1v15Sign::new_unprefixed(), data, signature),
            CardInput::Pss { hash } => self.0.verify(Pss::<Sha256>::new_with_salt(SALT_LEN), hash, signature),
            CardInput::Ecdsa { .. } => return Err(Rv::KEY_TYPE_INCONSISTENT),
        };
        verdict.map_err(|_| Rv::SIGNATURE_INVALID)
    }

    /// The length of the salt in a PSS signature over `hash` that is sound but for that length. For the log only, when a
    /// card's signature was refused: it tries all lengths there are.
    pub fn salt_len(&self, hash: &[u8; 32], signature: &[u8]) -> Option<usize> {
        let longest = self.modulus_len().checked_sub(hash.len() + 2)?;
        (0..=longest).find(|&len| self.0.verify(Pss::<Sha256>::new_with_salt(len), hash, signature).is_ok())
    }
}

#[cfg(test)]
mod tests {
    use super::super::mechanism::{Operation, Parsed};
    use super::*;
    use cryptoki_sys::*;

    /// A value of the file of signatures that OpenSSL made.
    fn openssl(name: &str) -> Vec<u8> {
        let file = include_str!("../../../tests/data/openssl-rsa2048.txt");
        let hex =
            file.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' ')).expect("a line of that name");
        (0..hex.len()).step_by(2).map(|at| u8::from_str_radix(&hex[at..at + 2], 16).unwrap()).collect()
    }

    fn key() -> RsaKey {
        RsaKey::new(&openssl("modulus"), &[1, 0, 1]).unwrap()
    }

    fn input(mechanism: CK_MECHANISM_TYPE) -> CardInput {
        let parameter = [CKM_SHA256, CKG_MGF1_SHA256, 32].map(CK_ULONG::to_ne_bytes).concat();
        let parameter = if mechanism == CKM_SHA256_RSA_PKCS_PSS { &parameter[..] } else { &[] };
        let mut operation = Operation::new(Parsed::new((mechanism, parameter)).unwrap());
        operation.update(b"JPKI").unwrap();
        operation.finish(256).unwrap()
    }

    #[test]
    fn signatures_made_by_openssl_are_good() {
        for (mechanism, name) in [
            (CKM_RSA_PKCS, "RSA_PKCS"),
            (CKM_SHA1_RSA_PKCS, "SHA1_RSA_PKCS"),
            (CKM_SHA224_RSA_PKCS, "SHA224_RSA_PKCS"),
            (CKM_SHA256_RSA_PKCS, "SHA256_RSA_PKCS"),
            (CKM_SHA384_RSA_PKCS, "SHA384_RSA_PKCS"),
            (CKM_SHA512_RSA_PKCS, "SHA512_RSA_PKCS"),
            (CKM_SHA256_RSA_PKCS_PSS, "SHA256_RSA_PKCS_PSS-salt32"),
        ] {
            let mut signature = openssl(name);
            assert_eq!(key().verify(&input(mechanism), &signature), Ok(()), "{name}");
            signature[200] ^= 1;
            assert_eq!(key().verify(&input(mechanism), &signature), Err(Rv::SIGNATURE_INVALID), "{name}");
        }
    }

    #[test]
    fn a_signature_is_good_for_its_own_mechanism_only() {
        let signature = openssl("SHA256_RSA_PKCS");
        for mechanism in [CKM_RSA_PKCS, CKM_SHA512_RSA_PKCS, CKM_SHA256_RSA_PKCS_PSS] {
            assert_eq!(key().verify(&input(mechanism), &signature), Err(Rv::SIGNATURE_INVALID));
        }
    }

    #[test]
    fn a_signature_has_the_length_of_the_modulus() {
        let signature = openssl("SHA256_RSA_PKCS");
        for wrong in [&[][..], &signature[1..], &[&[0], &signature[..]].concat()] {
            assert_eq!(key().verify(&input(CKM_SHA256_RSA_PKCS), wrong), Err(Rv::SIGNATURE_LEN_RANGE));
        }
    }

    #[test]
    fn a_signature_plus_the_modulus_is_no_second_signature() {
        let [signature, modulus] =
            ["SHA256_RSA_PKCS_PSS-salt32", "modulus"].map(|name| BoxedUint::from_be_slice_vartime(&openssl(name)));
        let other = signature.wrapping_add(&modulus).to_be_bytes();
        assert_eq!(other.len(), 256, "a vector for which the sum still fits");
        assert_eq!(key().verify(&input(CKM_SHA256_RSA_PKCS_PSS), &other), Err(Rv::SIGNATURE_INVALID));
    }

    #[test]
    fn another_salt_is_refused_and_can_be_told() {
        let input = input(CKM_SHA256_RSA_PKCS_PSS);
        let CardInput::Pss { hash } = &input else { panic!("not PSS") };
        let signature = openssl("SHA256_RSA_PKCS_PSS-salt20");
        assert_eq!(key().verify(&input, &signature), Err(Rv::SIGNATURE_INVALID));
        assert_eq!(key().salt_len(hash, &signature), Some(20));
        assert_eq!(key().salt_len(hash, &openssl("SHA256_RSA_PKCS_PSS-salt32")), Some(32));
        assert_eq!(key().salt_len(hash, &openssl("SHA256_RSA_PKCS")), None);
    }

    #[test]
    fn keys_of_other_sizes_and_with_bad_exponents_are_refused() {
        let modulus = openssl("modulus");
        assert_eq!(key().modulus_len(), 256);
        assert!(RsaKey::new(&modulus, &[3]).is_some());
        for exponent in [&[][..], &[0], &[1], &[2], &[1, 0, 0], &[2, 0, 0, 0, 1]] {
            assert!(RsaKey::new(&modulus, exponent).is_none(), "{exponent:?}");
        }
        assert!(RsaKey::new(&[&[0x7F], &[0xFF; 127][..]].concat(), &[1, 0, 1]).is_none());
        assert!(RsaKey::new(&[0xFF; 128], &[1, 0, 1]).is_some());
        assert!(RsaKey::new(&[0xFF; 512], &[1, 0, 1]).is_some());
        assert!(RsaKey::new(&[0xFF; 513], &[1, 0, 1]).is_none());
        assert!(RsaKey::new(&[&[0xFF; 255], &[0xFE][..]].concat(), &[1, 0, 1]).is_none());
    }
}
