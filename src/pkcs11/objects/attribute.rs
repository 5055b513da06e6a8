//! The attributes of the token's objects (PKCS#11 3.0 §4): what is fixed, as tables, and what comes from a certificate.

use super::object::Object;
use crate::card::{Algorithm, Key, KeyProfile};
use crate::cert::{Certificate, P384Key, PublicKey};
use crate::config::Authorities;
use crate::pkcs11::edge::ffi::Answer;
use crate::pkcs11::signing::mechanism;
use cryptoki_sys::*;
use std::borrow::Cow;

/// A fixed value.
enum Fixed {
    No,
    Yes,
    Number(CK_ULONG),
    Empty,
    Sensitive,
}

use Fixed::{Empty, No, Number, Sensitive, Yes};

type Row = (CK_ATTRIBUTE_TYPE, Fixed);

/// Storage objects (§4.4): written by the municipal office and by nobody else.
const STORAGE: &[Row] = &[(CKA_TOKEN, Yes), (CKA_MODIFIABLE, No), (CKA_COPYABLE, No), (CKA_DESTROYABLE, No)];

/// X.509 certificates (§4.6.3). Trust is not the card's to give.
const CERTIFICATE: &[Row] = &[
    (CKA_CLASS, Number(CKO_CERTIFICATE)),
    (CKA_CERTIFICATE_TYPE, Number(CKC_X_509)),
    (CKA_TRUSTED, No),
    (CKA_URL, Empty),
    (CKA_HASH_OF_SUBJECT_PUBLIC_KEY, Empty),
    (CKA_HASH_OF_ISSUER_PUBLIC_KEY, Empty),
    (CKA_JAVA_MIDP_SECURITY_DOMAIN, Number(0)),
    (CKA_NAME_HASH_ALGORITHM, Number(CKM_SHA_1)),
];

/// What public and private keys share (§4.7): made on the card, for signatures, validated by nobody.
const KEY: &[Row] = &[(CKA_DERIVE, No), (CKA_LOCAL, Yes), (CKA_OBJECT_VALIDATION_FLAGS, Number(0))];

/// RSA keys (PKCS#11 Mechanisms 3.0 §2.1).
const RSA: &[Row] = &[(CKA_KEY_TYPE, Number(CKK_RSA)), (CKA_KEY_GEN_MECHANISM, Number(CKM_RSA_PKCS_KEY_PAIR_GEN))];

/// Keys on a curve (PKCS#11 Mechanisms 3.0 §2.3).
const EC: &[Row] = &[(CKA_KEY_TYPE, Number(CKK_EC)), (CKA_KEY_GEN_MECHANISM, Number(CKM_EC_KEY_PAIR_GEN))];

/// Public keys (§4.8).
const PUBLIC_KEY: &[Row] = &[
    (CKA_CLASS, Number(CKO_PUBLIC_KEY)),
    (CKA_VERIFY, Yes),
    (CKA_VERIFY_RECOVER, No),
    (CKA_ENCRYPT, No),
    (CKA_WRAP, No),
    (CKA_ENCAPSULATE, No),
    (CKA_TRUSTED, No),
];

/// Private keys (§4.9): never leave the card, sign and do nothing else.
const PRIVATE_KEY: &[Row] = &[
    (CKA_CLASS, Number(CKO_PRIVATE_KEY)),
    (CKA_SIGN, Yes),
    (CKA_SIGN_RECOVER, No),
    (CKA_DECRYPT, No),
    (CKA_UNWRAP, No),
    (CKA_DECAPSULATE, No),
    (CKA_WRAP_WITH_TRUSTED, No),
    (CKA_SENSITIVE, Yes),
    (CKA_ALWAYS_SENSITIVE, Yes),
    (CKA_EXTRACTABLE, No),
    (CKA_NEVER_EXTRACTABLE, Yes),
];

/// What makes an RSA key private.
const RSA_SECRET: &[Row] = &[
    (CKA_PRIVATE_EXPONENT, Sensitive),
    (CKA_PRIME_1, Sensitive),
    (CKA_PRIME_2, Sensitive),
    (CKA_EXPONENT_1, Sensitive),
    (CKA_EXPONENT_2, Sensitive),
    (CKA_COEFFICIENT, Sensitive),
];

