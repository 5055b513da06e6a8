//! Certificates shaped like production's, extension by extension and in production's order (`card.md` §5.2–5.3).
//!
//! Policies are numbered under 1.3.6.1.4.1.32473, the arc RFC 5612 sets aside for examples. (A UUID under 2.25 would
//! be the other arc free for all, but its one number of 128 bits is more than most readers of object identifiers take.)

use super::resident::Resident;
use der::asn1::{Any, Ia5String, ObjectIdentifier, OctetString, PrintableStringRef, Utf8StringRef};
use der::oid::AssociatedOid;
use der::oid::db::rfc4519::{C, CN, L, O, OU};
use der::oid::db::rfc5280::{ID_AD_OCSP, ID_KP_CLIENT_AUTH, ID_QT_CPS};
use der::{Decode, Encode};
use x509_cert::attr::AttributeTypeAndValue;
use x509_cert::ext::Extension;
use x509_cert::ext::pkix::certpolicy::{PolicyInformation, PolicyQualifierInfo};
use x509_cert::ext::pkix::crl::dp::DistributionPoint;
use x509_cert::ext::pkix::name::{DistributionPointName, GeneralName, OtherName};
use x509_cert::ext::pkix::{
    AccessDescription, AuthorityInfoAccessSyntax, CertificatePolicies, CrlDistributionPoints, ExtendedKeyUsage,
    IssuerAltName, KeyUsage, KeyUsages, SubjectAltName,
};
use x509_cert::name::{Name, RdnSequence, RelativeDistinguishedName};

/// The practice statement every certificate points to, which is nowhere.
const CPS: &str = "http://practice.invalid/cps.html";
/// The responder an authentication certificate points to, which is nowhere.
const OCSP: &str = "http://ocsp.practice.invalid";
/// Policy of practice signature certificates.
pub const SIGN_POLICY: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.3.6.1.4.1.32473.1.20");
/// Policy of practice authentication certificates.
pub const AUTH_POLICY: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.3.6.1.4.1.32473.1.30");

/// The six personal attributes, as otherNames. The numbers are production's, so that what shows them is rehearsed too.
mod other_name {
    use der::asn1::ObjectIdentifier;

    pub const NAME: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.392.200149.8.5.5.1");
    pub const NAME_SUBSTITUTES: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.392.200149.8.5.5.2");
    pub const SEX: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.392.200149.8.5.5.3");
    pub const BIRTH: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.392.200149.8.5.5.4");
    pub const ADDRESS: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.392.200149.8.5.5.5");
    pub const ADDRESS_SUBSTITUTES: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.392.200149.8.5.5.6");
}

