//! A certificate whose parts can be changed, which the library's own type does not let anybody do. That its signature is
//! wrong then is nobody's concern: the holder's programs do not check it, and neither does the module.

#![allow(dead_code, reason = "each test changes what it is about")]

use der::Sequence;
use der::asn1::{Any, BitString};
use x509_cert::attr::AttributeTypeAndValue;
use x509_cert::certificate::Version;
use x509_cert::ext::Extensions;
use x509_cert::name::{RdnSequence, RelativeDistinguishedName};
use x509_cert::serial_number::SerialNumber;
use x509_cert::spki::{AlgorithmIdentifierOwned, SubjectPublicKeyInfoOwned};
use x509_cert::time::Validity;

/// RFC 5280 §4.1.
#[derive(Sequence)]
pub struct Forgery {
    pub tbs: Tbs,
    signature_algorithm: AlgorithmIdentifierOwned,
    signature: BitString,
}

/// What is signed, without the unique identifiers that no certificate here has.
#[derive(Sequence)]
pub struct Tbs {
    #[asn1(context_specific = "0", default = "Default::default")]
    version: Version,
    serial_number: SerialNumber,
    signature: AlgorithmIdentifierOwned,
    pub issuer: RdnSequence,
    validity: Validity,
    pub subject: RdnSequence,
    pub key: SubjectPublicKeyInfoOwned,
    #[asn1(context_specific = "3", tag_mode = "EXPLICIT", optional = "true")]
    pub extensions: Option<Extensions>,
}

#[cfg(feature = "practice")]
impl Forgery {
    pub fn from_pem(pem: &str) -> Forgery {
        let (_, document) = der::Document::from_pem(pem).unwrap();
        document.decode_msg().unwrap()
    }

    pub fn to_pem(&self) -> String {
        let document = der::Document::encode_msg(self).unwrap();
        document.to_pem("CERTIFICATE", der::pem::LineEnding::LF).unwrap()
    }
}

/// Has `name` say `value` wherever it says anything.
pub fn rename(name: &mut RdnSequence, value: &Any) {
    let step = |step: &RelativeDistinguishedName| {
        let mut renamed = RelativeDistinguishedName::default();
        for attribute in step.iter() {
            renamed.insert(AttributeTypeAndValue { oid: attribute.oid, value: value.clone() }).unwrap();
        }
        renamed
    };
    *name = name.iter().map(step).collect::<Vec<_>>().into();
}
