//! The private keys of a practice card and of the authority that certifies them: RSA on the cards of today, P-384 on what
//! may be the next. They are wiped as they are given back, which their types see to.

use super::certificate::CertificateError;
use super::image::Algorithm;
use super::seed::Seed;
use p384::ecdsa::SigningKey;
use p384::elliptic_curve::Generate;
use p384::pkcs8::{self, DecodePrivateKey, EncodePrivateKey, LineEnding};
use x509_cert::spki::SubjectPublicKeyInfoOwned;
use zeroize::Zeroizing;

/// A private key.
pub(super) enum PrivateKey {
    /// For signatures of PKCS#1.
    Rsa(rsa::PrivateKey),
    /// For ECDSA on P-384.
    P384(SigningKey),
}

impl PrivateKey {
    /// The key that the random numbers for `purpose` give.
    pub fn new(algorithm: Algorithm, seed: &Seed, purpose: &str) -> Result<PrivateKey, CertificateError> {
        let mut random = seed.stream(purpose);
        Ok(match algorithm {
            Algorithm::Rsa { bits } => PrivateKey::Rsa(rsa::PrivateKey::new(&mut random, bits)?),
            Algorithm::P384 => PrivateKey::P384(SigningKey::generate_from_rng(&mut random)),
        })
    }

    /// The key in a card file's PKCS#8, of the kind that this card has.
    pub fn from_pem(algorithm: Algorithm, pem: &str) -> Result<PrivateKey, pkcs8::Error> {
        Ok(match algorithm {
            Algorithm::Rsa { .. } => PrivateKey::Rsa(rsa::PrivateKey::from_pkcs8_pem(pem)?),
            Algorithm::P384 => PrivateKey::P384(SigningKey::from_pkcs8_pem(pem)?),
        })
    }

    /// Its PKCS#8, as PEM text.
    pub fn to_pem(&self) -> Result<Zeroizing<String>, pkcs8::Error> {
        match self {
            PrivateKey::Rsa(key) => key.to_pkcs8_pem(LineEnding::LF),
            PrivateKey::P384(key) => key.to_pkcs8_pem(LineEnding::LF),
        }
    }

    /// Its public half, as a certificate has it.
    pub fn public(&self) -> Result<SubjectPublicKeyInfoOwned, x509_cert::spki::Error> {
        match self {
            PrivateKey::Rsa(key) => SubjectPublicKeyInfoOwned::from_key(&rsa::PublicKey::from(key)),
            PrivateKey::P384(key) => SubjectPublicKeyInfoOwned::from_key(key.verifying_key()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use zeroize::ZeroizeOnDrop;

    const RSA: Algorithm = Algorithm::Rsa { bits: 1024 };

    #[test]
    fn every_kind_of_key_is_wiped_as_it_is_given_back() {
        fn wiped<T: ZeroizeOnDrop>(_: &T) {}
        for algorithm in [RSA, Algorithm::P384] {
            match PrivateKey::new(algorithm, &Seed::from(1), "key").unwrap() {
                PrivateKey::Rsa(key) => wiped(&key),
                PrivateKey::P384(key) => wiped(&key),
            }
        }
    }

    #[test]
    fn a_key_is_read_back_as_it_was_written_and_as_no_other_kind() {
        for (own, other) in [(RSA, Algorithm::P384), (Algorithm::P384, RSA)] {
            let key = PrivateKey::new(own, &Seed::from(1), "key").unwrap();
            let pem = key.to_pem().unwrap();
            assert_eq!(PrivateKey::from_pem(own, &pem).unwrap().public(), key.public());
            assert!(PrivateKey::from_pem(other, &pem).is_err(), "{own:?} for {other:?}");
        }
    }
}
