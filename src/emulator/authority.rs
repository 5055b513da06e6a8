//! The practice authority: a self-signed CA for each kind of certificate, shaped like the real ones (`card.md` §5.1) and
//! marked so that nothing it signs passes for real.

use super::certificate::{self, CertificateError, Extensions, IssuerName, Printed};
use super::image::Kind;
use super::seed::Seed;
use crate::apdu::Hex;
use der::asn1::{BitString, OctetString, UtcTime};
use der::{DateTime, Encode, EncodePem, pem::LineEnding};
use rsa::rand_core::RngCore;
use rsa::{Pkcs1v15Sign, RsaPrivateKey, RsaPublicKey};
use sha1::Sha1;
use sha2::{Digest, Sha256};
use std::time::Duration;
use x509_cert::certificate::{Certificate, TbsCertificate, Version};
use x509_cert::ext::pkix::name::GeneralName;
use x509_cert::ext::pkix::{
    AuthorityKeyIdentifier, BasicConstraints, KeyUsage, KeyUsages, SubjectAltName, SubjectKeyIdentifier,
};
use x509_cert::name::Name;
use x509_cert::serial_number::SerialNumber;
use x509_cert::spki::{AlgorithmIdentifierOwned, SubjectPublicKeyInfoOwned};
use x509_cert::time::{Time, Validity};

/// Bits of a CA's key.
const BITS: usize = 2048;
/// Years a CA certificate lasts.
const YEARS: u16 = 10;
/// sha256WithRSAEncryption (RFC 8017).
const SHA256_WITH_RSA: der::oid::ObjectIdentifier = der::oid::ObjectIdentifier::new_unwrap("1.2.840.113549.1.1.11");

/// The CAs that issue a card's certificates.
pub struct Authority {
    /// Of authentication certificates.
    pub auth: Issuer,
    /// Of signature certificates: a prefecture's governor, for a Juki card.
    pub sign: Issuer,
}

impl Authority {
    /// The authority of that seed, as it stands at the beginning of the year of `now` (seconds since 1970 UTC). A Juki
    /// card's signature CA is the governor of `prefecture`.
    ///
    /// # Errors
    /// [`CertificateError`].
    pub fn new(kind: Kind, prefecture: &str, seed: &Seed, now: u64) -> Result<Authority, CertificateError> {
        let governor = format!("PRACTICE Governor of {prefecture}");
        let (sign, printed) = match kind {
            Kind::Juki => (governor.as_str(), Printed { usage: "練習用知事", authority: "練習用県" }),
            _ => ("PRACTICE for digital signature", Printed { usage: "練習用署名用", authority: "練習用機構" }),
        };
        let auth_printed = Printed { usage: "練習用利用者証明用", authority: "練習用機構" };
        // Two keys of 2048 bits take a second or so each.
        let (auth, sign) = std::thread::scope(|scope| {
            let auth = scope
                .spawn(|| Issuer::new("PRACTICE for user authentication", auth_printed, &seed.part("auth CA"), now));
            let sign = Issuer::new(sign, printed, &seed.part("sign CA"), now);
            (auth.join(), sign)
        });
        // A panic in the thread goes on in this one.
        Ok(Authority { auth: auth.unwrap_or_else(|panic| std::panic::resume_unwind(panic))?, sign: sign? })
    }
}

/// A self-signed CA.
pub struct Issuer {
    key: RsaPrivateKey,
    certificate: Certificate,
    printed: Printed,
}

impl Issuer {
    fn new(usage: &str, printed: Printed, seed: &Seed, now: u64) -> Result<Issuer, CertificateError> {
        let key = RsaPrivateKey::new(&mut seed.stream("key"), BITS)?;
        let subject = certificate::authority_name(usage)?;
        let year = DateTime::from_unix_duration(Duration::from_secs(now))?.year();
        let validity = validity(DateTime::new(year, 1, 1, 0, 0, 0)?, DateTime::new(year + YEARS, 1, 1, 0, 0, 0)?)?;
        let spki = SubjectPublicKeyInfoOwned::from_key(RsaPublicKey::from(&key))?;
        let mut extensions = Extensions::default();
        extensions.push(true, &KeyUsage(KeyUsages::KeyCertSign | KeyUsages::CRLSign))?;
        extensions.push(true, &BasicConstraints { ca: true, path_len_constraint: None })?;
        extensions.push(false, &SubjectKeyIdentifier(key_identifier(&spki)?))?;
        extensions.push(false, &SubjectAltName(vec![GeneralName::DirectoryName(printed.name()?)]))?;
        extensions.push(false, &certificate::distribution_point(subject.clone()))?;
        let tbs = tbs(seed, subject.clone(), validity, subject, spki, extensions)?;
        let certificate = sign(&key, tbs)?;
        Ok(Issuer { key, certificate, printed })
    }

