//! The public key of a certificate, and which ones are taken: a signature is checked with it before it leaves, so a key that
//! no card of ours can have is no key at all.

use super::p384_key::{self, P384Key};
use super::rsa_key::{self, RsaKey};
use der::Decode;
use x509_cert::spki::SubjectPublicKeyInfoRef;

/// A public key that a card of ours can have.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PublicKey {
    /// An RSA key.
    Rsa(RsaKey),
    /// A key on the curve P-384.
    P384(P384Key),
}

/// Why a certificate's key is not one of those.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// Of an algorithm that is not served.
    #[error("neither an RSA key nor one on a curve")]
    Algorithm,
    /// Not the encoding of a public key (RFC 5280 §4.1.2.7).
    #[error("not a key's encoding")]
    Malformed,
    /// RSA, but not such a key.
    #[error(transparent)]
    Rsa(#[from] rsa_key::Error),
    /// On a curve, but not such a key.
    #[error(transparent)]
    P384(#[from] p384_key::Error),
}

impl PublicKey {
    /// The key in a DER SubjectPublicKeyInfo.
    ///
    /// # Errors
    /// [`Error`].
    pub fn from_info(der: &[u8]) -> Result<PublicKey, Error> {
        let info = SubjectPublicKeyInfoRef::from_der(der).map_err(|_| Error::Malformed)?;
        let key = info.subject_public_key.as_bytes().ok_or(Error::Malformed)?;
        Ok(match info.algorithm.oid {
            rsa_key::ALGORITHM => PublicKey::Rsa(RsaKey::from_der(info.algorithm.parameters, key)?),
            p384_key::ALGORITHM => PublicKey::P384(P384Key::from_point(info.algorithm.parameters, key)?),
            _ => return Err(Error::Algorithm),
        })
    }
}