/// What makes a key on a curve private.
const EC_SECRET: &[Row] = &[(CKA_VALUE, Sensitive)];

/// Profile objects (§4.13).
const PROFILE: &[Row] = &[(CKA_CLASS, Number(CKO_PROFILE))];

/// What an object's attributes depend on, beside its certificate.
pub(crate) struct Facts {
    pub(crate) object: Object,
    pub(crate) key: &'static KeyProfile,
    pub(crate) authorities: Authorities,
    pub(crate) always_authenticate: bool,
    pub(crate) algorithm: Algorithm,
}

impl Facts {
    /// An attribute that is known without reading the card; `None` if there is no such one.
    pub(crate) fn fixed(&self, attribute: CK_ATTRIBUTE_TYPE) -> Option<Answer<'static>> {
        let tables: &[&[Row]] = match (self.object, self.algorithm) {
            (Object::Certificate | Object::Authority, _) => &[STORAGE, CERTIFICATE],
            (Object::PublicKey, Algorithm::Rsa { .. }) => &[STORAGE, KEY, RSA, PUBLIC_KEY],
            (Object::PublicKey, Algorithm::P384) => &[STORAGE, KEY, EC, PUBLIC_KEY],
            (Object::PrivateKey, Algorithm::Rsa { .. }) => &[STORAGE, KEY, RSA, PRIVATE_KEY, RSA_SECRET],
            (Object::PrivateKey, Algorithm::P384) => &[STORAGE, KEY, EC, PRIVATE_KEY, EC_SECRET],
            (Object::Profile(_), _) => &[STORAGE, PROFILE],
        };
        let row = tables.iter().copied().flatten().find(|(row, _)| *row == attribute);
        row.map(|(_, value)| value.answer()).or_else(|| self.own(attribute))
    }

    /// What differs from object to object of one class.
    fn own(&self, attribute: CK_ATTRIBUTE_TYPE) -> Option<Answer<'static>> {
        let object = self.object;
        let is_certificate = matches!(object, Object::Certificate | Object::Authority);
        Some(match attribute {
            CKA_PRIVATE => boolean(object.is_private(self.key, self.authorities)),
            CKA_UNIQUE_ID => text(&object.unique_id(self.key.key)),
            CKA_LABEL => text(&object.label(self.key.key)),
            CKA_PROFILE_ID if let Object::Profile(id) = object => number(id),
            CKA_ID if !matches!(object, Object::Profile(_)) => value(&[object.id(self.key.key)]),
            CKA_CERTIFICATE_CATEGORY if is_certificate => number(match object {
                Object::Authority => CK_CERTIFICATE_CATEGORY_AUTHORITY,
                _ => CK_CERTIFICATE_CATEGORY_TOKEN_USER,
            }),
            CKA_ALWAYS_AUTHENTICATE if object == Object::PrivateKey => boolean(self.always_authenticate),
            CKA_ALLOWED_MECHANISMS if matches!(object, Object::PrivateKey | Object::PublicKey) => {
                let list = mechanism::list(self.algorithm);
                value(&list.iter().flat_map(|mechanism| mechanism.to_ne_bytes()).collect::<Vec<u8>>())
            }
            _ => return None,
        })
    }

    /// An attribute that comes from the object's certificate.
    pub(crate) fn of_certificate(&self, attribute: CK_ATTRIBUTE_TYPE, certificate: &Certificate) -> Answer<'static> {
        match (self.object, attribute) {
            (Object::Profile(_), _) => Answer::Unknown,
            (_, CKA_SUBJECT) => value(certificate.subject()),
            (_, CKA_PUBLIC_KEY_INFO) => value(certificate.public_key_info()),
            (_, CKA_START_DATE) => date(certificate.not_before()),
            (_, CKA_END_DATE) => date(certificate.not_after()),
            (Object::Certificate | Object::Authority, attribute) => match attribute {
                CKA_ISSUER => value(certificate.issuer()),
                CKA_SERIAL_NUMBER => value(certificate.serial()),
                CKA_VALUE => value(certificate.der()),
                // The first three bytes of the SHA-1 of CKA_VALUE (§4.6.3).
                CKA_CHECK_VALUE => value(certificate.sha1().first_chunk::<3>().map_or(&[][..], |three| three)),
                _ => Answer::Unknown,
            },
            (Object::PublicKey | Object::PrivateKey, attribute) => match (attribute, certificate.public_key()) {
                (CKA_MODULUS, Ok(PublicKey::Rsa(key))) => value(key.modulus()),
                (CKA_PUBLIC_EXPONENT, Ok(PublicKey::Rsa(key))) => value(key.exponent()),
                // The standard gives it, and the point, to public keys only; programs ask it of the private key they sign with.
                (CKA_MODULUS_BITS, Ok(PublicKey::Rsa(key))) => number(key.bits() as CK_ULONG),
                (CKA_EC_PARAMS, Ok(PublicKey::P384(_))) => value(&P384Key::PARAMETERS),
                (CKA_EC_POINT, Ok(PublicKey::P384(key))) => value(&key.octet_string()),
                _ => Answer::Unknown,
            },
        }
    }
}

