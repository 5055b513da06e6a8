//! The practice authority: a self-signed CA for each kind of certificate, shaped like the real ones (`card.md` §5.1) and
//! marked so that nothing it signs passes for real.

use super::certificate::{self, CertificateError, Extensions, IssuerName, Printed};
use super::image::{Algorithm, Kind};
use super::private_key::PrivateKey;
use super::seed::Seed;
use crate::apdu::Hex;
use der::asn1::OctetString;
use der::{DateTime, EncodePem, pem::LineEnding};
use p384::ecdsa::DerSignature;
use rsa::pkcs1v15::SigningKey;
use rsa::rand_core::Rng;
use sha1::Sha1;
use sha2::{Digest, Sha256};
use std::time::Duration;
use x509_cert::builder::profile::BuilderProfile;
use x509_cert::builder::{self, Builder, CertificateBuilder};
use x509_cert::certificate::{Certificate, TbsCertificate};
use x509_cert::ext::Extension;
use x509_cert::ext::pkix::name::GeneralName;
use x509_cert::ext::pkix::{
    AuthorityKeyIdentifier, BasicConstraints, KeyUsage, KeyUsages, SubjectAltName, SubjectKeyIdentifier,
};
use x509_cert::name::Name;
use x509_cert::serial_number::SerialNumber;
use x509_cert::spki::{SubjectPublicKeyInfoOwned, SubjectPublicKeyInfoRef};
use x509_cert::time::Validity;

/// What an authority's keys are, and how long they are certified for.
#[derive(Clone, Copy)]
struct Grade {
    algorithm: Algorithm,
    /// Years a CA certificate lasts.
    years: u16,
}

impl Grade {
    fn of(kind: Kind) -> Grade {
        match kind {
            // Twenty years are of the plan (`card.md` §6.3), the curve and the hash of the certificates are guesses.
            Kind::Next => Grade { algorithm: Algorithm::P384, years: 20 },
            Kind::MyNumber | Kind::Juki | Kind::Android | Kind::Ios => {
                Grade { algorithm: Algorithm::Rsa { bits: 2048 }, years: 10 }
            }
        }
    }
}

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
        let grade = Grade::of(kind);
        let make = |usage, printed, part| Issuer::new(usage, printed, grade, &seed.part(part), now);
        // Two keys of 2048 bits take a second or so each.
        let (auth, sign) = std::thread::scope(|scope| {
            let auth = scope.spawn(|| make("PRACTICE for user authentication", auth_printed, "auth CA"));
            let sign = make(sign, printed, "sign CA");
            (auth.join(), sign)
        });
        // A panic in the thread goes on in this one.
        Ok(Authority { auth: auth.unwrap_or_else(|panic| std::panic::resume_unwind(panic))?, sign: sign? })
    }
}

/// A self-signed CA.
pub struct Issuer {
    key: PrivateKey,
    certificate: Certificate,
    printed: Printed,
}

impl Issuer {
    fn new(usage: &str, printed: Printed, grade: Grade, seed: &Seed, now: u64) -> Result<Issuer, CertificateError> {
        let key = PrivateKey::new(grade.algorithm, seed, "key")?;
        let subject = certificate::authority_name(usage)?;
        let year = DateTime::from_unix_duration(Duration::from_secs(now))?.year();
        let new_year = |year| DateTime::new(year, 1, 1, 0, 0, 0);
        let validity = Validity::new(new_year(year)?.into(), new_year(year + grade.years)?.into());
        let spki = key.public()?;
        let mut extensions = Extensions::default();
        extensions.push(true, &KeyUsage(KeyUsages::KeyCertSign | KeyUsages::CRLSign))?;
        extensions.push(true, &BasicConstraints { ca: true, path_len_constraint: None })?;
        extensions.push(false, &SubjectKeyIdentifier(key_identifier(&spki)?))?;
        extensions.push(false, &SubjectAltName(vec![GeneralName::DirectoryName(printed.name()?)]))?;
        extensions.push(false, &certificate::distribution_point(subject.clone()))?;
        let statement = Statement { issuer: subject.clone(), subject, extensions: extensions.into_inner() };
        let certificate = statement.sign(&key, validity, spki, seed)?;
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
        IssuerName { distinguished: self.certificate.tbs_certificate().subject(), printed: self.printed }
    }

    /// Signs a certificate for the key `spki` and returns it as PEM text. The key identifiers come last, as in production.
    pub(super) fn issue(
        &self,
        spki: SubjectPublicKeyInfoOwned,
        subject: Name,
        validity: Validity,
        seed: &Seed,
        mut extensions: Extensions,
    ) -> Result<String, CertificateError> {
        let own = self.certificate.tbs_certificate();
        extensions.push(
            false,
            &AuthorityKeyIdentifier {
                key_identifier: Some(key_identifier(own.subject_public_key_info())?),
                authority_cert_issuer: Some(vec![GeneralName::DirectoryName(own.subject().clone())]),
                authority_cert_serial_number: Some(own.serial_number().clone()),
            },
        )?;
        extensions.push(false, &SubjectKeyIdentifier(key_identifier(&spki)?))?;
        let statement = Statement { issuer: own.subject().clone(), subject, extensions: extensions.into_inner() };
        Ok(statement.sign(&self.key, validity, spki, seed)?.to_pem(LineEnding::LF)?)
    }
}

/// Who says what about whom.
#[derive(Clone)]
struct Statement {
    issuer: Name,
    subject: Name,
    extensions: Vec<Extension>,
}

impl Statement {
    /// Signs it with ecdsa-with-SHA384 or with sha256WithRSA, the Juki CAs too: theirs used SHA-1 at first and SHA-256 from
    /// the end of 2013 (`card.md` §5.4), and OpenSSL 3 verifies no SHA-1 signature at its default level.
    ///
    /// Its serial number comes from the seed and from all the rest: the same order makes the same number, and two
    /// certificates that differ in anything do not share issuer and number, which NSS refuses to use.
    fn sign(
        self,
        key: &PrivateKey,
        validity: Validity,
        spki: SubjectPublicKeyInfoOwned,
        seed: &Seed,
    ) -> Result<Certificate, CertificateError> {
        let numbered = |number| CertificateBuilder::new(self.clone(), number, validity, spki.clone());
        let unnumbered = || numbered(SerialNumber::new(&[1])?);
        Ok(match key {
            PrivateKey::Rsa(key) => {
                let key = SigningKey::<Sha256>::new(key.clone());
                let number = serial(seed, &unnumbered()?.finalize(&key)?)?;
                numbered(number)?.build(&key)?
            }
            PrivateKey::P384(key) => {
                let number = serial(seed, &unnumbered()?.finalize(key)?)?;
                numbered(number)?.build::<_, DerSignature>(key)?
            }
        })
    }
}

impl BuilderProfile for Statement {
    fn get_issuer(&self, _subject: &Name) -> Name {
        self.issuer.clone()
    }

    fn get_subject(&self) -> Name {
        self.subject.clone()
    }

    fn build_extensions(
        &self,
        _own: SubjectPublicKeyInfoRef<'_>,
        _issuer: SubjectPublicKeyInfoRef<'_>,
        _rest: &TbsCertificate,
    ) -> builder::Result<Vec<Extension>> {
        Ok(self.extensions.clone())
    }
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
