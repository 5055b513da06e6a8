//! The objects a token can have. There are at most eight; all are the card's, none can be made, changed or destroyed here.

use crate::card::{Algorithm, File, Key, KeyProfile, Kind};
use crate::cert::{Certificate, PublicKey};
use crate::config::Authorities;
use cryptoki_sys::*;

/// One object.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Object {
    /// The holder's certificate.
    Certificate,
    /// Its public key.
    PublicKey,
    /// The key on the card.
    PrivateKey,
    /// The certificate of the authority. It has no public key object: NSS would take it for one of the holder's.
    Authority,
    /// A profile that the token keeps (PKCS#11 Profiles 3.2).
    Profile(CK_PROFILE_ID),
}

impl Object {
    /// All of them; the place in this list is the ordinal number in a handle.
    pub(crate) const ALL: [Object; 8] = [
        Object::Certificate,
        Object::PublicKey,
        Object::PrivateKey,
        Object::Authority,
        Object::Profile(CKP_BASELINE_PROVIDER),
        Object::Profile(CKP_EXTENDED_PROVIDER),
        Object::Profile(CKP_AUTHENTICATION_TOKEN),
        Object::Profile(CKP_PUBLIC_CERTIFICATES_TOKEN),
    ];

    /// Whether it is seen by the logged-in user only (CKA_PRIVATE).
    pub(crate) fn is_private(self, key: &KeyProfile, authorities: Authorities) -> bool {
        match self {
            Object::PrivateKey => true,
            // A browser decides by the public key whose certificate it is, so both are seen together.
            Object::Certificate | Object::PublicKey => key.certificate_guarded,
            Object::Authority => authorities == Authorities::AfterLogin,
            Object::Profile(_) => false,
        }
    }

    /// Whether a token of this kind may have it at all, where the authorities' certificates are shown so.
    pub(crate) fn belongs_to(self, kind: Kind, key: Key, authorities: Authorities) -> bool {
        match self {
            Object::Authority => authorities != Authorities::Never,
            // It says that all certificates can be read without a login.
            Object::Profile(CKP_PUBLIC_CERTIFICATES_TOKEN) => {
                matches!((kind, key), (Kind::MyNumber | Kind::Next, Key::Authentication))
                    && authorities != Authorities::AfterLogin
            }
            _ => true,
        }
    }

    /// The certificate it is made from.
    pub(crate) fn file(self, key: Key) -> Option<File> {
        match self {
            Object::Certificate | Object::PublicKey | Object::PrivateKey => Some(File::Holder(key)),
            Object::Authority => Some(File::Authority(key)),
            Object::Profile(_) => None,
        }
    }

    /// Whether this certificate makes the object exist on a card whose keys are of `algorithm`. A key of another, or an RSA
    /// key of no sane size, is no key object.
    pub(crate) fn exists_by(self, certificate: &Certificate, algorithm: Algorithm) -> bool {
        match self {
            Object::PublicKey | Object::PrivateKey => certificate.public_key().is_ok_and(|key| is_of(&key, algorithm)),
            _ => true,
        }
    }
}

/// Whether a card whose keys are of `algorithm` can have `key`.
pub(crate) fn is_of(key: &PublicKey, algorithm: Algorithm) -> bool {
    match algorithm {
        Algorithm::Rsa { .. } => matches!(key, PublicKey::Rsa(_)),
        Algorithm::P384 => matches!(key, PublicKey::P384(_)),
    }
}