impl Fixed {
    fn answer(&self) -> Answer<'static> {
        match self {
            No => boolean(false),
            Yes => boolean(true),
            Number(constant) => number(*constant),
            Empty => value(&[]),
            Sensitive => Answer::Sensitive,
        }
    }
}

impl Object {
    /// CKA_ID, as OpenSC's driver numbers them, so that URIs written for it go on working.
    fn id(self, key: Key) -> u8 {
        match (self, key) {
            (Object::Authority, Key::Authentication) => 3,
            (Object::Authority, Key::Signature) => 4,
            (_, Key::Authentication) => 1,
            (_, Key::Signature) => 2,
        }
    }

    /// CKA_LABEL, for the same reason. A profile, which OpenSC's driver does not have, is called what the standard calls it.
    fn label(self, key: Key) -> String {
        let purpose = match key {
            Key::Authentication => "User Authentication",
            Key::Signature => "Digital Signature",
        };
        match self {
            Object::Certificate => format!("{purpose} Certificate"),
            Object::PublicKey => format!("{purpose} Public Key"),
            Object::PrivateKey => format!("{purpose} Key"),
            Object::Authority => format!("{purpose} Certificate CA"),
            Object::Profile(id) => match id {
                CKP_BASELINE_PROVIDER => "Baseline Provider",
                CKP_EXTENDED_PROVIDER => "Extended Provider",
                CKP_AUTHENTICATION_TOKEN => "Authentication Token",
                CKP_PUBLIC_CERTIFICATES_TOKEN => "Public Certificates Token",
                _ => "Profile",
            }
            .to_owned(),
        }
    }

    /// CKA_UNIQUE_ID: no two objects of a token share one, and it is the same in every session (§4.4.1).
    fn unique_id(self, key: Key) -> String {
        match self {
            Object::Profile(id) => format!("profile {id}"),
            object => object.label(key),
        }
    }
}

fn value(bytes: &[u8]) -> Answer<'static> {
    Answer::Value(Cow::Owned(bytes.to_vec()))
}

fn text(text: &str) -> Answer<'static> {
    value(text.as_bytes())
}

fn boolean(yes: bool) -> Answer<'static> {
    value(&[if yes { CK_TRUE } else { CK_FALSE }])
}

fn number(number: CK_ULONG) -> Answer<'static> {
    value(&number.to_ne_bytes())
}

/// A `CK_DATE`: eight ASCII digits, in UTC as the certificate says it.
fn date(date: der::DateTime) -> Answer<'static> {
    text(&format!("{:04}{:02}{:02}", date.year(), date.month(), date.day()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_table_has_an_attribute_twice_or_one_that_another_table_of_its_class_has() {
        for tables in [
            &[STORAGE, CERTIFICATE][..],
            &[STORAGE, KEY, RSA, PUBLIC_KEY],
            &[STORAGE, KEY, EC, PUBLIC_KEY],
            &[STORAGE, KEY, RSA, PRIVATE_KEY, RSA_SECRET],
            &[STORAGE, KEY, EC, PRIVATE_KEY, EC_SECRET],
            &[STORAGE, PROFILE],
        ] {
            let mut types: Vec<_> = tables.iter().copied().flatten().map(|(attribute, _)| *attribute).collect();
            let count = types.len();
            types.sort_unstable();
            types.dedup();
            assert_eq!(types.len(), count);
        }
    }
}
