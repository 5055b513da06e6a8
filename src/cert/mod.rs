//! An X.509 certificate as a card hands it out: its parts in the very bytes they came in, which PKCS#11 passes on, and
//! what they mean. Whoever made the card chose these bytes; parsing them yields a value or an error, whatever they are.

pub mod jpki;
pub mod key;
pub mod p384_key;
pub mod rsa_key;
pub mod view;

pub use key::PublicKey;
pub use p384_key::P384Key;
pub use rsa_key::RsaKey;

use der::asn1::ObjectIdentifier;
use der::{DateTime, Decode, Reader, SliceReader, Tag};
use serde::Serialize;
use sha1::Sha1;
use sha2::{Digest, Sha256};
use std::fmt::{self, Write};
use std::ops::Range;
use std::time::{Duration, SystemTime};
use x509_cert::name::Name;

/// No certificate is longer than this, in bytes; those of JPKI have under 2 KiB (`card.md` §2.3).
const LONGEST: usize = 64 * 1024;

/// Why bytes are not taken for a certificate.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// Longer than 64 KiB.
    #[error("longer than any certificate")]
    TooLong,
    /// Not DER, or not a certificate of RFC 5280 §4.1, or followed by something else.
    #[error("not an X.509 certificate")]
    Malformed,
}

/// An X.509 certificate (RFC 5280 §4.1).
#[derive(Clone, PartialEq, Eq)]
pub struct Certificate {
    der: Vec<u8>,
    serial: Range<usize>,
    issuer: Range<usize>,
    subject: Range<usize>,
    spki: Range<usize>,
    parsed: x509_cert::Certificate,
}

impl Certificate {
    /// Takes the DER of one certificate and nothing after it (the filler of a card's file is the card layer's to cut).
    ///
    /// # Errors
    /// [`Error`].
    pub fn parse(der: &[u8]) -> Result<Certificate, Error> {
        if der.len() > LONGEST {
            return Err(Error::TooLong);
        }
        let parsed = x509_cert::Certificate::from_der(der).map_err(|_| Error::Malformed)?;
        let [serial, issuer, subject, spki] = parts(der).map_err(|_| Error::Malformed)?;
        Ok(Certificate { der: der.to_vec(), serial, issuer, subject, spki, parsed })
    }

    /// The certificate's DER.
    pub fn der(&self) -> &[u8] {
        &self.der
    }

    /// The serial number as a DER INTEGER (CKA_SERIAL_NUMBER).
    pub fn serial(&self) -> &[u8] {
        self.part(&self.serial)
    }

    /// The issuer's name as a DER Name (CKA_ISSUER).
    pub fn issuer(&self) -> &[u8] {
        self.part(&self.issuer)
    }

    /// The subject's name as a DER Name (CKA_SUBJECT).
    pub fn subject(&self) -> &[u8] {
        self.part(&self.subject)
    }

    /// The public key as a DER SubjectPublicKeyInfo (CKA_PUBLIC_KEY_INFO).
    pub fn public_key_info(&self) -> &[u8] {
        self.part(&self.spki)
    }

    /// The public key, if it is one that a card of ours could have.
    ///
    /// # Errors
    /// [`key::Error`] says why it is not.
    pub fn public_key(&self) -> Result<PublicKey, key::Error> {
        PublicKey::from_info(self.public_key_info())
    }

    /// From when it holds, UTC.
    pub fn not_before(&self) -> DateTime {
        self.parsed.tbs_certificate().validity().not_before.to_date_time()
    }

    /// Until when it holds, that second included, UTC.
    pub fn not_after(&self) -> DateTime {
        self.parsed.tbs_certificate().validity().not_after.to_date_time()
    }

    /// Where `now` stands in its period. This is all that can be said without revocation data.
    pub fn period(&self, now: SystemTime) -> Period {
        let now = now.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
        if now < self.not_before().unix_duration() {
            Period::NotYet
        } else if now >= self.not_after().unix_duration() + Duration::from_secs(1) {
            Period::Over
        } else {
            Period::Running
        }
    }

