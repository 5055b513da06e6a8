//! The RSA public key of a certificate.

use der::asn1::{AnyRef, ObjectIdentifier};
use der::{Decode, Tag};
use rsa::pkcs1;

/// rsaEncryption (RFC 8017, appendix A.1).
pub(super) const ALGORITHM: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.113549.1.1.1");

/// An RSA public key of 1024 to 4096 bits.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RsaKey {
    modulus: Vec<u8>,
    exponent: Vec<u8>,
}

/// Why a certificate's key is not one of those.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// Said to be RSA, and not encoded as RFC 8017 says.
    #[error("not an RSA key's encoding")]
    Malformed,
    /// A modulus of that many bits.
    #[error("an RSA key of {0} bits")]
    Size(usize),
    /// An even modulus, or an exponent that is even, below 3 or above 33 bits.
    #[error("an RSA key with impossible numbers")]
    Numbers,
}

impl RsaKey {
    /// The key in a DER RSAPublicKey.
    ///
    /// # Errors
    /// [`Error`].
    pub(super) fn from_der(parameters: Option<AnyRef<'_>>, key: &[u8]) -> Result<RsaKey, Error> {
        // NULL, or left out by some who encode them.
        if parameters.is_some_and(|parameters| der::Tagged::tag(&parameters) != Tag::Null) {
            return Err(Error::Malformed);
        }
        let key = pkcs1::RsaPublicKeyRef::from_der(key).map_err(|_| Error::Malformed)?;
        RsaKey::new(key.modulus.as_bytes(), key.public_exponent.as_bytes())
    }

    /// The key of these numbers, big endian without leading zeros.
    fn new(modulus: &[u8], exponent: &[u8]) -> Result<RsaKey, Error> {
        let bits = bits(modulus);
        if !(1024..=4096).contains(&bits) {
            return Err(Error::Size(bits));
        }
        let value = exponent.iter().try_fold(0u64, |value, &byte| {
            (value < 1 << 33).then_some(value << 8 | u64::from(byte)) // cannot overflow below 2^33
        });
        match value {
            Some(value) if (3..1 << 33).contains(&value) && value & 1 == 1 && is_odd(modulus) => {
                Ok(RsaKey { modulus: modulus.to_vec(), exponent: exponent.to_vec() })
            }
            _ => Err(Error::Numbers),
        }
    }

    /// The modulus, big endian without leading zeros (CKA_MODULUS).
    pub fn modulus(&self) -> &[u8] {
        &self.modulus
    }

    /// The public exponent, big endian without leading zeros (CKA_PUBLIC_EXPONENT).
    pub fn exponent(&self) -> &[u8] {
        &self.exponent
    }

    /// Bits of the modulus.
    pub fn bits(&self) -> usize {
        bits(&self.modulus)
    }
}

fn bits(number: &[u8]) -> usize {
    number.first().map_or(0, |first| number.len() * 8 - first.leading_zeros() as usize)
}

fn is_odd(number: &[u8]) -> bool {
    number.last().is_some_and(|last| last & 1 == 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn modulus(bytes: usize) -> Vec<u8> {
        let mut modulus = vec![0; bytes];
        modulus[0] = 0x80;
        modulus[bytes - 1] = 1;
        modulus
    }

    #[test]
    fn sizes_from_1024_to_4096_bits_are_taken() {
        for (bytes, size) in [(128, 1024), (256, 2048), (512, 4096)] {
            assert_eq!(RsaKey::new(&modulus(bytes), &[1, 0, 1]).unwrap().bits(), size);
        }
        assert_eq!(RsaKey::new(&modulus(127), &[3]), Err(Error::Size(1016)));
        assert_eq!(RsaKey::new(&modulus(513), &[3]), Err(Error::Size(4104)));
        assert_eq!(RsaKey::new(&[], &[3]), Err(Error::Size(0)));
    }

    #[test]
    fn even_small_and_huge_numbers_are_refused() {
        let odd = modulus(256);
        for exponent in [&[][..], &[0], &[1], &[2], &[1, 0, 0], &[2, 0, 0, 0, 1], &[0xFF; 8], &[0xFF; 256]] {
            assert_eq!(RsaKey::new(&odd, exponent), Err(Error::Numbers), "{exponent:02X?}");
        }
        assert!(RsaKey::new(&odd, &[1, 0xFF, 0xFF, 0xFF, 0xFF]).is_ok());
        let mut even = odd;
        even[255] = 2;
        assert_eq!(RsaKey::new(&even, &[1, 0, 1]), Err(Error::Numbers));
    }
}