/// What went wrong while a certificate was made.
#[derive(Debug, thiserror::Error)]
pub enum CertificateError {
    /// In its ASN.1.
    #[error("a certificate could not be encoded: {0}")]
    Asn1(#[from] der::Error),
    /// With a public key.
    #[error("a public key could not be encoded: {0}")]
    PublicKey(#[from] x509_cert::spki::Error),
    /// With a key.
    #[error("a key could not be made or used: {0}")]
    Rsa(#[from] rsa::Error),
    /// While it was put together and signed.
    #[error("a certificate could not be made: {0}")]
    Building(#[from] x509_cert::builder::Error),
}

/// Extensions in the order they were pushed.
#[derive(Default)]
pub(super) struct Extensions(Vec<Extension>);

impl Extensions {
    pub fn push<T: AssociatedOid + Encode>(&mut self, critical: bool, value: &T) -> Result<(), der::Error> {
        let extn_value = OctetString::new(value.to_der()?)?;
        self.0.push(Extension { extn_id: T::OID, critical, extn_value });
        Ok(())
    }

    pub fn into_inner(self) -> Vec<Extension> {
        self.0
    }
}

/// What an authority is called in Japanese.
#[derive(Clone, Copy)]
pub(super) struct Printed {
    /// What its certificates are for.
    pub usage: &'static str,
    /// Who it is.
    pub authority: &'static str,
}

impl Printed {
    /// As a name, for subjectAltName of a CA and issuerAltName of what it issues.
    pub fn name(self) -> Result<Name, der::Error> {
        name(&[(C, "JP"), (O, "練習用認証サービス"), (OU, self.usage), (OU, self.authority)])
    }
}

/// What certificates call the CA that issued them.
pub(super) struct IssuerName<'a> {
    pub distinguished: &'a Name,
    /// In Japanese, for issuerAltName.
    pub printed: Printed,
}

/// The distinguished name of a practice CA.
pub(super) fn authority_name(usage: &str) -> Result<Name, der::Error> {
    name(&[(C, "JP"), (O, "PRACTICE, NOT VALID"), (OU, usage), (OU, "PRACTICE authority, no public body")])
}

/// Subject of an authentication certificate: 14 opaque characters, the municipality's code, `003A`. Nobody is named.
pub(super) fn auth_subject(opaque: &str, resident: &Resident) -> Result<Name, der::Error> {
    name(&[(C, "JP"), (CN, &format!("{opaque}{}003A", resident.municipality_code))])
}

/// Subject of a signature certificate: the place, and when and where it was issued. The name is elsewhere.
pub(super) fn sign_subject(issued: &der::DateTime, count: &str, resident: &Resident) -> Result<Name, der::Error> {
    let instant = format!(
        "{:04}{:02}{:02}{:02}{:02}{:02}",
        issued.year(),
        issued.month(),
        issued.day(),
        issued.hour(),
        issued.minutes(),
        issued.seconds()
    );
    let number = format!("{instant}{count}{}003A", resident.municipality_code);
    name(&[(C, "JP"), (L, &resident.prefecture), (L, &resident.municipality), (CN, &number)])
}

/// Extensions of an authentication certificate, without the key identifiers at their end.
pub(super) fn auth_extensions(issuer: &IssuerName<'_>, resident: &Resident) -> Result<Extensions, CertificateError> {
    let mut extensions = Extensions::default();
    extensions.push(true, &KeyUsage(KeyUsages::DigitalSignature.into()))?;
    extensions.push(false, &ExtendedKeyUsage(vec![ID_KP_CLIENT_AUTH]))?;
    extensions.push(true, &policies(AUTH_POLICY)?)?;
    extensions.push(false, &IssuerAltName(vec![GeneralName::DirectoryName(issuer.printed.name()?)]))?;
    extensions.push(false, &revocation_list(issuer, resident)?)?;
    extensions.push(
        false,
        &AuthorityInfoAccessSyntax(vec![AccessDescription {
            access_method: ID_AD_OCSP,
            access_location: GeneralName::UniformResourceIdentifier(Ia5String::new(OCSP)?),
        }]),
    )?;
    Ok(extensions)
}

/// Extensions of a signature certificate, without the key identifiers at their end.
pub(super) fn sign_extensions(issuer: &IssuerName<'_>, resident: &Resident) -> Result<Extensions, CertificateError> {
    let mut extensions = Extensions::default();
    extensions.push(true, &KeyUsage(KeyUsages::DigitalSignature | KeyUsages::NonRepudiation))?;
    extensions.push(true, &policies(SIGN_POLICY)?)?;
    extensions.push(false, &personal_attributes(resident)?)?;
    extensions.push(false, &IssuerAltName(vec![GeneralName::DirectoryName(issuer.printed.name()?)]))?;
    extensions.push(false, &revocation_list(issuer, resident)?)?;
    Ok(extensions)
}

fn policies(policy_identifier: ObjectIdentifier) -> Result<CertificatePolicies, der::Error> {
    let cps = PolicyQualifierInfo {
        policy_qualifier_id: ID_QT_CPS,
        qualifier: Some(Any::encode_from(&Ia5String::new(CPS)?)?),
    };
    Ok(CertificatePolicies(vec![PolicyInformation { policy_identifier, policy_qualifiers: Some(vec![cps]) }]))
}

fn personal_attributes(resident: &Resident) -> Result<SubjectAltName, der::Error> {
    [
        (other_name::NAME, resident.name.text.clone()),
        (other_name::BIRTH, resident.birth.code()),
        (other_name::SEX, (resident.sex as u8).to_string()),
        (other_name::ADDRESS, resident.address.text.clone()),
        (other_name::NAME_SUBSTITUTES, resident.name.flags()),
        (other_name::ADDRESS_SUBSTITUTES, resident.address.flags()),
    ]
    .into_iter()
    .map(|(type_id, text)| {
        let value = Any::encode_from(&Utf8StringRef::new(&text)?)?;
        Ok(GeneralName::OtherName(OtherName { type_id, value }))
    })
    .collect::<Result<_, _>>()
    .map(SubjectAltName)
}

/// The place in a directory, which is nowhere, where the municipality's revocation list would be.
fn revocation_list(issuer: &IssuerName<'_>, resident: &Resident) -> Result<CrlDistributionPoints, der::Error> {
    let list = format!("{} CRLDP", resident.municipality);
    let place = name(&[(OU, "CRL Distribution Points"), (OU, &resident.prefecture), (CN, &list)])?;
    // The authority's own unit gives way to the list's place.
    let mut steps: Vec<_> = issuer.distinguished.iter_rdn().cloned().collect();
    steps.pop();
    steps.extend(place.iter_rdn().cloned());
    Ok(distribution_point(of_steps(steps)?))
}

/// A distribution point in a directory, without an address.
pub(super) fn distribution_point(place: Name) -> CrlDistributionPoints {
    let full_name = DistributionPointName::FullName(vec![GeneralName::DirectoryName(place)]);
    CrlDistributionPoints(vec![DistributionPoint {
        distribution_point: Some(full_name),
        reasons: None,
        crl_issuer: None,
    }])
}

/// A name of these attributes, one to each step: the country a PrintableString, all else UTF8Strings.
fn name(attributes: &[(ObjectIdentifier, &str)]) -> Result<Name, der::Error> {
    attributes
        .iter()
        .map(|&(oid, text)| {
            let value = match oid {
                C => Any::encode_from(&PrintableStringRef::new(text)?)?,
                _ => Any::encode_from(&Utf8StringRef::new(text)?)?,
            };
            let mut step = RelativeDistinguishedName::default();
            step.insert(AttributeTypeAndValue { oid, value })?;
            Ok(step)
        })
        .collect::<Result<_, _>>()
        .and_then(of_steps)
}

/// A name of these steps. The library makes none of parts that may be no name, so that it reads what they are in DER.
fn of_steps(steps: Vec<RelativeDistinguishedName>) -> Result<Name, der::Error> {
    Name::from_der(&RdnSequence::from(steps).to_der()?)
}