    /// The subject's name in the form of RFC 4514. It may hold anything: sanitise it before showing it.
    pub fn subject_name(&self) -> String {
        text(self.parsed.tbs_certificate().subject())
    }

    /// The issuer's name in the form of RFC 4514; as [`Certificate::subject_name`].
    pub fn issuer_name(&self) -> String {
        text(self.parsed.tbs_certificate().issuer())
    }

    /// The serial number in hexadecimal, without leading zeros.
    pub fn serial_number(&self) -> String {
        let bytes = self.parsed.tbs_certificate().serial_number().as_bytes();
        let leading = bytes.iter().take_while(|&&byte| byte == 0).count();
        hex(bytes.get(leading..).unwrap_or_default())
    }

    /// Whether issuer and subject have the same name.
    pub fn is_self_issued(&self) -> bool {
        self.issuer() == self.subject()
    }

    /// SHA-256 of the DER: today's fingerprint.
    pub fn sha256(&self) -> [u8; 32] {
        Sha256::digest(&self.der).into()
    }

    /// SHA-1 of the DER: the fingerprint of older printed matter, and the check value of PKCS#11.
    pub fn sha1(&self) -> [u8; 20] {
        Sha1::digest(&self.der).into()
    }

    /// The contents of the extension `id`. RFC 5280 §4.2 allows it once; a second one makes both count for nothing.
    pub fn extension(&self, id: ObjectIdentifier) -> Option<&[u8]> {
        let extensions = self.parsed.tbs_certificate().extensions().into_iter().flatten();
        let mut found = extensions.filter(|extension| extension.extn_id == id);
        match (found.next(), found.next()) {
            (Some(only), None) => Some(only.extn_value.as_bytes()),
            _ => None,
        }
    }

    fn part(&self, range: &Range<usize>) -> &[u8] {
        // The ranges lie within the bytes they were found in.
        self.der.get(range.clone()).unwrap_or_default()
    }
}

impl fmt::Debug for Certificate {
    /// Its length only: a signature certificate says who somebody is and where they live.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Certificate([{}])", self.der.len())
    }
}

/// Where a moment stands in a certificate's period.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Period {
    /// Before it.
    NotYet,
    /// In it.
    Running,
    /// After it.
    Over,
}

/// Where serial number, issuer, subject and public key lie in a certificate that has been parsed as a whole.
fn parts(der: &[u8]) -> der::Result<[Range<usize>; 4]> {
    let mut reader = SliceReader::new(der)?;
    reader.sequence(|certificate| {
        let parts = certificate.sequence(|tbs| {
            // version, which is absent in version 1
            if Tag::peek(tbs)?.is_context_specific() {
                tbs.tlv_bytes()?;
            }
            let serial = part(tbs)?;
            tbs.tlv_bytes()?; // signature
            let issuer = part(tbs)?;
            tbs.tlv_bytes()?; // validity
            let subject = part(tbs)?;
            let spki = part(tbs)?;
            skip_rest(tbs)?;
            Ok([serial, issuer, subject, spki])
        });
        skip_rest(certificate)?;
        parts
    })
}

/// The place of the next object, which is skipped.
fn part<'a>(reader: &mut impl Reader<'a>) -> der::Result<Range<usize>> {
    let start = usize::try_from(reader.offset())?;
    let length = reader.tlv_bytes()?.len();
    Ok(start..start + length)
}

fn skip_rest<'a>(reader: &mut impl Reader<'a>) -> der::Result<()> {
    while !reader.is_finished() {
        reader.tlv_bytes()?;
    }
    Ok(())
}

/// `name` in the form of RFC 4514; not with `to_string`, which panics where a name cannot be written in it.
fn text(name: &Name) -> String {
    let mut text = String::new();
    match write!(text, "{name}") {
        Ok(()) => text,
        Err(fmt::Error) => "?".into(),
    }
}

/// `bytes` in capital hexadecimal digits.
fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02X}")).collect()
}

#[cfg(test)]
#[path = "../../tests/common/forgery.rs"]
pub(crate) mod forgery;
#[cfg(test)]
mod tests;