    /// Its own certificate, as PEM text.
    ///
    /// # Errors
    /// [`CertificateError::Asn1`].
    pub fn to_pem(&self) -> Result<String, CertificateError> {
        Ok(self.certificate.to_pem(LineEnding::LF)?)
    }

    /// What its certificates call it.
    pub(super) fn name(&self) -> IssuerName<'_> {
        IssuerName { distinguished: &self.certificate.tbs_certificate.subject, printed: self.printed }
    }

    /// Signs a certificate for `key` and returns it as PEM text. The key identifiers come last, as in production.
    pub(super) fn issue(
        &self,
        key: &RsaPublicKey,
        subject: Name,
        validity: Validity,
        seed: &Seed,
        mut extensions: Extensions,
    ) -> Result<String, CertificateError> {
        let own = &self.certificate.tbs_certificate;
        let spki = SubjectPublicKeyInfoOwned::from_key(key.clone())?;
        extensions.push(
            false,
            &AuthorityKeyIdentifier {
                key_identifier: Some(key_identifier(&own.subject_public_key_info)?),
                authority_cert_issuer: Some(vec![GeneralName::DirectoryName(own.subject.clone())]),
                authority_cert_serial_number: Some(own.serial_number.clone()),
            },
        )?;
        extensions.push(false, &SubjectKeyIdentifier(key_identifier(&spki)?))?;
        let tbs = tbs(seed, own.subject.clone(), validity, subject, spki, extensions)?;
        Ok(sign(&self.key, tbs)?.to_pem(LineEnding::LF)?)
    }
}

/// From one moment to another; UTCTime up to 2049 (RFC 5280 §4.1.2.5).
pub(super) fn validity(from: DateTime, to: DateTime) -> Result<Validity, der::Error> {
    let time = |time: DateTime| match time.year() {
        ..2050 => UtcTime::from_date_time(time).map(Time::UtcTime),
        _ => Ok(Time::GeneralTime(der::asn1::GeneralizedTime::from_date_time(time))),
    };
    Ok(Validity { not_before: time(from)?, not_after: time(to)? })
}

/// What is to be signed. Its serial number comes from the seed and from all the rest: the same order makes the same number,
/// and two certificates that differ in anything do not share issuer and number, which NSS refuses to use.
fn tbs(
    seed: &Seed,
    issuer: Name,
    validity: Validity,
    subject: Name,
    subject_public_key_info: SubjectPublicKeyInfoOwned,
    extensions: Extensions,
) -> Result<TbsCertificate, der::Error> {
    let mut tbs = TbsCertificate {
        version: Version::V3,
        serial_number: SerialNumber::new(&[1])?,
        signature: algorithm(),
        issuer,
        validity,
        subject,
        subject_public_key_info,
        issuer_unique_id: None,
        subject_unique_id: None,
        extensions: Some(extensions.into_inner()),
    };
    tbs.serial_number = serial(seed, &tbs.to_der()?)?;
    Ok(tbs)
}

/// Signs with sha256WithRSA, the Juki CAs too: theirs used SHA-1 at first and SHA-256 from the end of 2013 (`card.md`
/// §5.4), and OpenSSL 3 verifies no SHA-1 signature at its default level.
fn sign(key: &RsaPrivateKey, tbs_certificate: TbsCertificate) -> Result<Certificate, CertificateError> {
    let hash = Sha256::digest(tbs_certificate.to_der()?);
    let signature = key.sign(Pkcs1v15Sign::new::<Sha256>(), &hash)?;
    Ok(Certificate { tbs_certificate, signature_algorithm: algorithm(), signature: BitString::from_bytes(&signature)? })
}

fn algorithm() -> AlgorithmIdentifierOwned {
    AlgorithmIdentifierOwned { oid: SHA256_WITH_RSA, parameters: Some(der::asn1::Null.into()) }
}

/// SHA-1 of the public key (RFC 5280 §4.2.1.2, method 1).
fn key_identifier(spki: &SubjectPublicKeyInfoOwned) -> Result<OctetString, der::Error> {
    OctetString::new(Sha1::digest(spki.subject_public_key.raw_bytes()).to_vec())
}

/// Four bytes, positive and in the shortest form.
fn serial(seed: &Seed, certified: &[u8]) -> Result<SerialNumber, der::Error> {
    let mut stream = seed.part("serial").stream(&Hex(&Sha256::digest(certified)).to_string());
    let number = stream.next_u32() & 0x7EFF_FFFF | 0x0100_0000;
    SerialNumber::new(&number.to_be_bytes())
}
