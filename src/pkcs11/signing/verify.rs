//! Checking a signature with the public key: for C_Verify, and for every signature before it leaves the module.

use super::mechanism::CardInput;
use super::p384_key::P384Key;
use super::rsa_key::RsaKey;
use crate::cert;
use crate::pkcs11::edge::rv::Result;

/// A public key of a type and size this module serves.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PublicKey {
    /// RSA.
    Rsa(RsaKey),
    /// ECDSA on P-384.
    P384(P384Key),
}

impl PublicKey {
    /// The key of a certificate. `None` for one that the library which checks with it does not take.
    pub fn new(key: &cert::PublicKey) -> Option<PublicKey> {
        match key {
            cert::PublicKey::Rsa(key) => RsaKey::new(key.modulus(), key.exponent()).map(PublicKey::Rsa),
            cert::PublicKey::P384(key) => P384Key::new(key).map(PublicKey::P384),
        }
    }

    /// Bytes of every signature.
    pub fn signature_len(&self) -> usize {
        match self {
            PublicKey::Rsa(key) => key.modulus_len(),
            PublicKey::P384(_) => P384Key::SIGNATURE_LEN,
        }
    }

    /// Whether `signature` is this key's over `input`.
    ///
    /// # Errors
    /// CKR_SIGNATURE_LEN_RANGE, CKR_SIGNATURE_INVALID. CKR_KEY_TYPE_INCONSISTENT: such input is for no key of this type.
    pub fn verify(&self, input: &CardInput, signature: &[u8]) -> Result<()> {
        match self {
            PublicKey::Rsa(key) => key.verify(input, signature),
            PublicKey::P384(key) => key.verify(input, signature),
        }
    }

    /// The length of the salt in a PSS signature that is sound but for that length; for the log only.
    pub fn salt_len(&self, input: &CardInput, signature: &[u8]) -> Option<usize> {
        match (self, input) {
            (PublicKey::Rsa(key), CardInput::Pss { hash }) => key.salt_len(hash, signature),
            _ => None,
        }
    }
}
